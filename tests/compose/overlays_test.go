package compose

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v3"
)

func value(t *testing.T, service types.ServiceConfig, name string) string {
	t.Helper()
	text, ok := service.Environment[name]
	if !ok || text == nil {
		t.Errorf("%s has no %s", service.Name, name)
		return ""
	}
	return *text
}

func named(project *types.Project, prefix string) []types.ServiceConfig {
	var services []types.ServiceConfig
	for _, name := range project.ServiceNames() {
		if name == prefix || strings.HasPrefix(name, prefix+"-") {
			services = append(services, project.Services[name])
		}
	}
	return services
}

func TestMountedFilesExistAndAreReadOnly(t *testing.T) {
	eachService(t, func(t *testing.T, service types.ServiceConfig) {
		for _, volume := range service.Volumes {
			if volume.Type != types.VolumeTypeBind {
				continue
			}
			if _, err := os.Stat(volume.Source); err != nil {
				t.Error(err)
			}
			if !volume.ReadOnly {
				t.Errorf("%s is mounted writable", volume.Source)
			}
		}
	})
}

// Members of a group differ only in what says which one they are.
func TestMembersDifferOnlyInWhoTheyAre(t *testing.T) {
	ha := load(t, "ha")
	for group, own := range map[string][]string{
		"kafka":    {"KAFKA_NODE_ID", "KAFKA_LISTENERS", "KAFKA_ADVERTISED_LISTENERS"},
		"redis":    {"ROLE"},
		"sentinel": {},
		"rollcall": {"ROLLCALL_INSTANCE_ID"},
	} {
		members := named(ha, group)
		seen := make(map[string]bool)
		for _, member := range members {
			for name, text := range member.Environment {
				if slices.Contains(own, name) {
					if seen[name+*text] {
						t.Errorf("%s: %s=%s is another's", member.Name, name, *text)
					}
					seen[name+*text] = true
				} else if value(t, members[0], name) != *text {
					t.Errorf("%s: %s=%s is not that of the others", member.Name, name, *text)
				}
			}
			for what, same := range map[string]bool{
				"image":       member.Image == members[0].Image,
				"user":        member.User == members[0].User,
				"command":     slices.Equal(member.Command, members[0].Command),
				"entrypoint":  slices.Equal(member.Entrypoint, members[0].Entrypoint),
				"memory":      member.MemLimit == members[0].MemLimit,
				"environment": len(member.Environment) == len(members[0].Environment),
				"volumes":     len(member.Volumes) == len(members[0].Volumes),
			} {
				if !same {
					t.Errorf("%s: its %s is not that of the others", member.Name, what)
				}
			}
		}
	}
}

func TestOneFailureStopsNothing(t *testing.T) {
	ha := load(t, "ha")
	for group, count := range map[string]int{"kafka": 3, "redis": 2, "sentinel": 3, "rollcall": 3} {
		if members := named(ha, group); len(members) != count {
			t.Errorf("%d services %s, not %d", len(members), group, count)
		}
	}
	var addresses, voters, sentinels []string
	for _, broker := range named(ha, "kafka") {
		addresses = append(addresses, broker.Name+":9092")
		voters = append(voters, value(t, broker, "KAFKA_NODE_ID")+"@"+broker.Name+":9093")
		for name, want := range map[string]string{
			"KAFKA_DEFAULT_REPLICATION_FACTOR":               "3",
			"KAFKA_MIN_INSYNC_REPLICAS":                      "2",
			"KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR":         "3",
			"KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "3",
			"KAFKA_TRANSACTION_STATE_LOG_MIN_ISR":            "2",
		} {
			if got := value(t, broker, name); got != want {
				t.Errorf("%s: %s is %s, not %s", broker.Name, name, got, want)
			}
		}
	}
	for _, broker := range named(ha, "kafka") {
		if got := value(t, broker, "KAFKA_CONTROLLER_QUORUM_VOTERS"); got != strings.Join(voters, ",") {
			t.Errorf("%s: the voters are %s, not %v", broker.Name, got, voters)
		}
	}
	for _, sentinel := range named(ha, "sentinel") {
		sentinels = append(sentinels, sentinel.Name+":26379")
	}
	url := "redis+sentinel://" + strings.Join(sentinels, ",") + "/rollcall/0"
	for _, instance := range append(named(ha, "rollcall"), ha.Services["generator"]) {
		if got := value(t, instance, "ROLLCALL_KAFKA_BOOTSTRAP_SERVERS"); got != strings.Join(addresses, ",") {
			t.Errorf("%s: its brokers are %s, not %v", instance.Name, got, addresses)
		}
		if instance.Name != "generator" && value(t, instance, "ROLLCALL_REDIS_URL") != url {
			t.Errorf("%s: redis.url is not %s", instance.Name, url)
		}
	}
	if ha.Name == load(t).Name {
		t.Error("its project, and so its volumes, are those of docker-compose.yml")
	}
}

func TestNothingIsSentInClear(t *testing.T) {
	tls := load(t, "tls")
	if protocols := value(t, tls.Services["kafka"], "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"); strings.Contains(protocols, "PLAINTEXT") {
		t.Errorf("a listener of Kafka has no TLS: %s", protocols)
	}
	if value(t, tls.Services["kafka"], "KAFKA_SSL_CLIENT_AUTH") != "required" {
		t.Error("Kafka asks for no certificate")
	}
	if command := strings.Join(tls.Services["redis"].Command, " "); !strings.Contains(command, "--port 0 --tls-port 6379") ||
		strings.Contains(command, "--tls-auth-clients no") {
		t.Errorf("Redis listens without TLS, or asks for no certificate: %s", command)
	}
	for _, name := range []string{"rollcall", "generator"} {
		if value(t, tls.Services[name], "ROLLCALL_KAFKA_SECURITY_PROTOCOL") != "ssl" {
			t.Errorf("%s speaks to Kafka without TLS", name)
		}
	}
	if !strings.HasPrefix(value(t, tls.Services["rollcall"], "ROLLCALL_REDIS_URL"), "rediss://") {
		t.Error("rollcall speaks to Redis without TLS")
	}
}

func TestEveryCertificateFileIsOneThatTheScriptMakes(t *testing.T) {
	script, err := os.ReadFile(root + "/deploy/compose/certificates.sh")
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := os.ReadFile(root + "/deploy/compose/tls.yml")
	if err != nil {
		t.Fatal(err)
	}
	made := []string{"ca.pem", "client.properties"}
	for _, name := range regexp.MustCompile(`(?m)^issue (\w+)$`).FindAllSubmatch(script, -1) {
		made = append(made, string(name[1])+".pem")
	}
	used := regexp.MustCompile(`/certificates/([\w.]+)`).FindAllSubmatch(append(overlay, script...), -1)
	for _, name := range used {
		if !slices.Contains(made, string(name[1])) {
			t.Errorf("/certificates/%s is not made: %v are", name[1], made)
		}
	}
	if len(used) < len(made) {
		t.Errorf("%d uses of %v", len(used), made)
	}
}

func TestNoSecretIsInTheFiles(t *testing.T) {
	err := filepath.WalkDir(root+"/deploy/compose", func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if bytes.Contains(text, []byte("PRIVATE KEY")) || bytes.Contains(bytes.ToLower(text), []byte("password")) {
			t.Errorf("%s has a key or a password", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// decode reads a YAML file of deploy/compose; a key that out does not have is an error.
func decode(t *testing.T, path string, out any) {
	t.Helper()
	text, err := os.ReadFile(root + "/deploy/compose/" + path)
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(out); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// mounted returns the file or folder of this repository that a service sees at a path.
func mounted(service types.ServiceConfig, path string) string {
	for _, volume := range service.Volumes {
		if volume.Target == path {
			return volume.Source
		}
	}
	return ""
}

func TestPrometheusFindsEveryInstanceAndRule(t *testing.T) {
	var config struct {
		Global struct {
			ScrapeInterval     string `yaml:"scrape_interval"`
			EvaluationInterval string `yaml:"evaluation_interval"`
		}
		RuleFiles     []string `yaml:"rule_files"`
		ScrapeConfigs []struct {
			JobName      string `yaml:"job_name"`
			DNSSDConfigs []struct {
				Names           []string
				Type            string
				Port            int
				RefreshInterval string `yaml:"refresh_interval"`
			} `yaml:"dns_sd_configs"`
		} `yaml:"scrape_configs"`
	}
	decode(t, "prometheus.yml", &config)
	job := config.ScrapeConfigs[0]
	if len(config.ScrapeConfigs) != 1 || job.JobName != "rollcall" || len(job.DNSSDConfigs) != 1 {
		t.Fatalf("not the one job rollcall: %+v", config.ScrapeConfigs)
	}
	found := job.DNSSDConfigs[0]
	if !slices.Equal(found.Names, []string{"rollcall"}) || found.Type != "A" || found.Port != 9464 {
		t.Errorf("instances are looked up as %+v", found)
	}
	project := load(t, "ha", "monitoring")
	for _, instance := range named(project, "rollcall") {
		network := instance.Networks["default"]
		if instance.Name != "rollcall" && (network == nil || !slices.Contains(network.Aliases, "rollcall")) {
			t.Errorf("%s is not known as rollcall", instance.Name)
		}
		if value(t, instance, "ROLLCALL_HTTP_LISTEN") != "0.0.0.0:9464" {
			t.Errorf("%s cannot be scraped", instance.Name)
		}
	}
	prometheus := project.Services["prometheus"]
	rules, _ := filepath.Glob(root + "/deploy/monitoring/rollcall.*.yml")
	for _, path := range rules {
		name := filepath.Base(path)
		if !slices.Contains(config.RuleFiles, name) {
			t.Errorf("%s is not loaded", name)
		}
		if !strings.HasSuffix(mounted(prometheus, "/etc/prometheus/"+name), "/deploy/monitoring/"+name) {
			t.Errorf("%s is not mounted", name)
		}
	}
	if len(rules) < 2 || len(config.RuleFiles) != len(rules) {
		t.Errorf("the rules are %v, not %v", config.RuleFiles, rules)
	}
}

func TestGrafanaFindsItsDataSource(t *testing.T) {
	var config struct {
		APIVersion  int `yaml:"apiVersion"`
		Datasources []struct {
			Name, UID, Type, Access, URL string
			IsDefault                    bool `yaml:"isDefault"`
			Editable                     bool
			JSONData                     struct {
				TimeInterval string `yaml:"timeInterval"`
			} `yaml:"jsonData"`
		}
	}
	decode(t, "grafana/datasources/prometheus.yml", &config)
	if config.APIVersion != 1 || len(config.Datasources) != 1 {
		t.Fatalf("not one data source: %+v", config)
	}
	source := config.Datasources[0]
	if source.Name == "" || source.UID == "" || source.Type != "prometheus" || source.Access != "proxy" ||
		!source.IsDefault || source.Editable || source.URL != "http://prometheus:9090" {
		t.Errorf("the data source is %+v", source)
	}
	port := load(t, "monitoring").Services["prometheus"].Ports[0].Target
	if port != 9090 {
		t.Errorf("Prometheus listens on %d", port)
	}
}

func TestGrafanaFindsItsDashboard(t *testing.T) {
	var config struct {
		APIVersion int `yaml:"apiVersion"`
		Providers  []struct {
			Name, Type      string
			DisableDeletion bool `yaml:"disableDeletion"`
			AllowUIUpdates  bool `yaml:"allowUiUpdates"`
			Options         struct{ Path string }
		}
	}
	decode(t, "grafana/dashboards/rollcall.yml", &config)
	if config.APIVersion != 1 || len(config.Providers) != 1 {
		t.Fatalf("not one provider: %+v", config)
	}
	provider := config.Providers[0]
	if provider.Name == "" || provider.Type != "file" || !provider.DisableDeletion || provider.AllowUIUpdates {
		t.Errorf("the provider is %+v", provider)
	}
	grafana := load(t, "monitoring").Services["grafana"]
	home := value(t, grafana, "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH")
	if filepath.Dir(home) != provider.Options.Path {
		t.Errorf("%s is not in %s", home, provider.Options.Path)
	}
	if mounted(grafana, value(t, grafana, "GF_PATHS_PROVISIONING")) == "" {
		t.Error("its provisioning is not mounted")
	}
	text, err := os.ReadFile(mounted(grafana, home))
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		UID, Title string
		Panels     []struct{ Datasource struct{ Type, UID string } }
		Templating struct {
			List []struct{ Name, Type, Query any }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	if dashboard.UID == "" || dashboard.Title == "" || len(dashboard.Panels) < 10 {
		t.Errorf("it is no dashboard: %q, %d panels", dashboard.Title, len(dashboard.Panels))
	}
	var sources []any
	for _, variable := range dashboard.Templating.List {
		if variable.Type == "datasource" {
			sources = append(sources, variable.Name, variable.Query)
		}
	}
	// Its own variable, which takes the default source of that type.
	if !slices.Equal(sources, []any{"datasource", "prometheus"}) {
		t.Errorf("its data sources are %v", sources)
	}
	for _, panel := range dashboard.Panels {
		if uid := panel.Datasource.UID; uid != "" && uid != "${datasource}" {
			t.Errorf("a panel has the data source %s", uid)
		}
	}
}

package kubernetes

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

type trigger struct {
	kind           string
	metadata       map[string]string
	authentication string // the name of a TriggerAuthentication, or empty
}

func triggersOf(scaled map[string]any) []trigger {
	var found []trigger
	for _, one := range scaled["spec"].(map[string]any)["triggers"].([]any) {
		fields := one.(map[string]any)
		next := trigger{kind: fields["type"].(string), metadata: map[string]string{}}
		if reference, ok := fields["authenticationRef"].(map[string]any); ok {
			next.authentication = reference["name"].(string)
		}
		for name, value := range fields["metadata"].(map[string]any) {
			next.metadata[name] = value.(string)
		}
		found = append(found, next)
	}
	return found
}

// metricsIn lists rollcall's metrics in a query.
func metricsIn(query string) []string {
	return regexp.MustCompile(`\brollcall_[a-z_]+`).FindAllString(query, -1)
}

func number(t *testing.T, value any) int64 {
	t.Helper()
	found, err := strconv.ParseInt(fmt.Sprint(value), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestKedaLooksAtTheSameGroup(t *testing.T) {
	page := readFile(t, project+"/docs/operation.md")
	eachVariant(t, func(t *testing.T, world *world) {
		for _, scaled := range world.ofKind("ScaledObject") {
			triggers := triggersOf(scaled)
			if len(triggers) != 2 || triggers[0].kind != "kafka" || triggers[1].kind != "prometheus" {
				t.Fatalf("the triggers are %v", triggers)
			}
			for name, want := range map[string]string{
				"bootstrapServers":   setting(world, "kafka", "bootstrap.servers"),
				"consumerGroup":      setting(world, "consumer", "group.id"),
				"topic":              setting(world, "input", "topic"),
				"offsetResetPolicy":  setting(world, "input", "start"),
				"allowIdleConsumers": "false",
			} {
				if got := triggers[0].metadata[name]; got != want {
					t.Errorf("%s is %s, and rollcall has %s", name, got, want)
				}
			}
			names := metricsIn(triggers[1].metadata["query"])
			if len(names) == 0 {
				t.Error("the query asks for nothing of rollcall")
			}
			for _, name := range names {
				if !strings.Contains(page, "`"+name+"{") && !strings.Contains(page, "`"+name+"`") {
					t.Errorf("there is no metric %s", name)
				}
			}
		}
	})
}

func TestKedaShowsACertificateWhereRollcallDoes(t *testing.T) {
	eachVariant(t, func(t *testing.T, world *world) {
		wants := setting(world, "kafka", "security.protocol") == "ssl"
		for _, scaled := range world.ofKind("ScaledObject") {
			first := triggersOf(scaled)[0]
			if (first.metadata["tls"] == "enable") != wants || (first.authentication != "") != wants {
				t.Errorf("the trigger is %v, and rollcall has TLS: %v", first, wants)
			}
			for _, authentication := range world.ofKind("TriggerAuthentication") {
				if authentication["metadata"].(map[string]any)["name"] != first.authentication {
					t.Errorf("nothing makes %s", first.authentication)
				}
				spec := authentication["spec"].(map[string]any)
				for _, one := range spec["secretTargetRef"].([]any) {
					secret := one.(map[string]any)["name"].(string)
					if !slices.Contains(secrets, secret) {
						t.Errorf("nobody makes the secret %s", secret)
					}
				}
			}
		}
	})
}

func TestNoScalerGoesBeyondThePartitions(t *testing.T) {
	eachVariant(t, func(t *testing.T, world *world) {
		limits := map[string]int64{}
		targets := map[string]string{}
		for _, scaled := range world.ofKind("ScaledObject") {
			spec := scaled["spec"].(map[string]any)
			limits["KEDA"] = number(t, spec["maxReplicaCount"])
			targets["KEDA"] = spec["scaleTargetRef"].(map[string]any)["kind"].(string)
		}
		for _, scaler := range world.autoscalers {
			limits["HPA"] = int64(scaler.Spec.MaxReplicas)
			targets["HPA"] = scaler.Spec.ScaleTargetRef.Kind
		}
		for name, kind := range targets {
			if (kind == "Deployment") != (world.deployment != nil) {
				t.Errorf("%s scales a %s that is not there", name, kind)
			}
		}
		if (len(limits) > 0) != (world.replicas() == nil) {
			t.Error("each kubectl apply would undo what the scaler did, or nothing says how many")
		}
		input := setting(world, "input", "topic")
		for _, topic := range world.ofKind("KafkaTopic") {
			partitions := number(t, topic["spec"].(map[string]any)["partitions"])
			if name := topic["metadata"].(map[string]any)["name"]; name == input {
				limits["the topic"] = partitions
			}
		}
		for name, limit := range limits {
			for other, another := range limits {
				if limit != another {
					t.Errorf("%s goes to %d, %s to %d", name, limit, other, another)
				}
			}
		}
	})
}

func TestTheUserMayDoWhatIsDocumented(t *testing.T) {
	eachVariant(t, func(t *testing.T, world *world) {
		for _, user := range world.ofKind("KafkaUser") {
			var got []string
			spec := user["spec"].(map[string]any)
			for _, rule := range spec["authorization"].(map[string]any)["acls"].([]any) {
				resource := rule.(map[string]any)["resource"].(map[string]any)
				pattern, ok := resource["patternType"]
				if !ok {
					pattern = "literal"
				}
				got = append(got, fmt.Sprintf("%v %v %v %v", resource["type"], pattern,
					resource["name"], rule.(map[string]any)["operations"]))
			}
			group, input := setting(world, "consumer", "group.id"), setting(world, "input", "topic")
			want := []string{
				"group literal " + group + " [Read Describe]",
				"topic literal " + input + " [Read Describe DescribeConfigs]",
				"topic literal processed-user-login [Write Describe]",
				"topic literal user-login-rejected [Write Describe]",
				"transactionalId prefix rollcall-" + group + "- [Write Describe]",
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("the user may %q and needs %q", got, want)
			}
			name := user["metadata"].(map[string]any)["name"]
			if !slices.ContainsFunc(world.pod().Spec.Volumes, func(volume core.Volume) bool {
				return volume.Secret != nil && volume.Secret.SecretName == name
			}) {
				t.Errorf("the pod has no certificate of %s", name)
			}
		}
	})
}

func TestTopicsKeepTheirPartitions(t *testing.T) {
	eachVariant(t, func(t *testing.T, world *world) {
		counts := map[any]bool{}
		for _, topic := range world.ofKind("KafkaTopic") {
			counts[topic["spec"].(map[string]any)["partitions"]] = true
		}
		if len(counts) > 1 {
			t.Errorf("the topics have %v partitions", counts)
		}
	})
}

func TestTheRulesAreThoseOfTheMonitoringFolder(t *testing.T) {
	var want []monitoring.RuleGroup
	for _, name := range []string{"rules", "alerts"} {
		var file monitoring.PrometheusRuleSpec
		text := readFile(t, project+"/deploy/monitoring/rollcall."+name+".yml")
		if err := yaml.UnmarshalStrict([]byte(text), &file); err != nil {
			t.Fatal(err)
		}
		want = append(want, file.Groups...)
	}
	wanted, err := yaml.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	job := regexp.MustCompile(`job="([^"]*)"`).FindStringSubmatch(string(wanted))
	eachVariant(t, func(t *testing.T, world *world) {
		for _, rule := range world.rules {
			got, err := yaml.Marshal(rule.Spec.Groups)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != string(wanted) {
				t.Error("they differ: run deploy/kubernetes/prometheusrule.py")
			}
		}
		for _, monitor := range world.monitors {
			if got := world.pod().Labels[monitor.Spec.JobLabel]; got != job[1] {
				t.Errorf("the job is %q, and the alerts ask for %q", got, job[1])
			}
			if *monitor.Spec.PodMetricsEndpoints[0].Port != world.container().Ports[0].Name {
				t.Error("the port that is scraped is not there")
			}
		}
	})
}

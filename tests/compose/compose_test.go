// Package compose checks docker-compose.yml and its overlays with the loader of the compose
// specification and against this project's own rules. It needs no container engine.
package compose

import (
	"context"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

const root = "../.."

// Every combination of overlays that docs/operation.md names.
var stacks = [][]string{{}, {"ha"}, {"monitoring"}, {"tls"}, {"ha", "monitoring"}, {"tls", "monitoring"}}

// Services that exit by themselves, and those that listen on no port.
var (
	oneShot     = map[string]bool{"topics": true, "certificates": true}
	noListeners = map[string]bool{"generator": true}
)

func load(t *testing.T, overlays ...string) *types.Project {
	t.Helper()
	files := []string{root + "/docker-compose.yml"}
	for _, name := range overlays {
		files = append(files, root+"/deploy/compose/"+name+".yml")
	}
	options, err := cli.NewProjectOptions(files, cli.WithResolvedPaths(true))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func eachStack(t *testing.T, check func(t *testing.T, project *types.Project)) {
	t.Helper()
	for _, overlays := range stacks {
		name := strings.Join(append([]string{"default"}, overlays...), "+")
		t.Run(name, func(t *testing.T) { check(t, load(t, overlays...)) })
	}
}

func eachService(t *testing.T, check func(t *testing.T, service types.ServiceConfig)) {
	t.Helper()
	eachStack(t, func(t *testing.T, project *types.Project) {
		for name, service := range project.Services {
			t.Run(name, func(t *testing.T) { check(t, service) })
		}
	})
}

func isKafka(service types.ServiceConfig) bool {
	return strings.HasPrefix(service.Image, "apache/kafka:") && !oneShot[service.Name]
}

func TestTheSpecificationsLoaderAcceptsIt(t *testing.T) {
	eachStack(t, func(t *testing.T, project *types.Project) {
		for _, name := range []string{"kafka", "topics", "redis", "generator", "rollcall"} {
			if _, err := project.GetService(name); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestImagesHaveAPinnedVersion(t *testing.T) {
	pinned := regexp.MustCompile(`^[a-z0-9./-]+:v?\d+\.\d+\.\d+[a-z0-9.-]*$`)
	eachService(t, func(t *testing.T, service types.ServiceConfig) {
		if !pinned.MatchString(service.Image) {
			t.Errorf("image %q has no full version", service.Image)
		}
	})
}

func TestTheDockerfilesBaseImagesHaveAPinnedVersion(t *testing.T) {
	dockerfile, err := os.ReadFile("../../deploy/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	from := regexp.MustCompile(`(?m)^FROM (\S+)`).FindAllStringSubmatch(string(dockerfile), -1)
	if len(from) == 0 {
		t.Fatal("no FROM in the Dockerfile")
	}
	pinned := regexp.MustCompile(`^[a-z]+:\d+\.\d+[a-z0-9.-]*$`)
	for _, line := range from {
		if !pinned.MatchString(line[1]) {
			t.Errorf("base image %q has no full version", line[1])
		}
	}
}

func TestTheBuildUsesExistingFiles(t *testing.T) {
	eachService(t, func(t *testing.T, service types.ServiceConfig) {
		if service.Build == nil {
			return
		}
		if _, err := os.Stat(service.Build.Context + "/" + service.Build.Dockerfile); err != nil {
			t.Error(err)
		}
	})
}

func TestLongRunningServicesHaveAHealthCheck(t *testing.T) {
	eachService(t, func(t *testing.T, service types.ServiceConfig) {
		if oneShot[service.Name] || noListeners[service.Name] {
			return
		}
		if service.HealthCheck == nil || service.HealthCheck.Disable || len(service.HealthCheck.Test) < 2 {
			t.Error("it has no health check")
		}
	})
}

func TestNoServiceIsRootOrCanBecomeRoot(t *testing.T) {
	eachService(t, func(t *testing.T, service types.ServiceConfig) {
		user := strings.Split(service.User, ":")[0]
		if user == "" || user == "0" || user == "root" {
			t.Errorf("user is %q", service.User)
		}
		if service.Privileged || len(service.CapAdd) > 0 || len(service.CapDrop) != 1 ||
			service.CapDrop[0] != "ALL" {
			t.Error("it keeps capabilities")
		}
		if strings.Join(service.SecurityOpt, " ") != "no-new-privileges:true" {
			t.Errorf("security_opt is %v", service.SecurityOpt)
		}
	})
}

func TestRootFileSystemsAreReadOnlyExceptForKafka(t *testing.T) {
	eachService(t, func(t *testing.T, service types.ServiceConfig) {
		if !isKafka(service) && !service.ReadOnly {
			t.Error("the root file system is writable")
		}
	})
}

func TestPortsAreOnlyOnLoopback(t *testing.T) {
	want := map[string]string{"kafka": "29092", "kafka-2": "29093", "kafka-3": "29094",
		"redis": "6379", "redis-2": "6380",
		"rollcall": "9464", "rollcall-2": "9465", "rollcall-3": "9466",
		"prometheus": "9090", "grafana": "3000"}
	eachService(t, func(t *testing.T, service types.ServiceConfig) {
		for _, port := range service.Ports {
			address := net.ParseIP(port.HostIP)
			if address == nil || !address.IsLoopback() {
				t.Errorf("port %s is published on %q", port.Published, port.HostIP)
			}
			if port.Published != want[service.Name] {
				t.Errorf("port %s is published, not %s", port.Published, want[service.Name])
			}
		}
		if want[service.Name] != "" && len(service.Ports) != 1 {
			t.Errorf("it publishes %d ports, not one", len(service.Ports))
		}
		if service.NetworkMode == "host" {
			t.Error("it uses the host's network")
		}
	})
}

func TestMemoryIsLimited(t *testing.T) {
	eachService(t, func(t *testing.T, service types.ServiceConfig) {
		if service.MemLimit == 0 {
			t.Error("it has no mem_limit")
		}
	})
}

func TestServicesStartAfterTheirDependencies(t *testing.T) {
	healthy, done := types.ServiceConditionHealthy, types.ServiceConditionCompletedSuccessfully
	for overlay, want := range map[string]map[string]map[string]string{
		"": {
			"topics":    {"kafka": healthy},
			"generator": {"topics": done},
			"rollcall":  {"topics": done, "redis": healthy},
		},
		"ha": {
			"topics":     {"kafka": healthy, "kafka-2": healthy, "kafka-3": healthy},
			"generator":  {"topics": done},
			"sentinel-2": {"redis": healthy, "redis-2": healthy},
			"rollcall":   {"topics": done, "sentinel": healthy, "sentinel-2": healthy, "sentinel-3": healthy},
			"rollcall-3": {"topics": done, "sentinel": healthy, "sentinel-2": healthy, "sentinel-3": healthy},
		},
		"monitoring": {
			"prometheus": {"rollcall": healthy},
			"grafana":    {"prometheus": healthy},
		},
		"tls": {
			"kafka":     {"certificates": done},
			"redis":     {"certificates": done},
			"topics":    {"certificates": done, "kafka": healthy},
			"generator": {"certificates": done, "topics": done},
			"rollcall":  {"certificates": done, "topics": done, "redis": healthy},
		},
	} {
		project := load(t, strings.Fields(overlay)...)
		for name, others := range want {
			for other, condition := range others {
				if got := project.Services[name].DependsOn[other].Condition; got != condition {
					t.Errorf("%s: %s needs %s to be %q, not %q", overlay, name, other, got, condition)
				}
			}
		}
	}
}

func TestRedisPersistsAndNeverEvicts(t *testing.T) {
	eachService(t, func(t *testing.T, service types.ServiceConfig) {
		if !strings.HasPrefix(service.Name, "redis") {
			return
		}
		// A list of options, or the lines of a configuration in a script.
		command := strings.ReplaceAll(strings.Join(service.Command, " "), "'", "")
		for _, option := range []string{"appendonly yes", "maxmemory-policy noeviction"} {
			if !strings.Contains(command, option) {
				t.Errorf("%q is not in %q", option, command)
			}
		}
	})
}

func TestDataIsOnVolumesOfItsOwn(t *testing.T) {
	eachStack(t, func(t *testing.T, project *types.Project) {
		owners := make(map[string]string)
		for name, service := range project.Services {
			writable := 0
			for _, volume := range service.Volumes {
				if volume.ReadOnly {
					continue
				}
				if volume.Type != types.VolumeTypeVolume {
					t.Errorf("%s may write to %s of the host", name, volume.Source)
				}
				if other := owners[volume.Source]; other != "" {
					t.Errorf("%s and %s both write to %s", name, other, volume.Source)
				}
				owners[volume.Source] = name
				writable++
			}
			keeps := !oneShot[name] && !noListeners[name] && !strings.HasPrefix(name, "rollcall")
			if keeps && writable != 1 {
				t.Errorf("%s has %d volumes to write to, not one", name, writable)
			}
		}
	})
}

func TestEnvironmentNamesExistInTheConfiguration(t *testing.T) {
	page, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := make(map[string]string)
	for _, text := range strings.Split(string(page), "\n### [")[1:] {
		name, rows, _ := strings.Cut(text, "]")
		sections[name] = rows
	}
	eachService(t, func(t *testing.T, service types.ServiceConfig) {
		for name := range service.Environment {
			rest, isOurs := strings.CutPrefix(name, "ROLLCALL_")
			if !isOurs || strings.HasPrefix(rest, "KAFKA_") {
				continue // [kafka] accepts any librdkafka property
			}
			section, key, _ := strings.Cut(strings.ToLower(rest), "_")
			if !strings.Contains(strings.ReplaceAll(sections[section], ".", "_"), "| `"+key+"` |") {
				t.Errorf("%s: section [%s] has no key %s", name, section, key)
			}
		}
	})
}

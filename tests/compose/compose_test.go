// Package compose checks docker-compose.yml with the loader of the compose specification and
// against this project's own rules. It needs no container engine.
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

const file = "../../docker-compose.yml"

// Services that exit by themselves, and those that listen on no port.
var (
	oneShot     = map[string]bool{"topics": true}
	noListeners = map[string]bool{"generator": true}
)

func load(t *testing.T) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{file}, cli.WithResolvedPaths(true))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func eachService(t *testing.T, check func(t *testing.T, service types.ServiceConfig)) {
	t.Helper()
	for name, service := range load(t).Services {
		t.Run(name, func(t *testing.T) { check(t, service) })
	}
}

func TestTheSpecificationsLoaderAcceptsIt(t *testing.T) {
	project := load(t)
	for _, name := range []string{"kafka", "topics", "redis", "generator", "rollcall"} {
		if _, err := project.GetService(name); err != nil {
			t.Error(err)
		}
	}
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
		if service.Name != "kafka" && !service.ReadOnly {
			t.Error("the root file system is writable")
		}
	})
}

func TestPortsAreOnlyOnLoopback(t *testing.T) {
	want := map[string]string{"kafka": "29092", "redis": "6379", "rollcall": "9464"}
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
	want := map[string]map[string]string{
		"topics":    {"kafka": types.ServiceConditionHealthy},
		"generator": {"topics": types.ServiceConditionCompletedSuccessfully},
		"rollcall": {"topics": types.ServiceConditionCompletedSuccessfully,
			"redis": types.ServiceConditionHealthy},
	}
	eachService(t, func(t *testing.T, service types.ServiceConfig) {
		for other, condition := range want[service.Name] {
			if got := service.DependsOn[other].Condition; got != condition {
				t.Errorf("%s: condition is %q, not %q", other, got, condition)
			}
		}
	})
}

func TestRedisPersistsAndNeverEvicts(t *testing.T) {
	redis, err := load(t).GetService("redis")
	if err != nil {
		t.Fatal(err)
	}
	command := strings.Join(redis.Command, " ")
	for _, option := range []string{"--appendonly yes", "--maxmemory-policy noeviction"} {
		if !strings.Contains(command, option) {
			t.Errorf("%q is not in %q", option, command)
		}
	}
	if len(redis.Volumes) != 1 || redis.Volumes[0].Type != types.VolumeTypeVolume {
		t.Error("its data is not on a volume")
	}
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

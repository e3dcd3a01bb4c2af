package kubernetes

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func TestWhatIsSelectedIsThere(t *testing.T) {
	eachVariant(t, func(t *testing.T, world *world) {
		pod := labels.Set(world.pod().Labels)
		selectors := map[string]*meta.LabelSelector{}
		for _, budget := range world.budgets {
			selectors["budget"] = budget.Spec.Selector
		}
		for _, rule := range world.policies {
			selectors["network policy"] = &rule.Spec.PodSelector
		}
		for _, monitor := range world.monitors {
			selectors["monitor"] = &monitor.Spec.Selector
		}
		for _, service := range world.services {
			selectors["service"] = &meta.LabelSelector{MatchLabels: service.Spec.Selector}
		}
		for _, spread := range world.pod().Spec.TopologySpreadConstraints {
			selectors[spread.TopologyKey] = spread.LabelSelector
		}
		for _, needed := range []string{"budget", "network policy", "service", "kubernetes.io/hostname",
			"topology.kubernetes.io/zone"} {
			if selectors[needed] == nil {
				t.Errorf("there is no %s", needed)
			}
		}
		for name, selector := range selectors {
			parsed, err := meta.LabelSelectorAsSelector(selector)
			if err != nil || parsed.Empty() || !parsed.Matches(pod) {
				t.Errorf("%s selects %v, and the pod has %v", name, selector, pod)
			}
		}
	})
}

func TestVolumesAndProbesPointToSomething(t *testing.T) {
	pages := readFile(t, project+"/src/flow/expose.c")
	eachVariant(t, func(t *testing.T, world *world) {
		container := world.container()
		volumes := map[string]bool{}
		for _, volume := range world.pod().Spec.Volumes {
			volumes[volume.Name] = true
			if config := volume.ConfigMap; config != nil && config.Name != world.configs[0].Name {
				t.Errorf("there is no configuration %s", config.Name)
			}
		}
		for _, mount := range container.VolumeMounts {
			if !volumes[mount.Name] || !mount.ReadOnly {
				t.Errorf("the mount %s is writable, or of no volume", mount.Name)
			}
		}
		for path, probe := range map[string]*core.Probe{"/healthz": container.LivenessProbe,
			"/healthz ": container.StartupProbe, "/readyz": container.ReadinessProbe} {
			path = strings.TrimSpace(path)
			if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Path != path ||
				probe.HTTPGet.Port != intstr.FromString("http") || probe.TimeoutSeconds < 1 {
				t.Errorf("the probe of %s is %v", path, probe)
			}
			if !strings.Contains(pages, `{"`+path+`"`) {
				t.Errorf("rollcall has no page %s", path)
			}
		}
	})
}

func TestThePodFitsTheImage(t *testing.T) {
	dockerfile := readFile(t, project+"/deploy/Dockerfile")
	one := func(pattern string) string {
		found := regexp.MustCompile(`(?m)` + pattern).FindStringSubmatch(dockerfile)
		if found == nil {
			t.Fatalf("no %s in the Dockerfile", pattern)
		}
		return found[1]
	}
	version, user, port := one(`image\.version="(.*)"`), one(`^USER (\d+):\d+$`), one(`^EXPOSE (\d+)$`)
	meson := readFile(t, project+"/meson.build")
	if !strings.Contains(meson, "version: '"+version+"'") {
		t.Errorf("the program's version is not %s", version)
	}
	eachVariant(t, func(t *testing.T, world *world) {
		container := world.container()
		if !strings.HasSuffix(container.Image, "rollcall:"+version) {
			t.Errorf("the image is %s, not version %s", container.Image, version)
		}
		if got := strconv.FormatInt(*world.pod().Spec.SecurityContext.RunAsUser, 10); got != user {
			t.Errorf("the user is %s, that of the image %s", got, user)
		}
		if len(container.Ports) != 1 || strconv.Itoa(int(container.Ports[0].ContainerPort)) != port {
			t.Errorf("the ports are %v, that of the image %s", container.Ports, port)
		}
		if got := setting(world, "http", "listen"); got != "0.0.0.0:"+port {
			t.Errorf("http.listen is %s: nobody outside the pod can ask there", got)
		}
		if len(container.Args) == 0 || container.Args[0] != "run" || container.Command != nil {
			t.Errorf("it runs %v %v", container.Command, container.Args)
		}
	})
}

func TestMemoryAndTimeAreEnough(t *testing.T) {
	unit := readFile(t, project+"/deploy/systemd/rollcall.service")
	stop := regexp.MustCompile(`(?m)^TimeoutStopSec=(\d+)$`).FindStringSubmatch(unit)
	if stop == nil {
		t.Fatal("no TimeoutStopSec in rollcall.service")
	}
	eachVariant(t, func(t *testing.T, world *world) {
		memory, err := strconv.ParseInt(setting(world, "instance", "memory_mb"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		resources := world.container().Resources
		needed := memory*5/4 + 64
		if got := resources.Limits.Memory().Value() >> 20; got < needed || got > needed*5/4 {
			t.Errorf("the limit is %d MiB, and instance.memory_mb=%d needs %d", got, memory, needed)
		}
		if !resources.Limits.Memory().Equal(*resources.Requests.Memory()) {
			t.Error("memory is promised that the node may not have")
		}
		if resources.Requests.Cpu().IsZero() {
			t.Error("no CPU is asked for")
		}
		if got := *world.pod().Spec.TerminationGracePeriodSeconds; strconv.FormatInt(got, 10) != stop[1] {
			t.Errorf("the pod has %d s to end, under systemd it has %s s", got, stop[1])
		}
	})
}

// idProblem says what is wrong with instance.id, if anything.
func idProblem(world *world) string {
	var source *core.EnvVarSource
	for _, variable := range world.container().Env {
		if variable.Name == "ROLLCALL_INSTANCE_ID" {
			source = variable.ValueFrom
			if source == nil {
				return "all pods have the same id"
			}
		}
	}
	if setting(world, "instance", "id") != "" && source == nil {
		return "all pods have the same id"
	}
	isName := source != nil && source.FieldRef != nil && source.FieldRef.FieldPath == "metadata.name"
	if world.stateful != nil && !isName {
		return "the pods of a StatefulSet have names that stay, and they are not the ids"
	}
	if world.deployment != nil && source != nil {
		return "the pods of a Deployment have no names that stay, and yet ids"
	}
	return ""
}

func TestIdsAreThereWhereNamesStay(t *testing.T) {
	eachVariant(t, func(t *testing.T, world *world) {
		if problem := idProblem(world); problem != "" {
			t.Error(problem)
		}
		if world.stateful != nil && world.stateful.Spec.ServiceName != world.services[0].Name {
			t.Error("the pods are in no service")
		}
	})
}

func TestADeploymentWithIdsIsRefused(t *testing.T) {
	files := loadFiles(t)
	path := "/components/deployment/kustomization.yaml"
	text, err := files.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^.*containers/0/env/0}\n`)
	if err := files.WriteFile(path, line.ReplaceAll(text, nil)); err != nil {
		t.Fatal(err)
	}
	resources, err := build(files, []string{"deployment"})
	if err != nil {
		t.Fatal(err)
	}
	if idProblem(decode(t, resources)) == "" {
		t.Error("it passes")
	}
}

package kubernetes

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	pss "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// Secrets that others make: the reader of README.md, and Strimzi.
var secrets = []string{"rollcall", "rollcall-kafka-user", "rollcall-kafka-cluster-ca-cert"}

func TestPodSecurityIsRestricted(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks())
	if err != nil {
		t.Fatal(err)
	}
	restricted := pss.LevelVersion{Level: pss.LevelRestricted, Version: pss.LatestVersion()}
	eachVariant(t, func(t *testing.T, world *world) {
		pod := world.pod()
		for _, result := range evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec) {
			if !result.Allowed {
				t.Errorf("%s: %s", result.ForbiddenReason, result.ForbiddenDetail)
			}
		}
		context := world.container().SecurityContext
		if context.ReadOnlyRootFilesystem == nil || !*context.ReadOnlyRootFilesystem {
			t.Error("the root file system is writable")
		}
		if token := pod.Spec.AutomountServiceAccountToken; token == nil || *token {
			t.Error("the pod gets a token for the API")
		}
		if links := pod.Spec.EnableServiceLinks; links == nil || *links {
			t.Error("services get into the environment, and look like settings there")
		}
	})
}

func TestTheEvaluatorRefusesWhatIsNotRestricted(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks())
	if err != nil {
		t.Fatal(err)
	}
	restricted := pss.LevelVersion{Level: pss.LevelRestricted, Version: pss.LatestVersion()}
	changes := map[string]func(*core.PodSpec){
		"a capability":    func(s *core.PodSpec) { s.Containers[0].SecurityContext.Capabilities = nil },
		"any user":        func(s *core.PodSpec) { s.SecurityContext.RunAsNonRoot = nil },
		"any system call": func(s *core.PodSpec) { s.SecurityContext.SeccompProfile = nil },
	}
	for name, change := range changes {
		resources, err := build(loadFiles(t), nil)
		if err != nil {
			t.Fatal(err)
		}
		pod := decode(t, resources).pod()
		change(&pod.Spec)
		refused := slices.ContainsFunc(evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec),
			func(result policy.CheckResult) bool { return !result.Allowed })
		if !refused {
			t.Errorf("%s passes", name)
		}
	}
}

func TestSecretsAreFilesOfTheirOwn(t *testing.T) {
	password := regexp.MustCompile(`(?i)(password|secret|://[^/\s]*@)`)
	eachVariant(t, func(t *testing.T, world *world) {
		for _, variable := range world.container().Env {
			if variable.ValueFrom != nil && variable.ValueFrom.SecretKeyRef != nil ||
				password.MatchString(variable.Name+"="+variable.Value) {
				t.Errorf("the variable %s holds a secret", variable.Name)
			}
		}
		for _, config := range world.configs {
			for _, line := range strings.Split(config.Data["rollcall.ini"], "\n") {
				isSetting := !strings.HasPrefix(line, "#") && !strings.Contains(line, "_file =")
				if isSetting && password.MatchString(line) {
					t.Errorf("%s holds a secret: %s", config.Name, line)
				}
			}
		}
		for _, volume := range world.pod().Spec.Volumes {
			if secret := volume.Secret; secret != nil {
				if !slices.Contains(secrets, secret.SecretName) {
					t.Errorf("nobody makes the secret %s", secret.SecretName)
				}
				if *secret.DefaultMode&0o007 != 0 {
					t.Errorf("everyone may read %s", secret.SecretName)
				}
			}
		}
	})
}

func TestTheNetworkIsClosedButForWhatIsNeeded(t *testing.T) {
	eachVariant(t, func(t *testing.T, world *world) {
		if len(world.policies) != 1 || len(world.policies[0].Spec.PolicyTypes) != 2 {
			t.Fatal("not exactly one policy for both directions")
		}
		spec := world.policies[0].Spec
		for _, rule := range spec.Ingress {
			if len(rule.From) == 0 || len(rule.Ports) != 1 || rule.Ports[0].Port.String() != "http" {
				t.Errorf("who may come in is %v at %v", rule.From, rule.Ports)
			}
		}
		var open []string
		for _, rule := range spec.Egress {
			for _, port := range rule.Ports {
				open = append(open, port.Port.String())
			}
		}
		brokers := setting(world, "kafka", "bootstrap.servers")
		for _, port := range []string{brokers[strings.LastIndex(brokers, ":")+1:], "53", "6379"} {
			if !slices.Contains(open, port) {
				t.Errorf("port %s is needed, and closed", port)
			}
		}
	})
}

package kubernetes

import (
	"fmt"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/yaml"
)

// world is one rendered variant.
type world struct {
	stateful    *apps.StatefulSet // one of the two
	deployment  *apps.Deployment
	configs     []core.ConfigMap
	services    []core.Service
	budgets     []policy.PodDisruptionBudget
	policies    []networking.NetworkPolicy
	autoscalers []autoscaling.HorizontalPodAutoscaler
	monitors    []monitoring.PodMonitor
	rules       []monitoring.PrometheusRule
	custom      []map[string]any // what has a schema instead of a type, and those that have both
}

// pod is the template of the one workload.
func (w *world) pod() *core.PodTemplateSpec {
	if w.deployment != nil {
		return &w.deployment.Spec.Template
	}
	return &w.stateful.Spec.Template
}

func (w *world) container() *core.Container { return &w.pod().Spec.Containers[0] }

func (w *world) replicas() *int32 {
	if w.deployment != nil {
		return w.deployment.Spec.Replicas
	}
	return w.stateful.Spec.Replicas
}

// ofKind returns the custom resources of one kind.
func (w *world) ofKind(kind string) []map[string]any {
	var found []map[string]any
	for _, document := range w.custom {
		if document["kind"] == kind {
			found = append(found, document)
		}
	}
	return found
}

// strictly decodes one document and appends it: an unknown or repeated field is an error.
func strictly[T any](text []byte, list *[]T) error {
	var value T
	if err := yaml.UnmarshalStrict(text, &value); err != nil {
		return err
	}
	*list = append(*list, value)
	return nil
}

func (w *world) take(document *resource.Resource) error {
	text, err := document.AsYAML()
	if err != nil {
		return err
	}
	var plain map[string]any
	if err := yaml.Unmarshal(text, &plain); err != nil {
		return err
	}
	kind := fmt.Sprintf("%v %v", plain["apiVersion"], plain["kind"])
	switch kind {
	case "apps/v1 StatefulSet":
		w.stateful = &apps.StatefulSet{}
		return yaml.UnmarshalStrict(text, w.stateful)
	case "apps/v1 Deployment":
		w.deployment = &apps.Deployment{}
		return yaml.UnmarshalStrict(text, w.deployment)
	case "v1 ConfigMap":
		return strictly(text, &w.configs)
	case "v1 Service":
		return strictly(text, &w.services)
	case "policy/v1 PodDisruptionBudget":
		return strictly(text, &w.budgets)
	case "networking.k8s.io/v1 NetworkPolicy":
		return strictly(text, &w.policies)
	case "autoscaling/v2 HorizontalPodAutoscaler":
		return strictly(text, &w.autoscalers)
	case "monitoring.coreos.com/v1 PodMonitor":
		w.custom = append(w.custom, plain)
		return strictly(text, &w.monitors)
	case "monitoring.coreos.com/v1 PrometheusRule":
		w.custom = append(w.custom, plain)
		return strictly(text, &w.rules)
	}
	if crdOf(plain) == nil {
		return fmt.Errorf("nothing here knows %s", kind)
	}
	w.custom = append(w.custom, plain)
	return nil
}

func decode(t *testing.T, resources []*resource.Resource) *world {
	t.Helper()
	w := &world{}
	for _, document := range resources {
		if err := w.take(document); err != nil {
			t.Fatalf("%s %s: %v", document.GetKind(), document.GetName(), err)
		}
	}
	if (w.stateful == nil) == (w.deployment == nil) {
		t.Fatal("not exactly one StatefulSet or Deployment")
	}
	if len(w.pod().Spec.Containers) != 1 {
		t.Fatal("not exactly one container")
	}
	return w
}

func TestAnUnknownFieldIsNoticed(t *testing.T) {
	files := loadFiles(t)
	path := "/base/poddisruptionbudget.yaml"
	text, err := files.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := files.WriteFile(path, append(text, "  maxUnavailabel: 2\n"...)); err != nil {
		t.Fatal(err)
	}
	resources, err := build(files, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, document := range resources {
		kind := document.GetKind()
		if err := (&world{}).take(document); (err != nil) != (kind == "PodDisruptionBudget") {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

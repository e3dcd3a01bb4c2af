package kubernetes

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"
)

// crd is where an operator publishes the schema of a kind: a file in a Go module, or one that ./dev
// has made with the operator's own generator.
type crd struct{ module, file, version string }

const (
	kedaModule       = "github.com/kedacore/keda/v2@v2.17.2"
	kedaFolder       = "config/crd/bases/keda.sh_"
	prometheusModule = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
	prometheusFolder = "example/prometheus-operator-crd/monitoring.coreos.com_"
)

var crds = map[string]crd{
	"keda.sh/v1alpha1 ScaledObject": {kedaModule, kedaFolder + "scaledobjects.yaml", "v1alpha1"},
	"keda.sh/v1alpha1 TriggerAuthentication": {kedaModule, kedaFolder + "triggerauthentications.yaml",
		"v1alpha1"},
	"monitoring.coreos.com/v1 PodMonitor": {prometheusModule, prometheusFolder + "podmonitors.yaml",
		"v1"},
	"monitoring.coreos.com/v1 PrometheusRule": {prometheusModule,
		prometheusFolder + "prometheusrules.yaml", "v1"},
	"kafka.strimzi.io/v1 Kafka":         {"", "Kafka.yaml", "v1"},
	"kafka.strimzi.io/v1 KafkaNodePool": {"", "KafkaNodePool.yaml", "v1"},
	"kafka.strimzi.io/v1 KafkaTopic":    {"", "KafkaTopic.yaml", "v1"},
	"kafka.strimzi.io/v1 KafkaUser":     {"", "KafkaUser.yaml", "v1"},
}

func crdOf(document map[string]any) *crd {
	if found, ok := crds[fmt.Sprintf("%v %v", document["apiVersion"], document["kind"])]; ok {
		return &found
	}
	return nil
}

// moduleFolder has a Go module fetched, unless it is there; nothing of it is compiled.
var moduleFolder = func() func(module string) (string, error) {
	var lock sync.Mutex
	folders := map[string]string{}
	return func(module string) (string, error) {
		lock.Lock()
		defer lock.Unlock()
		if folders[module] != "" {
			return folders[module], nil
		}
		output, err := exec.Command("go", "mod", "download", "-json", module).Output()
		var answer struct{ Dir, Error string }
		if err := json.Unmarshal(output, &answer); err == nil && answer.Error != "" {
			return "", fmt.Errorf("%s: %s", module, answer.Error)
		}
		if err != nil || answer.Dir == "" {
			return "", fmt.Errorf("go mod download %s: %v", module, err)
		}
		folders[module] = answer.Dir
		return answer.Dir, nil
	}
}()

// text returns the CustomResourceDefinition.
func (c crd) text() ([]byte, error) {
	folder := os.Getenv("RC_STRIMZI_CRDS")
	if c.module != "" {
		var err error
		if folder, err = moduleFolder(c.module); err != nil {
			return nil, err
		}
	}
	return os.ReadFile(filepath.Join(folder, c.file))
}

// seal forbids members that the schema does not name, as the API server's strict validation does.
func seal(schema map[string]any) {
	if schema["x-kubernetes-int-or-string"] == true {
		schema["type"] = []any{"integer", "string"}
	}
	properties, _ := schema["properties"].(map[string]any)
	for _, property := range properties {
		seal(property.(map[string]any))
	}
	if items, ok := schema["items"].(map[string]any); ok {
		seal(items)
	}
	if values, ok := schema["additionalProperties"].(map[string]any); ok {
		seal(values)
	} else if properties != nil && schema["x-kubernetes-preserve-unknown-fields"] != true {
		schema["additionalProperties"] = false
	}
}

// schema compiles the schema of one version.
func (c crd) schema() (*jsonschema.Schema, error) {
	text, err := c.text()
	if err != nil {
		return nil, err
	}
	var definition struct {
		Spec struct {
			Versions []struct {
				Name   string
				Schema struct{ OpenAPIV3Schema map[string]any }
			}
		}
	}
	if err := yaml.Unmarshal(text, &definition); err != nil {
		return nil, err
	}
	for _, version := range definition.Spec.Versions {
		if version.Name != c.version {
			continue
		}
		root := version.Schema.OpenAPIV3Schema
		seal(root)
		compiler := jsonschema.NewCompiler()
		if err := compiler.AddResource("file:///crd.json", root); err != nil {
			return nil, err
		}
		return compiler.Compile("file:///crd.json")
	}
	return nil, fmt.Errorf("%s has no version %s", c.file, c.version)
}

func TestCustomResourcesFitTheSchemasOfTheirOperators(t *testing.T) {
	compiled := map[crd]*jsonschema.Schema{}
	eachVariant(t, func(t *testing.T, world *world) {
		for _, document := range world.custom {
			kind := crdOf(document)
			if compiled[*kind] == nil {
				schema, err := kind.schema()
				if err != nil {
					t.Fatal(err)
				}
				compiled[*kind] = schema
			}
			if err := compiled[*kind].Validate(document); err != nil {
				t.Errorf("%v: %v", document["kind"], err)
			}
		}
	})
}

func TestASchemaRefusesWhatItsOperatorWouldRefuse(t *testing.T) {
	schema, err := crds["keda.sh/v1alpha1 ScaledObject"].schema()
	if err != nil {
		t.Fatal(err)
	}
	right := readFile(t, manifests+"/components/keda/scaledobject.yaml")
	for _, change := range [][2]string{
		{"maxReplicaCount: 12", "maxReplicaCount: many"},
		{"maxReplicaCount: 12", "maxReplicas: 12"},
		{"behavior: currentReplicasIfHigher", "behavior: theseIfHigher"},
		{"    failureThreshold: 3\n", ""},
	} {
		wrong := strings.Replace(right, change[0], change[1], 1)
		if wrong == right {
			t.Fatalf("%q is not there", change[0])
		}
		var document map[string]any
		if err := yaml.Unmarshal([]byte(wrong), &document); err != nil {
			t.Fatal(err)
		}
		if schema.Validate(document) == nil {
			t.Errorf("%q passes", change[1])
		}
	}
}

func TestKedaKnowsTheMetadataOfTheTriggers(t *testing.T) {
	folder, err := moduleFolder(kedaModule)
	if err != nil {
		t.Fatal(err)
	}
	eachVariant(t, func(t *testing.T, world *world) {
		for _, scaled := range world.ofKind("ScaledObject") {
			for _, trigger := range triggersOf(scaled) {
				source := readFile(t, fmt.Sprintf("%s/pkg/scalers/%s_scaler.go", folder, trigger.kind))
				for name := range trigger.metadata {
					isKnown := strings.Contains(source, `"`+name+`"`) ||
						strings.Contains(source, "name="+name+",")
					if !isKnown {
						t.Errorf("the trigger %s has no %s", trigger.kind, name)
					}
				}
			}
		}
	})
}

package kubernetes

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/yaml"
)

// oldest is the version of Kubernetes from which on deploy/kubernetes/README.md promises to work.
const oldest = "v1.31.0"

// versionSchemas finds the schemas of one version's kinds, which are strict about unknown members.
type versionSchemas struct {
	folder   string
	compiled map[string]*jsonschema.Schema
}

func (v *versionSchemas) add(compiler *jsonschema.Compiler, name string) (string, error) {
	text, err := os.ReadFile(filepath.Join(v.folder, name))
	if err != nil {
		return "", err
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return "", err
	}
	address := "https://kubernetes.io/api/" + name
	return address, compiler.AddResource(address, document)
}

// of returns the schema of a document's kind, whose file is called statefulset-apps-v1.json.
func (v *versionSchemas) of(document *resource.Resource) (*jsonschema.Schema, error) {
	gvk := document.GetGvk()
	parts := []string{strings.ToLower(gvk.Kind), strings.Split(gvk.Group, ".")[0], gvk.Version}
	parts = slices.DeleteFunc(parts, func(part string) bool { return part == "" })
	name := strings.Join(parts, "-") + ".json"
	if v.compiled[name] != nil {
		return v.compiled[name], nil
	}
	compiler := jsonschema.NewCompiler()
	if _, err := v.add(compiler, "_definitions.json"); err != nil {
		return nil, err
	}
	address, err := v.add(compiler, name)
	if err != nil {
		return nil, err
	}
	v.compiled[name], err = compiler.Compile(address)
	return v.compiled[name], err
}

// validate checks all of a variant that is Kubernetes' own.
func (v *versionSchemas) validate(resources []*resource.Resource) error {
	for _, document := range resources {
		text, err := document.AsYAML()
		if err != nil {
			return err
		}
		var plain map[string]any
		if err := yaml.Unmarshal(text, &plain); err != nil {
			return err
		}
		if crdOf(plain) != nil {
			continue
		}
		schema, err := v.of(document)
		if err != nil {
			return err
		}
		if err := schema.Validate(plain); err != nil {
			return fmt.Errorf("%s: %w", document.GetKind(), err)
		}
	}
	return nil
}

func TestSupportedVersionsOfKubernetesKnowIt(t *testing.T) {
	if !strings.Contains(readFile(t, manifests+"/README.md"), "Kubernetes "+oldest[1:5]+" or later") {
		t.Error("README.md promises something else")
	}
	folders, err := filepath.Glob(os.Getenv("RC_KUBERNETES_SCHEMAS") + "/v*-local-strict")
	if err != nil || len(folders) == 0 {
		t.Fatal("no schemas in RC_KUBERNETES_SCHEMAS: run ./dev kubernetes")
	}
	checked := 0
	files := loadFiles(t)
	for _, folder := range folders {
		version, _, _ := strings.Cut(filepath.Base(folder), "-")
		if version < oldest {
			continue
		}
		checked++
		t.Run(version, func(t *testing.T) {
			schemas := &versionSchemas{folder, map[string]*jsonschema.Schema{}}
			for _, components := range variants {
				resources, err := build(files, components)
				if err != nil {
					t.Fatal(err)
				}
				if err := schemas.validate(resources); err != nil {
					t.Errorf("%v: %v", components, err)
				}
			}
		})
	}
	if checked < 4 {
		t.Errorf("only %d versions were checked", checked)
	}
}

func TestAnOldVersionDoesNotKnowIt(t *testing.T) {
	folder := os.Getenv("RC_KUBERNETES_SCHEMAS") + "/v1.25.0-local-strict"
	resources, err := build(loadFiles(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	schemas := &versionSchemas{folder, map[string]*jsonschema.Schema{}}
	err = schemas.validate(resources)
	if err == nil || !strings.Contains(err.Error(), "unhealthyPodEvictionPolicy") {
		t.Errorf("the error is %v", err)
	}
}

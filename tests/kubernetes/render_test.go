// Package kubernetes checks deploy/kubernetes without a cluster: what kustomize makes of it is
// decoded by Kubernetes' own types, validated by published schemas, and held against the rest of the
// project.
package kubernetes

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

const (
	project   = "../.."
	manifests = project + "/deploy/kubernetes"
	example   = "the example"
)

// What people combine. Each entry is a list of components, in this order.
var variants = [][]string{
	{},
	{"deployment"},
	{"monitoring"},
	{"keda"},
	{"hpa"},
	{"strimzi"},
	{"deployment", "keda"},
	{"deployment", "hpa"},
	{"deployment", "strimzi", "monitoring", "keda", "keda-strimzi"},
	{"strimzi", "monitoring", "keda", "keda-strimzi"},
	{example},
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// loadFiles copies deploy/kubernetes into memory, where a test may change it.
func loadFiles(t *testing.T) filesys.FileSystem {
	t.Helper()
	files := filesys.MakeFsInMemory()
	err := filepath.WalkDir(manifests, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(manifests, path)
		if err != nil {
			return err
		}
		return files.WriteFile("/"+name, []byte(readFile(t, path)))
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// build runs kustomize for the base with some components.
func build(files filesys.FileSystem, components []string) ([]*resource.Resource, error) {
	folder := "/example"
	if len(components) == 0 || components[0] != example {
		folder = "/variant"
		lines := []string{"resources: [../base]", "components:"}
		for _, component := range components {
			lines = append(lines, "  - ../components/"+component)
		}
		text := strings.Join(lines, "\n") + "\n"
		if err := files.WriteFile(folder+"/kustomization.yaml", []byte(text)); err != nil {
			return nil, err
		}
	}
	rendered, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(files, folder)
	if err != nil {
		return nil, err
	}
	return rendered.Resources(), nil
}

// eachVariant runs a check as a subtest for everything that people combine.
func eachVariant(t *testing.T, check func(t *testing.T, world *world)) {
	t.Helper()
	files := loadFiles(t)
	for _, components := range variants {
		name := strings.Join(append([]string{"base"}, components...), "+")
		t.Run(name, func(t *testing.T) {
			resources, err := build(files, components)
			if err != nil {
				t.Fatal(err)
			}
			check(t, decode(t, resources))
		})
	}
}

func TestEveryComponentIsInAVariant(t *testing.T) {
	entries, err := os.ReadDir(manifests + "/components")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		found := false
		for _, components := range variants {
			found = found || slices.Contains(components, entry.Name())
		}
		if !found {
			t.Errorf("no variant has the component %s", entry.Name())
		}
	}
}

package kubernetes

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// setting is one of rollcall.ini, or of the environment, which wins.
func setting(world *world, section, key string) string {
	variable := "ROLLCALL_" + strings.ToUpper(section+"_"+strings.ReplaceAll(key, ".", "_"))
	for _, given := range world.container().Env {
		if given.Name == variable {
			return given.Value
		}
	}
	in := ""
	for _, line := range strings.Split(world.configs[0].Data["rollcall.ini"], "\n") {
		if name, isSection := strings.CutPrefix(line, "["); isSection {
			in = strings.TrimSuffix(name, "]")
		}
		name, value, isSetting := strings.Cut(line, " = ")
		if isSetting && in == section && name == key {
			return value
		}
	}
	return ""
}

// accept has the program read the configuration of the pod: it exits with status 0 if all is right.
func accept(t *testing.T, world *world) (string, error) {
	t.Helper()
	folder := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("redis-url", "redis://rollcall:secret@redis:6379/0\n")
	text := world.configs[0].Data["rollcall.ini"]
	write("rollcall.ini", strings.ReplaceAll(text, "/etc/rollcall/secrets", folder))
	command := exec.Command(os.Getenv("RC_BINARY"), "ready", "-X", "http.listen=", "-c",
		filepath.Join(folder, "rollcall.ini"))
	for _, variable := range world.container().Env {
		value := variable.Value
		if variable.ValueFrom != nil {
			value = "rollcall-0"
		}
		if strings.HasSuffix(variable.Name, "_LOCATION") {
			continue // librdkafka opens these at once, and they are Strimzi's
		}
		command.Env = append(command.Env, variable.Name+"="+value)
	}
	output, err := command.CombinedOutput()
	return string(output), err
}

func TestTheProgramAcceptsTheConfiguration(t *testing.T) {
	eachVariant(t, func(t *testing.T, world *world) {
		if output, err := accept(t, world); err != nil {
			t.Errorf("%v: %s", err, output)
		}
		world.configs[0].Data["rollcall.ini"] += "\n[instance]\nmemroy_mb = 1\n"
		if output, err := accept(t, world); err == nil || !strings.Contains(output, "memory_mb") {
			t.Errorf("it accepts a setting that does not exist: %s", output)
		}
	})
}

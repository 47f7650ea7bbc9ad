package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A file of settings gives flags their values, where neither the command line nor the environment does.
func TestConfig(t *testing.T) {
	s := newSite(t)
	file := s.path("runhook.yaml")
	s.write("other.yaml", "slots: 9\n")
	s.write("runhook.yaml", "# all on one machine\nslots: 7\ngrace: 9s\nlease: 1m\ntrusted-proxies: [10.0.0.0/8, 127.0.0.2]\nhold: true\nlimit: 5 # of another command\n")
	t.Setenv("RUNHOOK_GRACE", "8s")
	i := begin(t, s.args("--config", file, "--lease", "50s")...).listening()
	for _, want := range []string{`"slots=7"`, `"grace=8s"`, `"lease=50s"`, `"trusted-proxies=10.0.0.0/8,127.0.0.2"`, `"hold=true"`} {
		if first, _, _ := strings.Cut(i.log.String(), "\n"); !strings.Contains(first, want) {
			t.Errorf("%s is none of the settings in %s", want, first)
		}
	}
	i.saysHeld()

	t.Setenv("RUNHOOK_CONFIG", file)
	i.end()
	j := begin(t, s.args("--config="+s.path("other.yaml"))...).listening()
	if first, _, _ := strings.Cut(j.log.String(), "\n"); !strings.Contains(first, `"slots=9"`) {
		t.Errorf("the file of the command line goes before that of the environment, but %s", first)
	}
	j.end()
	if out := mustCall(t, "version"); !strings.HasPrefix(out, "runhook ") {
		t.Errorf("a command that has none of the settings: %s", out)
	}
}

// What is wrong in a file of settings is said with its line, and nothing starts.
func TestWrongConfig(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, of := range map[string]struct{ text, want string }{
		"misspelled":     {"slots: 3\ngrase: 5s\nxyzzy: 1\n", "runhook.yaml:2: grase is no setting of any command; did you mean grace?"},
		"no number":      {"\nslots: many\n", `--slots: runhook.yaml:2: "many" is not a whole number`},
		"none of few":    {"durability: never\n", `--durability: runhook.yaml:1: it must be one of always, interval, not "never"`},
		"neither":        {"hold: perhaps\n", `--hold: runhook.yaml:1: `},
		"a section":      {"slots:\n  most: 3\n", "runhook.yaml:2: slots must be one value"},
		"nothing":        {"slots:\n", "runhook.yaml:1: slots must be one value"},
		"a list of some": {"hosts: [a, [b]]\n", "runhook.yaml:1: hosts must be one value, or a list of values"},
		"twice":          {"slots: 1\nslots: 2\n", "runhook.yaml:2: slots stands in line 1 too"},
		"a list":         {"- slots\n", "runhook.yaml:1: the file must have lines such as slots: 32"},
		"itself":         {"config: other.yaml\n", "runhook.yaml:1: config is no setting of any command"},
		"no YAML":        {"slots: [1\n", "runhook.yaml: "},
		"much":           {"slots: 1\n" + strings.Repeat("#", mostConfig), "has more than 65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			own := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
			if err := os.Mkdir(own, 0o755); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(own, "runhook.yaml")
			if err := os.WriteFile(file, []byte(of.text), 0o644); err != nil {
				t.Fatal(err)
			}
			data := filepath.Join(own, "data")
			code, out, messages := call(t, "serve", "--config", file, "--data", data)
			if said := strings.ReplaceAll(messages, own+string(filepath.Separator), ""); code != exitNoStart || out != "" || !strings.Contains(said, of.want) {
				t.Errorf("exit code %d, %s%s", code, out, messages)
			}
			if _, err := os.Stat(data); err == nil {
				t.Error("it has started")
			}
		})
	}
	if code, _, messages := call(t, "version", "--config", filepath.Join(dir, "none")); code != exitNoStart || !strings.Contains(messages, "cannot read the settings: open "+dir) {
		t.Errorf("no file: exit code %d: %s", code, messages)
	}
}

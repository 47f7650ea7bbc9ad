package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestVersion(t *testing.T) {
	t.Parallel()
	line := mustCall(t, "version")
	if !regexp.MustCompile(`^runhook \S+ (\S+ )?go1\.\S+ \w+/\w+\n$`).MatchString(line) {
		t.Errorf("version: %s", line)
	}
	if short := mustCall(t, "--version"); short != line {
		t.Errorf("--version: %q, and version: %q", short, line)
	}
	var built origin
	if err := json.Unmarshal([]byte(mustCall(t, "version", "--json")), &built); err != nil || built != builtFrom() || built.String()+"\n" != line {
		t.Errorf("version --json: %+v %v", built, err)
	}
	dirty := origin{Version: "v1.2.3", Commit: "0c1f+dirty", Go: "go1.26", Platform: "linux/arm64"}
	if got := dirty.String(); got != "runhook v1.2.3 0c1f+dirty go1.26 linux/arm64" {
		t.Error(got)
	}
}

// A program says what it is, and how it was set up, where somebody looks: in the first line of its log, in /readyz and
// in its metrics.
func TestProgramTellsWhatItIs(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	i := begin(t, s.args("--grace", "7s", "--slots", "16")...).listening()
	first, _, _ := strings.Cut(i.log.String(), "\n")
	var line struct {
		Version, Go, Message string
		Settings             []string
	}
	if err := json.Unmarshal([]byte(first), &line); err != nil || line.Message != "starting" || line.Version != builtFrom().Version || line.Go != builtFrom().Go {
		t.Errorf("the log begins with %s", first)
	}
	if !slices.Contains(line.Settings, "grace=7s") || slices.ContainsFunc(line.Settings, func(text string) bool { return strings.HasPrefix(text, "slots") }) {
		t.Errorf("the settings that differ from the defaults are %q", line.Settings)
	}
	for path, want := range map[string]string{"/readyz": builtFrom().String() + "\n", "/metrics": `runhook_build_info{commit="` + builtFrom().Commit + `",go="` + builtFrom().Go + `",version="` + builtFrom().Version + `"} 1`} {
		answer, err := http.Get(i.url + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if !strings.Contains(string(body), want) {
			t.Errorf("%s lacks %s", path, want)
		}
	}
}

// A setting that is misspelled in the environment is refused, by every command: nobody would see that it does nothing.
func TestUnknownVariables(t *testing.T) {
	for name, want := range map[string]string{
		"RUNHOOK_SLOTZ":                     "the environment variable RUNHOOK_SLOTZ is no setting of any command; did you mean RUNHOOK_SLOTS?; see `runhook serve --help`",
		"RUNHOOK_X":                         "the environment variable RUNHOOK_X is no setting of any command; see `runhook serve --help`",
		"RUNHOOK_SLOTS":                     "",
		"RUNHOOK_TOKEN":                     "",
		"RUNHOOK_PORT":                      "", // as the next ones from Kubernetes
		"RUNHOOK_PORT_8080_TCP":             "",
		"RUNHOOK_SERVICE_PORT_HTTP":         "",
		"RUNHOOK_STATUS_SERVICE_HOST":       "",
		"RUNHOOK_STATUS_PORT_80_TCP_ADDR":   "",
		"RUNHOOK_STATUS_PORT_80_TCP_ADDRES": "is no setting of any command",
		"RUNHOOKS":                          "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, "tcp://10.0.0.1:80")
			if name == "RUNHOOK_SLOTS" {
				t.Setenv(name, "3")
			}
			code, out, messages := call(t, "version")
			switch {
			case want == "" && (code != exitSuccess || messages != ""):
				t.Errorf("exit code %d: %s", code, messages)
			case want != "" && (code != exitNoStart || out != "" || !strings.Contains(messages, want)):
				t.Errorf("exit code %d, %s%s", code, out, messages)
			}
			_ = os.Unsetenv(name)
		})
	}
}

func TestPasswordsAreNoSettings(t *testing.T) {
	t.Parallel()
	for list, want := range map[string]string{
		"127.0.0.1:8080":                     "127.0.0.1:8080",
		"nats://a:4222,nats://b:4222":        "nats://a:4222,nats://b:4222",
		"nats://me:secret@a:4222":            "nats://…@a:4222",
		"nats://token@a:4222,tls://u:p@b:1":  "nats://…@a:4222,tls://…@b:1",
		"me:secret@a:4222":                   "…@a:4222",
		"nats://me:sec%ret@a:4222":           "…@a:4222",
		"https://hooks.example.org/x?y=1#z@": "…@",
	} {
		if got := withoutPasswords(list); got != want {
			t.Errorf("%s is shown as %s, and not %s", list, got, want)
		}
	}
}

package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"runhook/shared/client"
	"runhook/shared/task"
)

func TestHelp(t *testing.T) {
	for _, args := range [][]string{
		nil,
		{"--help"},
		{"serve", "--help"},
		{"ingress", "--help"},
		{"runner", "--help"},
		{"status", "--help"},
		{"init", "--help"},
		{"task", "--help"},
		{"task", "apply", "--help"},
		{"run", "--help"},
		{"runs", "list", "--help"},
		{"runs", "show", "--help"},
	} {
		out := mustCall(t, args...)
		if !strings.HasPrefix(out, "Usage: runhook") {
			t.Errorf("%v: %s", args, out)
		}
		// Every flag but --help names its variable.
		for line := range strings.Lines(out) {
			if trimmed := strings.TrimSpace(line); strings.HasPrefix(trimmed, "--") {
				name, _, _ := strings.Cut(strings.Fields(trimmed[2:])[0], "=")
				variable := "RUNHOOK_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
				if !strings.Contains(out, "($"+variable+")") {
					t.Errorf("%v: --%s does not name %s", args, name, variable)
				}
			}
		}
	}
	if version := mustCall(t, "version"); !strings.HasPrefix(version, "runhook ") || !strings.Contains(version, "go1.") {
		t.Errorf("version: %s", version)
	}
}

func TestFlagsFromTheEnvironment(t *testing.T) {
	s := newSite(t)
	t.Setenv("RUNHOOK_DATA", s.path("elsewhere"))
	t.Setenv("RUNHOOK_LISTEN", "127.0.0.1:0")
	t.Setenv("RUNHOOK_NATS_LISTEN", "")
	i := begin(t, "serve").listening()
	if _, err := os.Stat(s.path("elsewhere/run.key")); err != nil {
		t.Error(err)
	}
	if i.nats != "" || !strings.Contains(i.out.String(), "NATS for this process only") {
		t.Errorf("NATS listens on %q", i.nats)
	}
	t.Setenv("RUNHOOK_SERVER", i.url)
	mustCall(t, "task", "list")
	i.end()
}

func TestTaskNewIsValid(t *testing.T) {
	s := newSite(t)
	s.write("new.yaml", mustCall(t, "task", "new", "--name", `Ann's "own": #1`))
	if said := mustCall(t, "task", "validate", s.path("new.yaml")); !strings.Contains(said, `Ann's "own": #1 (`) {
		t.Errorf("validate: %s", said)
	}
	for _, name := range []string{"two\nlines", strings.Repeat("x", 201)} {
		if code, out, messages := call(t, "task", "new", "--name="+name); code != exitNoStart || out != "" || !strings.Contains(messages, "--name") {
			t.Errorf("a task called %q: exit code %d, %s%s", name, code, out, messages)
		}
	}
}

func TestTaskValidate(t *testing.T) {
	s := newSite(t)
	s.write("append.yaml", "id: 11111111-2222-4333-8444-555555555555\nname: Log\nsource: {csv: {connection: here, path: people.csv}}\n"+
		"mapping: {id: id}\ndestination: {csv: {connection: here, path: log.csv, action: append}}\n")
	s.write("broken.yaml", "id: 1\nnmae: Broken\n")
	s.write("twin.yaml", read(t, s.path("tasks/copy.yaml")))
	for name, c := range map[string]struct {
		paths []string
		code  int
		// out and says are parts of the output and of the messages.
		out, says string
	}{
		"a file":                  {[]string{"tasks/copy.yaml"}, exitSuccess, "Copy people (" + string(s.copy) + ") is valid", ""},
		"a folder":                {[]string{"tasks"}, exitSuccess, "is valid", ""},
		"what cannot start over":  {[]string{"append.yaml"}, exitSuccess, "note: a run that is interrupted continues behind the last batch that was confirmed, as long as the file is the same; otherwise it ends Failed", ""},
		"a broken one":            {[]string{"broken.yaml", "tasks/copy.yaml"}, exitFailed, "Copy people", "broken.yaml:2: "},
		"two of one id":           {[]string{"tasks/copy.yaml", "twin.yaml"}, exitFailed, "Copy people", "have the same id"},
		"the same twice":          {[]string{"tasks/copy.yaml", "tasks/copy.yaml"}, exitSuccess, "Copy people", ""},
		"none":                    {[]string{"none.yaml"}, exitFailed, "", "none.yaml"},
		"no task file":            {[]string{"people.csv"}, exitFailed, "", "people.csv:"},
		"a folder without a task": {[]string{"."}, exitFailed, "", "broken.yaml:2: "},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{"task", "validate"}
			for _, path := range c.paths {
				args = append(args, s.path(path))
			}
			code, out, messages := call(t, args...)
			if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(messages, c.says) || c.says == "" && messages != "" {
				t.Errorf("exit code %d, output %q, messages %q", code, out, messages)
			}
		})
	}
}

func TestTaskApply(t *testing.T) {
	s := newSite(t)
	i := begin(t, "serve", "--listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0", "--data", s.path("data")).listening()
	apply := func(paths ...string) (int, string, string) {
		args := []string{"task", "apply", "--server", i.url}
		for _, path := range paths {
			args = append(args, s.path(path))
		}
		return call(t, args...)
	}
	s.write("broken.yaml", "id: 1\nnmae: Broken\n")
	if code, out, messages := apply("tasks/copy.yaml", "broken.yaml"); code != exitFailed || out != "" || !strings.Contains(messages, "broken.yaml:2: ") {
		t.Errorf("exit code %d: %s%s", code, out, messages)
	}
	if said := mustCall(t, "task", "list", "--server", i.url); !strings.Contains(said, "There are no tasks") {
		t.Errorf("one broken file, and another was applied: %s", said)
	}
	for _, want := range []string{"applied: Copy people", "unchanged: Copy people"} {
		if code, out, messages := apply("tasks"); code != exitSuccess || !strings.HasPrefix(out, want) {
			t.Errorf("exit code %d: %s%s", code, out, messages)
		}
	}
	if code, _, messages := apply("data"); code != exitNoStart || !oneLine(messages, "there is no task file") {
		t.Errorf("an empty folder: exit code %d: %s", code, messages)
	}

	if said := mustCall(t, "task", "list", "--server", i.url); !strings.Contains(said, "Copy people  yes      City        "+string(s.copy)) {
		t.Errorf("list: %s", said)
	}
	shown := mustCall(t, "task", "show", "copy", "--server", i.url)
	for _, part := range []string{
		"POST " + i.url + "/task/execute/" + string(s.copy), "POST " + i.url + "/task/executepolling/" + string(s.copy),
		`{"QueryParameters":{"City":""}}`, read(t, s.path("tasks/copy.yaml")),
	} {
		if !strings.Contains(shown, part) {
			t.Errorf("show lacks %q:\n%s", part, shown)
		}
	}
	var found client.Task
	if err := json.Unmarshal([]byte(mustCall(t, "task", "show", string(s.copy), "--json", "--server", i.url)), &found); err != nil || found.ID != s.copy {
		t.Errorf("show --json: %v %+v", err, found)
	}
	if code, _, messages := call(t, "task", "show", string(task.NewID()), "--server", i.url); code != exitFailed || !oneLine(messages, "No task has this id") {
		t.Errorf("an unknown task: exit code %d, %s", code, messages)
	}
}

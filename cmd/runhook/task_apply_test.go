package main

import (
	"encoding/json"
	"strings"
	"testing"

	"runhook/shared/client"
	"runhook/shared/task"
)

func TestTaskApply(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	i := begin(t, "serve", "--listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0", "--data", s.path("data")).listening()
	apply := func(paths ...string) (int, string, string) {
		args := []string{"task", "apply", "--server", i.url}
		for _, path := range paths {
			args = append(args, s.path(path))
		}
		return ask(t, args...)
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
	if code, _, messages := ask(t, "task", "show", string(task.NewID()), "--server", i.url); code != exitFailed || !oneLine(messages, "No task has this id") {
		t.Errorf("an unknown task: exit code %d, %s", code, messages)
	}
}

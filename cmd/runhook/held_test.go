package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"runhook/shared/run"
)

// A task whose runs fail is held: its POSTs, its list, its metric and the log say so, also after another start, until
// it is enabled.
func TestFailingTaskIsHeld(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.write("tasks/copy.yaml", fmt.Sprintf(siteTask, s.copy)+"disable_after_failures: 2\nretry: {attempts: 1}\n")
	task := func(i *instance, args ...string) string {
		t.Helper()
		return mustCall(t, append(append([]string{"task"}, args...), "--server", i.url)...)
	}
	i := begin(t, s.args()...).listening()
	if doc := i.awaitEnd(i.start(s.copy, nil)); doc.Outcome() != run.Success {
		t.Fatalf("%+v", doc)
	}
	if listed := task(i, "list"); !strings.Contains(listed, "Copy people  yes ") {
		t.Errorf("before: %s", listed)
	}
	s.write("people.csv", "number,name,city\n1,Ann,Oslo\n")
	var last run.Document
	for range 2 {
		if last = i.awaitEnd(i.start(s.copy, nil)); last.Outcome() != run.Failed {
			t.Fatalf("%+v", last)
		}
	}
	eventually(t, i, "the task is held", func() bool { return strings.Contains(task(i, "list"), "Copy people  held ") })
	eventually(t, i, "its POSTs get 409", func() bool { return i.post(s.copy) == http.StatusConflict })
	i.log.Await(t, `"task":"Copy people","failures":2,"run":"3".*the task is held`, i.ended)
	shows := func(i *instance) {
		t.Helper()
		code, out, messages := call(t, "task", "show", "copy", "--server", i.url)
		if want := `"Copy people" is held: 2 runs failed in a row, the last was run 3: ` + last.Message; code != exitSuccess || !strings.Contains(out, "Copy people (enabled: held,") || !strings.Contains(messages, want) {
			t.Errorf("task show: %d\n%s%s", code, out, messages)
		}
		if metrics := body(t, i.url+"/metrics"); !strings.Contains(metrics, `runhook_task_held{task="Copy people"} 1`) {
			t.Error("the metric does not say that the task is held")
		}
		if code, _, messages := ask(t, "run", "copy", "--server", i.url); code != exitNoStart || !strings.Contains(messages, "The task is held since ") || !strings.Contains(messages, "run 3: ") {
			t.Errorf("runhook run: %d %s", code, messages)
		}
		if code, _, messages := ask(t, "runs", "again", "1", "--server", i.url); code != exitNoStart || !strings.Contains(messages, "The task is held since ") {
			t.Errorf("runhook runs again: %d %s", code, messages)
		}
	}
	shows(i)
	if said := mustCall(t, "audit", "--what", "task-held", "--server", i.url); !strings.Contains(said, "  failures  task-held        Copy people, run 3, 2 runs failed in a row\n") {
		t.Errorf("the audit:\n%s", said)
	}
	i.end()
	i = begin(t, s.args()...).listening()
	if code := i.post(s.copy); code != http.StatusConflict {
		t.Errorf("the first POST after another start: %d", code)
	}
	shows(i)
	s.write("people.csv", sitePeople)
	if said := task(i, "enable", "copy"); said != "Copy people is enabled.\n" {
		t.Error(said)
	}
	eventually(t, i, "its POSTs are accepted", func() bool { return i.post(s.copy) == http.StatusOK })
	if listed := task(i, "list"); !strings.Contains(listed, "Copy people  yes ") {
		t.Errorf("afterwards: %s", listed)
	}
	if said := task(i, "enable", "copy"); said != "Copy people is enabled already.\n" {
		t.Error(said)
	}
	if metrics := body(t, i.url+"/metrics"); !strings.Contains(metrics, `runhook_task_held{task="Copy people"} 0`) {
		t.Error("the metric says that the task is held")
	}
	i.end()
}

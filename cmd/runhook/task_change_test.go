package main

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"runhook/shared/client"
	"runhook/shared/run"
	"runhook/shared/task"
)

// post POSTs to a task's webhook and returns the status.
func (i *instance) post(id task.ID) int {
	i.t.Helper()
	response, err := http.Post(i.url+"/task/execute/"+string(id), "application/json", strings.NewReader(""))
	if err != nil {
		i.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	return response.StatusCode
}

// TestTaskChanges walks a task through all that can be done to it where the server follows a folder.
func TestTaskChanges(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	before := read(t, s.path("tasks/copy.yaml"))
	i := begin(t, s.args()...).listening()
	task := func(args ...string) string {
		return mustCall(t, append(append([]string{"task"}, args...), "--server", i.url)...)
	}
	ended := i.start(s.copy, nil)
	if doc := i.awaitEnd(ended); doc.Outcome() != run.Success {
		t.Fatalf("%+v", doc)
	}

	if said := task("disable", "copy"); said != "Copy people is disabled.\n" {
		t.Error(said)
	}
	if got, want := read(t, s.path("tasks/copy.yaml")), strings.Replace(before, "name: Copy people\n", "name: Copy people\nenabled: false\n", 1); got != want {
		t.Errorf("the file is\n%s", got)
	}
	if code := i.post(s.copy); code != http.StatusConflict {
		t.Errorf("a disabled task: %d", code)
	}
	if said := task("disable", "copy"); said != "Copy people is disabled already.\n" {
		t.Error(said)
	}
	task("enable", "copy")

	said := task("rotate", "copy", "--until", "12h")
	tasks, err := i.client.Tasks(t.Context())
	if err != nil || len(tasks) != 1 || tasks[0].ID != s.copy || tasks[0].WebhookID == s.copy || !strings.Contains(said, "new GUID "+string(tasks[0].WebhookID)) {
		t.Fatalf("%v %+v\n%s", err, tasks, said)
	}
	rotated := tasks[0]
	if left := time.Until(rotated.FormerIDs[0].Until); rotated.FormerIDs[0].ID != s.copy || left < 11*time.Hour || left > 12*time.Hour {
		t.Errorf("former ids %+v", rotated.FormerIDs)
	}
	if text := read(t, s.path("tasks/copy.yaml")); !strings.Contains(text, "id: "+string(s.copy)+"\nwebhook:\n  id: "+string(rotated.WebhookID)+"\n  former:\n    - {id: "+string(s.copy)+", until: ") {
		t.Errorf("the file is\n%s", text)
	}
	// The former GUID starts runs too, shows nothing of the new one, and the address of the earlier run answers.
	for _, webhook := range []client.FormerID{{ID: s.copy}, {ID: rotated.WebhookID}} {
		if doc := i.awaitEnd(i.start(webhook.ID, nil)); doc.ExecuteID != webhook.ID || doc.Outcome() != run.Success {
			t.Errorf("%+v", doc)
		}
	}
	if doc, _, err := i.client.Status(t.Context(), ended, 0); err != nil || doc.ExecuteID != s.copy || doc.Outcome() != run.Success {
		t.Errorf("%v %+v", err, doc)
	}
	if said := task("rotate", "copy", "--until", "now"); !strings.Contains(said, "The former one, "+string(rotated.WebhookID)+", starts no more runs.") {
		t.Error(said)
	}
	if code := i.post(rotated.WebhookID); code != http.StatusGone {
		t.Errorf("a GUID that was rotated away at once: %d", code)
	}
	// `run` takes the GUID that starts runs, whichever name of the task it gets.
	for _, name := range []string{"copy", string(s.copy)} {
		mustCall(t, "run", name, "--wait", "--server", i.url)
	}
	if shown := task("show", "copy"); strings.Contains(strings.SplitN(shown, "Body:", 2)[0], string(s.copy)) {
		t.Errorf("the URLs have the former GUID:\n%s", shown)
	}
	if listed := mustCall(t, "runs", "list", "--task", "copy", "--server", i.url); strings.Count(listed, "Success") != 5 {
		t.Errorf("the runs of former ids are not listed:\n%s", listed)
	}

	release := s.hold()
	held := i.start(s.copy, nil)
	if code, _, messages := ask(t, "task", "delete", "copy", "--yes", "--server", i.url); code != exitFailed || !strings.Contains(messages, "run "+held.Number.String()+" has not ended") {
		t.Errorf("with an open run: %d %s", code, messages)
	}
	if _, err := os.Stat(s.path("tasks/copy.yaml")); err != nil {
		t.Errorf("the file of a task that was not deleted: %v", err)
	}
	release()
	i.awaitEnd(held)
	if code, _, messages := ask(t, "task", "delete", "copy", "--server", i.url); code != exitNoStart || !oneLine(messages, "add --yes") {
		t.Errorf("without a terminal: %d %s", code, messages)
	}
	task("delete", "copy", "--yes")
	if _, err := os.Stat(s.path("tasks/copy.yaml")); !os.IsNotExist(err) {
		t.Errorf("the file is there: %v", err)
	}
	if code := i.post(s.copy); code != http.StatusNotFound {
		t.Errorf("a deleted task: %d", code)
	}
	if doc, _, err := i.client.Status(t.Context(), ended, 0); err != nil || doc.Outcome() != run.Success {
		t.Errorf("a run of a deleted task: %v %+v", err, doc)
	}
	i.end()

	// None of it is undone by another start.
	i = begin(t, s.args()...).listening()
	if tasks, err := i.client.Tasks(t.Context()); err != nil || len(tasks) != 0 {
		t.Errorf("after another start: %v %+v", err, tasks)
	}
	i.end()
}

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"

	"runhook/shared/audit"
	"runhook/shared/proctest"
)

// Each change that an operator makes is a line of the audit: of tasks, runs, connections and links. It has no value of a
// parameter and no token, and a line about runs stays when they are erased.
func TestAudit(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const secret = "Zaphod"
	i := begin(t, s.args()...).listening()
	defer i.end()
	i.awaitEnd(i.start(s.copy, map[string][]string{"City": {secret}}))
	for _, args := range [][]string{
		{"runs", "again", "1", "--wait"},
		{"task", "disable", "Copy"},
		{"task", "enable", "Copy"},
		{"task", "rotate", "Copy"},
		{"connections", "pause", "db", "--why", "work"},
		{"connections", "pause", "db", "--why", "more work"},
		{"connections", "resume", "db"},
		{"console"},
		{"runs", "delete", "1"},
	} {
		mustCall(t, append(args, "--server", i.url)...)
	}
	release := s.hold()
	held := i.start(s.copy, nil)
	i.awaitRunning(held)
	mustCall(t, "runs", "cancel", held.Number.String(), "--why", "wrong file", "--server", i.url)
	release()
	list := func(args ...string) (lines []audit.Line) {
		t.Helper()
		out := mustCall(t, append([]string{"audit", "--json", "--server", i.url}, args...)...)
		if err := json.Unmarshal([]byte(out), &lines); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if strings.Contains(out, secret) || strings.Contains(out, i.token()) {
			t.Errorf("a secret is in the audit: %s", out)
		}
		return lines
	}
	var what []string
	for _, line := range list() {
		what = append(what, line.What)
		if line.By != "admin" && line.By != "folder" {
			t.Errorf("%+v", line)
		}
	}
	slices.Reverse(what)
	// The rotation writes the task's file, which the folder applies: by one of the two.
	what = slices.DeleteFunc(what, func(word string) bool { return word == audit.TaskApply })
	if want := []string{
		audit.RunsAgain, audit.TaskDisable, audit.TaskEnable, audit.TaskRotate, audit.ConnectionPause, audit.ConnectionPause, audit.ConnectionResume, audit.Link,
		audit.RunsDelete, audit.RunsDeleted, audit.RunsCancel,
	}; !slices.Equal(what, want) {
		t.Errorf("the audit has %v, want %v", what, want)
	}
	if lines := list("--what", "runs-deleted", "--who", "admin", "--since", "today"); len(lines) != 1 || lines[0].Run != 1 || lines[0].Task != "Copy people" || lines[0].Removed == nil || lines[0].Removed.Runs != 1 {
		t.Errorf("the erasure: %+v", lines)
	}
	if lines := list("--what", "task", "--limit", "1"); len(lines) != 1 || lines[0].What != audit.TaskRotate || lines[0].Before == lines[0].After {
		t.Errorf("the newest change of a task: %+v", lines)
	}
	for _, by := range []string{"copy", string(s.copy)} {
		for _, line := range list("--task", by) {
			if line.Task != "Copy people" || line.TaskID != s.copy {
				t.Errorf("of the task: %+v", line)
			}
		}
		if lines := list("--task", by, "--what", "runs-cancel"); len(lines) != 1 || lines[0].Run != held.Number || lines[0].Why != "wrong file" {
			t.Errorf("the cancel: %+v", lines)
		}
	}
	if lines := list("--task", "no such task"); len(lines) != 0 {
		t.Errorf("of no task: %+v", lines)
	}
	if lines := list("--what", "connection"); len(lines) != 3 || lines[0].Why != "" || lines[1].Why != "more work" || lines[2].Why != "work" {
		t.Errorf("the connection: %+v", lines)
	}
	for what, says := range map[string]string{
		"taks": `--what "taks" is nothing that the audit has; did you mean task?`, "run-cancel": "; did you mean runs-cancel?",
		"everything": "--what \"everything\" is nothing that the audit has; it has connection, connection-pause, ",
	} {
		if code, _, messages := ask(t, "audit", "--what", what, "--server", "http://127.0.0.1:1"); code != exitNoStart || !oneLine(messages, says) {
			t.Errorf("--what %s: %d %s", what, code, messages)
		}
	}
	if lines := list("--who", "nobody"); len(lines) != 0 {
		t.Errorf("what nobody did: %+v", lines)
	}
	if out := mustCall(t, "audit", "--server", i.url); !strings.Contains(out, ": wrong file\n") || !strings.Contains(out, "connection db: more work") || !strings.Contains(out, "Copy people, run 2, a repeat of run 1") || !strings.Contains(out, "Copy people, run 1, 1 request, 1 result, 1 event, ") || strings.Count(out, "\n") < len(what) {
		t.Errorf("the table:\n%s", out)
	}
	for _, list := range []string{"audit", "runs list"} {
		if code, _, messages := ask(t, append(strings.Fields(list), "--before", "0", "--server", i.url)...); code != exitNoStart || !oneLine(messages, `--before: "0" is not the number that a list gives for its next page`) {
			t.Errorf("%s --before 0: %d %s", list, code, messages)
		}
	}
	for path, status := range map[string]int{"/api/audit?since=2999-01-01T00:00:00Z": http.StatusBadRequest, "/api/audit?limit=0": http.StatusBadRequest, "/api/audit?before=x": http.StatusBadRequest, "/api/audit?what=taks": http.StatusBadRequest, "/api/audit?task=": http.StatusBadRequest} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, i.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+i.token())
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != status {
			t.Errorf("%s: %d", path, answer.StatusCode)
		}
	}
	if status := get(t, i.url+"/api/audit"); status != http.StatusUnauthorized {
		t.Errorf("without a token: %d", status)
	}
}

// The audit has the reason that an operator gave for a cancel, and not a caller's, which may be about somebody and would
// outlive the run.
func TestTheAuditHasNoReasonOfACaller(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	i := begin(t, s.args("--hold")...).listening()
	defer i.end()
	callers, operators := i.start(s.copy, nil), i.start(s.copy, nil)
	answer, err := http.Post(callers.Document.CancelURL+"&why=Zaphod+asked", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if doc := i.awaitEnd(callers); answer.StatusCode != http.StatusAccepted || !strings.Contains(doc.Message, "Zaphod asked") {
		t.Fatalf("%s, and the run says: %s", answer.Status, doc.Message)
	}
	mustCall(t, "runs", "cancel", operators.Number.String(), "--why", "wrong file", "--server", i.url)
	out := mustCall(t, "audit", "--what", "runs-cancel", "--json", "--server", i.url)
	var lines []audit.Line
	if err := json.Unmarshal([]byte(out), &lines); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if len(lines) != 2 || lines[0].By != "admin" || lines[0].Why != "wrong file" || lines[1].By != "link" || lines[1].Run != callers.Number || strings.Contains(out, "Zaphod") {
		t.Errorf("the audit has %s", out)
	}
}

// The admin tokens that are read again are in the audit by their names.
func TestAuditOfTokens(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.writeFor(0o600, "tokens", "ann: "+strings.Repeat("a", 40)+"\nguest(read): "+strings.Repeat("b", 40)+"\n")
	i := begin(t, s.args("--admin-token-file", s.path("tokens"))...).listening()
	i.hangups <- syscall.SIGHUP
	proctest.Until(t, func() error {
		out := mustCall(t, "audit", "--what", "tokens", "--server", i.url, "--token-file", s.path("tokens"))
		if !strings.Contains(out, "of ann, guest (read)") {
			return fmt.Errorf("the audit: %s", out)
		}
		return nil
	})
	i.end()
}

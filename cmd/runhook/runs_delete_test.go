package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"runhook/shared/client"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// A run is deleted by its number, with all that the data directory has of it, the history too: its status is 410 then, and
// the list, the store and a program that is started again know it no more. What cannot be deleted is said with what to do.
func TestDeleteRuns(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const secret = "Zaphod-Beeblebrox"
	i := spawn(t, s.args()...).listening()
	for range 2 {
		i.awaitEnd(i.start(s.copy, nil))
	}
	personal := i.correlated(t, s, secret)
	proctest.Until(t, func() error { // the request, the result, the event
		if files := s.holding(t, secret); len(files) < 3 {
			return fmt.Errorf("only %v hold what the run was about", files)
		}
		return nil
	})
	listed := func() string { return mustCall(t, "runs", "list", "--server", i.url) }
	if !strings.Contains(listed(), "\n  3 ") {
		t.Fatalf("the list:\n%s", listed())
	}
	// The list has it from the file of the history.
	if out := mustCall(t, "runs", "list", "--correlation", secret, "--server", i.url); !strings.Contains(out, "\n  3 ") {
		t.Fatalf("the list by correlation:\n%s", out)
	}
	out := mustCall(t, "runs", "delete", "3", "--json", "--server", i.url)
	var receipts []client.Receipt
	if err := json.Unmarshal([]byte(out), &receipts); err != nil || len(receipts) != 1 || receipts[0].DoneOn == nil || receipts[0].By != "admin" ||
		receipts[0].Removed != (run.Removed{Runs: 1, Requests: 1, FinalDocuments: 1, Events: 1}) || !strings.Contains(receipts[0].Text, "Backups") {
		t.Errorf("%v, the receipts: %s", err, out)
	}
	gone := func() {
		t.Helper()
		if status := get(t, i.url+run.StatusPath(s.copy, personal.ImportID)); status != http.StatusGone {
			t.Errorf("its status is %d", status)
		}
		proctest.Until(t, func() error {
			if out := mustCall(t, "runs", "list", "--correlation", secret, "--server", i.url); !strings.Contains(out, "No run fits") {
				return fmt.Errorf("the history has it: %s", out)
			}
			if files := s.holding(t, secret); len(files) > 0 {
				return fmt.Errorf("%v hold what the run was about", files)
			}
			return nil
		})
		if out := listed(); strings.Contains(out, "\n  3 ") || !strings.Contains(out, "\n  2 ") {
			t.Errorf("the list:\n%s", out)
		}
	}
	gone()
	i.kill()
	i.await()
	i = begin(t, s.args()...).listening()
	gone()

	for _, command := range []string{"show", "again", "rejected"} {
		if code, _, messages := call(t, "runs", command, "3", "--server", i.url); code == 0 || !strings.Contains(messages, "Run 3 was deleted on ") {
			t.Errorf("runs %s: %d %s", command, code, messages)
		}
	}
	release := s.hold()
	held := i.start(s.copy, nil)
	i.awaitRunning(held)
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"3"}, exitFailed, "Run 3 was deleted on "},
		{[]string{"77777"}, exitFailed, "Run 77777 does not exist"},
		{[]string{held.Number.String()}, exitFailed, "`runhook runs cancel " + held.Number.String() + "`"},
		{[]string{"--task", "Copy", "--before", "2999-01-01", "--yes"}, exitNoStart, "is in the future"},
		{[]string{"--task", "Copy"}, exitNoStart, "--before"},
		{[]string{"1", "--task", "Copy", "--before", "now"}, exitNoStart, "leave them out"},
		{[]string{"--task", "Copy", "--before", "now"}, exitNoStart, "add --yes"},
		{nil, exitNoStart, "name the runs to delete"},
	} {
		code, _, messages := call(t, append([]string{"runs", "delete", "--server", i.url}, c.args...)...)
		if code != c.code || !strings.Contains(messages, c.says) {
			t.Errorf("%v: %d %s", c.args, code, messages)
		}
	}
	if code, out, messages := call(t, "runs", "delete", "1", "77777", "--server", i.url); code != exitFailed || !strings.Contains(out, "Run 1 of") || !strings.Contains(messages, "Run 77777") {
		t.Errorf("one of two: %d %s %s", code, out, messages)
	}
	if out := mustCall(t, "runs", "delete", "--task", "Copy", "--before", "now", "--yes", "--server", i.url); !strings.Contains(out, "Run 2 of \"Copy people\" is deleted") ||
		!strings.Contains(out, "1 run had not ended and stays: "+held.Number.String()+".\n") {
		t.Errorf("the older ones: %s", out)
	}
	release()
	if doc := i.awaitEnd(held); doc.Outcome() != run.Success {
		t.Errorf("the run that had not ended: %+v", doc)
	}
	i.end()
}

// correlated starts a run whose correlation id is a text, and waits for its end.
func (i *instance) correlated(t *testing.T, s *site, text string) run.Document {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, i.url+"/task/executepolling/"+string(s.copy), strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Correlation-Id", text)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	var doc run.Document
	if err := json.NewDecoder(answer.Body).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	return i.awaitEnd(client.Started{Task: doc.ExecuteID, Number: doc.ImportID, Document: doc})
}

// holding are the files of the data directory that hold a text.
func (s *site) holding(t *testing.T, text string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(s.path("data"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil // it went in between
		}
		if data, err := os.ReadFile(path); err == nil && bytes.Contains(data, []byte(text)) {
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// A token that only reads shows no value of a parameter, and starts no run with those that it does not see.
func TestATokenThatReadsSeesNoValues(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.writeFor(0o600, "tokens", "admin: "+strings.Repeat("a", 40)+"\nguest(read): "+strings.Repeat("b", 40)+"\n")
	s.writeFor(0o600, "guest", strings.Repeat("b", 40)+"\n")
	i := begin(t, s.args("--admin-token-file", s.path("tokens"))...).listening()
	defer i.end()
	i.awaitEnd(i.start(s.copy, map[string][]string{"City": {"Oslo"}}))
	guest := func(args ...string) []string { return append(args, "--server", i.url, "--token-file", s.path("guest")) }
	said := mustCall(t, guest("runs", "show", "1")...)
	if !strings.Contains(said, "Parameters  City: from the request\n            a token that only reads does not see the values\n") || strings.Contains(said, "Oslo") {
		t.Errorf("runs show:\n%s", said)
	}
	for says, args := range map[string][]string{
		"the token only reads, so it does not see the values of the run and starts none": {"runs", "again", "1"},
		"A token that only reads does not see the values of parameters":                  {"runs", "list", "-p", "City=Oslo"},
	} {
		if code, _, messages := call(t, guest(args...)...); code == exitSuccess || !strings.Contains(messages, says) {
			t.Errorf("%v: %d %s", args, code, messages)
		}
	}
}

// A token that only reads deletes nothing.
func TestDeleteWithATokenThatReads(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.writeFor(0o600, "tokens", "admin: "+strings.Repeat("a", 40)+"\nguest(read): "+strings.Repeat("b", 40)+"\n")
	i := begin(t, s.args("--admin-token-file", s.path("tokens"))...).listening()
	defer i.end()
	for _, path := range []string{"/api/runs/1", "/api/runs?task=" + string(s.copy) + "&before=2026-01-01T00:00:00Z"} {
		for token, status := range map[string]int{"": http.StatusUnauthorized, strings.Repeat("b", 40): http.StatusForbidden} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, i.url+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if token != "" {
				request.Header.Set("Authorization", "Bearer "+token)
			}
			answer, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			if answer.StatusCode != status {
				t.Errorf("%s with %q: %d", path, token, answer.StatusCode)
			}
		}
	}
}

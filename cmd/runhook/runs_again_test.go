//go:build !bench

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"runhook/shared/client"
	"runhook/shared/run"
	"runhook/shared/task"
)

// A run is repeated with its values, or with others, and says of which it is the repeat.
func TestRunsAgain(t *testing.T) {
	s := newSite(t)
	i := begin(t, s.args()...).listening()
	i.awaitEnd(i.start(s.copy, map[string][]string{"City": {"Oslo"}}))
	again := func(args ...string) (doc run.Document, city []string) {
		t.Helper()
		if err := json.Unmarshal([]byte(mustCall(t, append([]string{"runs", "again", "--wait", "--json", "--server", i.url}, args...)...)), &doc); err != nil {
			t.Fatal(err)
		}
		request, err := i.client.Request(t.Context(), doc.ImportID)
		if err != nil || request.Trigger != run.Again || request.Operator != "admin" {
			t.Errorf("%+v, %v", request, err)
		}
		return doc, request.Parameters["City"].Values
	}
	doc, city := again("1")
	if doc.RepeatOf != 1 || doc.Trigger != run.Again || doc.RowsProcessed != 2 || !slices.Equal(city, []string{"Oslo"}) {
		t.Errorf("%+v, %v", doc, city)
	}
	if doc, city = again("2", "-p", "city=Rome"); doc.RepeatOf != 2 || doc.RowsProcessed != 1 || !slices.Equal(city, []string{"Rome"}) {
		t.Errorf("%+v, %v", doc, city)
	}
	if shown := mustCall(t, "runs", "show", "2", "--server", i.url); !strings.Contains(shown, "Started by  again, by admin\n") || !strings.Contains(shown, "Repeats     run 1\n") {
		t.Errorf("%s", shown)
	}
	if got := i.found("--trigger", "again"); got != "3 2" {
		t.Errorf("repeats: %s", got)
	}

	// The values are seen first, and what is saved counts.
	editor := func(script string) {
		s.writeFor(0o755, "editor", "#!/bin/sh\ncp \"$2\" '"+s.path("seen")+"'\n"+script+"\n")
		t.Setenv("EDITOR", s.path("editor")+" --wait")
	}
	t.Setenv("VISUAL", "")
	editor(`sed -i s/Oslo/Rome/ "$2"`)
	if doc, city = again("1", "--edit"); doc.RepeatOf != 1 || !slices.Equal(city, []string{"Rome"}) {
		t.Errorf("%+v, %v", doc, city)
	}
	if seen := read(t, s.path("seen")); !strings.Contains(seen, "\nCity: Oslo\n") || !strings.Contains(seen, `run 1 of "Copy people"`) && !strings.Contains(seen, "run 1 of Copy people") {
		t.Errorf("edited was\n%s", seen)
	}
	refused := func(says string, args ...string) {
		t.Helper()
		code, _, messages := call(t, append([]string{"runs", "again", "--server", i.url}, args...)...)
		if code == exitSuccess || !strings.Contains(messages, says) {
			t.Errorf("%v: exit code %d, %s", args, code, messages)
		}
	}
	// Who saves the values as they are wants the run, whichever way the editor saves.
	for _, save := range []string{`cp "$2" "$2.new"; mv "$2.new" "$2"`, `text=$(cat "$2"); printf '%s\n' "$text" > "$2"`} {
		editor(save)
		if doc, city = again("1", "--edit"); doc.RepeatOf != 1 || !slices.Equal(city, []string{"Oslo"}) {
			t.Errorf("%+v, %v", doc, city)
		}
	}
	editor(`exit 0`)
	refused("nothing was started, because the editor was left without saving; save the file", "1", "--edit")
	editor(`rm "$2"`)
	refused("nothing was started, because what was saved cannot be read", "1", "--edit")
	editor(`: > "$2"`)
	refused("nothing was started: the file is empty", "1", "--edit")
	editor(`exit 3`)
	refused("nothing was started, because the editor failed", "1", "--edit")
	editor(`echo 'City: {a: b}' > "$2"`)
	refused("nothing was started: line 1: City is neither a text nor a list of texts", "1", "--edit")
	editor(`echo 'Town: Rome' > "$2"`)
	refused("Correct the values with --edit", "1", "--edit")
	t.Setenv("EDITOR", "")
	refused("name one in the environment variable EDITOR", "1", "--edit")
	refused("Run 99 does not exist", "99")
	refused(`"x" is not a run number`, "x")
	if got := i.found(); got != "6 5 4 3 2 1" {
		t.Errorf("runs: %s", got)
	}
	if left, err := os.ReadDir(os.TempDir()); err == nil {
		for _, entry := range left {
			if strings.HasPrefix(entry.Name(), "runhook-edit-") {
				t.Errorf("%s is left behind", entry.Name())
			}
		}
	}
}

// What is written for the editor is read as it was, whatever the values are.
func TestValuesAreEdited(t *testing.T) {
	t.Parallel()
	values := map[string][]string{
		"Plain": {"Ann"}, "Number": {"007"}, "Yes": {"yes"}, "Empty": {""}, "Null": {"null"}, "Colon": {"a: b # c"}, "Lines": {"one\ntwo\r\n"},
		"Quote": {`"'\`}, "List": {"North", "0x10", ""}, "One": {"alone"}, "Two words": {" spaces "}, "~": {"~"}, "Date": {"2026-01-31"}, "Ümlaut": {"Zoë"},
	}
	request := client.Request{Number: 41, TaskName: "Refresh: #1", Parameters: map[string]client.Value{"One": {Multiple: true}, "Left": {From: task.FromSource}}}
	text := valuesFile(request, values)
	got, err := parseValues(text)
	want := maps.Clone(values)
	want["Left"] = []string{""}
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v\n%q, want\n%q\n%s", err, got, want, text)
	}
	if none, err := parseValues(valuesFile(client.Request{Number: 1, TaskName: "T"}, nil)); err != nil || len(none) != 0 {
		t.Errorf("%v %v", none, err)
	}
	for text, says := range map[string]string{"": "empty", "# all\n": "empty", "a: 1\na: 2\n": "twice", "- a": "line 1: write NAME: VALUE", "a: [b, {c: d}]": "neither a text", "a: [": "what was saved"} {
		if _, err := parseValues([]byte(text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// What starts a run or changes a task waits while a cluster looks for a leader, and is not done twice where it was done and
// only its answer was lost.
func TestLostAnswersDoNothingTwice(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	i := begin(t, s.args()...).listening()
	var mu sync.Mutex
	seen := map[string]bool{}
	server := i.between(func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		mu.Lock()
		lost := !seen[r.Method+r.URL.Path]
		seen[r.Method+r.URL.Path] = true
		mu.Unlock()
		if !lost {
			pass.ServeHTTP(w, r)
			return
		}
		pass.ServeHTTP(httptest.NewRecorder(), r)
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"type":"urn:runhook:problem:store-unavailable","status":503,"detail":"NATS cannot be reached"}`)
	})
	forget := func() {
		mu.Lock()
		defer mu.Unlock()
		clear(seen)
	}
	for _, step := range []struct{ args, says string }{
		{"run Copy", "Run 1 of "},
		{"runs again 1 --wait", "Success"},
		{"task apply " + s.path("tasks/copy.yaml"), string(s.copy)},
		{"task rotate Copy", "The former one, " + string(s.copy) + ", starts runs until"},
		{"task delete Copy --yes", "is deleted"},
	} {
		forget()
		if out := mustCall(t, append(strings.Fields(step.args), "--server", server)...); !strings.Contains(out, step.says) {
			t.Errorf("%s: %s", step.args, out)
		}
	}
	list, err := i.client.Runs(t.Context(), client.Filter{}, 10)
	if err != nil || len(list.Runs) != 2 {
		t.Errorf("%d runs, %v", len(list.Runs), err)
	}
	lines := mustCall(t, "audit", "--server", i.url)
	for _, what := range []string{"runs-again", "task-rotate", "task-delete"} {
		if strings.Count(lines, what) != 1 {
			t.Errorf("%s is not once in\n%s", what, lines)
		}
	}
}

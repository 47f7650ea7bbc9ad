//go:build !bench

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"runhook/shared/client"
	"runhook/shared/run"
)

const eachSecond = "schedule:\n  - cron: \"* * * * * *\"\n"

// A task with a schedule runs by itself, and all that is shown of it says so; also after another start, and never twice
// for the same time.
func TestScheduledTask(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.write("tasks/copy.yaml", fmt.Sprintf(siteTask, s.copy)+eachSecond)
	i := begin(t, s.args("--public-url", "https://hooks.example.org/in")...).listening()
	eventually(t, i, "three runs were due", func() bool {
		return strings.Contains(mustCall(t, "task", "show", "copy", "--server", i.url), "run 3\n")
	})
	shown := mustCall(t, "task", "show", "copy", "--server", i.url)
	for _, want := range []string{"Due next:\n  UTC  ", "* * * * * * (UTC)", "Was due:\n  UTC  ", "  run 3\n"} {
		if !strings.Contains(shown, want) {
			t.Errorf("task show does not have %q:\n%s", want, shown)
		}
	}
	var doc run.Document
	if err := json.Unmarshal([]byte(mustCall(t, "runs", "show", "1", "--json", "--server", i.url)), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Trigger != run.Schedule || doc.ScheduledFor == nil || time.Time(*doc.ScheduledFor).After(time.Time(doc.CreatedOn)) || !strings.HasPrefix(doc.PollingURL, "https://hooks.example.org/in/task/executepolling/") {
		t.Errorf("%+v", doc)
	}
	if said := mustCall(t, "runs", "show", "1", "--server", i.url); !strings.Contains(said, "Started by  schedule\n") || !strings.Contains(said, "Due         ") {
		t.Errorf("runs show: %s", said)
	}
	if said := mustCall(t, "task", "list", "--server", i.url); !strings.Contains(said, "LAST DUE") || !strings.Contains(said, ", run ") || !strings.Contains(said, "NEXT RUN") {
		t.Errorf("task list: %s", said)
	}
	if metrics := body(t, i.url+"/metrics"); !strings.Contains(metrics, `runhook_scheduled_total{came="run",task="Copy people"} `) {
		t.Error("there is no metric of the runs that were due")
	}
	i.end()
	i = begin(t, s.args()...).listening()
	eventually(t, i, "it goes on", func() bool {
		return strings.Contains(mustCall(t, "runs", "list", "--trigger", "schedule", "--server", i.url), "\n  8  ")
	})
	times := map[time.Time]run.Number{}
	for n := run.Number(1); n <= 8; n++ {
		doc := i.awaitEnd(started(s, n))
		if doc.ScheduledFor == nil {
			t.Fatalf("run %s: %+v", n, doc)
		}
		due := time.Time(*doc.ScheduledFor)
		if other := times[due]; other > 0 {
			t.Errorf("runs %s and %s were due at %s", other, n, due)
		}
		times[due] = n
	}
	mustCall(t, "task", "disable", "copy", "--server", i.url)
	eventually(t, i, "it says why it does not run", func() bool {
		return strings.Contains(mustCall(t, "task", "show", "copy", "--server", i.url), "no run: the task was disabled\n")
	})
	i.log.Await(t, `"task":"Copy people","due":"[^"]*","detail":"the task was disabled".*a time that a task was due made no run`, i.ended)
}

// started is a run of the site's task.
func started(s *site, n run.Number) client.Started { return client.Started{Task: s.copy, Number: n} }

// The file of the guide is taken, and its commands do what it says. Their moments are to come, as far as they are to be.
func TestSchedulesGuide(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.write("members.csv", "ID,State\n1,CA\n2,NY\n")
	s.write("tasks/nightly.yaml", guideTasks(t, "schedules.md")["Nightly members"])
	i := begin(t, s.args()...).listening()
	guide := read(t, "../../deploy/docs/schedules.md")
	tomorrow := time.Now().Add(36 * time.Hour).Format(time.DateOnly)
	said, accepted := map[string]string{}, ""
	for _, command := range commandsOf(guide) {
		var args []string
		for _, word := range regexp.MustCompile(`'[^']*'|"[^"]*"|\S+`).FindAllString(command, -1)[1:] {
			args = append(args, strings.Trim(word, `'"`))
		}
		switch args[0] {
		case "schedule":
			args[2] = s.path("tasks/" + args[2])
		case "run":
			args[3] = strings.Replace(args[3], "2026-12-01", tomorrow, 1)
		case "runs":
			if args[1] == "cancel" {
				args[2] = regexp.MustCompile(`^Run (\d+) of`).FindStringSubmatch(accepted)[1]
			}
		}
		if args[0] != "schedule" {
			args = append(args, "--server", i.url)
		}
		said[command] = mustCall(t, args...)
		if args[0] == "run" {
			accepted = said[command]
		}
	}
	for command, want := range map[string]string{
		"runhook schedule next nightly.yaml":                              "line 10: 30 2 * * * (Europe/Berlin)\n",
		"runhook schedule next nightly.yaml --after 2031-03-29T12:00:00Z": "2031-03-30 01:00:00Z  Sun 2031-03-30 03:00:00 +02:00\n",
		"runhook task list":                                                   "Nightly members  yes ",
		`runhook task show "Nightly members"`:                                 "Due next:\n",
		"runhook runs list --trigger schedule":                                "",
		`runhook run "Nightly members" --at '2026-12-01 06:00 Europe/Berlin'`: `of "Nightly members" is accepted, and starts at ` + tomorrow,
		"runhook runs list --queued":                                          tomorrow + "T0",
		"runhook runs cancel 7":                                               "Canceled by ",
	} {
		if got, there := said[command]; !there || !strings.Contains(got, want) {
			t.Errorf("%s (%t) says\n%s\nwant %s", command, there, got, want)
		}
	}
	if far := said["runhook schedule next nightly.yaml --after 2031-03-29T12:00:00Z"]; !strings.Contains(far, "at 2031-01-31T06:00:00+01:00\n\nNot due after 2031-03-29 12:00:00Z.\n") {
		t.Errorf("of a moment that is past then, schedule next says %s", far)
	}
	body := regexp.MustCompile(`-d '(\{.*"RunAt".*\})'`).FindStringSubmatch(guide)[1]
	answer, err := http.Post(i.url+"/task/executepolling/7d1c8a52-0b9e-4c4e-9a43-5f0f8f6f2a10", "application/json", strings.NewReader(strings.Replace(body, "2026-12-01", tomorrow, 1)))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var doc run.Document
	if err := json.NewDecoder(answer.Body).Decode(&doc); err != nil || answer.StatusCode != http.StatusAccepted || doc.WaitingFor != tomorrow+"T05:00:00Z" || doc.Waiting == nil || doc.Waiting.Kind != run.ForTime {
		t.Errorf("%d %+v, %v", answer.StatusCode, doc, err)
	}
}

// A moment that has passed is refused, with file and line: in a folder and by the server.
func TestPassedMoment(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	text := fmt.Sprintf(siteTask, s.copy) + "schedule:\n  - at: 2020-01-31T06:00:00Z\n"
	line := strings.Count(text, "\n")
	s.write("tasks/copy.yaml", text)
	i := begin(t, s.args()...).listening()
	i.log.Await(t, fmt.Sprintf(`"file":"[^"]*copy.yaml","line":%d,.*schedule.at: 2020-01-31T06:00:00Z has passed; write a moment to come, or remove the entry`, line), i.ended)
	if said := mustCall(t, "task", "list", "--server", i.url); strings.Contains(said, "Copy people") {
		t.Errorf("it is applied: %s", said)
	}
	code, _, messages := ask(t, "task", "apply", s.path("tasks"), "--server", i.url)
	if code != exitFailed || !strings.Contains(messages, fmt.Sprintf("line %d: schedule.at: 2020-01-31T06:00:00Z has passed", line)) {
		t.Errorf("task apply: %d %s", code, messages)
	}
}

// The next times are said in the zone and in UTC, also where clocks change, before anything is applied.
func TestScheduleNext(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "due.yaml")
	text := fmt.Sprintf(siteTask, "555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd") + "schedule:\n  - cron: \"30 2 * * *\"\n    time_zone: America/New_York\n  - at: 2026-12-24T18:00:00+01:00\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	said := mustCall(t, "schedule", "next", file, "--after", "2026-03-07T17:00:00Z")
	for _, want := range []string{
		": 30 2 * * * (America/New_York)\n", "2026-03-08 07:00:00Z  Sun 2026-03-08 03:00:00 -04:00\n2026-03-09 06:30:00Z  Mon 2026-03-09 02:30:00 -04:00\n",
		": at 2026-12-24T18:00:00+01:00\n", "2026-12-24 17:00:00Z  Thu 2026-12-24 18:00:00 +01:00\n", "Time zones: tzdata 20",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not in:\n%s", want, said)
		}
	}
	var documents []struct {
		Schedule string
		Line     int
		Next     []struct {
			Due   time.Time
			Local string
		}
	}
	if err := json.Unmarshal([]byte(mustCall(t, "schedule", "next", file, "--after", "2026-03-07T17:00:00Z", "--json")), &documents); err != nil {
		t.Fatal(err)
	}
	if len(documents) != 2 || len(documents[0].Next) != 10 || documents[0].Next[0].Local != "2026-03-08T03:00:00-04:00" || len(documents[1].Next) != 1 {
		t.Errorf("%+v", documents)
	}
	// A moment that has passed is told of, with the times of all other entries.
	if err := os.WriteFile(file, []byte(strings.Replace(text, "2026-12-24", "2020-12-24", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, said, messages := ask(t, "schedule", "next", file); code == 0 || !strings.Contains(said, ": 30 2 * * * (America/New_York)\n\nUTC ") || !strings.Contains(said, "Not due after ") || !strings.Contains(messages, "due.yaml:12: schedule.at: 2020-12-24T18:00:00+01:00 has passed") {
		t.Errorf("%d %s\n%s", code, said, messages)
	}
	if code, _, messages := ask(t, "schedule", "next", file, "--after", "soon"); code != exitNoStart || !strings.Contains(messages, "--after must be a moment with its offset, like 2026-03-07T17:00:00Z, not soon") {
		t.Errorf("%d %s", code, messages)
	}
}

// The rights of the configuration as shipped do for the status service to start runs, alone.
func TestSchedulesWithTheirRights(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	denied, as, key := s.withRights()
	status := begin(t, append([]string{"status", "--run-key-file", key, "--admin-token-file", s.token()}, as("status")...)...).listening()
	runner := begin(t, append([]string{"runner", "--connections", s.path("connections.yaml")}, as("runner")...)...).listening()
	s.write("tasks/copy.yaml", fmt.Sprintf(siteTask, s.copy)+eachSecond)
	mustCall(t, "task", "apply", s.path("tasks"), "--server", status.url)
	eventually(t, status, "a run was due", func() bool {
		return strings.Contains(mustCall(t, "task", "show", "copy", "--server", status.url), "run 1\n")
	})
	if doc := status.awaitEnd(started(s, 1)); doc.Outcome() != run.Success || !strings.HasPrefix(doc.PollingURL, "/task/") {
		t.Errorf("%+v", doc)
	}
	runner.end()
	status.end()
	if denied.String() != "" {
		t.Errorf("the server denies:\n%s", denied)
	}
}

// A run that is to start at a time waits until then: beside others, through a restart, and it can be canceled. At its time
// it starts within a second.
func TestRunAtATime(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.write("tasks/copy.yaml", fmt.Sprintf(siteTask, s.copy))
	i := begin(t, s.args()...).listening()
	in := func(d time.Duration) time.Time { return time.Now().Add(d).UTC().Truncate(time.Second) }
	at := func(moment time.Time) string { return moment.Format("2006-01-02 15:04:05 ") + "UTC" }
	far := in(48 * time.Hour)
	said := mustCall(t, "run", "copy", "--at", at(far), "--server", i.url)
	if !strings.Contains(said, `Run 1 of "Copy people" is accepted, and starts at `+far.Format(time.RFC3339)) {
		t.Errorf("run --at: %s", said)
	}
	now := i.awaitEnd(started(s, runNumber(t, mustCall(t, "run", "copy", "--json", "--server", i.url))))
	if now.Outcome() != run.Success {
		t.Errorf("beside a run that waits: %+v", now)
	}
	if said := mustCall(t, "runs", "list", "--queued", "--server", i.url); !strings.Contains(said, far.Format(time.RFC3339)) {
		t.Errorf("runs list --queued: %s", said)
	}
	if said := mustCall(t, "runs", "show", "1", "--server", i.url); !strings.Contains(said, "Waiting for "+far.Format(time.RFC3339)) || !strings.Contains(said, "It starts then.") || !strings.Contains(said, "To start at ") {
		t.Errorf("runs show: %s", said)
	}
	if code, _, messages := ask(t, "task", "delete", "copy", "--yes", "--server", i.url); code == 0 || !strings.Contains(messages, "run 1 has not ended") {
		t.Errorf("task delete: %d %s", code, messages)
	}
	// startSoon has a run start as soon as the machine is quick enough to say so before.
	startSoon := func() (moment time.Time, waits run.Number) {
		for d := 2 * time.Second; ; d *= 2 {
			moment := in(d)
			code, said, messages := ask(t, "run", "copy", "--at", moment.Format(time.RFC3339), "--json", "--server", i.url)
			if code == 0 {
				return moment, runNumber(t, said)
			}
			if !strings.Contains(messages, "has passed") {
				t.Fatal(messages)
			}
		}
	}
	soon, waits := startSoon()
	doc := i.awaitEnd(started(s, waits))
	if doc.StartedOn == nil || doc.RunAt == nil {
		t.Fatalf("%+v", doc)
	}
	if began := time.Time(*doc.StartedOn); doc.Outcome() != run.Success || began.Before(soon) || doc.ExecutionCount != 1 || !time.Time(*doc.RunAt).Equal(soon) {
		t.Errorf("%+v, want it to start at %s", doc, soon)
	}
	missed, waits := startSoon()
	i.end()
	<-time.After(time.Until(missed)) // nobody is there at its time
	i = begin(t, s.args()...).listening()
	if doc := i.awaitEnd(started(s, waits)); doc.Outcome() != run.Success || doc.ExecutionCount != 1 {
		t.Errorf("%+v", doc)
	}
	mustCall(t, "runs", "cancel", "1", "--server", i.url)
	if doc := i.awaitEnd(started(s, 1)); doc.Outcome() != run.Canceled || doc.ExecutionCount != 0 {
		t.Errorf("%+v", doc)
	}
	for _, wrong := range []struct{ at, says string }{
		{"2020-12-01 06:00 Europe/Berlin", "--at: 2020-12-01T06:00:00+01:00 has passed"},
		{"", "--at: there is no moment: write a date, a time and a zone"}, // an empty variable of a shell
		{"0001-01-01T00:00:00Z", "--at: 0001-01-01T00:00:00Z is before 1970"},
		{"tomorrow", "--at: tomorrow is no moment: write a date, a time and a zone"},
		{"2031-12-01 06:00 Europe/Berln", "did you mean Europe/Berlin?"},
	} {
		if code, _, messages := ask(t, "run", "copy", "--at", wrong.at, "--server", i.url); code == 0 || !strings.Contains(messages, wrong.says) {
			t.Errorf("%s: %d %s", wrong.at, code, messages)
		}
	}
	if code, _, messages := ask(t, "run", "copy", "--dry-run", "--at", at(far), "--server", i.url); code == 0 || !strings.Contains(messages, "a dry run starts at once") {
		t.Errorf("%d %s", code, messages)
	}
}

// runNumber is that of a document that a command has printed.
func runNumber(t *testing.T, text string) run.Number {
	t.Helper()
	var doc run.Document
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	return doc.ImportID
}

//go:build !bench

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rivo/uniseg"

	"runhook/shared/client"
	"runhook/shared/run"
	"runhook/shared/zone"
)

// found are the numbers of the runs that a list has.
func (i *instance) found(args ...string) string {
	i.t.Helper()
	var listed []run.Listed
	eventually(i.t, i, "the history has all runs", func() bool {
		code, out, messages := call(i.t, append([]string{"runs", "list", "--json", "--server", i.url}, args...)...)
		if err := json.Unmarshal([]byte(out), &listed); err != nil || code != exitSuccess {
			i.t.Fatalf("%d, %v: %s", code, err, messages)
		}
		return !strings.Contains(messages, "The server's history has")
	})
	var numbers []string
	for _, l := range listed {
		numbers = append(numbers, l.ImportID.String())
	}
	return strings.Join(numbers, " ")
}

func TestRunsAreFoundByTheCommandLine(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.write("people.csv", "id,name,city\n1,Ann,Oslo\n,Ben,Rome\n")
	i := begin(t, s.args()...).listening()
	for _, city := range []string{"Oslo", "Rome", "Rome"} {
		_, _, _ = call(t, "run", "people", "-p", "City="+city, "--wait", "--server", i.url) // the second and third fail: no row passes
	}
	webhook, err := client.New(i.url, "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer webhook.Close()
	started, err := webhook.Start(t.Context(), s.copy, nil)
	if err != nil {
		t.Fatal(err)
	}
	i.awaitEnd(started)
	for args, want := range map[string]string{
		"":                                      "4 3 2 1",
		"--task people":                         "4 3 2 1",
		"--failed":                              "3 2",
		"--outcome success":                     "4 1",
		"--outcome open":                        "",
		"--with-rejected":                       "4 3 2",
		"-p City=Rome":                          "3 2",
		"-p city=Rome -p City=Oslo":             "",
		"--trigger cli":                         "3 2 1",
		"--trigger webhook":                     "4",
		"--since yesterday":                     "4 3 2 1",
		"--since 5m --failed":                   "3 2",
		"--until yesterday":                     "",
		"--until today --utc --since yesterday": "4 3 2 1",
		"--limit 2":                             "4 3",
		"--limit 2 --before 3":                  "2 1",
		"--text processed --outcome success":    "4 1",
	} {
		if got := i.found(strings.Fields(args)...); got != want {
			t.Errorf("%s: %q, want %q", args, got, want)
		}
	}
	code, out, messages := call(t, "runs", "list", "--failed", "--limit", "1", "--server", i.url)
	if code != 0 || !strings.Contains(messages, "There are more: --before 3 lists the next.") || strings.Count(out, "\n") != 2 {
		t.Errorf("exit code %d, %s%s", code, out, messages)
	}
	for line := range strings.Lines(mustCall(t, "runs", "list", "--server", i.url)) {
		if uniseg.StringWidth(line) > 80 || strings.Contains(line, "\x1b") {
			t.Errorf("%q", line)
		}
	}
	if out := mustCall(t, "runs", "list", "--until", "yesterday", "--server", i.url); out != "No run fits.\n" {
		t.Errorf("%s", out)
	}
	// What a run was started with, and by whom.
	shown := mustCall(t, "runs", "show", "1", "--server", i.url)
	for _, want := range []string{"Started by  cli, by admin\n", "Parameters  City: Oslo (from the request)\n"} {
		if !strings.Contains(shown, want) {
			t.Errorf("%q is missing in\n%s", want, shown)
		}
	}
	if shown := mustCall(t, "runs", "show", "4", "--server", i.url); !strings.Contains(shown, "Started by  webhook\n") {
		t.Errorf("%s", shown)
	}
	counted := mustCall(t, "runs", "count", "--utc", "--server", i.url)
	if want := time.Now().UTC().Format(time.DateOnly) + "  Copy people     4        2       2         0     0\n"; !strings.HasSuffix(counted, want) {
		t.Errorf("%s, want\n%s", counted, want)
	}
}

func TestRunsListRefuses(t *testing.T) {
	t.Parallel()
	for args, says := range map[string]string{
		"--outcome done":                        `--outcome "done" is not success, failed, canceled or open`,
		"--failed --outcome success":            "--failed and --outcome success leave no run",
		"--since tomorrow":                      "--since tomorrow is in the future, where there are no runs",
		"--since 2999-01-01":                    "--since 2999-01-01 is in the future",
		"--until x":                             `--until: "x" is not a time such as`,
		"--since 2026-01-02 --until 2026-01-01": "--until 2026-01-01 is not later than --since 2026-01-02",
		"-p City":                               `--param "City" is not NAME=VALUE`,
		"--queued --failed":                     "--queued goes with --task, --limit and --behind only",
		"--queued --since today":                "--queued goes with --task, --limit and --behind only",
		"--behind 3":                            "--behind goes with --queued only",
		"--outcome open --text x":               "--text and --with-rejected are for runs that have ended",
		"--outcome open --with-rejected":        "--text and --with-rejected are for runs that have ended",
		"--before x":                            "--before",
	} {
		code, _, messages := call(t, append([]string{"runs", "list", "--server", "http://127.0.0.1:1"}, strings.Fields(args)...)...)
		if code != exitNoStart || !oneLine(messages, says) {
			t.Errorf("%s: exit code %d, %s", args, code, messages)
		}
	}
}

// Times are those of a zone; a day is in a bound to its end.
func TestWhen(t *testing.T) {
	t.Parallel()
	oslo, err := zone.Load("Europe/Oslo")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 30, 0, 30, 0, 0, oslo) // the day before has 23 hours
	for _, c := range []struct{ since, until, wantSince, wantUntil string }{
		{"today", "", "2026-03-29T22:00:00Z", ""},
		{"yesterday", "yesterday", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"},
		{"3h", "", "2026-03-29T19:30:00Z", ""},
		{"7d ago", "now", "2026-03-22T22:30:00Z", "2026-03-29T22:30:00Z"},
		{"2026-01-31", "2026-01-31", "2026-01-30T23:00:00Z", "2026-01-31T23:00:00Z"},
		{"2026-01-31T12:00", "2026-01-31 13:00:05", "2026-01-31T11:00:00Z", "2026-01-31T12:00:05Z"},
		{"2026-01-31T12:00:00Z", "", "2026-01-31T12:00:00Z", ""},
	} {
		since, until, err := between(c.since, c.until, now)
		if err != nil {
			t.Error(err)
		}
		said := func(at time.Time) string {
			if at.IsZero() {
				return ""
			}
			return at.UTC().Format(time.RFC3339)
		}
		if said(since) != c.wantSince || said(until) != c.wantUntil {
			t.Errorf("%s to %s: %s to %s", c.since, c.until, said(since), said(until))
		}
	}
}

// A line fits 80 columns, whatever is in it.
func TestLinesFit(t *testing.T) {
	t.Parallel()
	now := time.Now()
	created := run.Time(now)
	listed := []run.Listed{
		{ImportID: 1, TaskName: "A", StatusDescription: "Success", Trigger: run.CLI, CreatedOn: created},
		{
			ImportID: 9_999_999_999, TaskName: strings.Repeat("会员更新", 30), StatusDescription: "In progress", Trigger: run.Schedule, CreatedOn: created,
			StartedOn: &created, DurationMs: 359_999_000, RowsProcessed: 123_456_789_012, RowsFailed: 999_999,
		},
		{ImportID: 3, TaskName: "evil\x1b[31m\nname", StatusDescription: "Failed", Trigger: run.DryRun, CreatedOn: run.Time(now.AddDate(-2, 0, 0))},
	}
	for _, runs := range [][]run.Listed{listed, listed[:1], listed[1:2]} {
		var out strings.Builder
		p := &program{stdout: &out}
		if err := p.printRuns(runs, time.UTC, now); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if width := uniseg.StringWidth(strings.TrimSuffix(line, "\n")); width > 80 {
				t.Errorf("%d columns: %q", width, line)
			}
		}
		if lines := strings.Count(out.String(), "\n"); lines != 1+len(runs) || strings.Contains(out.String(), "\x1b") {
			t.Errorf("%q", out.String())
		}
	}
	const why = "connection imis-prod is paused by ann: the site is down for maintenance until two o'clock"
	for _, name := range []string{"A", listed[1].TaskName} {
		var out strings.Builder
		runs := []run.Listed{
			{ImportID: 1, TaskName: name, CreatedOn: created, WaitingFor: why + "\n" + why},
			{ImportID: 9_999_999_999, TaskName: name, CreatedOn: created, WaitingFor: "run 41 of this task"},
			{ImportID: 3, TaskName: name, CreatedOn: created},
		}
		if err := (&program{stdout: &out}).printQueue(runs, time.UTC, now); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(out.String(), "\n")
		for _, line := range lines {
			if width := uniseg.StringWidth(line); width > 80 {
				t.Errorf("%d columns: %q", width, line)
			}
		}
		if len(lines) != 5 || !strings.Contains(lines[1], "  connection imis-prod is") || !strings.HasSuffix(lines[2], "  run 41 of this task") || !strings.HasSuffix(lines[3], "  -") {
			t.Errorf("%s", out.String())
		}
	}
	var out strings.Builder
	connections := []client.Connection{
		{Name: "crm", Tasks: []string{"A"}},
		{Name: strings.Repeat("x", 50), Tasks: []string{listed[1].TaskName, "B"}, Paused: true, By: "ann", Since: &now, Why: strings.Repeat("maintenance ", 15) + "until\x1b14:00"},
	}
	if err := (&program{stdout: &out}).printConnections(connections, time.UTC, now); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if width := uniseg.StringWidth(strings.TrimSuffix(line, "\n")); width > 80 || strings.Contains(line, "\x1b") {
			t.Errorf("%d columns: %q", width, line)
		}
	}
	said := strings.Join(strings.Fields(out.String()), " ")
	if want := "yes paused by ann since " + now.UTC().Format("01-02 15:04:05") + ": " + strings.Repeat("maintenance ", 15) + "until"; !strings.Contains(said, "crm A no ") || !strings.Contains(said, " 2 tasks: 会员") || !strings.Contains(said, want) {
		t.Errorf("%s", out.String())
	}
	for duration, want := range map[time.Duration]string{120 * time.Millisecond: "0.12s", 100 * time.Second: "1m40s", 90 * time.Minute: "1h30m"} {
		if got := took(run.Listed{StartedOn: &created, DurationMs: duration.Milliseconds()}); got != want {
			t.Errorf("%s: %s", duration, got)
		}
	}
	for n, want := range map[int64]string{999_999: "999999", 1_234_567: "1.2M", 12_345_678_901: "12.3G"} {
		if got := short(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
	if got := fmt.Sprint(shortClock(run.Time(time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC)), time.UTC, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)), " ",
		shortClock(run.Time(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)), time.FixedZone("", 3600), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))); got != "2025-01-02 01-02 04:04:05" {
		t.Error(got)
	}
}

// A list that lacks runs because the history is being made says so, beside its output.
func TestAListSaysWhatItLacks(t *testing.T) {
	t.Parallel()
	var said strings.Builder
	p := &program{stderr: &said}
	p.noteHistory(nil)
	p.noteHistory(&client.History{Percent: 42.5})
	if want := "The server's history has 42.5 % of the runs so far, so this may lack some.\n"; said.String() != want {
		t.Errorf("%q", said.String())
	}
}

// The history is in the data directory, or where --cache says, or nowhere.
func TestCache(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, c := range []struct {
		flags []string
		file  string
	}{{nil, "data/cache/history.db"}, {[]string{"--cache", s.path("elsewhere")}, "elsewhere/history.db"}, {[]string{"--cache", "off"}, ""}} {
		i := begin(t, s.args(c.flags...)...).listening()
		i.awaitEnd(i.start(s.copy, nil))
		code, out, messages := call(t, "runs", "list", "--outcome", "success", "--limit", "1", "--server", i.url)
		switch {
		case c.file == "":
			if code != exitFailed || !oneLine(messages, "Without it runs are listed by task alone") {
				t.Errorf("exit code %d, %s", code, messages)
			}
			if got := i.found("--limit", "1", "--before", "3"); got != "2" {
				t.Errorf("without a history: %s", got)
			}
		case code != exitSuccess || !strings.Contains(out, "Copy people"):
			t.Errorf("exit code %d, %s%s", code, out, messages)
		default:
			if info, err := os.Stat(s.path(c.file)); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%v %v", info, err)
			}
		}
		i.end()
		if strings.Contains(i.log.String(), "history cannot be kept") {
			t.Errorf("%s", i.log)
		}
	}
}

// A history survives kills as the runs do: it lacks none, has none twice, and is not made again.
func TestTheHistoryAfterKills(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	i := spawn(t, s.args()...).listening()
	numbers := []string{}
	for range 3 {
		for range 20 {
			numbers = append([]string{i.start(s.copy, nil).Number.String()}, numbers...)
		}
		i.found("--outcome", "success") // it reads what there is
		i.kill()
		i.await()
		i = spawn(t, s.args()...).listening()
	}
	eventually(t, i, "all runs have ended", func() bool { return len(i.queuedRuns()) == 0 && i.running() == 0 })
	for range 2 {
		if got := i.found("--outcome", "success", "--limit", "100"); got != strings.Join(numbers, " ") {
			t.Errorf("listed: %s, want %s", got, numbers)
		}
		i.end()
		if said := i.log.String(); strings.Contains(said, "the history is made") {
			t.Errorf("it is made again: %s", said)
		}
		i = spawn(t, s.args()...).listening()
	}
}

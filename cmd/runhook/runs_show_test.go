package main

import (
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"runhook/shared/client"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
)

func TestRunsShow(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 1, 31, 6, 0, 0, 0, time.Local)
	base := run.QueuedDocument(run.Request{
		Task: "555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd", TaskName: "Refresh lapsed", Trigger: run.Webhook, CreatedOn: began,
		Parameters: task.Values{"State": {From: task.FromRequest}, "City": {From: task.FromSource}}, Base: "https://hooks.example.org",
	}, 7)
	ended := base
	ended.Begin(began.Add(120*time.Millisecond), began, 1)
	ended.SetCounts(run.Counts{Total: 10, Retrieved: 10, Inserted: 7, Skipped: 1, Failed: 2})
	ended.Errors, ended.TotalErrorCount = []run.RowError{{Row: 3, Column: "age", Message: "is not a number"}, {Row: 5, Message: "is refused by a trigger"}}, 2
	ended.End(run.Success, "7 rows processed, 1 skipped, 2 failed", began.Add(95*time.Second))
	failed := base
	failed.Begin(began, began, 3)
	failed.End(run.Failed, "There is no file.", began.Add(time.Second))
	tried := ended
	tried.Trigger = run.DryRun
	later := ended
	at := run.Time(began.Add(100 * time.Millisecond))
	later.RunAt = &at
	moving := base
	moving.Begin(began, began.Add(12*time.Second), 1)
	moving.SetCounts(run.Counts{Total: 40, Retrieved: 4, Updated: 4})
	moving.PercentComplete = 10

	const whole = `Run 7 of "Refresh lapsed": Success, but 2 rows failed
7 rows processed, 1 skipped, 2 failed

Rows        10 rows read, 7 inserted, 1 skipped, 2 failed
Started by  webhook
Accepted    2026-01-31 06:00:00
Started     2026-01-31 06:00:00, after 0.12 s in the queue
Ended       2026-01-31 06:01:35, after 1m35s
Parameters  City: none given, so the source's own default
            State: from the request
Task        555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd
Status URL  https://hooks.example.org/task/executepolling/555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd/7/status

2 rows failed:
  row 3, age: is not a number
  row 5: is refused by a trigger
`
	for name, c := range map[string]struct {
		doc  run.Document
		says string
	}{
		"a success":       {ended, whole},
		"a run at a time": {later, "Started      2026-01-31 06:00:00, after 0.02 s in the queue\n"},
		"a dry run":       {tried, `To write: runhook run "Refresh lapsed" -p NAME=VALUE`},
		"a failure":       {failed, "Attempts    3: each but the last was interrupted or met a temporary fault"},
		"a failure ":      {failed, `start it again: runhook runs again 7`},
		"queued":          {base, "It waits for a runner"},
		"under way":       {moving, "In progress 10 %\nStarting\n\nRows        4 of 40 rows read, 4 updated\n"},
		"under way ":      {moving, "curl -H 'Prefer: wait=60' 'https://hooks.example.org/task/"},
	} {
		out := proctest.NewOutput()
		p := &program{stdout: out, stderr: proctest.NewOutput(), log: zerolog.Nop()}
		if err := p.printRun(t.Context(), nil, c.doc, client.Request{}, time.Local); err != nil || !strings.Contains(out.String(), c.says) {
			t.Errorf("%s lacks %q, %v:\n%s", name, c.says, err, out)
		}
	}
}

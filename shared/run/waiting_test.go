package run_test

import (
	"testing"
	"time"

	"runhook/shared/run"
)

// What a run waits for, in the words of its document, and that its end takes them out.
func TestWaitingInWords(t *testing.T) {
	until := run.Time(time.Date(2026, 1, 31, 13, 0, 30, 900_000_000, time.FixedZone("", 3600)))
	for _, one := range []struct {
		on            run.Waiting
		says, message string
	}{
		{run.Waiting{Kind: run.ForRun, Run: 41, Open: 1}, "run 41 of this task", "Waiting for run 41 of this task"},
		{run.Waiting{Kind: run.ForRun, Run: 41, Open: 1, Ahead: 1}, "run 41 of this task, 1 run before it", "Waiting for run 41 of this task, 1 run before it"},
		{run.Waiting{Kind: run.ForRun, Run: 41, Open: 3, Ahead: 20}, "run 41 or another of the 3 runs of this task under way, 20 runs before it", "Waiting for run 41 or another of the 3 runs of this task under way, 20 runs before it"},
		{run.Waiting{Kind: run.ForSlot, Pool: "onprem"}, "a free slot in pool onprem", "Waiting for a free slot in pool onprem"},
		{run.Waiting{Kind: run.ForSlot}, "a free slot", "Waiting for a free slot"},
		{run.Waiting{Kind: run.ForRunner, Pool: "onprem"}, "no runner of pool onprem", "Waiting: no runner of pool onprem is up"},
		{run.Waiting{Kind: run.ForRunner, Pool: "onprem", Held: true}, "pool onprem is held (--hold)", "Waiting: pool onprem is held (--hold), so its runners take no run"},
		{run.Waiting{Kind: run.ForAttempt, Attempt: 2, Until: &until}, "attempt 2 at 12:00:30Z", "as before"},
		{run.Waiting{Kind: run.ForSite, Connection: "imis-prod", Ahead: 3}, "the site imis-prod, 3 runs before it", "Waiting for the site imis-prod, 3 runs before it"},
		{run.Waiting{Kind: run.ForConnection, Connection: "crm", By: "ann", Why: "maintenance"}, "connection crm is paused by ann: maintenance", "Waiting: connection crm is paused by ann: maintenance"},
		{run.Waiting{Kind: run.ForConnection, Connection: "crm", By: "ann"}, "connection crm is paused by ann", "Waiting: connection crm is paused by ann"},
	} {
		doc := run.Document{Message: "as before"}
		doc.WaitFor(one.on)
		if doc.WaitingFor != one.says || doc.Message != one.message || doc.Waiting == nil || *doc.Waiting != one.on {
			t.Errorf("%+v: %+v", one.on, doc)
		}
		doc.End(run.Success, "done", time.Now())
		if doc.WaitingFor != "" || doc.Waiting != nil {
			t.Errorf("when it has ended: %+v", doc)
		}
	}
}

// A claim tells what its run waits for, where nothing else does.
func TestAClaimTellsWhatItsRunWaitsFor(t *testing.T) {
	until := time.Date(2026, 1, 31, 12, 0, 30, 0, time.UTC)
	resting := run.Claim{Executions: 1, StartedOn: until.Add(-time.Hour)}.Rest(run.Pause{Until: until, Length: 30 * time.Second, Why: "the site is down", Attempts: 3})
	for says, claim := range map[string]run.Claim{
		"attempt 2 at 12:00:30Z": resting, "a free slot": {Executions: 1, HandedBack: true}, "": {Executions: 1},
	} {
		var doc run.Document
		doc.Resume(claim, until)
		if doc.WaitingFor != says {
			t.Errorf("%+v: waits for %q", claim, doc.WaitingFor)
		}
	}
}

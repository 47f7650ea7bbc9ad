package runner_test

import (
	"context"
	"testing"
	"time"

	"runhook/services/runner"
	"runhook/shared/bus"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// A runner lets a run that is to start later go at once, into no queue, and starts it when it is called, once for any
// number of calls. Meanwhile it executes others of the task, which has one at a time.
func TestARunnerSetsAsideWhatStartsLater(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "upsert", 10)
	at := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	w.request.RunAt = at
	waits := w.submit(t)
	w.request.RunAt = time.Time{}
	now := w.submit(t)
	w.runHere(t, runner.Options{})
	if doc := w.await(t, now); doc.Outcome() != run.Success {
		t.Fatalf("beside a run that waits: %+v", doc)
	}
	w.waitUntilQuiet(t)
	view := w.store.Runs.Alarms()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); view.Follow(ctx) }()
	defer func() { cancel(); <-done }()
	var alarm bus.Alarm
	proctest.Eventually(t, "the run waits", func() bool {
		for _, a := range view.All() {
			alarm = a
		}
		return alarm.Number == waits
	})
	status, err := w.store.Runs.Lookup(t.Context(), w.request.Task, waits)
	if err != nil || status.Document.Status != run.Queued || status.Document.ExecutionCount != 0 || !alarm.RunAt.Equal(at) {
		t.Errorf("%+v, %v; %s", status.Document, err, alarm.RunAt)
	}
	if _, err := view.Call(t.Context(), alarm); err != nil {
		t.Fatal(err)
	}
	doc := w.await(t, waits)
	if doc.Outcome() != run.Success || doc.ExecutionCount != 1 || doc.RowsUnchanged+doc.RowsUpdated+doc.RowsInserted != 10 || doc.WaitingFor != "" || !time.Time(*doc.RunAt).Equal(at) {
		t.Errorf("%+v", doc)
	}
	w.waitUntilQuiet(t)
}

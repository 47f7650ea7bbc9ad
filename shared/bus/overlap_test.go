package bus_test

import (
	"errors"
	"testing"
	"time"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// The request of a skipped run may be stored after the run that it names has ended and another one was let in: its
// process had looked before. Whoever looks then finds the other one.
func TestASkippedRequestThatComesLate(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	request.Overlap = task.SkipOverlap
	finish := func(n run.Number) {
		t.Helper()
		claim, err := store.Work.Claim(t.Context(), request.Task, n, run.Claim{Owner: "test", Executions: 1, StartedOn: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		doc := run.QueuedDocument(request, n)
		doc.End(run.Success, "done", time.Now())
		if err := claim.Finish(t.Context(), doc, nil); err != nil {
			t.Fatal(err)
		}
	}
	js := bustest.JetStream(t, store.Broker.URL())
	late := func(of run.Request) {
		t.Helper()
		data, err := of.Encode()
		if err == nil {
			_, err = js.Publish(t.Context(), "run.request."+string(of.Task), data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	first := bustest.Submit(t, store.Bus, request)
	finish(first)
	second := bustest.Submit(t, store.Bus, request)
	skipped := request
	skipped.SkippedFor, skipped.AloneUpTo = first, first
	late(skipped)
	rejecting := request
	rejecting.Overlap = task.RejectOverlap
	_, err := store.Open("another").Runs.Submit(t.Context(), rejecting, "")
	if open, ok := errors.AsType[*bus.OpenRuns](err); !ok || open.Runs[0] != second {
		t.Errorf("beside run %s: %v", second, err)
	}
	// One of a process that did not know yet that the task has an overlap.
	queued := request
	queued.Overlap = ""
	third := bustest.Submit(t, store.Bus, queued)
	skipped.SkippedFor, skipped.AloneUpTo = second, second
	late(skipped)
	finish(second)
	_, err = store.Open("a third").Runs.Submit(t.Context(), rejecting, "")
	if open, ok := errors.AsType[*bus.OpenRuns](err); !ok || open.Runs[0] != third {
		t.Errorf("beside run %s: %v", third, err)
	}
	finish(third)
	if accepted, err := store.Open("a fourth").Runs.Submit(t.Context(), rejecting, ""); err != nil || accepted.Request.SkippedFor != 0 {
		t.Errorf("when all have ended: %+v, %v", accepted, err)
	}
	// What another program publishes in its name holds up nobody for ever.
	skipped.SkippedFor, skipped.AloneUpTo = 1_000_000, 2_000_000
	late(skipped)
	if _, err := store.Open("a fifth").Runs.Submit(t.Context(), rejecting, ""); err == nil {
		t.Error("let in beside a run that has not ended")
	}
}

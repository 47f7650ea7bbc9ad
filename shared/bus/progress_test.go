package bus_test

import (
	"errors"
	"testing"
	"time"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// A runner that was paused while another took its run over does not write its own progress over the
// other's: it hears that it was overtaken, and looks at its claim.
func TestProgressOfAFormerHolderIsRefused(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	ctx := t.Context()
	n := bustest.Submit(t, store.Bus, request)
	if _, err := store.Work.Claim(ctx, request.Task, n, run.Claim{Owner: "other", Executions: 2}); err != nil {
		t.Fatal(err)
	}
	shown := func(execution int, percent float64) run.Document {
		doc := run.QueuedDocument(request, n)
		doc.Begin(time.Now(), time.Now(), execution)
		doc.PercentComplete = percent
		return doc
	}
	want := func(percent float64) {
		t.Helper()
		status, err := store.Runs.Lookup(ctx, request.Task, n)
		if err != nil || status.Document.PercentComplete != percent {
			t.Errorf("%v%% is shown, want %v%% (%v)", status.Document.PercentComplete, percent, err)
		}
	}
	paused, other := store.Work.Progress(request.Task, n), store.Work.Progress(request.Task, n)
	for _, percent := range []float64{10, 20} { // the writer's own writes follow each other
		if err := paused.Write(ctx, shown(1, percent)); err != nil {
			t.Fatal(err)
		}
	}
	if err := other.Write(ctx, shown(2, 30)); err != nil { // in the place of what an earlier attempt left
		t.Fatal(err)
	}
	if err := paused.Write(ctx, shown(1, 25)); !errors.Is(err, bus.ErrLost) {
		t.Errorf("the former holder's write: %v, want %v", err, bus.ErrLost)
	}
	want(30)
	if err := other.Write(ctx, shown(2, 40)); err != nil {
		t.Errorf("the holder's next write: %v", err)
	}
	want(40)
}

// A runner leaves the bucket of live documents to whoever keeps the store, because its user may make none.
func TestProgressWithoutItsBucket(t *testing.T) {
	t.Parallel()
	broker := withUsers(t, without("runner", "$JS.API.STREAM.UPDATE.KV_progress"))
	admin := connectAs(t, broker, "admin")
	if err := admin.Init(t.Context(), bus.Topology{}); err != nil {
		t.Fatal(err)
	}
	request := bustest.Applied(t, admin)
	n := bustest.Submit(t, admin, request)
	runner, log := as(t, broker, "runner")
	progress, doc := runner.Work.Progress(request.Task, n), run.QueuedDocument(request, n)
	if err := progress.Write(t.Context(), doc); err != nil {
		t.Fatal(err)
	}
	if err := admin.Jet().JS.DeleteStream(t.Context(), "KV_progress"); err != nil {
		t.Fatal(err)
	}
	if err := progress.Write(t.Context(), doc); err == nil {
		t.Error("it was written to nothing")
	}
	keeping(t, admin)
	proctest.Until(t, func() error { return progress.Write(t.Context(), doc) })
	if log.count("lacks a right") > 0 {
		t.Errorf("the log: %s", log.text.String())
	}
}

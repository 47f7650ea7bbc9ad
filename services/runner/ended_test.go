package runner_test

import (
	"strings"
	"testing"
	"time"

	"runhook/services/runner"
	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// rotate gives the workshop's task a new id and returns a workshop of that.
func (w *workshop) rotate(t *testing.T) *workshop {
	t.Helper()
	def, err := w.store.Work.Definition(t.Context(), w.request.Task, w.request.Definition)
	if err != nil {
		t.Fatal(err)
	}
	next := parse(t, string(bustest.Renamed(def.Text, def.ID, task.NewID(), time.Now().Add(time.Hour))))
	if _, err := w.store.Tasks.Apply(t.Context(), next, false); err != nil {
		t.Fatal(err)
	}
	rotated := *w
	rotated.request = request(next)
	return &rotated
}

// A run of the new id does not begin while one of the former id goes on.
func TestRunsStayInOrderAcrossARotation(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "upsert", 10)
	release := w.lock(t)
	before := w.submit(t)
	w.runHere(t, runner.Options{})
	w.awaitClaim(t, before)
	waiting := w.submit(t)

	rotated := w.rotate(t)
	after := rotated.submit(t)
	// A task that was applied later is at work: the runner has seen the rotation.
	other := w.anotherTask(t)
	other.awaitClaim(t, other.submit(t))
	if _, claimed, err := w.store.Work.FindClaim(t.Context(), rotated.request.Task, after); err != nil || claimed {
		t.Errorf("a run of the new id was claimed beside one of the former: %v %v", claimed, err)
	}
	release()
	var ended time.Time
	for _, r := range []struct {
		of *workshop
		n  run.Number
	}{{w, before}, {w, waiting}, {rotated, after}} {
		doc := r.of.await(t, r.n)
		if doc.Outcome() != run.Success || time.Time(*doc.StartedOn).Before(ended) {
			t.Errorf("run %s ended %s, and started %v before the one in front of it had ended", r.n, doc.StatusDescription, ended.Sub(time.Time(*doc.StartedOn)))
		}
		ended = time.Time(*doc.CompletedOn)
	}
}

// A POST that an ingress accepted before it heard of the deletion ends all the same.
func TestARunOfADeletedTaskEndsFailed(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "upsert", 10)
	def, err := w.store.Work.Definition(t.Context(), w.request.Task, w.request.Definition)
	if err != nil {
		t.Fatal(err)
	}
	if deleted, err := w.store.Tasks.Delete(t.Context(), bus.Task{Definition: def}); err != nil || !deleted {
		t.Fatalf("%v %v", deleted, err)
	}
	late := w.submit(t)
	w.runHere(t, runner.Options{})
	if doc := w.await(t, late); doc.Outcome() != run.Failed || !strings.Contains(doc.Message, "The task was deleted") {
		t.Errorf("%s: %s", doc.StatusDescription, doc.Message)
	}
}

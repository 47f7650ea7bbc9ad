package status_test

import (
	"context"
	"net/http"
	"strconv"
	"testing"
	"time"

	"runhook/services/status"
	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/taskfile"
)

// paced starts a service that follows the paces of its store.
func paced(t *testing.T) (s *site, paces *bus.Paces) {
	t.Helper()
	store := bustest.New(t, bus.Topology{})
	paces = store.Open("paces").Runs.Paces()
	s = openOn(t, store, func(o *status.Options) { o.Paces = paces })
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	followed := make(chan struct{})
	go func() { defer close(followed); paces.Follow(ctx) }()
	t.Cleanup(func() { cancel(); <-followed })
	return s, paces
}

// asked is how long a poll is asked to wait; its header and its document say the same, and so does the document that
// operators see.
func (r *started) asked(t *testing.T) (after time.Duration) {
	t.Helper()
	got := r.s.get(r.path()).expect(t, http.StatusAccepted)
	doc := got.document(t)
	after, ok := doc.PollAgain()
	if seconds := strconv.Itoa(int(after / time.Second)); !ok || got.Header.Get("Retry-After") != seconds {
		t.Fatalf("Retry-After %q, and the document says %q", got.Header.Get("Retry-After"), doc.RetryAfter)
	}
	return after
}

// Pollers are told to come when the run may have ended: by how long the task's runs take, how long this one has taken
// and how far it is.
func TestPollersComeWhenTheRunMayHaveEnded(t *testing.T) {
	t.Parallel()
	s, paces := paced(t)
	def := s.apply("Refresh", "")
	r := s.submit(def)
	if after := r.asked(t); after != run.PollAtFirst {
		t.Errorf("of a task without an ended run: %s", after)
	}
	if _, err := s.Work.AddToPace(t.Context(), def.ID, []int64{50_000}); err != nil {
		t.Fatal(err)
	}
	awaitPaced(t, paces, def)
	if after := r.asked(t); after != 50*time.Second {
		t.Errorf("of a queued run: %s", after)
	}
	r.begin(0)
	r.doc.StartedOn = new(run.Time(time.Now().Add(-100 * time.Second)))
	r.reach(0)
	// The times are those of a machine that is as quick as it may be, or slow.
	within := func(what string, from, to time.Duration) {
		t.Helper()
		if after := r.asked(t); after < from || after > to {
			t.Errorf("%s: %s, not %s to %s", what, after, from, to)
		}
	}
	within("that has taken longer than any before", 13*time.Second, 26*time.Second)
	r.reach(95)
	within("of which the twentieth part is left", 6*time.Second, 12*time.Second)
	doc := s.get("/api/runs/"+r.number.String()).expect(t, http.StatusOK).document(t)
	if after, ok := doc.PollAgain(); !ok || after < 6*time.Second || after > 12*time.Second {
		t.Errorf("operators see %q", doc.RetryAfter)
	}
	r.end(run.Success, "done")
	if doc := s.get(r.path()).expect(t, http.StatusOK).document(t); doc.RetryAfter != "00:00:00" {
		t.Errorf("at the end: %s", doc.RetryAfter)
	}
}

// awaitPaced waits until the view has the task's pace.
func awaitPaced(t *testing.T, paces *bus.Paces, def *task.Definition) {
	t.Helper()
	proctest.Until(t, func() error {
		now := time.Now()
		if paces.PollAgain(def, run.Stage{Phase: run.Queued, Since: now}, now) == run.PollAtFirst {
			return context.DeadlineExceeded
		}
		return nil
	})
}

// revise gives a task further lines instead of those that it had.
func (s *site) revise(def *task.Definition, extra ...string) {
	s.t.Helper()
	revised, err := taskfile.Parse(taskFile(def.ID, def.Name, extra...), "test.yaml")
	if err != nil {
		s.t.Fatal(err)
	}
	s.reapply(revised)
}

// A run is polled as its task says now: also one that was accepted when it said something else.
func TestPollersWaitAsTheTaskSaysNow(t *testing.T) {
	t.Parallel()
	s, _ := paced(t)
	def := s.apply("Refresh", "retry_after: 7")
	r := s.submit(def)
	if after := r.asked(t); after != 7*time.Second {
		t.Errorf("asked are %s", after)
	}
	s.revise(def, "retry_after: 90")
	if after := r.asked(t); after != 90*time.Second {
		t.Errorf("after the change %s", after)
	}
	s.revise(def, "retry_after: auto")
	if after := r.asked(t); after != run.PollAtFirst {
		t.Errorf("after the second change %s", after)
	}
}

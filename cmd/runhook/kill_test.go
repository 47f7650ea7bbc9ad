package main

import (
	"testing"
	"time"

	"runhook/shared/run"
)

// The program is killed in the middle of a run; the next one on the same directory ends the run at once: it
// knows that whoever had it is gone, however long the lease is.
func TestKilledServeLosesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	flags := s.args("--durability", "always", "--lease", "24h")
	first := spawn(t, flags...).listening()
	release := s.hold()
	started := first.start(s.copy, map[string][]string{"City": {"Oslo"}})
	queued := first.start(s.copy, map[string][]string{"City": {"Rome"}}) // waits behind the other
	first.awaitRunning(started)
	first.kill()
	if code := first.await(); code == exitSuccess {
		t.Fatal("it ended by itself")
	}
	release()

	second := spawn(t, flags...).listening()
	if doc := second.awaitEnd(started); doc.Outcome() != run.Success || doc.ExecutionCount != 2 || doc.RowsProcessed != 2 {
		t.Errorf("the run that was killed: %+v", doc)
	}
	if doc := second.awaitEnd(queued); doc.Outcome() != run.Success || doc.ExecutionCount != 1 {
		t.Errorf("the run that was queued: %+v", doc)
	}
	if s.people() != "Ann,Ben,Cy" {
		t.Errorf("rows: %s", s.people())
	}
	second.end()
}

// SIGTERM in the middle of a run: it is handed back, and the program ends soon and well.
func TestSIGTERMStopsInTime(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	i := spawn(t, s.args("--grace", "500ms")...).listening()
	defer s.hold()()
	started := i.start(s.copy, nil)
	i.awaitRunning(started)
	waiting := begin(t, "run", "people", "--wait", "--server", i.url) // an open request does not hold it up
	waiting.log.Await(t, `Queued`, waiting.ended)
	asked := time.Now()
	i.end()
	if took := time.Since(asked); took > 20*time.Second {
		t.Errorf("the stop took %s", took)
	}
	i.log.Await(t, `run handed back`, i.ended)
	waiting.stop()
	waiting.await()
}

// The second signal does not wait for anything, and the run goes on after the next start.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	i := spawn(t, s.args("--grace", "1h")...).listening()
	release := s.hold()
	started := i.start(s.copy, nil)
	i.awaitRunning(started)
	i.stop()
	i.log.Await(t, `no more requests are taken`, i.ended)
	asked := time.Now()
	i.stop()
	if code := i.await(); code == exitSuccess {
		t.Error("the second signal was a clean end")
	}
	t.Logf("the second signal took %s", time.Since(asked)) // less than the grace, whatever the disk does
	release()
	again := spawn(t, s.args()...).listening()
	if doc := again.awaitEnd(started); doc.Outcome() != run.Success || doc.RowsProcessed != 3 {
		t.Errorf("the run that was under way: %+v", doc)
	}
	again.end()
}

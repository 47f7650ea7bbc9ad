package sweep_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// more submits another run of a task, as an ingress does that has its overlap.
func more(t *testing.T, store *bustest.Store, request run.Request, overlap task.Overlap, dry bool) run.Number {
	t.Helper()
	request.Overlap, request.DryRun = overlap, dry
	return bustest.Submit(t, store.Bus, request)
}

// begin claims a run as a runner does that is at work on it.
func begin(t *testing.T, store *bustest.Store, id task.ID, n run.Number) *bus.Claim {
	t.Helper()
	claim, err := store.Work.Claim(t.Context(), id, n, run.Claim{Owner: "a runner", Executions: 1, StartedOn: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return claim
}

// stays wants a run that has not ended.
func stays(t *testing.T, store *bustest.Store, id task.ID, numbers ...run.Number) {
	t.Helper()
	for _, n := range numbers {
		if status, err := store.Runs.Lookup(t.Context(), id, n); err != nil || status.Final {
			t.Errorf("run %s has ended: %+v, %v", n, status.Document, err)
		}
	}
}

// Two processes end the runs that are skipped, each once, also those that came before they started.
func TestSkippedRunsEndAtOnce(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request, _ := queue(t, store, "overlap: skip", 0, 0)
	first := more(t, store, request, task.SkipOverlap, false)
	skipped := []run.Number{more(t, store, request, task.SkipOverlap, false)}
	sweeping(t, store, "one")
	sweeping(t, store, "two")
	for range 5 {
		skipped = append(skipped, more(t, store, request, task.SkipOverlap, false))
	}
	for _, n := range skipped {
		doc := awaitFinal(t, store, request.Task, n)
		if doc.Outcome() != run.Canceled || doc.ExecutionCount != 0 || doc.CancelRequestedOn == nil ||
			doc.Message != "Skipped, because run "+first.String()+" of the task had not ended when this one came (overlap: skip)" {
			t.Errorf("%+v", doc)
		}
	}
	stays(t, store, request.Task, first)
	oneEach(t, store, skipped)
}

// oneEach wants one event of each run, and of no other.
func oneEach(t *testing.T, store *bustest.Store, ended []run.Number) {
	t.Helper()
	proctest.Until(t, func() error {
		counts, err := bustest.EventCounts(t.Context(), store.Bus)
		for _, n := range ended {
			if err == nil && counts[n] != 1 {
				err = fmt.Errorf("run %s has %d events", n, counts[n])
			}
		}
		if err == nil && len(counts) != len(ended) {
			err = fmt.Errorf("%d runs have ended, want %d", len(counts), len(ended))
		}
		return err
	})
}

// Of those that wait the newest stays, of dry runs and of others; the one that is under way, and those of before, are
// not touched.
func TestTheLatestRunWaits(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request, numbers := queue(t, store, "overlap: latest", 0, 2)
	running := numbers[0] // of before, as is the one that waits
	begin(t, store, request.Task, running)
	tried := more(t, store, request, task.LatestOverlap, true)
	sweeping(t, store, "one")
	sweeping(t, store, "two")
	ended := []run.Number{numbers[1]}
	for range 4 {
		ended = append(ended, more(t, store, request, task.LatestOverlap, false))
	}
	latest := more(t, store, request, task.LatestOverlap, false)
	for _, n := range ended {
		doc := awaitFinal(t, store, request.Task, n)
		if doc.Outcome() != run.Canceled || doc.ExecutionCount != 0 || !strings.HasPrefix(doc.Message, "Canceled by run ") || !strings.HasSuffix(doc.Message, ", a later one of the task, before it was started") {
			t.Errorf("%+v", doc)
		}
	}
	if doc := awaitFinal(t, store, request.Task, ended[len(ended)-1]); !strings.Contains(doc.Message, "run "+latest.String()+",") {
		t.Errorf("the last one before the latest: %s", doc.Message)
	}
	stays(t, store, request.Task, running, tried, latest)
	if _, asked, err := store.Work.FindCancel(t.Context(), request.Task, running); asked || err != nil {
		t.Errorf("the run that is under way is to be canceled: %v", err)
	}
	ended = append(ended, tried)
	triedAgain := more(t, store, request, task.LatestOverlap, true)
	awaitFinal(t, store, request.Task, tried)
	stays(t, store, request.Task, running, latest, triedAgain)
	oneEach(t, store, ended)
}

// Where no run is under way the first one is about to start: those that come fast do not keep it from that, but where
// no runner takes it they do after a while.
func TestTheFirstRunMayStart(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request, _ := queue(t, store, "overlap: latest", 0, 0)
	sweeping(t, store, "one")
	first := more(t, store, request, task.LatestOverlap, false)
	second := more(t, store, request, task.LatestOverlap, false)
	came := time.Now()
	if doc := awaitFinal(t, store, request.Task, first); !strings.Contains(doc.Message, "run "+second.String()+",") || time.Time(*doc.CompletedOn).Before(came.Add(900*time.Millisecond)) {
		t.Errorf("%+v, and the other one came at %v", doc, came)
	}
	begin(t, store, request.Task, second)
	third := more(t, store, request, task.LatestOverlap, false)
	latest := more(t, store, request, task.LatestOverlap, false)
	awaitFinal(t, store, request.Task, third)
	stays(t, store, request.Task, second, latest)
}

// The newest cancels what waits and asks the runner to cancel what is under way; one that is handed back ends, too.
func TestTheNewestRunCancels(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request, numbers := queue(t, store, "overlap: cancel_running", 0, 3)
	running, left, waits := numbers[0], numbers[1], numbers[2]
	begin(t, store, request.Task, running)
	handed := begin(t, store, request.Task, left)
	if err := handed.Renew(t.Context(), run.Claim{Owner: "a runner", Executions: 1, StartedOn: time.Now(), HandedBack: true}); err != nil {
		t.Fatal(err)
	}
	sweeping(t, store, "one")
	sweeping(t, store, "two")
	more(t, store, request, task.CancelRunningOverlap, true) // which ends no run that writes
	first := more(t, store, request, task.CancelRunningOverlap, false)
	for _, n := range []run.Number{left, waits} {
		if doc := awaitFinal(t, store, request.Task, n); doc.Outcome() != run.Canceled || !strings.Contains(doc.Message, "run "+first.String()+",") {
			t.Errorf("%+v", doc)
		}
	}
	var asked run.Cancel
	proctest.Until(t, func() (err error) {
		var found bool
		if asked, found, err = store.Work.FindCancel(t.Context(), request.Task, running); err == nil && !found {
			err = errors.New("its runner is not asked")
		}
		return err
	})
	if asked.By != run.ByOverlap || asked.Run != first {
		t.Errorf("asked is %+v", asked)
	}
	stays(t, store, request.Task, running, first)
	newest := more(t, store, request, task.CancelRunningOverlap, false)
	if doc := awaitFinal(t, store, request.Task, first); !strings.Contains(doc.Message, "run "+newest.String()+",") {
		t.Errorf("%+v", doc)
	}
	stays(t, store, request.Task, newest)
}

package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"runhook/services/status/sweep"
	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// keeping runs a sweeper that takes it for later, until the end of the test.
func keeping(t *testing.T, store *bustest.Store, ahead time.Duration) {
	t.Helper()
	keepingOnce(t, store, ahead, func(*bus.Erasures) bool { return true })
}

// keepingOnce is keeping, once what the process sees of the erasures is as wanted.
func keepingOnce(t *testing.T, store *bustest.Store, ahead time.Duration, wanted func(*bus.Erasures) bool) {
	t.Helper()
	opened := store.Open("keeper")
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	view, done, err := opened.Tasks.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	cancels, erasures := opened.Unheld.Cancels(), opened.Unheld.Erasures()
	sweeper := sweep.New(sweep.Options{Unheld: opened.Unheld, Tasks: view, Cancels: cancels, Erasures: erasures, Log: zerolog.Nop()})
	sweeper.Ahead(ahead)
	var ran sync.WaitGroup
	ran.Go(func() { erasures.Follow(ctx) })
	t.Cleanup(func() { cancel(); ran.Wait(); <-done })
	proctest.Eventually(t, "the process sees the erasures", func() bool { return wanted(erasures) })
	ran.Go(func() { sweeper.Run(ctx) })
}

// end ends a run that nobody holds.
func end(t *testing.T, store *bustest.Store, request run.Request, n run.Number) {
	t.Helper()
	doc := run.QueuedDocument(request, n)
	doc.End(run.Success, "done", time.Now())
	if err := store.Unheld.EndUnclaimed(t.Context(), request.Task, n, doc); err != nil {
		t.Fatal(err)
	}
}

// The runs of a task that says keep are erased that long after their end, with a receipt, by any number of sweepers. One that
// has not ended stays, and so do those of other tasks.
func TestRunsPastTheirKeepAreErased(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request, numbers := queue(t, store, "keep: 1h\ntimeout: 30m", 0, 3)
	other, others := queue(t, store, "", 0, 1)
	for _, n := range numbers[:2] {
		end(t, store, request, n)
	}
	end(t, store, other, others[0])
	keeping(t, store, 59*time.Minute)
	keeping(t, store, 61*time.Minute)
	proctest.Until(t, func() error {
		for _, n := range numbers[:2] {
			if _, err := store.Runs.Lookup(t.Context(), request.Task, n); !errors.Is(err, run.ErrRunGone) {
				return fmt.Errorf("run %s: %w", n, err)
			}
		}
		return nil
	})
	for n, of := range map[run.Number]run.Request{numbers[2]: request, others[0]: other} {
		if _, err := store.Runs.Lookup(t.Context(), of.Task, n); err != nil {
			t.Errorf("run %s: %v", n, err)
		}
	}
	proctest.Until(t, func() error {
		removed := 0
		err := store.Unheld.Receipts(t.Context(), time.Unix(0, 0), func(e run.Erasure) {
			if e.By != run.ByKeep || e.TaskName != "Late" || e.Overwritten || e.Before == nil {
				t.Errorf("the receipt is %+v", e)
			}
			removed += e.Removed.Runs
		})
		if err == nil && removed != 2 {
			err = fmt.Errorf("the receipts have %d runs", removed)
		}
		return err
	})
}

// What another process has begun to erase of a task that says keep is erased first, and no run is in two receipts.
func TestAKeepThatAnotherHasBegunIsFollowed(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request, numbers := queue(t, store, "keep: 1h\ntimeout: 30m", 0, 2)
	for _, n := range numbers {
		end(t, store, request, n)
	}
	past := time.Now().UTC()
	begun := run.Erasure{Task: request.Task, TaskName: "Late", First: numbers[0], Last: numbers[0], By: run.ByKeep, On: past, Before: &past}
	if _, err := store.Unheld.AskErase(t.Context(), begun); err != nil { // and ends
		t.Fatal(err)
	}
	keepingOnce(t, store, 61*time.Minute, func(seen *bus.Erasures) bool {
		_, ok := seen.Of(request.Task, numbers[0], numbers[0])
		return ok
	})
	var receipts []string
	proctest.Until(t, func() error { // the other one is given some seconds
		receipts = nil
		err := store.Unheld.Receipts(t.Context(), time.Unix(0, 0), func(e run.Erasure) { receipts = append(receipts, fmt.Sprint(e.First, "-", e.Last)) })
		if err == nil && !slices.Contains(receipts, "1-1") {
			err = fmt.Errorf("the receipts are %v", receipts)
		}
		return err
	})
	if slices.Contains(receipts, "1-2") {
		t.Errorf("the receipts are %v", receipts)
	}
}

// An erasure begins at once, however many are done whose second look is to come, and others that have to wait: of runs that
// somebody has asked for, and of those past their keep.
func TestAnErasureIsNotHeldUpByOthers(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	ended := time.Now().UTC()
	id := bustest.Applied(t, store.Bus).Task
	for n := range run.Number(60) { // older than the one that is due
		past := ended.Add(-time.Hour)
		e := run.Erasure{Task: id, TaskName: "Late", First: n + 1, Last: n + 1, By: "ann", On: past, Before: &past, DoneOn: &ended}
		if n%2 == 0 {
			e.By = run.ByKeep
		}
		if _, err := store.Unheld.AskErase(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	request, numbers := queue(t, store, "", 0, 2)
	kept, others := queue(t, store, "keep: 1h\ntimeout: 30m", 0, 1)
	end(t, store, request, numbers[0])
	end(t, store, kept, others[0])
	keeping(t, store, 61*time.Minute)
	e, _, err := store.Unheld.Erasable(t.Context(), request.Task, 0, time.Now(), false)
	if err != nil || e.First != numbers[0] {
		t.Fatalf("%+v, %v", e, err)
	}
	e.TaskName, e.By, e.On = "Late", "ann", time.Now().UTC()
	if _, err := store.Unheld.AskErase(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	for n, of := range map[run.Number]run.Request{numbers[0]: request, others[0]: kept} {
		proctest.Until(t, func() error {
			if _, err := store.Runs.Lookup(t.Context(), of.Task, n); !errors.Is(err, run.ErrRunGone) {
				return fmt.Errorf("run %s: %w", n, err)
			}
			return nil
		})
	}
}

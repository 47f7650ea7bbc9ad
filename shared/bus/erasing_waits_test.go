package bus_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// heardOf waits until a view has an erasure of a run, and returns it.
func heardOf(t testing.TB, view *bus.Erasures, n run.Number) (found bus.Erasing) {
	t.Helper()
	proctest.Until(t, func() error {
		for _, of := range view.All() {
			if of.First == n {
				found = of
				return nil
			}
		}
		return fmt.Errorf("the erasure of run %s is not heard of yet", n)
	})
	return found
}

// steps has a process stop before each step of an erasure whose name is one of those, of any if there are none, and counts
// how often it came there.
func steps(process *bus.Bus, names ...string) *int {
	count := new(int)
	process.Jet().Interrupt = func(step string) error {
		for _, name := range names {
			if step == name {
				*count++
				return errStopped
			}
		}
		if len(names) > 0 {
			return nil
		}
		*count++
		return errStopped
	}
	return count
}

// One process at a time does an erasure: another one waits for as long as whoever does it may be silent, and takes it over
// before it does anything. Then the first one does nothing any more.
func TestOneProcessDoesAnErasure(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	another := store.Open("another")
	mine, _ := following(t, store.Bus)
	theirs, _ := following(t, another)
	ours, others := steps(store.Bus), steps(another)
	var n run.Number
	for seen := false; !seen; { // in a moment in which the first one counts as at work
		n = bustest.Submit(t, store.Bus, request)
		end(t, store.Bus, request, n)
		awaitEvents(t, store.Bus, n)
		e := one(request, n)
		e.Before = &e.On // of one that is named it is written down when it ended, too
		if _, err := store.Unheld.AskErase(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		of := heardOf(t, theirs, n)
		_, done, err := another.Unheld.Erase(t.Context(), theirs, of)
		if seen = !of.IsLeftTo(); seen && (done || err != nil || *others > 0) {
			t.Errorf("while the first one is at work, the other came to %d steps: done %t, %v", *others, done, err)
		}
		*others = 0
	}
	first, left := heardOf(t, mine, n), heardOf(t, theirs, n)
	proctest.Eventually(t, "the erasure is left to the other", func() bool { return another.Unheld.IsErasureDue(left) })
	if _, _, err := another.Unheld.Erase(t.Context(), theirs, left); !errors.Is(err, errStopped) || *others != 1 {
		t.Fatalf("the other came to %d steps: %v", *others, err)
	}
	if _, done, err := store.Unheld.Erase(t.Context(), mine, first); done || err != nil || *ours > 0 {
		t.Errorf("the first one came to %d steps after the other has taken over: done %t, %v", *ours, done, err)
	}
	proctest.Eventually(t, "the first one hears who does it now", func() bool { return heardOf(t, mine, n).Holder == another.Jet().Process })
}

// The event of a run that has just ended is waited for, because it would come after the erasure.
func TestAnErasureWaitsForTheEvent(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	config := stream(t, store.Bus, "EVENTS").CachedInfo().Config
	config.Sources = nil // nothing is copied for now
	if _, err := store.Jet().JS.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	n := personal(t, store.Bus, request, "")
	view, _ := following(t, store.Bus)
	if _, err := store.Unheld.AskErase(t.Context(), one(request, n)); err != nil {
		t.Fatal(err)
	}
	if e, done, err := store.Unheld.Erase(t.Context(), view, heardOf(t, view, n)); done || err != nil || e.Removed != (run.Removed{}) {
		t.Fatalf("before there is the event: done %t, %+v, %v", done, e, err)
	}
	if err := store.KeepSources(t.Context()); err != nil {
		t.Fatal(err)
	}
	receipt := erasing(t, store.Bus, view, request.Task)
	if want := (run.Removed{Runs: 1, Requests: 1, FinalDocuments: 1, Events: 1, RejectedChunks: 1}); receipt.Removed != want {
		t.Errorf("removed %+v, want %+v", receipt.Removed, want)
	}
	gone(t, store.Bus, request, n, "")
}

// sealing is a store with a full slice whose runs have ended, one of which, run 5, is to be erased.
func sealing(t *testing.T) (store *bustest.Store, request run.Request, view *bus.Erasures) {
	t.Helper()
	store = sliced(t, bus.Topology{Slice: 70})
	request = bustest.Applied(t, store.Bus)
	for n := run.Number(1); n <= 75; n++ {
		if n == 5 {
			personal(t, store.Bus, request, "key")
			continue
		}
		bustest.Submit(t, store.Bus, request)
		end(t, store.Bus, request, n)
	}
	awaitEvents(t, store.Bus, 5, 75)
	view, _ = following(t, store.Bus)
	if _, err := store.Unheld.AskErase(t.Context(), one(request, 5)); err != nil {
		t.Fatal(err)
	}
	return store, request, view
}

// An erasure that was begun while the run's slice took runs waits for the bundles once it is sealed: another process may
// be at them.
func TestAnErasureWaitsForTheBundles(t *testing.T) {
	t.Parallel()
	store, request, view := sealing(t)
	steps(store.Bus, "final") // the claim is the one that stays
	if _, _, err := store.Unheld.Erase(t.Context(), view, heardOf(t, view, 5)); !errors.Is(err, errStopped) {
		t.Fatal(err)
	}
	store.Jet().Interrupt = nil
	keeper := store.Unheld.Slices()
	look(t, keeper, "sealed", func() bool { return isSealed(t, store.Bus, "KV_runs_0") })
	if isBundled(t, store.Bus, "KV_runs_0") {
		t.Fatal("the slice is bundled as soon as it is sealed")
	}
	proctest.Eventually(t, "what was noted before the step is heard of", func() bool { return heardOf(t, view, 5).EndedOn != nil })
	if _, done, err := store.Unheld.Erase(t.Context(), view, heardOf(t, view, 5)); done || err != nil {
		t.Fatalf("in a slice without bundles: done %t, %v", done, err)
	}
	for name, subject := range map[string]string{"RUNS": "run.request." + string(request.Task), "KV_runs_0": fmt.Sprintf("$KV.runs_0.final.%s.5", request.Task)} {
		var err error
		if name == "RUNS" {
			_, err = stream(t, store.Bus, name).GetMsg(t.Context(), store.Jet().Numbers.Sequence(5))
		} else {
			_, err = stream(t, store.Bus, name).GetLastMsgForSubject(t.Context(), subject)
		}
		if err != nil {
			t.Errorf("%s of run 5 has gone before the bundles: %v", subject, err)
		}
	}
	look(t, keeper, "bundled", func() bool { return isBundled(t, store.Bus, "KV_runs_0") })
	if receipt := erasing(t, store.Bus, view, request.Task); receipt.Removed.Runs != 1 || receipt.Removed.FinalDocuments != 1 {
		t.Errorf("removed %+v", receipt.Removed)
	}
	gone(t, store.Bus, request, 5, "key")
}

// A run that is erased while another process seals its slice, and has it in a bundle already, goes from that too.
func TestAnErasureWhileTheSliceIsSealed(t *testing.T) {
	t.Parallel()
	store, request, view := sealing(t)
	another := opened(t, store)
	keeper := another.Unheld.Slices()
	bundles := func() int {
		info, err := stream(t, another, "KV_runs_0").Info(t.Context(), jetstream.WithSubjectFilter("$KV.runs_0.bundle.>"))
		if err != nil {
			t.Fatal(err)
		}
		return len(info.State.Subjects)
	}
	store.Jet().Interrupt = func(step string) error {
		if step == "final" {
			look(t, keeper, "sealed, with bundles", func() bool { return bundles() > 0 })
		}
		return nil
	}
	of := heardOf(t, view, 5)
	proctest.Until(t, func() error {
		_, done, err := store.Unheld.Erase(t.Context(), view, of)
		if done {
			t.Fatal("it is done, while a bundle has the run")
		}
		if err == nil && bundles() == 0 {
			err = errors.New("it has not come to the run yet")
		}
		of = heardOf(t, view, 5)
		return err
	})
	if isBundled(t, store.Bus, "KV_runs_0") {
		t.Fatal("the slice was bundled in between")
	}
	store.Jet().Interrupt = nil
	look(t, keeper, "bundled", func() bool { return isBundled(t, another, "KV_runs_0") })
	erasing(t, store.Bus, view, request.Task)
	gone(t, store.Bus, request, 5, "key")
	gone(t, opened(t, store), request, 5, "")
}

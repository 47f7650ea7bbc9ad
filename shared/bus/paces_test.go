package bus_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// followPaces has a view followed until the end of the test.
func followPaces(t *testing.T, of *bus.Bus) *bus.Paces {
	t.Helper()
	view := of.Runs.Paces()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var following sync.WaitGroup
	following.Go(func() { view.Follow(ctx) })
	t.Cleanup(func() { cancel(); following.Wait() })
	return view
}

// atFirst is what the first poller of a queued run is told.
func atFirst(view *bus.Paces, def *task.Definition) time.Duration {
	now := time.Now()
	return view.PollAgain(def, run.Stage{Phase: run.Queued, Since: now}, now)
}

// awaitPace waits until a view tells pollers to wait so long.
func awaitPace(t *testing.T, view *bus.Paces, def *task.Definition, want time.Duration) {
	t.Helper()
	proctest.Until(t, func() error {
		if got := atFirst(view, def); got != want {
			return errors.New("pollers are told to wait " + got.String() + ", not " + want.String())
		}
		return nil
	})
}

// What one process stores of how long runs took, another tells its pollers.
func TestPacesOfOthers(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	def, other := bustest.Definition(t, "One", 1), bustest.Definition(t, "Other", 1)
	view := followPaces(t, store.Open("ingress"))
	if got := atFirst(view, def); got != run.PollAtFirst {
		t.Errorf("without a run: %s", got)
	}
	if got := atFirst(nil, def); got != run.PollAtFirst {
		t.Errorf("without a view: %s", got)
	}
	runner := store.Open("runner")
	add := func(lastMs ...int64) run.Pace {
		t.Helper()
		pace, err := runner.Work.AddToPace(t.Context(), def.ID, lastMs)
		if err != nil {
			t.Fatal(err)
		}
		return pace
	}
	add(6)
	awaitPace(t, view, def, time.Second)
	before := store.Jet().Control
	info, err := before.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if pace := add(7, 5); !slices.Equal(pace.LastMs, []int64{6}) { // which tell pollers nothing else
		t.Errorf("stored is %v", pace)
	}
	if now, err := before.Info(t.Context()); err != nil || now.State.LastSeq != info.State.LastSeq {
		t.Errorf("a pace was stored that says the same: %v", err)
	}
	add(20_000, 20_000, 20_000, 20_000, 20_000, 20_000)
	awaitPace(t, view, def, 20*time.Second)
	if got := atFirst(view, other); got != run.PollAtFirst {
		t.Errorf("another task: %s", got)
	}
	def.RetryAfter = 7 * time.Second
	if got := atFirst(view, def); got != 7*time.Second {
		t.Errorf("a task that says it itself: %s", got)
	}
}

// Two runners of one task lose none of each other's runs.
func TestPacesOfTwoRunners(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	def := bustest.Definition(t, "One", 1)
	var adding sync.WaitGroup
	for i := range int64(4) {
		runner := store.Open("runner")
		adding.Go(func() {
			for n := range int64(4) {
				// Each of them tells something new.
				if _, err := runner.Work.AddToPace(t.Context(), def.ID, []int64{2000 << (4*i + n)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	adding.Wait()
	pace, err := store.Work.AddToPace(t.Context(), def.ID, nil)
	if err != nil || len(pace.LastMs) != 16 {
		t.Errorf("stored are %v (%v)", pace.LastMs, err)
	}
}

// A pace that is none, of another program, is passed over, and gives its place.
func TestForeignPace(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	def := bustest.Definition(t, "One", 1)
	view := followPaces(t, store.Bus)
	js := bustest.JetStream(t, store.Broker.URL())
	if _, err := js.Publish(t.Context(), "$KV.control.pace."+string(def.ID), []byte(`{"LastMs":[-5]}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Work.AddToPace(t.Context(), def.ID, []int64{2_500}); err != nil {
		t.Fatal(err)
	}
	awaitPace(t, view, def, 3*time.Second)
}

package recovery_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus"
	"runhook/shared/bus/recovery"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// newSliced is newRan with slices of ten runs, of which those that are full are sealed.
func newSliced(t *testing.T, n int, sealed ...string) *ran {
	t.Helper()
	return newSlicedBy(t, 10, n, sealed...)
}

// newSlicedBy is newSliced with slices of another width: a restore and a repair pass over thousands of numbers.
func newSlicedBy(t *testing.T, width, n int, sealed ...string) *ran {
	t.Helper()
	r := &ran{Store: bustest.New(t, bus.Topology{Slice: width}), finals: map[run.Number]string{}}
	r.Jet().Settled = 0
	r.request = bustest.Applied(t, r.Store.Bus)
	for range n {
		r.execute(t)
	}
	keeper := r.Unheld.Slices()
	proctest.Until(t, func() error {
		if err := keeper.Look(t.Context()); err != nil {
			return err
		}
		for _, name := range sealed {
			if r.config(t, name).Metadata["runhook-sealed"] == "" {
				return errors.New(name + " is not sealed")
			}
		}
		return nil
	})
	r.events(t, n)
	return r
}

func (r *ran) config(t *testing.T, name string) jetstream.StreamConfig {
	t.Helper()
	stream, err := r.Jet().JS.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().Config
}

// answers checks that the runs of a store answer as they did in the one before.
func (r *ran) answers(t *testing.T, before map[run.Number]string) {
	t.Helper()
	for n, final := range before {
		if status, err := r.Runs.Lookup(t.Context(), r.request.Task, n); err != nil || string(status.Bytes) != final {
			t.Errorf("run %s: %s, %v\nwas %s", n, status.Bytes, err, final)
		}
	}
}

// A backup has the slices that there are, sealed ones too. In the restored store what had ended answers as before
// and has its one event, what had not ends there, and new runs are in slices of their own.
func TestBackupOfSlices(t *testing.T) {
	t.Parallel()
	r := newSliced(t, 24, "KV_runs_0", "KV_runs_1")
	open := bustest.Submit(t, r.Bus, r.request)
	other := r.restored(t, r.parts(t))
	other.answers(t, r.finals)
	for k, sealed := range []bool{true, true, false} {
		if config := other.config(t, fmt.Sprintf("KV_runs_%d", k)); (config.Metadata["runhook-sealed"] != "") != sealed {
			t.Errorf("slice %d is sealed: %t", k, !sealed)
		}
	}
	next := other.execute(t)
	if other.finals[open] == "" || next < 1_000_000 {
		t.Errorf("run %s ended: %t; the next one is %s", open, other.finals[open] != "", next)
	}
	if !strings.HasPrefix(other.config(t, fmt.Sprintf("KV_runs_%d", next/10)).Name, "KV_runs_") {
		t.Error("the next run has no slice")
	}
	// Numbers that were passed over have none.
	if was, err := r.Jet().Slices(t.Context()); err != nil {
		t.Fatal(err)
	} else if is, err := other.Jet().Slices(t.Context()); err != nil || len(is) != len(was)+2 {
		t.Errorf("%d slices were made for the next runs: %v", len(is)-len(was), err)
	}
	other.Restart()
	other.awaitReady(t)
	last := other.execute(t)
	for n, count := range other.events(t, 27) {
		if count != 1 {
			t.Errorf("run %s has %d events", n, count)
		}
	}
	// The slices that are left behind are sealed.
	keeper := other.Unheld.Slices()
	other.Jet().Settled = 0
	proctest.Until(t, func() error {
		if err := keeper.Look(t.Context()); err != nil {
			return err
		}
		if sources := other.config(t, "EVENTS").Sources; len(sources) != 1 || sources[0].Name != fmt.Sprintf("KV_runs_%d", last/10) {
			return fmt.Errorf("the events copy %d slices", len(sources))
		}
		return nil
	})
	if again := other.restored(t, other.parts(t)); again.StoreID() == other.StoreID() {
		t.Error("the store's id is as before")
	} else {
		again.answers(t, r.finals)
		again.answers(t, other.finals)
	}
}

// The backup of a store that had one bucket for all runs is restored as that, and goes on in slices.
func TestBackupOfAnOlderStore(t *testing.T) {
	t.Parallel()
	store := bustest.Empty(t, false)
	older := bustest.NewOlder(t, store.Broker.URL())
	before := map[run.Number]string{}
	for range 5 {
		n := older.Submit()
		doc := older.Finish(n, nil)
		data, err := doc.Encode()
		if err != nil {
			t.Fatal(err)
		}
		before[n] = string(data)
	}
	open := older.Submit()
	proctest.Until(t, func() error { // the copies of what has ended
		events, err := store.Jet().JS.Stream(t.Context(), "EVENTS")
		if err == nil && events.CachedInfo().State.Msgs < 5 {
			err = errors.New("events are missing")
		}
		return err
	})
	r := &ran{Store: store, request: older.Request(), finals: map[run.Number]string{}}
	var m made
	if err := recovery.Backup(t.Context(), store.Bus, &m); err != nil {
		t.Fatal(err)
	}
	for _, p := range m.parts {
		if strings.HasPrefix(p.stream, "KV_runs") && p.stream != "KV_runs" {
			t.Errorf("the backup of an older store has the stream %s", p.stream)
		}
	}
	other := r.restored(t, m.parts)
	other.answers(t, before)
	next := other.execute(t)
	if next < 1_000_000 || other.finals[open] == "" {
		t.Errorf("the next run is %s, and run %s has ended: %t", next, open, other.finals[open] != "")
	}
	if name := other.config(t, fmt.Sprintf("KV_runs_%d", next/100_000)).Name; name == "" {
		t.Error("the next run has no slice")
	}
	if err := other.Init(t.Context(), bus.Topology{}); err != nil {
		t.Fatal(err)
	}
	if from := other.config(t, "RUNS").Metadata["runhook-sliced-from"]; from != "100000" {
		t.Errorf("runs are in slices from %s on", from)
	}
	for n, count := range other.events(t, 7) {
		if count != 1 {
			t.Errorf("run %s has %d events", n, count)
		}
	}
}

// Damage of a slice that takes runs is mended, of it alone. A sealed one that is damaged is named: a run that has
// lost its final document is gone, and is not executed again; the others live.
func TestDamagedSlices(t *testing.T) {
	t.Parallel()
	r := newSliced(t, 24, "KV_runs_0", "KV_runs_1")
	r.cut(t, "KV_runs_2", 1000, true)
	for n, final := range r.finals {
		if status, err := r.Runs.Lookup(t.Context(), r.request.Task, n); err != nil || string(status.Bytes) != final {
			t.Errorf("run %s: %s, %v", n, status.Bytes, err)
		}
	}
	next := r.execute(t)
	for n, count := range r.events(t, 25) {
		if count != 1 {
			t.Errorf("run %s has %d events", n, count)
		}
	}
	if next < 25 {
		t.Errorf("the next run is %s", next)
	}

	gone := 0
	for tries := 0; gone == 0 && tries < 5; tries++ { // the end of the file may have no run of its own
		r.cut(t, "KV_runs_0", 1000, true)
		gone = r.lost(t)
	}
	if gone == 0 { // all nine may be, where the file was compressed as one block
		t.Error("no run is gone")
	}
	r.execute(t)
}

// lost counts the runs of the first slice that are gone. Those are not executed again, and all others are as they were.
func (r *ran) lost(t *testing.T) (gone int) {
	t.Helper()
	for n, final := range r.finals {
		switch status, err := r.Runs.Lookup(t.Context(), r.request.Task, n); {
		case errors.Is(err, run.ErrRunGone) && n < 10:
			gone++
			if _, err := r.Work.Claim(t.Context(), r.request.Task, n, run.Claim{Owner: "test", StartedOn: time.Now(), Executions: 1}); !errors.Is(err, bus.ErrClaimed) {
				t.Errorf("run %s is executed again: %v", n, err)
			}
		case err != nil || string(status.Bytes) != final:
			t.Errorf("run %s: %s, %v", n, status.Bytes, err)
		}
	}
	return gone
}

// bundle looks after the slices until one is bundled and its requests have left RUNS, or until enough.
func bundle(t *testing.T, store *bus.Bus, enough func(first jetstream.StreamConfig) bool) {
	t.Helper()
	store.Jet().Settled = 0
	keeper := store.Unheld.Slices()
	proctest.Until(t, func() error {
		if err := keeper.Look(t.Context()); err != nil {
			return err
		}
		first, err := store.Jet().JS.Stream(t.Context(), "KV_runs_0")
		if err != nil {
			return err
		}
		if !enough(first.CachedInfo().Config) {
			return errors.New("the first slice is not ready")
		}
		runs, err := store.Jet().JS.Stream(t.Context(), "RUNS")
		if err == nil && isBundled(first.CachedInfo().Config) && runs.CachedInfo().State.FirstSeq < 100 {
			err = errors.New("its requests are in RUNS")
		}
		return err
	})
}

func isBundled(slice jetstream.StreamConfig) bool { return slice.Metadata["runhook-bundled"] != "" }

// A backup has what is bundled, in whatever step that is, also where it goes on while the streams are read. The runs
// of the restored store answer as before, and are bundled on.
func TestBackupOfBundles(t *testing.T) {
	t.Parallel()
	anything := func(jetstream.StreamConfig) bool { return true }
	for step, c := range map[string]struct {
		before, during func(jetstream.StreamConfig) bool
	}{
		"sealed":                   {func(first jetstream.StreamConfig) bool { return first.Metadata["runhook-sealed"] != "" }, anything},
		"bundled while it is read": {func(first jetstream.StreamConfig) bool { return first.Metadata["runhook-sealed"] != "" }, isBundled},
		"bundled":                  {isBundled, anything},
	} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			r := newSlicedBy(t, 100, 104)
			bundle(t, r.Bus, c.before)
			requested := map[run.Number]string{}
			for n := range r.finals {
				requested[n] = r.requested(t, n)
			}
			open := bustest.Submit(t, r.Bus, r.request)
			m := &made{begun: func(stream string) {
				if stream == "KV_keys" { // RUNS is read
					bundle(t, r.Bus, c.during)
				}
			}}
			if err := recovery.Backup(t.Context(), r.Bus, m); err != nil {
				t.Fatal(err)
			}
			other := r.restored(t, m.parts)
			other.answers(t, r.finals)
			for n, was := range requested {
				if now := other.requested(t, n); now != was {
					t.Errorf("the request of run %s: %s, was %s", n, now, was)
				}
			}
			next := other.execute(t)
			if other.finals[open] == "" || next < 1_000_000 {
				t.Errorf("run %s ended: %t; the next one is %s", open, other.finals[open] != "", next)
			}
			for n, count := range other.events(t, 106) {
				if count != 1 {
					t.Errorf("run %s has %d events", n, count)
				}
			}
			bundle(t, other.Bus, isBundled)
			other.answers(t, r.finals)
			listed, err := other.Runs.List(t.Context(), 500, r.request.Task)
			if err != nil || len(listed) != 106 {
				t.Errorf("%d runs are listed, %v", len(listed), err)
			}
		})
	}
}

// A slice that is sealed while the slices are read, after the events, has all of its events in the restored store.
func TestBackupWhileASliceIsSealed(t *testing.T) {
	t.Parallel()
	sealed := func(first jetstream.StreamConfig) bool { return first.Metadata["runhook-sealed"] != "" }
	for step, enough := range map[string]func(jetstream.StreamConfig) bool{"sealed": sealed, "bundled": isBundled} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			r := newSlicedBy(t, 100, 90)
			var times int
			m := &made{begun: func(stream string) {
				if stream != "EVENTS" {
					return
				}
				for times++; len(r.finals) < 104; {
					r.execute(t)
				}
				bundle(t, r.Bus, enough)
			}}
			if err := recovery.Backup(t.Context(), r.Bus, m); err != nil {
				t.Fatal(err)
			}
			if times != 2 {
				t.Errorf("the events were read %d times", times)
			}
			other := r.restored(t, m.parts)
			other.answers(t, r.finals)
			other.execute(t)
			for n, count := range other.events(t, 105) {
				if count != 1 {
					t.Errorf("run %s has %d events", n, count)
				}
			}
		})
	}
}

// requested is the request of a run.
func (r *ran) requested(t *testing.T, n run.Number) string {
	t.Helper()
	request, err := r.Runs.Request(t.Context(), r.request.Task, n)
	if err != nil {
		t.Errorf("run %s: %v", n, err)
	}
	return fmt.Sprintf("%+v", request)
}

// The repair of a store, after whatever damage of what is written to, leaves the bundles and what they tell.
func TestRepairLeavesBundles(t *testing.T) {
	t.Parallel()
	r := newSlicedBy(t, 100, 104)
	bundle(t, r.Bus, isBundled)
	if err := recovery.Repair(t.Context(), r.Bus, map[string]int64{"RUNS": 7, "KV_runs_0": 7, "KV_runs_1": 7, "EVENTS": 7}, true); err != nil {
		t.Fatal(err)
	}
	r.answers(t, r.finals)
	if next := r.execute(t); next <= 105 {
		t.Errorf("the next run is %s", next)
	}
	r.Restart()
	r.awaitReady(t)
	r.answers(t, r.finals)
	for n, count := range r.events(t, 105) {
		if count != 1 {
			t.Errorf("run %s has %d events", n, count)
		}
	}
}

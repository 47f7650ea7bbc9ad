package recovery_test

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"runhook/shared/bus"
	"runhook/shared/bus/recovery"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// passing is a store whose events go soon, with n runs.
func passing(t *testing.T, n int, kept time.Duration) *ran {
	t.Helper()
	r := &ran{Store: bustest.New(t, bus.Topology{EventsRetention: kept}), finals: map[run.Number]string{}}
	r.request = bustest.Applied(t, r.Bus)
	for range n {
		r.execute(t)
	}
	return r
}

// copied waits until the server has copied n events in all, and returns how many it has copied and how many are
// left.
func (r *ran) copied(t *testing.T, n uint64) (copied, left uint64) {
	t.Helper()
	proctest.Until(t, func() error {
		if err := r.KeepSources(t.Context()); err != nil { // a status service does
			return err
		}
		info, err := r.eventsInfo(t)
		behind := func(source *jetstream.StreamSourceInfo) bool { return source.Lag > 0 || source.Active < 0 }
		if err == nil && (info.State.LastSeq < n || slices.ContainsFunc(info.Sources, behind)) {
			err = fmt.Errorf("%d events were copied, want %d", info.State.LastSeq, n)
		}
		if err == nil {
			copied, left = info.State.LastSeq, info.State.Msgs
		}
		return err
	})
	return copied, left
}

func (r *ran) eventsInfo(t *testing.T) (*jetstream.StreamInfo, error) {
	stream, err := bustest.JetStream(t, r.Broker.URL()).Stream(t.Context(), "EVENTS")
	if err != nil {
		return nil, err
	}
	return stream.CachedInfo(), nil
}

// none waits until no event is left, and the program has seen to it that none comes again.
func (r *ran) none(t *testing.T) {
	t.Helper()
	r.Jet().Settled = 0
	keeper := r.Unheld.Slices()
	proctest.Until(t, func() error {
		if err := keeper.Look(t.Context()); err != nil {
			return err
		}
		info, err := r.eventsInfo(t)
		if err == nil && (info.State.Msgs > 0 || info.Config.Sources[0].OptStartSeq == 1) {
			err = fmt.Errorf("%d events are left, and they begin at %d", info.State.Msgs, info.Config.Sources[0].OptStartSeq)
		}
		return err
	})
}

// repaired is what a start of the program says of the store.
func (r *ran) repaired(t *testing.T) string {
	t.Helper()
	r.awaitReady(t)
	var log bytes.Buffer
	again, err := bus.Connect(t.Context(), bus.Config{URLs: r.Broker.URL(), Name: "serve", Log: zerolog.New(&log)})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := again.Init(t.Context(), bus.Topology{Embedded: true}); err != nil {
		t.Fatal(err)
	}
	if err := recovery.Repair(t.Context(), again, r.Broker.CutOff, r.Broker.Unsynced); err != nil {
		t.Fatal(err)
	}
	return log.String()
}

// killed starts the server again on what it had on disk while it ran, as after a kill.
func (r *ran) killed(t *testing.T) {
	t.Helper()
	listen, left := r.Broker.Addr().String(), t.TempDir()
	if err := os.CopyFS(left, os.DirFS(r.Dir)); err != nil {
		t.Fatal(err)
	}
	r.Broker.Stop()
	if err := os.RemoveAll(r.Dir); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(r.Dir, os.DirFS(left)); err != nil {
		t.Fatal(err)
	}
	r.Start(listen)
}

// Events that go because of their age do not come again, however the server ends, and what ends later has its
// event.
func TestEventsThatHavePassedDoNotComeAgain(t *testing.T) {
	t.Parallel()
	const runs = 3
	r := passing(t, runs, time.Second)
	if copied, _ := r.copied(t, runs); copied != runs {
		t.Fatalf("%d events of %d runs", copied, runs)
	}
	for i, start := range []func(){r.Restart, func() { r.killed(t) }, r.Restart} {
		r.none(t)
		start()
		if said := r.repaired(t); bytes.Contains([]byte(said), []byte("EVENTS")) {
			t.Errorf("start %d: %s", i, said)
		}
		ended := uint64(runs + i + 1)
		r.execute(t)
		if copied, _ := r.copied(t, ended); copied != ended {
			t.Errorf("start %d: %d events of %d runs", i, copied, ended)
		}
	}
	for n := range r.finals {
		if _, err := r.Runs.Lookup(t.Context(), r.request.Task, n); err != nil {
			t.Errorf("run %s: %v", n, err)
		}
	}
}

// After a purge the completions come again that would be kept, and no older ones.
func TestOnlyYoungEventsComeAgain(t *testing.T) {
	t.Parallel()
	const kept = 5 * time.Second
	r := passing(t, 3, kept)
	r.copied(t, 3)
	r.none(t)
	began := time.Now()
	young := r.execute(t)
	r.copied(t, 4)
	stream, err := bustest.JetStream(t, r.Broker.URL()).Stream(t.Context(), "EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.Restart()
	said := r.repaired(t)
	want := uint64(5)
	if time.Since(began) > kept { // a busy machine
		want = 4
	} else if said != "" && !bytes.Contains([]byte(said), []byte(`"completions":1,`)) { // else the server was faster
		t.Errorf("the log: %s", said)
	}
	if copied, _ := r.copied(t, want); copied > 5 {
		t.Errorf("%d events were copied for run %s", copied, young)
	}
}

// A restored store whose events had all passed has none, and its next run has one.
func TestEventsThatHavePassedAreNotRestored(t *testing.T) {
	t.Parallel()
	r := passing(t, 3, time.Second)
	r.copied(t, 3)
	r.none(t)
	parts := r.parts(t)
	other := r.restored(t, parts)
	if copied, _ := other.copied(t, 0); copied != 3 {
		t.Errorf("%d events were copied of three runs", copied)
	}
	for i, start := range []func(){func() {}, other.Restart, func() { other.killed(t) }} {
		other.none(t)
		before, _ := other.copied(t, 0)
		start()
		if said := other.repaired(t); bytes.Contains([]byte(said), []byte("EVENTS")) {
			t.Errorf("start %d: %s", i, said)
		}
		other.execute(t)
		if copied, _ := other.copied(t, before+1); copied != before+1 {
			t.Errorf("start %d: %d events were copied, of one run", i, copied-before)
		}
	}
}

// An event that goes because of its age while a repair reads the others needs no repair.
func TestRepairGoesOnWithoutAnEventThatPasses(t *testing.T) {
	t.Parallel()
	r := passing(t, 1, time.Hour)
	r.copied(t, 1)
	if err := r.Jet().Events.DeleteMsg(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if back, err := recovery.ReconcileEvent(t.Context(), r.Bus, 1, r.request.Task, 1); back != 0 || err != nil {
		t.Errorf("final document %d, %v", back, err)
	}
}

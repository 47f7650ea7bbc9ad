package bus_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// A store that has one bucket for all runs goes on in slices: the runs of before stay where they are, and end
// there, and those that come are in slices from a round number on. Its bucket is sealed like a slice.
func TestAnOlderStoreGoesOnInSlices(t *testing.T) {
	t.Parallel()
	store := bustest.Empty(t, false)
	older := bustest.NewOlder(t, store.Broker.URL())
	ended := map[run.Number][]byte{}
	for n := run.Number(1); n <= 50; n++ {
		if got := older.Submit(); got != n {
			t.Fatalf("run %s is %s", n, got)
		}
	}
	for n := run.Number(1); n <= 44; n++ {
		var rows []byte
		if n == 7 {
			rows = []byte(`{"Columns":["id"],"Delimiter":",","Rows":[{}]}`)
		}
		if n > 40 { // their claims were not removed yet
			older.Claim(n, run.Claim{Owner: "before", StartedOn: time.Now(), Executions: 1})
		}
		doc := older.Finish(n, rows)
		data, err := doc.Encode()
		if err != nil {
			t.Fatal(err)
		}
		ended[n] = data
	}
	older.Claim(45, run.Claim{Owner: "before", StartedOn: time.Now(), Executions: 1, HandedBack: true})
	older.Claim(46, run.Claim{Owner: "before", StartedOn: time.Now(), Executions: 1})
	older.Lease(2)
	if err := store.Check(t.Context()); !errors.Is(err, bus.ErrNotMade) {
		t.Errorf("a service on the older store: %v", err)
	}

	request := older.Request()
	is := func(process *bus.Bus, when string) {
		t.Helper()
		for n, data := range ended {
			status, err := process.Runs.Lookup(t.Context(), request.Task, n)
			if err != nil || !status.Final || string(status.Bytes) != string(data) {
				t.Errorf("%s: run %s: %s, %v", when, n, status.Bytes, err)
			}
		}
		if rejected, err := process.Runs.RejectedRows(t.Context(), request.Task, 7); err != nil || rejected.Chunks() != 1 {
			t.Errorf("%s: the rejected rows: %v", when, err)
		} else if _, err := rejected.Chunk(t.Context(), 1); err != nil {
			t.Errorf("%s: the rejected rows: %v", when, err)
		}
	}
	for _, topology := range []bus.Topology{{Slice: 20, Embedded: true}, {Embedded: true}, {Slice: 30, Embedded: true}} {
		if err := store.Init(t.Context(), topology); err != nil {
			t.Fatal(err)
		}
		metadata := stream(t, store.Bus, "RUNS").CachedInfo().Config.Metadata
		if metadata["runhook-slice"] != "20" || metadata["runhook-sliced-from"] != "60" {
			t.Errorf("RUNS says %v", metadata)
		}
	}
	store.Jet().Settled = 0
	is(store.Bus, "opened")
	for n, claimed := range map[run.Number]bool{45: true, 46: true, 47: false} {
		status, err := store.Runs.Lookup(t.Context(), request.Task, n)
		if err != nil || status.Final || (status.Document.ExecutionCount == 1) != claimed {
			t.Errorf("run %s: %s, %v", n, status.Bytes, err)
		}
	}
	for n := run.Number(45); n <= 46; n++ {
		seen, found, err := store.Work.FindClaim(t.Context(), request.Task, n)
		if err != nil || !found || seen.State.HandedBack != (n == 45) {
			t.Fatal(seen, found, err)
		}
		doc := run.QueuedDocument(request, n)
		doc.End(run.Failed, "given up", time.Now())
		if err := store.Unheld.EndAbandoned(t.Context(), request.Task, n, seen, doc); err != nil {
			t.Fatal(err)
		}
	}
	for n := run.Number(47); n <= 50; n++ {
		end(t, store.Bus, request, n)
	}
	for n := run.Number(51); n <= 65; n++ {
		if got := bustest.Submit(t, store.Bus, request); got != n {
			t.Fatalf("run %s is %s", n, got)
		}
		end(t, store.Bus, request, n)
	}
	if _, err := store.Work.Claim(t.Context(), request.Task, 7, run.Claim{Owner: "me"}); !errors.Is(err, bus.ErrClaimed) {
		t.Errorf("an ended run is claimed: %v", err)
	}
	if msgs := stream(t, store.Bus, "KV_runs_3").CachedInfo().State.Msgs; msgs != 2*6 || streams(t, store.Bus, "KV_runs_2") {
		t.Errorf("the first slice has %d messages of 6 runs", msgs)
	}
	once := func(when string) {
		t.Helper()
		proctest.Until(t, func() error {
			counts, err := bustest.EventCounts(t.Context(), store.Bus)
			for n := run.Number(1); n <= 65; n++ {
				if counts[n] != 1 {
					err = fmt.Errorf("%s: run %s has %d events", when, n, counts[n])
				}
			}
			return err
		})
	}
	once("ended")
	look(t, store.Unheld.Slices(), "the bucket is sealed", func() bool { return isSealed(t, store.Bus, "KV_runs") })
	if msgs := stream(t, store.Bus, "KV_runs").CachedInfo().State.Msgs; msgs != 59 {
		t.Errorf("the sealed bucket has %d messages of 59 runs", msgs)
	}
	is(store.Bus, "sealed")
	store.Restart()
	proctest.Until(t, func() error { return store.Ready(t.Context()) })
	is(store.Open("another"), "after a restart")
	once("after a restart")

	// It is not bundled, and as long as it is there RUNS keeps what is in bundles.
	for n := run.Number(66); n <= 85; n++ {
		end(t, store.Bus, request, bustest.Submit(t, store.Bus, request))
	}
	keeper, first := store.Unheld.Slices(), func() uint64 { return stream(t, store.Bus, "RUNS").CachedInfo().State.FirstSeq }
	look(t, keeper, "a slice is bundled", func() bool { return isBundled(t, store.Bus, "KV_runs_3") })
	if err := keeper.Look(t.Context()); err != nil || first() != 1 || isBundled(t, store.Bus, "KV_runs") {
		t.Errorf("RUNS begins at %d, %v", first(), err)
	}
	is(store.Bus, "bundled")
	if err := store.Jet().JS.DeleteStream(t.Context(), "KV_runs"); err != nil {
		t.Fatal(err)
	}
	look(t, keeper, "RUNS begins behind the bundles", func() bool { return first() == 80 })
}

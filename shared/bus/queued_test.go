package bus_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/run"
)

// A list whose time is over has the runs that were found; those behind them are asked for next, and none is missing.
func TestAListWhoseTimeIsOver(t *testing.T) {
	t.Parallel()
	const runs, reads = 60, 20
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	for range runs {
		bustest.Submit(t, store.Bus, request)
	}
	var stop atomic.Pointer[context.CancelFunc]
	var left atomic.Int64
	watched, err := nats.Connect(store.Broker.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer watched.Close()
	if _, err := watched.Subscribe("$JS.API.STREAM.MSG.GET.KV_runs_0", func(*nats.Msg) {
		if left.Add(-1) == 0 {
			(*stop.Load())()
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := watched.Flush(); err != nil {
		t.Fatal(err)
	}
	var listed []run.Number
	lists, behind := 0, run.Number(0)
	for {
		limited, cancel := context.WithCancel(t.Context())
		stop.Store(&cancel)
		left.Store(reads)
		found, err := store.Runs.Queued(limited, behind, 1000, request.Task)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		if len(found) == 0 {
			break
		}
		lists++
		for _, status := range found {
			behind = status.Document.ImportID
			listed = append(listed, behind)
		}
	}
	if lists < 2 {
		t.Errorf("%d lists have all of them", lists)
	}
	for i, n := range listed {
		if n != run.Number(i+1) {
			t.Fatalf("listed %v", listed)
		}
	}
	if len(listed) != runs {
		t.Errorf("listed %v", listed)
	}
}

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
	limited, cancel := context.WithCancel(t.Context())
	defer cancel()
	var seen atomic.Int64
	watched, err := nats.Connect(store.Broker.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer watched.Close()
	if _, err := watched.Subscribe("$JS.API.STREAM.MSG.GET.KV_runs_0", func(*nats.Msg) {
		if seen.Add(1) == reads {
			cancel()
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := watched.Flush(); err != nil {
		t.Fatal(err)
	}
	first, err := store.Runs.Queued(limited, 0, 1000, request.Task)
	if err != nil || len(first) == 0 || len(first) == runs {
		t.Fatalf("the time is over: %d runs, %v", len(first), err)
	}
	rest, err := store.Runs.Queued(t.Context(), first[len(first)-1].Document.ImportID, 1000, request.Task)
	if err != nil {
		t.Fatal(err)
	}
	all := append(first, rest...)
	for i, status := range all {
		if status.Document.ImportID != run.Number(i+1) {
			t.Errorf("run %s is listed as number %d", status.Document.ImportID, i+1)
		}
	}
	if len(all) != runs {
		t.Errorf("%d runs are listed", len(all))
	}
}

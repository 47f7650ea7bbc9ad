package bus_test

import (
	"strings"
	"testing"
	"time"

	"runhook/shared/bus"
	"runhook/shared/bustest"
)

// A store that is given another lease has it for the tasks that are there, too.
func TestLeaseChangesForTasksThatAreThere(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{Lease: 3 * time.Second})
	request := bustest.Applied(t, store.Bus)
	for _, lease := range []time.Duration{3 * time.Second, 5 * time.Second, 5 * time.Second} {
		if err := store.Init(t.Context(), bus.Topology{Lease: lease}); err != nil {
			t.Fatal(err)
		}
		consumer, err := bustest.JetStream(t, store.Broker.URL()).Consumer(t.Context(), "RUNS", string(request.Task))
		if err != nil {
			t.Fatal(err)
		}
		if has := consumer.CachedInfo().Config.AckWait; has != lease || store.Work.Lease() != lease {
			t.Errorf("the consumer has %s, the store %s, want %s", has, store.Work.Lease(), lease)
		}
	}
}

// What the server does not let be changed of a stream is left, or said.
func TestInitKeepsWhatCannotChange(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{Synced: true})
	if err := store.Init(t.Context(), bus.Topology{}); err != nil {
		t.Errorf("a store that is served from elsewhere now: %v", err)
	}
	err := store.Init(t.Context(), bus.Topology{Replicas: 3}) // which this server could not do either
	if err == nil || !strings.Contains(err.Error(), "EVENTS") || !strings.Contains(err.Error(), "runhook restore") {
		t.Errorf("got %v, want what to do about EVENTS", err)
	}
}

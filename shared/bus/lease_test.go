package bus_test

import (
	"testing"
	"time"

	"runhook/shared/bus"
	"runhook/shared/bustest"
)

// A store that is given another lease has it for the tasks that are there, too.
func TestLeaseChangesForTasksThatAreThere(t *testing.T) {
	store := bustest.New(t, bus.Topology{Lease: 3 * time.Second})
	request := applied(t, store)
	for _, lease := range []time.Duration{3 * time.Second, 5 * time.Second, 5 * time.Second} {
		if err := store.Init(t.Context(), bus.Topology{Lease: lease}); err != nil {
			t.Fatal(err)
		}
		consumer, err := subscriber(t, store).Consumer(t.Context(), "RUNS", string(request.Task))
		if err != nil {
			t.Fatal(err)
		}
		if has := consumer.CachedInfo().Config.AckWait; has != lease || store.Lease() != lease {
			t.Errorf("the consumer has %s, the store %s, want %s", has, store.Lease(), lease)
		}
	}
}

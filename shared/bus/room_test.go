package bus_test

import (
	"fmt"
	"testing"

	"runhook/shared/bus"
	"runhook/shared/bustest"
)

// Each request has the slice of its number, also where more were accepted than there was room for.
func TestSlicesOfLateRequests(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{Slice: 10})
	request := bustest.Applied(t, store.Bus)
	js := bustest.JetStream(t, store.Broker.URL())
	for range 33 {
		if _, err := js.Publish(t.Context(), "run.request."+string(request.Task), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Unheld.Slices().Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	for k := range 5 {
		if name := fmt.Sprintf("KV_runs_%d", k); !streams(t, store.Bus, name) {
			t.Errorf("%s is not there", name)
		}
	}
}

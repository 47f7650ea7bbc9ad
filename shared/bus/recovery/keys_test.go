package recovery_test

import (
	"testing"
	"time"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// The keys that came with a backup are remembered for their window, and no longer.
func TestRestoredKeysPass(t *testing.T) {
	t.Parallel()
	const window = 5 * time.Second
	r := &ran{Store: bustest.New(t, bus.Topology{IdempotencyWindow: window}), finals: map[run.Number]string{}}
	r.request = bustest.Applied(t, r.Bus)
	before := time.Now()
	first, err := r.Runs.Submit(t.Context(), r.request, "a key")
	if err != nil {
		t.Fatal(err)
	}
	other := r.restored(t, r.parts(t))
	again := func() bus.Accepted {
		t.Helper()
		accepted, err := other.Runs.Submit(t.Context(), r.request, "a key")
		if err != nil {
			t.Fatal(err)
		}
		return accepted
	}
	if repeated := again(); time.Since(before) < window && (!repeated.Replayed || repeated.Number != first.Number) {
		t.Errorf("repeated within the window: %+v", repeated)
	}
	proctest.Eventually(t, "the key is new again", func() bool {
		repeated := again()
		return repeated.Number != first.Number
	})
	if passed := time.Since(before); passed < window {
		t.Errorf("the key was remembered for %s", passed)
	}
}

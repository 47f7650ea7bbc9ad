package bus_test

import (
	"context"
	"errors"
	"testing"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// While the keys of a restored store are being read, which may take long, a POST with a key waits no longer
// than for a write, and not at all once its caller has gone.
func TestNobodyWaitsLongForTheKeysOfARestoredStore(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	end := store.Runs.ReadRestoredForEver()
	bound, release := context.WithTimeout(t.Context(), proctest.Limit)
	defer release()
	if _, err := store.Runs.Submit(bound, request, "key"); !errors.Is(err, run.ErrUnavailable) || bound.Err() != nil {
		t.Errorf("while they are read: %v", err)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := store.Runs.Submit(gone, request, "key"); err == nil {
		t.Error("a run was started for a caller who has gone, with a key that may be known")
	}
	end()
	first, err := store.Runs.Submit(t.Context(), request, "key")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := store.Runs.Submit(t.Context(), request, "key"); err != nil || again.Number != first.Number {
		t.Errorf("the key gave run %s at first and %s later, %v", first.Number, again.Number, err)
	}
}

package bus_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// keyed is what a store says of a key.
func keyed(t *testing.T, store *bus.Bus, id task.ID, key string) (bus.Accepted, bool) {
	t.Helper()
	var found bus.Accepted
	var ok bool
	if _, err := retryUnavailable(t.Context(), func() (bus.Accepted, error) {
		var err error
		found, ok, err = store.Runs.Keyed(t.Context(), id, key)
		return found, err
	}); err != nil {
		t.Fatal(err)
	}
	return found, ok
}

// A key is looked up by the id that was called, and asking stores nothing.
func TestKeyIsLookedUp(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request, other := bustest.Applied(t, store.Bus), bustest.Applied(t, store.Bus)
	if _, ok := keyed(t, store.Bus, request.Task, "key"); ok {
		t.Error("a key is known before it was used")
	}
	original, err := store.Runs.Submit(t.Context(), request, "key")
	if err != nil {
		t.Fatal(err)
	}
	called := request
	called.CalledAs = task.NewID()
	former, err := store.Runs.Submit(t.Context(), called, "key")
	if err != nil || former.Number != original.Number+1 {
		t.Fatalf("%+v %v", former, err)
	}
	for _, restart := range []bool{false, true} {
		if restart {
			store.Restart() // it is known from the stream, not from memory
		}
		for id, want := range map[task.ID]bus.Accepted{request.Task: original, called.CalledAs: former} {
			found, ok := keyed(t, store.Bus, id, "key")
			if !ok || !found.Replayed || found.Number != want.Number || found.Request.Definition != request.Definition || found.Request.ParameterHash != "h1" {
				t.Errorf("%s: %+v %v", id, found, ok)
			}
		}
		for _, unknown := range []struct {
			id  task.ID
			key string
		}{{request.Task, "other"}, {request.Task, ""}, {other.Task, "key"}, {task.NewID(), "key"}} {
			if found, ok := keyed(t, store.Bus, unknown.id, unknown.key); ok {
				t.Errorf("%+v is known: %+v", unknown, found)
			}
		}
	}
	if next := bustest.Submit(t, store.Bus, request); next != former.Number+1 {
		t.Errorf("the next run is %s after %s", next, former.Number)
	}
}

// What was accepted is told while the store takes nothing, too.
func TestFullStoreKnowsKeys(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	var full atomic.Bool
	filling, err := bus.Connect(t.Context(), bus.Config{URLs: store.Broker.URL(), Full: full.Load, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(filling.Close)
	if err := filling.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	request := bustest.Applied(t, filling)
	original, err := filling.Runs.Submit(t.Context(), request, "key")
	if err != nil {
		t.Fatal(err)
	}
	full.Store(true)
	request.CreatedOn = request.CreatedOn.Add(time.Hour)
	if again, err := filling.Runs.Submit(t.Context(), request, "key"); err != nil || !again.Replayed || again.Number != original.Number {
		t.Errorf("%+v %v", again, err)
	}
	if _, err := filling.Runs.Submit(t.Context(), request, "another key"); !errors.Is(err, run.ErrFull) {
		t.Errorf("an unknown key: %v", err)
	}
	request.ParameterHash = "other"
	if _, err := filling.Runs.Submit(t.Context(), request, "key"); !errors.Is(err, run.ErrKeyReused) {
		t.Errorf("other parameters: %v", err)
	}
}

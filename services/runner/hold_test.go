package runner

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// A hold is certain of its run as long as nobody can have taken it over, by its own clock. Then it
// asks, and what it hears counts.
func TestConfirm(t *testing.T) {
	store := bustest.New(t, bus.Topology{Lease: time.Minute})
	id := task.NewID()
	state := run.Claim{Owner: "me", Executions: 1}
	claim, err := store.Claim(t.Context(), id, 1, state)
	if err != nil {
		t.Fatal(err)
	}
	h := newHold(store.Bus, &bus.Delivery{Task: id, Number: 1}, zerolog.Nop())
	h.begin(claim, state, 0, time.Now())
	find := func() bus.Seen {
		seen, found, err := store.FindClaim(t.Context(), id, 1)
		if err != nil || !found {
			t.Fatal(found, err)
		}
		return seen
	}

	before := find()
	if err := h.confirm(t.Context(), false); err != nil || !find().SameAs(before) {
		t.Errorf("a claim that was just written: %v, written again %v", err, !find().SameAs(before))
	}
	if err := h.confirm(t.Context(), true); err != nil || !find().State.Checkpoint.Writing {
		t.Errorf("it is not durable that rows may be written: %v, %+v", err, find().State)
	}
	before = find()
	h.renewed = time.Now().Add(-25 * time.Second) // a taker would have to watch for half a minute
	if err := h.confirm(t.Context(), true); err != nil || find().SameAs(before) || time.Since(h.renewed) > 10*time.Second {
		t.Errorf("an old claim was not renewed: %v", err)
	}

	// Somebody takes the run over while this process stands still.
	if _, err := store.TakeOver(t.Context(), id, 1, find(), find().State.Next("other")); err != nil {
		t.Fatal(err)
	}
	h.renewed = time.Now().Add(-25 * time.Second)
	if err := h.confirm(t.Context(), true); !errors.Is(err, errLostClaim) {
		t.Errorf("a claim that is another's: %v", err)
	}

	// As long as nobody can be asked there is no answer.
	h.renewed = time.Now().Add(-25 * time.Second)
	store.Broker.Stop()
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := h.confirm(short, true); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while NATS is away: %v", err)
	}
}

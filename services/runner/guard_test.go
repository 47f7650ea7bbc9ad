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

// An attempt is certain of its run as long as nobody can have taken it over, by its own clock. Then it
// asks, and what it hears counts.
func TestConfirm(t *testing.T) {
	store := bustest.New(t, bus.Topology{Lease: time.Minute})
	id := task.NewID()
	state := run.Claim{Owner: "me", Executions: 1}
	claim, err := store.Claim(t.Context(), id, 1, state)
	if err != nil {
		t.Fatal(err)
	}
	a := &attempt{Runner: &Runner{Options: Options{Bus: store.Bus}}, number: 1, log: zerolog.Nop()}
	a.hold(claim, state, time.Now())
	find := func() bus.Seen {
		seen, found, err := store.FindClaim(t.Context(), id, 1)
		if err != nil || !found {
			t.Fatal(found, err)
		}
		return seen
	}

	before := find()
	if err := a.confirm(t.Context(), false); err != nil || !find().SameAs(before) {
		t.Errorf("a claim that was just written: %v, written again %v", err, !find().SameAs(before))
	}
	if err := a.confirm(t.Context(), true); err != nil || !find().State.Checkpoint.Writing {
		t.Errorf("it is not durable that rows may be written: %v, %+v", err, find().State)
	}
	before = find()
	a.renewed = time.Now().Add(-25 * time.Second) // a taker would have to watch for half a minute
	if err := a.confirm(t.Context(), true); err != nil || find().SameAs(before) || time.Since(a.renewed) > 10*time.Second {
		t.Errorf("an old claim was not renewed: %v", err)
	}

	// Somebody takes the run over while this process stands still.
	if _, err := store.TakeOver(t.Context(), id, 1, find(), find().State.Next("other")); err != nil {
		t.Fatal(err)
	}
	a.renewed = time.Now().Add(-25 * time.Second)
	if err := a.confirm(t.Context(), true); !errors.Is(err, errLostClaim) {
		t.Errorf("a claim that is another's: %v", err)
	}

	// As long as nobody can be asked there is no answer.
	a.renewed = time.Now().Add(-25 * time.Second)
	store.Broker.Stop()
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := a.confirm(short, true); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while NATS is away: %v", err)
	}
}

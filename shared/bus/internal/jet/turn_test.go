package jet_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"runhook/shared/bus"
	"runhook/shared/bus/internal/jet"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
)

// Who changes something in turn never undoes what another process has just done.
func TestTurns(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	const subject, processes, turns = "$KV.control.count", 4, 5
	var all sync.WaitGroup
	for i := range processes {
		process := store.Open("process" + strconv.Itoa(i)).Jet()
		all.Go(func() {
			for range turns {
				err := process.InTurn(t.Context(), func(ctx context.Context) error {
					last, err := process.Control.LeaderLast(ctx, subject)
					if err != nil && !errors.Is(err, jet.ErrMissing) {
						return err
					}
					n, _ := strconv.Atoi(string(last.Data)) // 0 at first
					_, err = process.JS.Publish(ctx, subject, []byte(strconv.Itoa(n+1)))
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if last, err := store.Jet().Control.LeaderLast(t.Context(), subject); err != nil || string(last.Data) != strconv.Itoa(processes*turns) {
		t.Errorf("%d turns of %d processes have counted to %s (%v)", turns, processes, last.Data, err)
	}
}

// A turn whose request may still be carried out, or whose process was killed, is over after a while, and not before.
func TestTurnThatIsNotGivenBack(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	began := time.Now()
	if err := store.Jet().InTurn(t.Context(), func(context.Context) error { return context.DeadlineExceeded }); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	limited, cancel := context.WithTimeout(t.Context(), proctest.Limit)
	defer cancel()
	other := store.Open("other").Jet()
	if err := other.InTurn(limited, func(context.Context) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 10*time.Second {
		t.Errorf("the next turn came after %s", took)
	}
	if last, err := other.Control.LeaderLast(t.Context(), jet.TurnSubject); err != nil || len(last.Data) > 0 {
		t.Errorf("the turn that is over is %q (%v)", last.Data, err)
	}
}

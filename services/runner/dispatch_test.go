package runner

import (
	"context"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"runhook/services/runner/connector/builtin"
	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
)

// dispatching is a runner that is given deliveries by a test, with the holds that it has begun.
type dispatching struct {
	*Runner
	store *bustest.Store
	queue *bus.Queue
	begun []*hold
}

func newDispatching(t *testing.T) *dispatching {
	t.Helper()
	store := bustest.New(t, bus.Topology{Lease: time.Hour})
	request := bustest.Applied(t, store.Bus)
	bustest.Submit(t, store.Bus, request)
	r, err := New(Options{Work: store.Work, Kinds: builtin.Kinds(), Slots: 4, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	r.slots, r.stopping = newSlots(t.Context(), 4), t.Context().Done()
	queue, err := store.Work.Queue(t.Context(), request.Task)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(queue.Close)
	return &dispatching{Runner: r, store: store, queue: queue}
}

// deliver dispatches the run's next delivery.
func (d *dispatching) deliver(t *testing.T) *bus.Delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), proctest.Limit)
	defer cancel()
	delivery, err := bustest.Next(ctx, d.queue)
	if err != nil {
		t.Fatal(err)
	}
	d.dispatch(delivery, d.slots.take, 0, func(h *hold) { d.begun = append(d.begun, h) })
	return delivery
}

// A run that is delivered twice before its attempt has done anything begins once, with the later delivery.
func TestTwoDeliveriesOfARunBeginItOnce(t *testing.T) {
	t.Parallel()
	d := newDispatching(t)
	first := d.deliver(t)
	if err := first.Retry(0); err != nil {
		t.Fatal(err)
	}
	second := d.deliver(t)
	if len(d.begun) != 1 || d.begun[0].delivery.Load() != second {
		t.Fatalf("%d attempts were begun, want one, which has the second delivery", len(d.begun))
	}
	if len(d.running) != 1 || d.slots.free != 3 {
		t.Errorf("%d runs are under way, and %d of 4 slots free", len(d.running), d.slots.free)
	}
	d.begun[0].done()
	proctest.Eventually(t, "the queue knows that the run has ended", func() bool {
		drained, err := d.store.Work.Drained(t.Context(), first.Task)
		return err == nil && drained
	})
}

// A delivery that was given back may come again before its attempt has returned. It is not that attempt's any
// more, which would answer it no more.
func TestADeliveryThatComesAgainIsANewHolds(t *testing.T) {
	t.Parallel()
	d := newDispatching(t)
	d.deliver(t)
	d.begun[0].retry(0)
	d.deliver(t)
	if len(d.begun) != 2 || len(d.running) != 1 || d.running[d.begun[0].number] != d.begun[1] {
		t.Fatalf("%d attempts were begun, %d are under way", len(d.begun), len(d.running))
	}
	d.begun[0].left() // its attempt returns
	if len(d.running) != 1 {
		t.Error("the end of the former hold ends the present one")
	}
}

// A runner that has begun to stop begins nothing that is still on its way to it, and gives it back.
func TestARequestThatComesAfterAStopGoesBack(t *testing.T) {
	t.Parallel()
	d := newDispatching(t)
	stopping := make(chan struct{})
	close(stopping)
	d.stopping = stopping
	first := d.deliver(t)
	if len(d.begun) != 0 || d.slots.free != 4 {
		t.Errorf("%d attempts were begun, %d of 4 slots are free", len(d.begun), d.slots.free)
	}
	if again := d.deliver(t); again.Number != first.Number || !again.Redelivered {
		t.Errorf("run %s was offered instead of run %s", again.Number, first.Number)
	}
}

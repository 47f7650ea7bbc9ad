package jet_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"runhook/shared/bus"
	"runhook/shared/bus/internal/jet"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
)

// An acknowledgement that nobody confirms is published again, one that is confirmed is not.
func TestLostAcknowledgementIsRepeated(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	nc := bustest.JetStream(t, store.Broker.URL()).Conn()
	const within = 100 * time.Millisecond
	deliveries := store.Jet().NewDeliveries(t, within)
	confirmed := func() error {
		if open := deliveries.Unconfirmed(); open > 0 {
			return fmt.Errorf("%d acknowledgements are not confirmed", open)
		}
		return nil
	}
	deliveries.Done("queue.lost") // nobody is there, which is told at once and is no confirmation
	if err := store.Jet().NC.Flush(); err != nil {
		t.Fatal(err)
	}
	var heard atomic.Int32
	if _, err := nc.Subscribe("queue.lost", func(msg *nats.Msg) {
		if heard.Add(1) == 2 { // the first one is lost on its way
			_ = msg.Respond(nil)
		}
	}); err != nil {
		t.Fatal(err)
	}
	proctest.Until(t, confirmed)
	if n := heard.Load(); n != 2 {
		t.Errorf("it was heard %d times before it was confirmed", n)
	}
	// What is confirmed does not come again, although another one keeps the repeats going.
	var others atomic.Int32
	if _, err := nc.Subscribe("queue.other", func(msg *nats.Msg) {
		if others.Add(1) == 4 {
			_ = msg.Respond(nil)
		}
	}); err != nil {
		t.Fatal(err)
	}
	deliveries.Done("queue.other")
	proctest.Until(t, confirmed)
	if n := heard.Load(); n != 2 {
		t.Errorf("it came %d times", n)
	}
}

// An acknowledgement that is never confirmed is given up, and leaves nothing behind.
func TestAcknowledgementsAreGivenUp(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	heard, err := store.Jet().NC.SubscribeSync("queue.silent")
	if err != nil {
		t.Fatal(err)
	}
	deliveries := store.Jet().NewDeliveries(t, time.Millisecond)
	deliveries.Done("queue.silent")
	const want = 1 + 20
	proctest.Until(t, func() error {
		open := deliveries.Unconfirmed()
		if err := store.Jet().NC.Flush(); err != nil {
			t.Fatal(err)
		}
		if n, _, err := heard.Pending(); err != nil || n > want || n < want && open == 0 {
			t.Fatalf("it was published %d times, want %d (%v)", n, want, err)
		}
		if open > 0 {
			return fmt.Errorf("%d acknowledgements are open", open)
		}
		return nil
	})
}

// A close waits for confirmations, a second at most, and no longer than until there is none to wait for.
func TestCloseWaitsForConfirmations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			open    int
			confirm bool
			want    time.Duration
		}{{0, false, 0}, {3, true, 0}, {3, false, time.Second}} {
			began := time.Now()
			if jet.Close(c.open, c.confirm); time.Since(began) != c.want {
				t.Errorf("with %d open, confirmed: %v, a close takes %s", c.open, c.confirm, time.Since(began))
			}
		}
	})
}

// What is done when a connection is closed has been heard, and confirmed before that.
func TestClosedConnectionLosesNoAcknowledgement(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	def := bustest.Definition(t, "Busy", 1000)
	if _, err := store.Tasks.Apply(t.Context(), def, false); err != nil {
		t.Fatal(err)
	}
	request := bustest.Applied(t, store.Bus)
	request.Task = def.ID
	consumer := func() (pending, acknowledged uint64) {
		t.Helper()
		c, err := bustest.JetStream(t, store.Broker.URL()).Consumer(t.Context(), "RUNS", string(def.ID))
		if err != nil {
			t.Fatal(err)
		}
		return uint64(c.CachedInfo().NumAckPending), c.CachedInfo().AckFloor.Consumer
	}
	const runs = 200
	short := store.Connect("short")
	if err := short.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	queue, err := short.Work.Queue(t.Context(), def.ID)
	if err != nil {
		t.Fatal(err)
	}
	var deliveries []*bus.Delivery
	for range runs {
		bustest.Submit(t, store.Bus, request)
		d, err := bustest.Next(t.Context(), queue)
		if err != nil {
			t.Fatal(err)
		}
		deliveries = append(deliveries, d)
	}
	for _, d := range deliveries {
		d.Done()
	}
	short.Close()
	if open := short.Jet().Deliveries.Unconfirmed(); open != 0 {
		t.Errorf("the connection is closed with %d acknowledgements that were not confirmed", open)
	}
	if pending, done := consumer(); pending != 0 || done != runs {
		t.Errorf("%d runs are still leased, %d acknowledged", pending, done)
	}
}

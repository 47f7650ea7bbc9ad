package bus_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"runhook/shared/bus"
	"runhook/shared/bustest"
)

// An acknowledgement that nobody confirms is published again, one that is confirmed is not.
func TestLostAcknowledgementIsRepeated(t *testing.T) {
	store := bustest.New(t, bus.Topology{})
	nc := subscriber(t, store).Conn()
	const within = 100 * time.Millisecond
	publish, open := store.Acknowledging(t, within)
	publish("queue.lost") // nobody is there, which is told at once and is no confirmation
	var heard atomic.Int32
	if _, err := nc.Subscribe("queue.lost", func(msg *nats.Msg) {
		if heard.Add(1) == 2 { // the first one is lost on its way
			_ = msg.Respond(nil)
		}
	}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the acknowledgement is confirmed", func() bool { return open() == 0 })
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
	publish("queue.other")
	eventually(t, "the other one is confirmed", func() bool { return open() == 0 })
	if n := heard.Load(); n != 2 {
		t.Errorf("it came %d times", n)
	}
}

// What is done when a connection is closed has been heard, and confirmed before that.
func TestClosedConnectionLosesNoAcknowledgement(t *testing.T) {
	store := bustest.New(t, bus.Topology{})
	def := definition(t, "Busy", 1000)
	if _, err := store.Apply(t.Context(), def, false); err != nil {
		t.Fatal(err)
	}
	request := applied(t, store)
	request.Task = def.ID
	consumer := func() (pending, acknowledged uint64) {
		t.Helper()
		c, err := subscriber(t, store).Consumer(t.Context(), "RUNS", string(def.ID))
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
	queue, err := short.Queue(t.Context(), def.ID)
	if err != nil {
		t.Fatal(err)
	}
	var deliveries []*bus.Delivery
	for range runs {
		submit(t, store.Bus, request)
		d, err := queue.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		deliveries = append(deliveries, d)
	}
	for _, d := range deliveries {
		d.Done()
	}
	short.Close()
	if open := short.Unconfirmed(); open != 0 {
		t.Errorf("the connection is closed with %d acknowledgements that were not confirmed", open)
	}
	if pending, done := consumer(); pending != 0 || done != runs {
		t.Errorf("%d runs are still leased, %d acknowledged", pending, done)
	}
}

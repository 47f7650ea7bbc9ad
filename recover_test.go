package main

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// eventually waits until a condition holds.
func eventually(t testing.TB, i *instance, what string, holds func() bool) {
	t.Helper()
	for over := time.Now().Add(limit); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(over) {
			t.Fatalf("not in %s: %s\n%s", limit, what, i.log)
		}
		select {
		case <-i.ended:
			t.Fatalf("%s ended with %d while waiting: %s\n%s", i.description, i.code, what, i.log)
		default:
		}
	}
}

// events reads every stored completion event, by run number.
func events(t testing.TB, url string) map[string]int {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	if stream.CachedInfo().State.Msgs == 0 {
		return found
	}
	consumer, err := stream.OrderedConsumer(t.Context(), jetstream.OrderedConsumerConfig{HeadersOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	for {
		msg, err := consumer.Next(jetstream.FetchMaxWait(limit))
		if err != nil {
			t.Fatal(err)
		}
		found[msg.Headers().Get("ce-subject")]++
		if meta, err := msg.Metadata(); err != nil || meta.NumPending == 0 {
			return found
		}
	}
}

// wantOneEventEach waits until every accepted run has its event, and wants no second one.
func wantOneEventEach(t testing.TB, i *instance, accepted map[string]string) {
	t.Helper()
	var found map[string]int
	eventually(t, i, "every run has its event", func() bool {
		found = events(t, i.nats)
		return len(found) >= len(accepted)
	})
	for number := range accepted {
		if found[number] != 1 {
			t.Errorf("run %s has %d events", number, found[number])
		}
	}
	for number, n := range found {
		if n != 1 {
			t.Errorf("run %s has %d events", number, n)
		}
	}
}

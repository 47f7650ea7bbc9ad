package recovery_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// The embedded server does not write every event to disk at once. Those that are lost with it are copied
// again, once, and who has read further than what is left gets what comes next.
func TestEventsWithoutSyncComeAgain(t *testing.T) {
	t.Parallel()
	r := &ran{Store: bustest.New(t, bus.Topology{Synced: true}), finals: map[run.Number]string{}}
	r.request = bustest.Applied(t, r.Store.Bus)
	for range 5 {
		r.execute(t)
	}
	r.events(t, 5)
	if mode := r.eventsConsumer(t).stream.Config.PersistMode; mode != jetstream.AsyncPersistMode {
		t.Errorf("the events are written with %v, want async", mode)
	}
	r.eventsConsumer(t).read(t, 5)

	listen := r.Broker.Addr().String()
	r.Broker.Stop()
	msgs := filepath.Join(r.Dir, "jetstream", "$G", "streams", "EVENTS", "msgs")
	cutRecords(t, filepath.Join(msgs, "1.blk"), 2)
	if err := os.Remove(filepath.Join(msgs, "index.db")); err != nil {
		t.Fatal(err)
	}
	r.Start(listen)
	r.awaitReady(t)
	if len(r.Broker.CutOff) > 0 {
		t.Errorf("%v is taken for damage", r.Broker.CutOff)
	}
	if err := r.Init(t.Context(), bus.Topology{Synced: true, Embedded: true}); err != nil {
		t.Fatal(err)
	}
	newest, reader := r.execute(t), r.eventsConsumer(t)
	for last := ""; last != newest.String(); {
		last = reader.read(t, 1)
	}
	found := r.events(t, 6)
	for n := range r.finals {
		if found[n] != 1 {
			t.Errorf("run %s has %d events", n, found[n])
		}
	}
}

// reader is a subscriber that remembers where it is.
type reader struct {
	jetstream.Consumer
	stream *jetstream.StreamInfo
}

func (r *ran) eventsConsumer(t *testing.T) reader {
	t.Helper()
	stream, err := bustest.JetStream(t, r.Broker.URL()).Stream(t.Context(), "EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := stream.CreateOrUpdateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "reader"})
	if err != nil {
		t.Fatal(err)
	}
	return reader{consumer, stream.CachedInfo()}
}

// read reads n events and returns the number of the last one's run.
func (c reader) read(t *testing.T, n int) (last string) {
	t.Helper()
	for range n {
		msg, err := c.Next(jetstream.FetchMaxWait(proctest.Limit))
		if err != nil {
			t.Fatal(err)
		}
		if err := msg.DoubleAck(t.Context()); err != nil {
			t.Fatal(err)
		}
		last = msg.Headers().Get("ce-subject")
	}
	return last
}

// cutRecords takes whole records off the end of a block. (Each begins with its length, little endian,
// whose highest bit says that it has headers: filestore.go of nats-server.)
func cutRecords(t *testing.T, block string, n int) {
	t.Helper()
	data, err := os.ReadFile(block)
	if err != nil {
		t.Fatal(err)
	}
	var begins []int
	for at := 0; at < len(data); at += int(binary.LittleEndian.Uint32(data[at:]) &^ (1 << 31)) {
		begins = append(begins, at)
	}
	if len(begins) <= n {
		t.Fatalf("%d records in %s", len(begins), block)
	}
	if err := os.Truncate(block, int64(begins[len(begins)-n])); err != nil {
		t.Fatal(err)
	}
}

package bus_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

func messages(n int) (ids []string, data [][]byte) {
	for i := range n {
		ids, data = append(ids, fmt.Sprintf("task.1.%d", i+1)), append(data, fmt.Appendf(nil, `{"n":%d}`, i+1))
	}
	return ids, data
}

// Where a stream listens, every message is stored, and one that is published again is not.
func TestPublishToAStream(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	js := bustest.JetStream(t, store.Broker.URL())
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "MEMBERS", Subjects: []string{"members.>"}, MaxMsgSize: 200})
	if err != nil {
		t.Fatal(err)
	}
	ids, data := messages(2000)
	data[3] = []byte(strings.Repeat("x", 300))
	for range 2 {
		tooLarge, err := store.Work.Publish(t.Context(), "members.changed", ids, data)
		if err != nil || len(tooLarge) != 1 || tooLarge[3] == "" {
			t.Fatalf("too large %v, %v", tooLarge, err)
		}
	}
	info, err := stream.Info(t.Context())
	if err != nil || info.State.Msgs != 1999 {
		t.Fatalf("%d messages, %v", info.State.Msgs, err)
	}
	first, err := stream.GetMsg(t.Context(), 1)
	if err != nil || string(first.Data) != `{"n":1}` || first.Header.Get("Nats-Msg-Id") != "task.1.1" || first.Header.Get("content-type") != "application/json" {
		t.Errorf("the first is %s %v, %v", first.Data, first.Header, err)
	}
	last, err := stream.GetMsg(t.Context(), 1999)
	if err != nil || string(last.Data) != `{"n":2000}` {
		t.Errorf("the last is %s, %v", last.Data, err)
	}
}

// Where none listens, whoever is subscribed gets them.
func TestPublishToSubscribers(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	nc, err := nats.Connect(store.Broker.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	arrived := make(chan *nats.Msg, 100)
	if _, err := nc.ChanSubscribe("members.changed", arrived); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	ids, data := messages(50)
	data[7] = make([]byte, nc.MaxPayload()+1)
	tooLarge, err := store.Work.Publish(t.Context(), "members.changed", ids, data)
	if err != nil || len(tooLarge) != 1 || tooLarge[7] == "" {
		t.Fatalf("too large %v, %v", tooLarge, err)
	}
	var got []string
	for range 49 {
		got = append(got, (<-arrived).Header.Get("Nats-Msg-Id"))
	}
	if want := slices.Delete(slices.Clone(ids), 7, 8); !slices.Equal(got, want) {
		t.Errorf("arrived %v", got)
	}
}

func TestPublishThatIsRefused(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	js := bustest.JetStream(t, store.Broker.URL())
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "FULL", Subjects: []string{"full"}, MaxMsgs: 10, Discard: jetstream.DiscardNew,
	}); err != nil {
		t.Fatal(err)
	}
	ids, data := messages(20)
	if _, err := store.Work.Publish(t.Context(), "full", ids, data); !errors.Is(err, run.ErrUnavailable) { // there may be room later
		t.Errorf("a full stream: %v", err)
	}
	store.Broker.Stop()
	if _, err := store.Work.Publish(t.Context(), "full", ids, data); !errors.Is(err, run.ErrUnavailable) {
		t.Errorf("no server: %v", err)
	}
}

// A subject that the runner may not publish to must not look like one where nobody listens.
func TestPublishWithoutPermission(t *testing.T) {
	t.Parallel()
	broker := withUsers(t, &server.User{Username: "runner", Password: "runner", Permissions: &server.Permissions{
		Publish: &server.SubjectPermission{Deny: []string{"members.>"}}, Subscribe: &server.SubjectPermission{Allow: []string{">"}},
	}})
	if err := connectAs(t, broker, "admin").Init(t.Context(), bus.Topology{}); err != nil {
		t.Fatal(err)
	}
	ids, data := messages(3)
	runner, log := as(t, broker, "runner")
	if _, err := runner.Work.Publish(t.Context(), "members.changed", ids, data); !errors.Is(err, bus.ErrRefused) {
		t.Errorf("got %v", err)
	}
	proctest.Until(t, func() error {
		if log.count(`lacks a right: publish to \"members.changed\"`) == 0 {
			return errors.New("it is not said")
		}
		return nil
	})
	if err := runner.Ready(t.Context()); err != nil {
		t.Errorf("the runner is not ready for other tasks: %v", err)
	}
	if _, err := connectAs(t, broker, "runner").Work.Publish(t.Context(), "others.changed", ids, data); err != nil {
		t.Errorf("another subject: %v", err)
	}
}

package bus_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
)

// An integration is given a consumer that it pulls from, as it asked for it, and none that the server sends from.
func TestIntegrationsGetConsumersToPullFrom(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	answering, log := logging(t, store.Broker.URL(), "")
	if _, err := answering.AnswerIntegrations(t.Context()); err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(store.Broker.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	ask := func(body string) string {
		t.Helper()
		answer, err := nc.Request("run.consumer.mine", []byte(body), proctest.Limit)
		if err != nil {
			t.Fatal(err)
		}
		return string(answer.Data)
	}
	for _, c := range []struct{ body, why string }{
		{``, "one JSON object"},
		{`null`, "no config"},
		{`[]`, "one JSON object"},
		{`{}`, "no config"},
		{`{"stream_name":"EVENTS","config":[]}`, "no config"},
		{`{"stream_name":"EVENTS","config":{"durable_name":"mine"}}{"config":{"deliver_subject":"x"}}`, "one JSON object"},
		{`{"stream_name":"EVENTS","config":{"durable_name":"mine","deliver_subject":"x"}}`, "leave out deliver_subject"},
		{`{"stream_name":"EVENTS","config":{"durable_name":"mine"},"config":{"durable_name":"mine","deliver_subject":"x"}}`, "leave out deliver_subject"},
		{`{"stream_name":"EVENTS","config":{"durable_name":"mine","Deliver_Subject":"x"}}`, "none of NATS"},
		{`{"stream_name":"EVENTS","Config":{"durable_name":"mine","deliver_subject":"x"},"config":{"durable_name":"mine"}}`, "none of NATS"},
		{`{"stream_name":"EVENTS","config":{"durable_name":"mine","deliver_\u017fubject":"x"}}`, "none of NATS"},
		{`{"stream_name":"EVENTS","config":{"durable_name":"mine","deliver_group":"x"}}`, "leave out deliver_group"},
		{`{"stream_name":"EVENTS","config":{"durable_name":"mine","flow_control":true}}`, "leave out flow_control"},
		{`{"stream_name":"EVENTS","config":{"durable_name":"mine","idle_heartbeat":5}}`, "leave out idle_heartbeat"},
		{`{"stream_name":"EVENTS","config":{"durable_name":"mine","direct":true}}`, "leave out direct"},
		{`{"stream_name":"EVENTS","config":{"durable_name":"mine","sourcing":true}}`, "leave out sourcing"},
		{`{"stream_name":"RUNS","config":{"durable_name":"mine"}}`, "stream name in subject does not match request"},
		{`{"stream_name":"EVENTS","config":{"durable_name":"other","ack_policy":"explicit"}}`, "does not match"},
	} {
		if got := ask(c.body); !strings.Contains(got, `"error"`) || !strings.Contains(got, c.why) {
			t.Errorf("%s is answered with %s", c.body, got)
		}
	}
	js := bustest.JetStream(t, store.Broker.URL())
	if names := js.ListStreams(t.Context()); names.Err() != nil {
		t.Fatal(names.Err())
	}
	events, err := js.Stream(t.Context(), "EVENTS")
	if err != nil || events.CachedInfo().State.Consumers != 0 {
		t.Fatalf("%d consumers, %v", events.CachedInfo().State.Consumers, err)
	}
	if log.count("leave out deliver_subject") != 1 {
		t.Error("the log does not have one line about what is refused twice")
	}
	const asked = `{"stream_name":"EVENTS","config":{"durable_name":"mine","ack_policy":"explicit","opt_start_seq":9007199254740993,"deliver_policy":"by_start_sequence","deliver_subject":"","metadata":{"a":"b"}},"action":"create"}`
	if got := ask(asked); strings.Contains(got, `"error"`) {
		t.Fatal(got)
	}
	consumer, err := js.Consumer(t.Context(), "EVENTS", "mine")
	if err != nil {
		t.Fatal(err)
	}
	if is := consumer.CachedInfo().Config; is.OptStartSeq != 9007199254740993 || is.AckPolicy != jetstream.AckExplicitPolicy || is.Metadata["a"] != "b" {
		t.Errorf("it is %+v", is)
	}
	if got := ask(asked[:len(asked)-len(`"create"}`)] + `"update"}`); strings.Contains(got, `"error"`) {
		t.Error(got)
	}
}

// Integrations cannot fill the server with consumers; those that are there stay theirs.
func TestIntegrationsGetSoManyConsumers(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	if _, err := store.AnswerIntegrations(t.Context()); err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(store.Broker.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	ask := func(n int) string {
		t.Helper()
		answer, err := nc.Request(fmt.Sprintf("run.consumer.c%d", n), fmt.Appendf(nil, `{"stream_name":"EVENTS","config":{"name":"c%d","ack_policy":"explicit","mem_storage":true,"inactive_threshold":3600000000000}}`, n), proctest.Limit)
		if err != nil {
			t.Fatal(err)
		}
		return string(answer.Data)
	}
	js := bustest.JetStream(t, store.Broker.URL())
	var all sync.WaitGroup
	for worker := range 10 {
		all.Go(func() {
			for n := worker; n < 999; n += 10 {
				if _, err := js.CreateConsumer(t.Context(), "EVENTS", jetstream.ConsumerConfig{Name: fmt.Sprintf("c%d", n), MemoryStorage: true, InactiveThreshold: time.Hour}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if got := ask(999); strings.Contains(got, `"error"`) {
		t.Fatal(got)
	}
	if got := ask(1000); !strings.Contains(got, "has 1000 consumers") {
		t.Error(got)
	}
	if got := ask(7); strings.Contains(got, `"error"`) {
		t.Errorf("one that is there: %s", got)
	}
}

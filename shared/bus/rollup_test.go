package bus_test

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus"
	"runhook/shared/bustest"
)

// One message with the header for rollups would take everything away that its stream has. In a new store
// only that of the rejected rows takes one: an object store needs them.
func TestRollupsAreRefused(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	bustest.Submit(t, store.Bus, request)
	js := bustest.JetStream(t, store.Broker.URL())
	for _, subject := range []string{
		"run.request." + string(request.Task), "run.skipped", "$KV.runs_0.foo", "$KV.tasks.foo", "$KV.control.foo", "$KV.progress.foo",
	} {
		for _, which := range []string{"all", "sub"} {
			_, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: subject, Header: nats.Header{jetstream.MsgRollup: {which}}})
			if api, ok := errors.AsType[*jetstream.APIError](err); !ok || api.ErrorCode != 10111 {
				t.Errorf("a rollup (%s) on %s: %v", which, subject, err)
			}
		}
	}
	if _, err := store.Runs.Lookup(t.Context(), request.Task, 1); err != nil {
		t.Errorf("the run: %v", err)
	}
	// A store of before has schedules, which cannot be switched off: it is opened all the same.
	runs, err := js.Stream(t.Context(), "RUNS")
	if err != nil {
		t.Fatal(err)
	}
	config := runs.CachedInfo().Config
	config.AllowMsgSchedules, config.Discard = true, jetstream.DiscardOld
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	if err := store.Init(t.Context(), bus.Topology{}); err != nil {
		t.Error(err)
	}
}

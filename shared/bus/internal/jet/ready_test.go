package jet_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"runhook/shared/bus"
	"runhook/shared/bus/internal/jet"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// A store that refuses a write is not ready before it takes one, whatever its streams say of themselves. That it
// does again is found out without one of a run.
func TestNotReadyWhileWritesFail(t *testing.T) {
	store := bustest.New(t, bus.Topology{})
	js := bustest.JetStream(t, store.Broker.URL())
	takes := func(messages int64) {
		t.Helper()
		stream, err := js.Stream(t.Context(), "KV_runs_0")
		if err != nil {
			t.Fatal(err)
		}
		config := stream.CachedInfo().Config
		config.MaxMsgs = messages
		if _, err := js.UpdateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}
	write := func(subject string) error {
		_, err := results(t, store).Publish(t.Context(), jet.Entry{Msg: nats.NewMsg("$KV.runs_0." + subject)})
		return err
	}
	unready := func(reason string) {
		t.Helper()
		if err := store.Ready(t.Context()); !errors.Is(err, run.ErrUnavailable) || !strings.Contains(err.Error(), reason) {
			t.Errorf("not %s: %v", reason, err)
		}
	}
	ready := func(when string) {
		t.Helper()
		if err := store.Ready(t.Context()); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	restore := jet.SetDoubtFor(proctest.Limit)
	defer func() { restore() }()
	if err := write("a"); err != nil {
		t.Fatal(err)
	}
	takes(1)
	ready("before a write has failed")
	if err := write("b"); err == nil {
		t.Fatal("the stream takes more than it may")
	}
	unready("stream KV_runs_0 takes no writes: nats: nats: API error: code=503 err_code=10077 description=maximum messages exceeded")
	takes(-1)
	unready("takes no writes") // the failure is fresh
	if err := write("b"); err != nil {
		t.Fatal(err)
	}
	ready("after a write")

	takes(2)
	if err := write("c"); err == nil {
		t.Fatal("the stream takes more than it may")
	}
	restore()
	restore = jet.SetDoubtFor(0)
	unready("takes no writes")
	takes(-1)
	ready("where a write was tried")

	// What is refused for its own sake tells nothing of others.
	late := nats.NewMsg("$KV.runs_0.a")
	late.Header.Set("Nats-Expected-Last-Subject-Sequence", "0")
	if _, err := results(t, store).Publish(t.Context(), jet.Entry{Msg: late}); !jet.Refused(err) {
		t.Fatal(err)
	}
	restore()
	restore = jet.SetDoubtFor(proctest.Limit)
	ready("after a write that came too late")
}

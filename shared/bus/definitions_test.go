package bus_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/taskfile"
)

// A request may name what is no hash of a definition: its run fails, and waits for nothing.
func TestDefinitionsOfNoHash(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	def := bustest.Definition(t, "Refresh", 1)
	put(t, store, def)
	if found, err := store.Runs.Definition(t.Context(), def.ID, def.Hash); err != nil || found.Hash != def.Hash {
		t.Fatal(err)
	}
	for _, hash := range []string{"", "x", "a b", "a.b", "*", ">", "ü", "a\x00b", strings.ToUpper(def.Hash), def.Hash + " ", def.Hash[:63], def.Hash[:63] + "\n"} {
		if _, err := store.Runs.Definition(t.Context(), def.ID, hash); err == nil || errors.Is(err, run.ErrUnavailable) || !strings.Contains(err.Error(), "is not stored any more") {
			t.Errorf("%q: %v", hash, err)
		}
	}
}

// An old definition goes when it has not been current for as long as runs are kept, nobody has just
// accepted it again, and no stored request names it.
func TestSweepDefinitions(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{Retention: 2 * time.Second})
	ctx := t.Context()
	text := string(bustest.Definition(t, "Version 0", 1).Text)
	versions := make([]*task.Definition, 3)
	for i, name := range []string{"Version 0", "Version 1", "Version 2"} {
		def, err := taskfile.Parse([]byte(strings.Replace(text, "Version 0", name, 1)), "test.yaml")
		if err != nil {
			t.Fatal(err)
		}
		versions[i] = def
	}
	id := versions[0].ID
	apply := func(version int) run.Request {
		t.Helper()
		if _, err := store.Tasks.Apply(ctx, versions[version], false); err != nil {
			t.Fatal(err)
		}
		return run.Request{Task: id, TaskName: "Version", Definition: versions[version].Hash, Trigger: run.Webhook, CreatedOn: time.Now().UTC()}
	}
	// pass lets the time go by for which runs are kept.
	pass := func(request run.Request) {
		t.Helper()
		n := bustest.Submit(t, store.Bus, request)
		proctest.Until(t, func() error {
			if _, err := store.Runs.Lookup(ctx, id, n); !errors.Is(err, run.ErrRunGone) {
				return errors.New("the run is still there")
			}
			return nil
		})
	}
	sweep := func(want int, left ...int) {
		t.Helper()
		removed, err := store.Unheld.SweepDefinitions(ctx)
		if err != nil || removed != want {
			t.Errorf("removed %d, want %d, %v", removed, want, err)
		}
		for _, version := range left {
			if _, err := store.Work.Definition(ctx, id, versions[version].Hash); err != nil {
				t.Errorf("version %d: %v", version, err)
			}
		}
	}

	pass(apply(0))
	sweep(0, 0) // it is old, and current
	named := apply(1)
	sweep(0, 0, 1) // it was current a moment ago
	data, err := json.Marshal(named)
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(store.Broker.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	// It outlives the others, as does one whose time the server has not come to yet; so RUNS takes such here.
	requests, err := js.Stream(ctx, "RUNS")
	if err != nil {
		t.Fatal(err)
	}
	config := requests.CachedInfo().Config
	config.AllowMsgTTL = true
	if _, err := js.UpdateStream(ctx, config); err != nil {
		t.Fatal(err)
	}
	kept, err := js.PublishMsg(ctx, &nats.Msg{Subject: "run.request." + string(id), Data: data, Header: nats.Header{jetstream.MsgTTLHeader: {"never"}}})
	if err != nil {
		t.Fatal(err)
	}
	pass(apply(2))
	sweep(1, 1, 2)
	if _, err := store.Work.Definition(ctx, id, versions[0].Hash); err == nil {
		t.Error("version 0 is still there")
	}
	if err := store.Jet().Runs.DeleteMsg(ctx, kept.Sequence); err != nil {
		t.Fatal(err)
	}
	if err := store.Tasks.Prepare(ctx, versions[1]); err != nil { // as who is about to make it current again
		t.Fatal(err)
	}
	sweep(0, 1, 2)
	pass(run.Request{Task: id, Definition: versions[2].Hash})
	sweep(1, 2)
}

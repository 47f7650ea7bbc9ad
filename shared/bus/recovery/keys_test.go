package recovery_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// The keys that came with a backup are remembered for their window, and no longer.
func TestRestoredKeysPass(t *testing.T) {
	t.Parallel()
	const window = 5 * time.Second
	r := &ran{Store: bustest.New(t, bus.Topology{IdempotencyWindow: window}), finals: map[run.Number]string{}}
	r.request = bustest.Applied(t, r.Bus)
	before := time.Now()
	first, err := r.Runs.Submit(t.Context(), r.request, "a key")
	if err != nil {
		t.Fatal(err)
	}
	other := r.restored(t, r.parts(t))
	again := func() bus.Accepted {
		t.Helper()
		accepted, err := other.Runs.Submit(t.Context(), r.request, "a key")
		if err != nil {
			t.Fatal(err)
		}
		return accepted
	}
	if repeated := again(); time.Since(before) < window && (!repeated.Replayed || repeated.Number != first.Number) {
		t.Errorf("repeated within the window: %+v", repeated)
	}
	proctest.Eventually(t, "the key is new again", func() bool {
		repeated := again()
		return repeated.Number != first.Number
	})
	if passed := time.Since(before); passed < window {
		t.Errorf("the key was remembered for %s", passed)
	}
}

// A backup has a key's run with its request, or neither: what was accepted later is new to the restored store.
// So it is with a backup that an earlier program has made, whose store knew keys by the ids of requests.
func TestKeysComeWithABackup(t *testing.T) {
	t.Parallel()
	r := newRan(t, 1)
	first, err := r.Runs.Submit(t.Context(), r.request, "before")
	if err != nil {
		t.Fatal(err)
	}
	js := bustest.JetStream(t, r.Broker.URL())
	data, err := r.request.Encode()
	if err != nil {
		t.Fatal(err)
	}
	ack, err := js.PublishMsg(t.Context(), &nats.Msg{
		Subject: "run.request." + string(r.request.Task), Data: data, Header: nats.Header{"Nats-Msg-Id": {string(r.request.Task) + ".by-id"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	parts := r.parts(t)
	// Those of the bucket are not in the backup where it is read before the entry is written, and its sequence
	// is one that the restored store has not come to.
	r.moveOn(t, 3000)
	if _, err := r.Runs.Submit(t.Context(), r.request, "behind"); err != nil {
		t.Fatal(err)
	}
	late := r.parts(t)
	mixed := append(only(parts, "RUNS"), only(late, "KV_keys")...)
	mixed = append(mixed, without(without(parts, "RUNS"), "KV_keys")...)

	stream, err := js.Stream(t.Context(), "RUNS")
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.Duplicates = 24 * time.Hour
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), "KV_keys"); err != nil {
		t.Fatal(err)
	}
	older := r.parts(t)
	for name, c := range map[string]struct {
		parts []part
		knows map[string]run.Number
	}{
		"of today":          {parts, map[string]run.Number{"before": first.Number}},
		"while it was used": {mixed, map[string]run.Number{"before": first.Number}},
		"of before":         {older, map[string]run.Number{"before": first.Number, "by-id": r.Jet().Numbers.Of(ack.Sequence)}},
	} {
		t.Run(name, func(t *testing.T) {
			other := r.restored(t, c.parts)
			knows := c.knows
			if name == "while it was used" {
				accepted, err := other.Runs.Submit(t.Context(), r.request, "behind")
				if err != nil || accepted.Replayed {
					t.Errorf("a key of after the backup: %+v, %v", accepted, err)
				}
				knows["behind"] = accepted.Number
			}
			other.Restart()
			again := other.Open("again")
			for key, n := range knows {
				accepted, err := again.Runs.Submit(t.Context(), r.request, key)
				if err != nil || !accepted.Replayed || accepted.Number != n {
					t.Errorf("%s: %+v %v, want run %s", key, accepted, err, n)
				}
			}
		})
	}
}

// only are the parts of one stream, and without those of all others.
func only(parts []part, stream string) (some []part) {
	for _, p := range parts {
		if p.stream == stream {
			some = append(some, p)
		}
	}
	return some
}

func without(parts []part, stream string) (some []part) {
	for _, p := range parts {
		if p.stream != stream {
			some = append(some, p)
		}
	}
	return some
}

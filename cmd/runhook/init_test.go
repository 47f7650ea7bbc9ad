package main

import (
	"strings"
	"testing"
	"time"

	"runhook/shared/bus"
	"runhook/shared/bustest"
)

// runsConfig is what a store says of itself.
func runsConfig(t *testing.T, url string) (retention, window time.Duration, metadata map[string]string, bytes int64) {
	t.Helper()
	stream, err := bustest.JetStream(t, url).Stream(t.Context(), "RUNS")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := bustest.JetStream(t, url).Stream(t.Context(), "KV_keys")
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	return config.MaxAge, keys.CachedInfo().Config.MaxAge, config.Metadata, config.MaxBytes
}

// A flag that is left out leaves what the store has, one that takes something away wants --yes.
func TestInitChangesWhatItIsTold(t *testing.T) {
	t.Parallel()
	store := bustest.Empty(t, false)
	nats := []string{"init", "--nats", store.Broker.URL()}
	mustCall(t, append(nats, "--retention", "730d", "--events-retention", "40d", "--idempotency-window", "48h", "--durability", "always", "--max-bytes", "1GiB")...)
	mustCall(t, append(nats, "--lease", "40s")...)
	retention, window, metadata, bytes := runsConfig(t, store.Broker.URL())
	if retention != 730*24*time.Hour || window != 48*time.Hour || metadata["runhook-lease"] != "40s" || metadata["runhook-synced"] != "true" || bytes != (1<<30)*35/100 {
		t.Errorf("the store keeps runs for %s, keys for %s, %v, %d bytes", retention, window, metadata, bytes)
	}
	events := func() time.Duration {
		t.Helper()
		stream, err := bustest.JetStream(t, store.Broker.URL()).Stream(t.Context(), "EVENTS")
		if err != nil {
			t.Fatal(err)
		}
		return stream.CachedInfo().Config.MaxAge
	}
	if kept := events(); kept != 40*24*time.Hour {
		t.Errorf("events are kept for %s", kept)
	}
	mustCall(t, append(nats, "--events-retention", "2h")...)
	mustCall(t, append(nats, "--durability", "interval")...)
	if kept := events(); kept != 2*time.Hour {
		t.Errorf("events are kept for %s", kept)
	}
	if _, _, metadata, _ := runsConfig(t, store.Broker.URL()); metadata["runhook-synced"] != "false" {
		t.Errorf("the store is %v", metadata)
	}

	if err := store.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	request := bustest.Applied(t, store.Bus)
	request.TaskName = strings.Repeat("long ", 50_000)
	for range 30 {
		bustest.Submit(t, store.Bus, request)
	}
	less := append(nats, "--max-bytes", "16MiB")
	if code, _, messages := ask(t, less...); code != exitNoStart || !oneLine(messages, "oldest messages of stream RUNS, which holds 7.") || !strings.Contains(messages, "--yes") {
		t.Errorf("exit code %d: %s", code, messages)
	}
	if _, _, _, bytes := runsConfig(t, store.Broker.URL()); bytes != (1<<30)*35/100 {
		t.Errorf("it was changed: %d bytes", bytes)
	}
	mustCall(t, append(less, "--yes")...)
	if _, _, _, bytes := runsConfig(t, store.Broker.URL()); bytes != (16<<20)*35/100 {
		t.Errorf("it was not changed: %d bytes", bytes)
	}
}

// So it is when `serve` starts on its directory.
func TestServeKeepsWhatIsLeftOut(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	i := begin(t, s.args("--retention", "730d", "--lease", "50s")...).listening()
	request := bustest.Applied(t, connected(t, i.nats))
	if _, err := connected(t, i.nats).Runs.Submit(t.Context(), request, "key"); err != nil {
		t.Fatal(err)
	}
	i.end()
	i = begin(t, s.args()...).listening()
	if retention, _, metadata, _ := runsConfig(t, i.nats); retention != 730*24*time.Hour || metadata["runhook-lease"] != "50s" {
		t.Errorf("the store keeps runs for %s, %v", retention, metadata)
	}
	i.end()
	shorter := s.args("--idempotency-window", "100ms") // all this took longer
	if code, _, messages := ask(t, shorter...); code != exitNoStart || !oneLine(messages, "Idempotency-Keys that are older than 0s: 1 (so far kept for 24h); pass --yes to agree") {
		t.Errorf("exit code %d: %s", code, messages)
	}
	i = begin(t, append(shorter, "--yes")...).listening()
	if _, window, _, _ := runsConfig(t, i.nats); window != 100*time.Millisecond {
		t.Errorf("keys are remembered for %s", window)
	}
	i.end()
}

func connected(t *testing.T, url string) *bus.Bus {
	t.Helper()
	store, err := bus.Connect(t.Context(), bus.Config{URLs: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	if err := store.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	return store
}

package recovery_test

import (
	"bytes"
	"regexp"
	"strconv"
	"testing"

	"github.com/rs/zerolog"

	"runhook/shared/bus"
	"runhook/shared/bus/recovery"
	"runhook/shared/bustest"
)

// Somebody purges EVENTS. At the next start the completion of every run that is kept is published again,
// once, with nothing taken for damaged; the log says before how many there are, unless the server is faster.
func TestPurgedEventsComeAgain(t *testing.T) {
	t.Parallel()
	r := newRan(t, 5)
	r.events(t, 5)
	stream, err := bustest.JetStream(t, r.Broker.URL()).Stream(t.Context(), "EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.Restart()
	var log bytes.Buffer
	again, err := bus.Connect(t.Context(), bus.Config{URLs: r.Broker.URL(), Name: "serve", Log: zerolog.New(&log)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Close)
	if err := again.Init(t.Context(), bus.Topology{Embedded: true}); err != nil {
		t.Fatal(err)
	}
	if err := recovery.Repair(t.Context(), again, r.Broker.CutOff, r.Broker.Unsynced); err != nil {
		t.Fatal(err)
	}
	said := regexp.MustCompile(`"completions":(\d+),.*EVENTS is empty, as after a purge`).FindSubmatch(log.Bytes())
	if said == nil && log.Len() > 0 || said != nil && string(said[1]) != strconv.Itoa(5) || bytes.Contains(log.Bytes(), []byte("damaged")) {
		t.Errorf("the log: %s", log.String())
	}
	r.awaitReady(t)
	next := r.execute(t)
	if int(next) != 6 {
		t.Errorf("the next run is %s", next)
	}
	for n, count := range r.events(t, 6) {
		if count != 1 {
			t.Errorf("run %s has %d events", n, count)
		}
	}
}

// A store that has just been made has lost nothing, whatever the server found.
func TestANewStoreIsNotDamaged(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	var log bytes.Buffer
	b, err := bus.Connect(t.Context(), bus.Config{URLs: store.Broker.URL(), Name: "serve", Log: zerolog.New(&log)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if err := b.Init(t.Context(), bus.Topology{Embedded: true}); err != nil {
		t.Fatal(err)
	}
	if err := recovery.Repair(t.Context(), b, nil, false); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(log.Bytes(), []byte("damaged")) {
		t.Errorf("the log: %s", log.String())
	}
}

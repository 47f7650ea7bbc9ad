package runner_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"runhook/services/runner"
	"runhook/shared/bus"
	"runhook/shared/proctest"
)

// A run that was given up because the store was full for longer than a lease goes on as soon as there is
// room, without waiting for its delivery to run out.
func TestRunGoesOnWhenTheStoreHasRoomAgain(t *testing.T) {
	t.Parallel()
	const lease = 12 * time.Second
	w := newWorkshopWith(t, "upsert", 2000, lease)
	var full atomic.Bool
	store, err := bus.Connect(t.Context(), bus.Config{URLs: w.store.Broker.URL(), Full: full.Load, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	if err := store.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.store.Bus, w.log = store, proctest.NewOutput()
	release := w.lock(t)
	w.runHere(t, runner.Options{})
	n := w.submit(t)
	w.awaitClaim(t, n)
	full.Store(true)
	proctest.Eventually(t, "the attempt is abandoned", func() bool { return strings.Contains(w.log.String(), "attempt abandoned") })
	release()
	full.Store(false)
	room := time.Now()
	doc := w.await(t, n)
	// The lease of its delivery was renewed less than a third of it before the attempt was given up.
	if took := time.Since(room); took > lease/2 {
		t.Errorf("it took %s from when there was room", took)
	}
	if rows := w.rows(t); rows != 2000 || doc.RowsInserted != 2000 || doc.ExecutionCount != 2 {
		t.Errorf("%d rows after %d attempts: %+v", rows, doc.ExecutionCount, doc)
	}
	w.endedOnce(t, n, doc)
}

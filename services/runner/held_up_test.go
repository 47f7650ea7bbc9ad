package runner_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"runhook/services/runner"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// pauseConnection has the runs that use a connection wait.
func (w *workshop) pauseConnection(t *testing.T, name string) {
	t.Helper()
	if err := w.store.Unheld.PauseConnection(t.Context(), run.PausedConnection{Name: name, By: "ann", On: time.Now(), Why: "maintenance"}); err != nil {
		t.Fatal(err)
	}
}

func (w *workshop) resumeConnection(t *testing.T, name string) {
	t.Helper()
	if err := w.store.Unheld.ResumeConnection(t.Context(), name); err != nil {
		t.Fatal(err)
	}
}

// untaken fails the test if a runner has the run, or had it.
func (w *workshop) untaken(t *testing.T, n run.Number) {
	t.Helper()
	if seen, found, err := w.store.Work.FindClaim(t.Context(), w.request.Task, n); err != nil || found {
		t.Errorf("run %s was taken: %+v, %v", n, seen, err)
	}
	if ended, err := w.store.Work.Ended(t.Context(), w.request.Task, n); err != nil || ended {
		t.Errorf("run %s has ended: %v", n, err)
	}
}

// A runner takes the runs of its pool alone, and those of a task that is given another pool.
func TestARunnerTakesTheRunsOfItsPool(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "upsert", 10)
	other, third := w.anotherTask(t), w.anotherTask(t)
	w.limited(t, "pool: onprem")
	third.retask(t, "name: Another\n", "name: Another\npool: nowhere\n")
	n, queued := w.submit(t), third.submit(t)
	w.runHere(t, runner.Options{})
	for range 3 { // its runner has begun, and goes on
		other.await(t, other.submit(t))
	}
	w.untaken(t, n)
	w.runHere(t, runner.Options{Pool: "onprem"})
	w.await(t, n)
	third.untaken(t, queued)
	third.retask(t, "pool: nowhere\n", "") // which moves what is queued
	third.await(t, queued)
}

// The run of a task whose connection is paused is not taken, so that it has no slot, and is once it is resumed.
func TestARunOfAPausedConnectionIsNotTaken(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "upsert", 10)
	write(t, filepath.Join(w.dir, "connections.yaml"), "drop: {files: .}\nelsewhere: {files: .}\nwarehouse: {sqlite: ./warehouse.db}\n")
	other := w.anotherTask(t)
	other.retask(t, "destination: {sql: {connection: warehouse, table: people, key: [id], action: upsert, create: true}}",
		"destination: {csv: {connection: drop, path: out.csv, action: replace}}")
	w.pauseConnection(t, "warehouse")
	n := w.submit(t)
	w.runHere(t, runner.Options{Slots: 1})
	for range 3 {
		other.await(t, other.submit(t))
	}
	w.untaken(t, n)
	w.resumeConnection(t, "warehouse")
	if doc := w.await(t, n); doc.Outcome() != run.Success {
		t.Errorf("ended as %+v", doc)
	}
}

// A run that a runner has left behind is canceled also while a connection of its task is paused, and no other run of the
// task begins.
func TestCancelWhileAConnectionIsPaused(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "upsert", 10)
	w.limited(t, "concurrency: 2")
	w.pauseConnection(t, "warehouse")
	left, other := w.submit(t), w.submit(t)
	w.abandon(t, left, run.Claim{Owner: "gone", HandedBack: true, StartedOn: time.Now()})
	w.runHere(t, runner.Options{})
	w.cancel(t, left)
	if doc := w.await(t, left); doc.Outcome() != run.Canceled {
		t.Errorf("ended as %+v", doc)
	}
	w.untaken(t, other)
	w.resumeConnection(t, "warehouse")
	if doc := w.await(t, other); doc.Outcome() != run.Success {
		t.Errorf("the other ended as %+v", doc)
	}
}

// A run in the middle waits before its next batch, says so, and goes on where it was. What it waits for does not
// count for its timeout.
func TestARunWaitsForItsPausedDestination(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "upsert", 1000)
	w.limited(t, "timeout: 30m")
	w.retask(t, "path: in.csv}", "path: in.csv}, rate: 200/s")
	n := w.submit(t)
	w.abandon(t, n, run.Claim{Owner: "gone", HandedBack: true, StartedOn: time.Now().Add(-2 * time.Hour), Stood: 2 * time.Hour})
	w.runHere(t, runner.Options{})
	proctest.Eventually(t, "rows are written", func() bool { return w.rows(t) > 0 })
	w.pauseConnection(t, "warehouse")
	w.awaitMessage(t, n, "Waiting: connection warehouse is paused by ann: maintenance")
	status, err := w.store.Runs.Lookup(t.Context(), w.request.Task, n)
	if doc := status.Document; err != nil || doc.WaitingFor != "connection warehouse is paused by ann: maintenance" || doc.Waiting == nil || doc.Waiting.Kind != run.ForConnection {
		t.Errorf("the document is %+v, %v", doc, err)
	}
	rows := w.rows(t)
	proctest.Eventually(t, "its claim tells that it stands still", func() bool {
		state, _ := w.state(t, n)
		return state.Stood > 2*time.Hour
	})
	if now := w.rows(t); now != rows || now == 1000 {
		t.Errorf("%d rows were written while it waited for its destination, of %d", now-rows, now)
	}
	w.resumeConnection(t, "warehouse")
	doc := w.await(t, n)
	if doc.Outcome() != run.Success || doc.RowsInserted != 1000 || doc.WaitingFor != "" {
		t.Errorf("ended as %+v", doc)
	}
}

// A run that waits for a paused connection is canceled at once.
func TestARunThatWaitsForAPausedConnectionIsCanceled(t *testing.T) {
	t.Parallel()
	w := newWorkshopWith(t, "upsert", 1000, time.Hour)
	w.retask(t, "path: in.csv}", "path: in.csv}, rate: 200/s")
	w.runHere(t, runner.Options{})
	n := w.submit(t)
	proctest.Eventually(t, "rows are written", func() bool { return w.rows(t) > 0 })
	w.pauseConnection(t, "warehouse")
	w.awaitMessage(t, n, "Waiting: connection warehouse is paused")
	rows := w.rows(t)
	w.cancel(t, n)
	if doc := w.await(t, n); doc.Outcome() != run.Canceled || doc.RowsInserted != int64(rows) || doc.WaitingFor != "" {
		t.Errorf("%d rows, and it ended as %+v", rows, doc)
	}
}

// A page of a web service whose connection is paused is not asked for.
func TestAPageOfAPausedConnectionIsNotAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "upsert", 1)
	var asked atomic.Int32
	var last atomic.Bool
	service := httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, _ *http.Request) {
		page, next := asked.Add(1), ""
		if !last.Load() {
			next = fmt.Sprintf("/people?page=%d", page+1)
		}
		_, _ = fmt.Fprintf(answer, `{"data": [{"id":"%d","name":"a"}], "next": %q}`, page, next)
	}))
	t.Cleanup(service.Close)
	write(t, filepath.Join(w.dir, "connections.yaml"), "drop: {files: .}\nwarehouse: {sqlite: ./warehouse.db}\npeople: {http: {private: true, url: '"+service.URL+"'}}\n")
	w.retask(t, "source: {csv: {connection: drop, path: in.csv}}", "source: {http: {connection: people, path: /people, items: data, next: {link: next}}}")
	w.runHere(t, runner.Options{})
	n := w.submit(t)
	proctest.Eventually(t, "pages are asked for", func() bool { return asked.Load() > 2 })
	w.pauseConnection(t, "people")
	w.awaitMessage(t, n, "Waiting: connection people is paused by ann: maintenance")
	before := asked.Load()
	proctest.Eventually(t, "its claim tells that it stands still", func() bool {
		state, _ := w.state(t, n)
		return state.Stood > 0
	})
	if now := asked.Load(); now != before {
		t.Errorf("%d pages were asked for meanwhile", now-before)
	}
	last.Store(true)
	w.resumeConnection(t, "people")
	if doc := w.await(t, n); doc.Outcome() != run.Success || doc.RowsInserted != int64(asked.Load()) || strings.Contains(doc.Message, "paused") {
		t.Errorf("%d pages, and it ended as %+v", asked.Load(), doc)
	}
}

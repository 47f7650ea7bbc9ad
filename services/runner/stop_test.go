package runner_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"modernc.org/sqlite"

	"runhook/services/runner"
	"runhook/services/runner/connection"
	"runhook/services/runner/connector/builtin"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// A runner that waits to see whether another one's claim moves gives the run back when it stops, at once.
func TestAStopEndsTheWatchOfAClaim(t *testing.T) {
	t.Parallel()
	w := newWorkshopWith(t, "upsert", 10, time.Hour)
	n := w.submit(t)
	w.abandon(t, n, run.Claim{})
	if err := w.store.Work.Redeliver(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop := w.runHere(t, runner.Options{Grace: time.Hour})
	proctest.Eventually(t, "the runner looks at the run", func() bool { return w.running(t) == 1 })
	stopped := make(chan struct{})
	go func() { defer close(stopped); stop() }()
	select {
	case <-stopped:
	case <-time.After(proctest.Limit): // the watch is longer
		t.Error("the stop waits for the watch")
		<-stopped
	}
	queue, err := w.store.Work.Queue(t.Context(), w.request.Task)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), proctest.Limit)
	defer cancel()
	if d, err := bustest.Next(ctx, queue); err != nil || d.Number != n {
		t.Errorf("the run was not given back: %v", err)
	}
	queue.Close()
}

// A runner that stops does not wait for expressions that take minutes for all rows, and nothing of the run
// goes on.
func TestAStopEndsExpressions(t *testing.T) {
	t.Parallel()
	w := newWorkshopWith(t, "upsert", 10_000, time.Hour)
	w.limited(t, "where: "+busy)
	n := w.submit(t)
	stop := w.runHere(t, runner.Options{})
	w.awaitClaim(t, n)
	stop()
	queue, err := w.store.Work.Queue(t.Context(), w.request.Task)
	if err != nil {
		t.Fatal(err)
	}
	defer queue.Close()
	ctx, cancel := context.WithTimeout(t.Context(), proctest.Limit)
	defer cancel()
	if d, err := bustest.Next(ctx, queue); err != nil || d.Number != n {
		t.Errorf("the run was not given back: %v", err)
	}
}

// hold is a SQL function that does not return before the test lets it.
var hold = struct {
	entered chan struct{}
	release chan struct{}
}{entered: make(chan struct{}, 100), release: make(chan struct{})}

func init() {
	sqlite.MustRegisterScalarFunction("runner_test_hold", 0, func(*sqlite.FunctionContext, []driver.Value) (driver.Value, error) {
		hold.entered <- struct{}{}
		<-hold.release
		return int64(0), nil
	})
}

// A statement that does not end does not keep a runner from stopping. The next one goes on with the run.
func TestAStopIsBounded(t *testing.T) {
	defer runner.SetStopLimit(200 * time.Millisecond)()
	w := newWorkshop(t, "upsert", 10)
	w.lock(t)() // makes the table
	db, err := sql.Open("sqlite", filepath.Join(w.dir, "warehouse.db")+"?_pragma=busy_timeout(30000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "create trigger slow before insert on people begin select runner_test_hold(); end"); err != nil {
		t.Fatal(err)
	}
	set, err := connection.Load(filepath.Join(w.dir, "connections.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	watch, stopWatch := context.WithCancel(context.Background())
	view, done, err := w.store.Tasks.Watch(watch)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { stopWatch(); <-done }()
	r, err := runner.New(runner.Options{Kinds: builtin.Kinds(), Work: w.store.Work, Tasks: view, Connections: set, Slots: 16, Log: zerolog.New(zerolog.NewTestWriter(t))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	n := w.submit(t)
	<-hold.entered
	stop()
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(err.Error(), "1 of its runs did not stop; they go on elsewhere") {
			t.Errorf("the stop says: %v", err)
		}
	case <-time.After(proctest.Limit):
		t.Error("the stop waits for the statement")
	}
	close(hold.release)
	w.runHere(t, runner.Options{})
	if doc := w.await(t, n); doc.Outcome() != run.Success || doc.RowsProcessed != 10 || w.rows(t) != 10 {
		t.Errorf("ended as %+v with %d rows", doc, w.rows(t))
	}
}

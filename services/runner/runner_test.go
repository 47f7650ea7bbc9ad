package runner_test

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"runhook/services/runner"
	"runhook/services/runner/connection"
	"runhook/services/runner/connector/builtin"
	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// runHere starts a runner in this process on the workshop's store; stop stops it as a signal does.
func (w *workshop) runHere(t testing.TB, o runner.Options) (stop func()) {
	t.Helper()
	set, err := connection.Load(filepath.Join(w.dir, "connections.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	watch, stopWatch := context.WithCancel(context.Background())
	view, done, err := w.store.Tasks.Watch(watch)
	if err != nil {
		t.Fatal(err)
	}
	o.Slots = cmp.Or(o.Slots, 16)
	o.Work, o.Tasks, o.Kinds, o.Connections = w.store.Work, view, builtin.Kinds(), set
	switch _, benchmark := t.(*testing.B); {
	case w.log != nil:
		o.Log = zerolog.New(w.log)
	case !benchmark:
		o.Log = zerolog.New(zerolog.NewTestWriter(t))
	default:
		o.Log = zerolog.Nop()
	}
	w.metrics = prometheus.NewRegistry()
	o.Metrics = w.metrics
	r, err := runner.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		stopWatch()
		<-done
	}
	t.Cleanup(stop)
	return stop
}

// lock holds the database's write lock, so that a run stands still at its first write.
func (w *workshop) lock(t *testing.T) (release func()) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(w.dir, "warehouse.db")+"?_pragma=busy_timeout(30000)")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		"pragma journal_mode=wal", "create table if not exists people (id text primary key, name text)", "begin immediate",
	} {
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	released := false
	release = func() {
		if released {
			return
		}
		released = true
		if _, err := conn.ExecContext(context.Background(), "rollback"); err != nil {
			t.Error(err)
		}
		if err := errors.Join(conn.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(release)
	return release
}

func (w *workshop) await(t *testing.T, n run.Number) run.Document {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), proctest.Limit)
	defer cancel()
	status, err := w.store.Runs.Await(ctx, w.request.Task, n)
	if err != nil || !status.Final {
		t.Fatalf("run %s has not ended: %+v, %v", n, status.Document, err)
	}
	return status.Document
}

// awaitClaim waits until somebody holds the run.
func (w *workshop) awaitClaim(t *testing.T, n run.Number) (seen bus.Seen) {
	t.Helper()
	proctest.Eventually(t, "the run is claimed", func() bool {
		var found bool
		var err error
		if seen, found, err = w.store.Work.FindClaim(t.Context(), w.request.Task, n); err != nil {
			t.Fatal(err)
		}
		return found
	})
	return seen
}

// abandon takes a submitted run as a runner would that then falls silent.
func (w *workshop) abandon(t *testing.T, n run.Number, state run.Claim) *bus.Claim {
	t.Helper()
	queue, err := w.store.Work.Queue(t.Context(), w.request.Task)
	if err != nil {
		t.Fatal(err)
	}
	if delivery, err := bustest.Next(t.Context(), queue); err != nil || delivery.Number != n {
		t.Fatalf("delivered %v, %v", delivery, err)
	}
	state.Owner, state.Executions = cmp.Or(state.Owner, "silent"), max(state.Executions, 1)
	if state.StartedOn.IsZero() {
		state.StartedOn = time.Now()
	}
	claim, err := w.store.Work.Claim(t.Context(), w.request.Task, n, state)
	if err != nil {
		t.Fatal(err)
	}
	return claim
}

func TestRunEndsAndLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "upsert", 10)
	w.runHere(t, runner.Options{})
	n := w.submit(t)
	doc := w.await(t, n)
	if doc.Outcome() != run.Success || doc.RowsInserted != 10 || doc.ExecutionCount != 1 || doc.PercentComplete != 100 {
		t.Errorf("ended as %+v", doc)
	}
	if doc.StartedOn == nil || doc.CompletedOn == nil || doc.RetryAfter != "00:00:00" || doc.Message != "10 rows processed" {
		t.Errorf("ended as %+v", doc)
	}
	w.waitUntilQuiet(t)
	proctest.Eventually(t, "the claim is gone", func() bool {
		_, found, err := w.store.Work.FindClaim(t.Context(), w.request.Task, n)
		return !found && err == nil
	})
}

func TestSlotsBoundTheRunsUnderWay(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "upsert", 10)
	release := w.lock(t)
	w.runHere(t, runner.Options{Slots: 1})
	first := w.submit(t)
	w.awaitClaim(t, first)

	other := w.anotherTask(t)
	second := other.submit(t)
	if status, err := w.store.Runs.Lookup(t.Context(), other.request.Task, second); err != nil || status.Document.Status != run.Queued {
		t.Errorf("with the only slot taken the second run is %s, %v", status.Document.Status, err)
	}
	release()
	if doc := w.await(t, first); doc.Outcome() != run.Success {
		t.Errorf("first: %+v", doc)
	}
	firstEnd := time.Time(*w.await(t, first).CompletedOn)
	if doc := other.await(t, second); doc.Outcome() != run.Success || time.Time(*doc.StartedOn).Before(firstEnd.Add(-time.Millisecond)) {
		t.Errorf("second started %v, before the first ended at %v", time.Time(*doc.StartedOn), firstEnd)
	}
}

// anotherTask is a second task on the same store, files and database.
func (w *workshop) anotherTask(t *testing.T) *workshop {
	t.Helper()
	def := parse(t, fmt.Sprintf(`id: %s
name: Another
source: {csv: {connection: drop, path: in.csv}}
mapping: {id: id, name: name}
destination: {sql: {connection: warehouse, table: people, key: [id], action: upsert, create: true}}
`, taskID()))
	if _, err := w.store.Tasks.Apply(t.Context(), def, false); err != nil {
		t.Fatal(err)
	}
	return &workshop{store: w.store, dir: w.dir, request: request(def)}
}

// The next runner takes it without a watch, which would be longer than the test.
func TestStoppedRunnerHandsItsRunBackAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorkshopWith(t, "upsert", 10, time.Hour)
	release := w.lock(t)
	stop := w.runHere(t, runner.Options{})
	n := w.submit(t)
	w.awaitClaim(t, n)
	stop()
	if seen := w.awaitClaim(t, n); !seen.State.HandedBack {
		t.Errorf("the claim is %+v, want it handed back", seen.State)
	}
	release()
	w.runHere(t, runner.Options{})
	if doc := w.await(t, n); doc.Outcome() != run.Success || doc.ExecutionCount != 2 || doc.RowsInserted != 10 {
		t.Errorf("ended as %+v", doc)
	}
}

func TestSilentRunnersRunIsTakenOver(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "upsert", 10)
	n := w.submit(t)
	former := w.abandon(t, n, run.Claim{Checkpoint: run.Checkpoint{Percent: 40, Row: 4, Counts: run.Counts{Failed: 2}}})
	w.runHere(t, runner.Options{})
	doc := w.await(t, n)
	if doc.Outcome() != run.Success || doc.ExecutionCount != 2 || doc.TotalErrorCount != 2 || doc.CurrentErrorCount != 0 {
		t.Errorf("ended as %+v", doc)
	}
	if err := former.Renew(t.Context(), run.Claim{}); !errors.Is(err, bus.ErrLost) {
		t.Errorf("the silent runner woke up and renewed its claim: %v", err)
	}
	w.waitUntilQuiet(t)
}

// Whoever works alone from a place knows that the one before it is gone, and does not watch its claims.
func TestRunOfTheSameHomeGoesOnAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorkshopWith(t, "upsert", 10, time.Hour)
	n := w.submit(t)
	w.abandon(t, n, run.Claim{Owner: "serve/1/former"})
	other := w.anotherTask(t)
	elsewhere := other.submit(t)
	other.abandon(t, elsewhere, run.Claim{Owner: "serve/11/former"})
	if err := w.store.Work.Redeliver(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.runHere(t, runner.Options{Home: "serve/1"})
	if doc := w.await(t, n); doc.Outcome() != run.Success || doc.ExecutionCount != 2 {
		t.Errorf("ended as %+v", doc)
	}
	if seen := other.awaitClaim(t, elsewhere); seen.State.Owner != "serve/11/former" {
		t.Errorf("the run of another home is held by %s", seen.State.Owner)
	}
}

// A run that is delivered again to the runner that is at work on it goes on there, once.
func TestRunUnderWayIsNotBegunTwice(t *testing.T) {
	t.Parallel()
	w := newWorkshopWith(t, "upsert", 10, time.Hour)
	release := w.lock(t)
	w.runHere(t, runner.Options{})
	n := w.submit(t)
	w.awaitClaim(t, n)
	proctest.Eventually(t, "the run is delivered again", func() bool {
		if err := w.store.Work.Redeliver(t.Context()); err != nil {
			t.Fatal(err)
		}
		consumer, err := jetStream(t, w.store).Consumer(t.Context(), "RUNS", string(w.request.Task))
		return err == nil && consumer.CachedInfo().Delivered.Consumer > 2 // the one before has been seen to
	})
	release()
	if doc := w.await(t, n); doc.Outcome() != run.Success || doc.ExecutionCount != 1 || w.rows(t) != 10 {
		t.Errorf("ended as %+v with %d rows", doc, w.rows(t))
	}
	w.waitUntilQuiet(t)
}

func TestRunThatKeepsStoppingRunnersIsGivenUp(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "upsert", 10)
	n := w.submit(t)
	w.abandon(t, n, run.Claim{Executions: run.MaxIdle, Idle: run.MaxIdle - 1, Furthest: 7})
	w.runHere(t, runner.Options{})
	doc := w.await(t, n)
	if doc.Outcome() != run.Failed || !strings.Contains(doc.Message, "row 7") || w.rows(t) != 0 {
		t.Errorf("ended as %+v with %d rows", doc, w.rows(t))
	}
}

func TestEndedRunIsOnlyAcknowledged(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "upsert", 10)
	n := w.submit(t)
	claim := w.abandon(t, n, run.Claim{})
	doc := run.QueuedDocument(w.request, n)
	doc.End(run.Failed, "ended by somebody else", time.Now())
	if err := claim.Finish(t.Context(), doc, run.RejectedSet{}); err != nil {
		t.Fatal(err)
	}
	w.runHere(t, runner.Options{})
	w.waitUntilQuiet(t)
	if got := w.await(t, n); got.Message != doc.Message || w.rows(t) != 0 {
		t.Errorf("ended as %+v with %d rows", got, w.rows(t))
	}
}

func TestAcceptedDefinitionIsExecuted(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "upsert", 10)
	n := w.submit(t)
	edited := parse(t, fmt.Sprintf(`id: %s
name: Edited
source: {csv: {connection: drop, path: nowhere.csv}}
mapping: {id: id}
destination: {sql: {connection: warehouse, table: people, key: [id], action: upsert}}
`, w.request.Task))
	if _, err := w.store.Tasks.Apply(t.Context(), edited, false); err != nil {
		t.Fatal(err)
	}
	w.runHere(t, runner.Options{})
	if doc := w.await(t, n); doc.Outcome() != run.Success || w.rows(t) != 10 {
		t.Errorf("ended as %+v with %d rows", doc, w.rows(t))
	}
	w.request.Definition = edited.Hash
	if doc := w.await(t, w.submit(t)); doc.Outcome() != run.Failed || !strings.Contains(doc.Message, "nowhere.csv") {
		t.Errorf("the edited definition ended as %+v", doc)
	}
}

func TestDisabledTasksQueuedRunsFinish(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "upsert", 10)
	n := w.submit(t)
	if _, err := w.store.Tasks.Remove(t.Context(), w.request.Task); err != nil {
		t.Fatal(err)
	}
	w.runHere(t, runner.Options{})
	if doc := w.await(t, n); doc.Outcome() != run.Success {
		t.Errorf("ended as %+v", doc)
	}
}

func TestForeignMessageDoesNotBlockTheQueue(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "upsert", 10)
	if _, err := jetStream(t, w.store).Publish(t.Context(), "run.request."+string(w.request.Task), []byte("not a request")); err != nil {
		t.Fatal(err)
	}
	w.runHere(t, runner.Options{})
	if doc := w.await(t, w.submit(t)); doc.Outcome() != run.Success {
		t.Errorf("ended as %+v", doc)
	}
	w.waitUntilQuiet(t)
}

func TestRunSurvivesARestartOfNATS(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "upsert", 10)
	release := w.lock(t)
	w.runHere(t, runner.Options{})
	n := w.submit(t)
	w.awaitClaim(t, n)
	w.store.Restart()
	release()
	proctest.Eventually(t, "the run has ended", func() bool {
		status, err := w.store.Runs.Lookup(t.Context(), w.request.Task, n)
		return err == nil && status.Final
	})
	if doc := w.await(t, n); doc.Outcome() != run.Success || doc.RowsProcessed != 10 {
		t.Errorf("ended as %+v", doc)
	}
	w.waitUntilQuiet(t)
}

func TestRunnerThatLostItsClaimWritesNoMore(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "upsert", 10)
	release := w.lock(t)
	w.runHere(t, runner.Options{})
	n := w.submit(t)
	var taken *bus.Claim
	proctest.Eventually(t, "the claim is taken over", func() bool {
		seen := w.awaitClaim(t, n)
		var err error
		taken, err = w.store.Work.TakeOver(t.Context(), w.request.Task, n, seen, seen.State.Next("other"))
		return err == nil
	})
	proctest.Eventually(t, "the attempt is abandoned", func() bool { return w.running(t) == 0 })
	release()
	if rows := w.rows(t); rows != 0 {
		t.Errorf("%d rows were written after the claim was lost", rows)
	}
	doc := run.QueuedDocument(w.request, n)
	doc.End(run.Canceled, "by the new holder", time.Now())
	if err := taken.Finish(t.Context(), doc, run.RejectedSet{}); err != nil {
		t.Fatal(err)
	}
	if got := w.await(t, n); got.Outcome() != run.Canceled {
		t.Errorf("ended as %+v", got)
	}
}

// running reads the runner's own gauge of the runs under way.
func (w *workshop) running(t *testing.T) float64 {
	t.Helper()
	families, err := w.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "runhook_runs_running" {
			return family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatal("no such metric")
	return 0
}

package runner_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"runhook/services/runner"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// overlapped has the workshop's task say what becomes of runs beside another one.
func (w *workshop) overlapped(t *testing.T, overlap task.Overlap) {
	t.Helper()
	def := parse(t, fmt.Sprintf(`id: %s
name: Overlapping
overlap: %s
source: {csv: {connection: drop, path: in.csv}}
mapping: {id: id, name: name}
destination: {sql: {connection: warehouse, table: people, key: [id], action: upsert, create: true}}
`, w.request.Task, overlap))
	if _, err := w.store.Tasks.Apply(t.Context(), def, false); err != nil {
		t.Fatal(err)
	}
	w.request = request(def)
	w.request.Overlap = overlap
}

// With no status service there is nobody but the runner to see to it: what another run has taken the place of is not
// started, and ends.
func TestOverlappedRunsAreNotStarted(t *testing.T) {
	t.Parallel()
	for _, overlap := range []task.Overlap{task.LatestOverlap, task.CancelRunningOverlap} {
		t.Run(string(overlap), func(t *testing.T) {
			t.Parallel()
			w := newWorkshop(t, "upsert", 10)
			queued := w.submit(t) // of before, as the next one
			w.overlapped(t, overlap)
			var passed []run.Number
			for range 3 {
				passed = append(passed, w.submit(t))
			}
			last := w.submit(t)
			w.request.DryRun = true
			tried := w.submit(t)
			triedLast := w.submit(t)
			if overlap == task.LatestOverlap {
				<-time.After(1100 * time.Millisecond) // for a second the first one may start before the others
			}
			w.runHere(t, runner.Options{})
			for i, n := range append([]run.Number{queued}, passed...) {
				next := append(passed, last)[i]
				want := "Canceled by run " + next.String() + ", a later one of the task, before it was started"
				if doc := w.await(t, n); doc.Outcome() != run.Canceled || doc.Message != want || doc.ExecutionCount != 0 || doc.StartedOn != nil {
					t.Errorf("run %s: %+v, want %s", n, doc, want)
				}
			}
			for n, dry := range map[run.Number]bool{last: false, triedLast: true} {
				if doc := w.await(t, n); doc.Outcome() != run.Success || doc.RowsInserted+doc.RowsUpdated+doc.RowsUnchanged != 10 || (doc.Trigger == run.DryRun) != dry {
					t.Errorf("run %s: %+v", n, doc)
				}
			}
			if doc := w.await(t, tried); doc.Outcome() != run.Canceled || !strings.Contains(doc.Message, "run "+triedLast.String()+",") {
				t.Errorf("the first dry run: %+v", doc)
			}
			w.waitUntilQuiet(t)
		})
	}
}

// With no status service the runner ends a run that was skipped, of a task that still skips runs.
func TestASkippedRunIsEndedByItsRunner(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "upsert", 10)
	w.overlapped(t, task.SkipOverlap)
	first, skipped := w.submit(t), w.submit(t)
	w.runHere(t, runner.Options{})
	if doc := w.await(t, first); doc.Outcome() != run.Success {
		t.Errorf("the first run: %+v", doc)
	}
	if doc := w.await(t, skipped); doc.Outcome() != run.Canceled || !strings.HasPrefix(doc.Message, "Skipped, because run "+first.String()+" ") {
		t.Errorf("the skipped run: %+v", doc)
	}
}

// A run that was skipped is ended by whoever gets it, and one that has begun goes on, whatever came after it.
func TestSkippedRunsAreNotStarted(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "upsert", 10)
	w.overlapped(t, task.SkipOverlap)
	release := w.lock(t)
	stop := w.runHere(t, runner.Options{})
	first := w.submit(t)
	w.awaitClaim(t, first)
	skipped := []run.Number{w.submit(t), w.submit(t)}
	w.overlapped(t, task.LatestOverlap)
	latest := w.submit(t)
	stop() // the first one is handed back, and its runner gets it again before the others
	release()
	w.runHere(t, runner.Options{})
	for _, n := range skipped {
		if doc := w.await(t, n); doc.Outcome() != run.Canceled || !strings.HasPrefix(doc.Message, "Skipped, because run "+first.String()+" ") {
			t.Errorf("%+v", doc)
		}
	}
	for _, n := range []run.Number{first, latest} {
		if doc := w.await(t, n); doc.Outcome() != run.Success {
			t.Errorf("%+v", doc)
		}
	}
}

// More runs are started at once when concurrency grows while some wait, and fewer when it shrinks.
func TestConcurrencyChangesWhileRunsWait(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "upsert", 10)
	release := w.lock(t)
	w.runHere(t, runner.Options{})
	var numbers []run.Number
	for range 12 {
		numbers = append(numbers, w.submit(t))
	}
	w.awaitClaim(t, numbers[0])
	concurrency := func(n int) {
		def, err := w.store.Work.Definition(t.Context(), w.request.Task, w.request.Definition)
		if err != nil {
			t.Fatal(err)
		}
		changed := parse(t, string(def.Text)+fmt.Sprintf("concurrency: %d\n", n))
		if _, err := w.store.Tasks.Apply(t.Context(), changed, false); err != nil {
			t.Fatal(err)
		}
	}
	concurrency(4)
	for _, n := range numbers[:4] {
		w.awaitClaim(t, n)
	}
	if _, claimed, err := w.store.Work.FindClaim(t.Context(), w.request.Task, numbers[4]); claimed || err != nil {
		t.Errorf("a fifth run is claimed: %v", err)
	}
	concurrency(1)
	release()
	var ended []run.Document
	for _, n := range numbers {
		doc := w.await(t, n)
		if doc.Outcome() != run.Success || doc.ExecutionCount != 1 {
			t.Errorf("%+v", doc)
		}
		ended = append(ended, doc)
	}
	proctest.Eventually(t, "all is acknowledged", func() bool {
		drained, err := w.store.Work.Drained(t.Context(), w.request.Task)
		return err == nil && drained
	})
	for i, doc := range ended[5:] {
		if before := ended[i+4]; time.Time(*doc.StartedOn).Before(time.Time(*before.CompletedOn)) {
			t.Errorf("run %s began at %v, before run %s ended at %v", doc.ImportID, doc.StartedOn, before.ImportID, before.CompletedOn)
		}
	}
}

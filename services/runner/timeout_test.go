package runner_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"runhook/services/runner"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// limited gives the workshop's task one more line.
func (w *workshop) limited(t *testing.T, line string) {
	t.Helper()
	w.retask(t, "name: Killed\n", "name: Killed\n"+line+"\n")
}

func wantTimeout(t *testing.T, doc run.Document, timeout string) {
	t.Helper()
	if doc.Outcome() != run.Failed || !strings.HasPrefix(doc.Message, "Stopped by the timeout of "+timeout+". What it was doing: ") {
		t.Errorf("ended as %+v", doc)
	}
}

// A destination that does not go on.
func TestTimeoutEndsARunThatHangsWriting(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "upsert", 10)
	w.limited(t, "timeout: 1s")
	defer w.lock(t)()
	w.runHere(t, runner.Options{})
	doc := w.await(t, w.submit(t))
	wantTimeout(t, doc, "1s")
	if !strings.Contains(doc.Message, "the destination.") && !strings.Contains(doc.Message, "Writing to the table people.") {
		t.Errorf("it does not say where it hung: %s", doc.Message)
	}
	w.waitUntilQuiet(t)
}

// busy is an expression that takes nearly all the steps that it may.
const busy = `'all(1..90000, # > 0)'`

// Expressions that take long, over a file that is at hand and over one that is not.
func TestTimeoutEndsARunThatIsBusyWithExpressions(t *testing.T) {
	t.Parallel()
	for name, rows := range map[string]int{"at hand": 900, "read beside the writing": 10_000} {
		for _, line := range []string{"where: " + busy, "mapping: {id: id, name: " + busy + "}"} {
			t.Run(name+" "+line[:5], func(t *testing.T) {
				t.Parallel()
				w := newWorkshop(t, "upsert", rows)
				if strings.HasPrefix(line, "mapping") {
					w.retask(t, "mapping: {id: id, name: name}", line)
				} else {
					w.limited(t, line)
				}
				w.limited(t, "timeout: 1s")
				w.runHere(t, runner.Options{})
				wantTimeout(t, w.await(t, w.submit(t)), "1s")
				w.waitUntilQuiet(t)
			})
		}
	}
}

// A source that does not go on.
func TestTimeoutEndsARunThatHangsReading(t *testing.T) {
	t.Parallel()
	end := make(chan struct{})
	defer close(end)
	w := reading(t, &service{answer: func(int, http.ResponseWriter) { <-end }}, "timeout: 1s")
	w.runHere(t, runner.Options{})
	wantTimeout(t, w.await(t, w.submit(t)), "1s")
}

// readingOnePage is a run whose source has a page of 1,002 rows, of which the second fails, and none behind it before
// end.
func readingOnePage(t *testing.T, end <-chan struct{}, more string) *workshop {
	t.Helper()
	w := reading(t, &service{answer: func(n int, w http.ResponseWriter) {
		if n > 0 {
			<-end
		}
		// As many as a source reads for its columns.
		more := strings.Repeat(`, {"id": 1, "name": "7"}`, 1000)
		_, _ = fmt.Fprintln(w, `{"data": [{"id": 1, "name": "7"}, {"id": 2, "name": "Ben"}`+more+`], "next": "?2"}`)
	}}, more)
	w.retask(t, "path: /people}", "path: /people, items: data, next: {link: next}}")
	w.retask(t, "mapping: {id: id, name: name}", "mapping: {id: id, name: int(name)}")
	return w
}

// The rows that failed before the time was over are there.
func TestTimeoutKeepsTheRejectedRows(t *testing.T) {
	t.Parallel()
	end := make(chan struct{})
	defer close(end)
	w := readingOnePage(t, end, "timeout: 3s")
	// Where a database keeps the checkpoint, the rejected rows are stored with each batch.
	w.retask(t, "sql: {connection: warehouse, table: people, key: [id], action: upsert, create: true}", "csv: {connection: drop, path: out.csv, action: append}")
	w.runHere(t, runner.Options{})
	n := w.submit(t)
	doc := w.await(t, n)
	wantTimeout(t, doc, "3s")
	if rows := w.rejected(t, n); doc.RowsFailed != 1 || len(rows) != 1 || rows[0].Row != 2 {
		t.Errorf("%d failed, rejected %+v", doc.RowsFailed, rows)
	}
}

// The time counts from the first start, whoever made it.
func TestTimeoutCountsOverAllAttempts(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "upsert", 10)
	n := w.submit(t)
	w.abandon(t, n, run.Claim{StartedOn: time.Now().Add(-3 * time.Hour)})
	w.runHere(t, runner.Options{})
	doc := w.await(t, n)
	wantTimeout(t, doc, "2h")
	if w.rows(t) != 0 || !strings.Contains(doc.Message, "Starting again after an interruption") {
		t.Error("it was begun once more")
	}
}

func TestTimeoutEndsARunThatWaits(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "upsert", 10)
	n := w.submit(t)
	w.abandon(t, n, run.Claim{
		StartedOn: time.Now().Add(-2*time.Hour + 3*time.Second),
		Tried:     1, Pause: &run.Pause{Until: time.Now().Add(time.Hour), Length: time.Hour, Why: "x", Attempts: 3},
	})
	w.runHere(t, runner.Options{})
	wantTimeout(t, w.await(t, n), "2h")
}

func TestARunThatIsTakenTooLateIsNotStarted(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "upsert", 10)
	w.request.StartWithin = 1
	n := w.submit(t)
	submitted := time.Now()
	proctest.Eventually(t, "a second has passed", func() bool { return time.Since(submitted) > 1100*time.Millisecond })
	w.request.StartWithin = 3600
	inTime := w.submit(t)
	w.runHere(t, runner.Options{})
	doc := w.await(t, n)
	if doc.Outcome() != run.Failed || doc.StartedOn != nil || doc.ExecutionCount != 0 || !strings.HasPrefix(doc.Message, "No runner took the run within 1s") {
		t.Errorf("ended as %+v", doc)
	}
	if doc := w.await(t, inTime); doc.Outcome() != run.Success {
		t.Errorf("the other ended as %+v", doc)
	}
	w.waitUntilQuiet(t)
}

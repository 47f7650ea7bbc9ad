package runner_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"runhook/shared/run"
)

// correct stores corrected rows of a run, of which the third has no whole number as its id, and returns what a request
// names them by.
func (w *workshop) correct(t *testing.T, of run.Number, rows int) run.Correction {
	t.Helper()
	const inChunk = 256
	c := run.Correction{Of: of, Key: "c0ffee", Rows: int64(rows)}
	for at := 0; at < rows; at += inChunk {
		chunk := run.RejectedChunk{Columns: []string{"id", "name"}}
		for i := at; i < min(at+inChunk, rows); i++ {
			id := fmt.Sprint(10_000 + i)
			if i == 2 {
				id = "still wrong"
			}
			chunk.Rows = append(chunk.Rows, run.RejectedRow{Row: int64(i + 1), Cells: []string{id, fmt.Sprint("corrected ", i)}})
		}
		data, err := chunk.Encode()
		c.Chunks++
		if err == nil {
			err = w.store.Runs.StoreCorrection(t.Context(), w.request.Task, c, c.Chunks, data, time.Now().Add(time.Hour))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// A run of corrected rows reads just these, and goes on in them when its runner is killed in the middle: each is written
// once, and the counts are exact. A row that is still wrong fails again, and is kept to be corrected again.
func TestCorrectedRowsAreWrittenOnce(t *testing.T) {
	t.Parallel()
	const rows = 4_500 // more than two batches
	for _, nth := range []int{1, 12} {
		t.Run(fmt.Sprint(nth), func(t *testing.T) {
			t.Parallel()
			w := newWorkshop(t, "insert", 3)
			db, err := sql.Open("sqlite", filepath.Join(w.dir, "warehouse.db"))
			if err == nil {
				_, err = db.ExecContext(t.Context(), "create table people(id integer primary key, name text)")
			}
			if err != nil || db.Close() != nil {
				t.Fatal(err)
			}
			c := w.correct(t, 1, rows)
			w.request.Trigger, w.request.RepeatOf, w.request.Correction = run.Corrections, 1, &c
			n := w.submit(t)
			w.runUntilKilled(t, "$JS.API.DIRECT.GET.OBJ_rows.$O.rows.M.", nth, true)
			successor := w.start(t, w.store.Broker.URL())
			defer successor.Kill()
			doc := w.await(t, n)
			if doc.Outcome() != run.Success || doc.RowsRetrieved != rows || doc.RowsInserted != rows-1 || doc.RowsFailed != 1 || doc.RowCount != rows {
				t.Errorf("%s: %+v", doc.Message, doc)
			}
			if got := w.rows(t); got != rows-1 {
				t.Errorf("%d rows in the table, want %d", got, rows-1)
			}
			failed, err := w.store.Runs.RejectedRows(t.Context(), w.request.Task, n)
			if err != nil {
				t.Fatal(err)
			}
			chunk, err := failed.Chunk(t.Context(), 1)
			if err != nil || len(chunk.Rows) != 1 || strings.Join(chunk.Rows[0].Cells, ",") != "still wrong,corrected 2" {
				t.Errorf("%+v %v", chunk, err)
			}
			w.endedOnce(t, n, doc)
		})
	}
}

// A run whose corrected rows are gone fails, and says so.
func TestCorrectedRowsThatAreGone(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "insert", 3)
	w.request.Trigger, w.request.RepeatOf, w.request.Correction = run.Corrections, 1, &run.Correction{Of: 1, Key: "none", Chunks: 1, Rows: 2}
	n := w.submit(t)
	p := w.start(t, w.store.Broker.URL())
	defer p.Kill()
	doc := w.await(t, n)
	if doc.Outcome() != run.Failed || !strings.Contains(doc.Message, "The corrected rows of run 1 are gone") || w.rows(t) != 0 {
		t.Errorf("%s: %s", doc.Outcome(), doc.Message)
	}
}

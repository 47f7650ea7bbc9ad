package runner_test

import (
	"cmp"
	"database/sql"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// incremental is a workshop whose task inserts the new rows of a table.
func incremental(t *testing.T, more string, source ...string) *workshop {
	t.Helper()
	return incrementalBy(t, "id", more, source...)
}

// incrementalBy is incremental with a column of since: id, or another expression of it.
func incrementalBy(t *testing.T, column, more string, source ...string) *workshop {
	t.Helper()
	w := &workshop{store: bustest.New(t, bus.Topology{Lease: time.Second}), dir: t.TempDir()}
	write(t, filepath.Join(w.dir, "connections.yaml"), "from: {sqlite: ./from.db}\nwarehouse: {sqlite: ./warehouse.db}\n")
	def := parse(t, fmt.Sprintf(`id: %[1]s
name: Incremental
source:
  sql:
    connection: from
    query: select id, name, %[2]s as v from people where :since is null or %[2]s > :since
    order_by: [id]
    since: {column: v}
  %[3]s
mapping: {id: id, name: name}
destination: {sql: {connection: warehouse, table: people, action: insert, create: true}}
%[4]s`, taskID(), column, strings.Join(source, ""), more))
	if _, err := w.store.Tasks.Apply(t.Context(), def, false); err != nil {
		t.Fatal(err)
	}
	w.request = request(def)
	w.alter(t, "from.db", "create table people (id integer primary key, name text)")
	return w
}

// upserts has the task of the workshop find the rows that are there.
func (w *workshop) upserts(t *testing.T) {
	t.Helper()
	def, err := w.store.Work.Definition(t.Context(), w.request.Task, w.request.Definition)
	if err != nil {
		t.Fatal(err)
	}
	def = parse(t, strings.Replace(string(def.Text), "action: insert", "action: upsert, key: [id]", 1))
	if _, err := w.store.Tasks.Apply(t.Context(), def, false); err != nil {
		t.Fatal(err)
	}
	w.request = request(def)
}

// alter changes a database of the workshop.
func (w *workshop) alter(t *testing.T, file, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(w.dir, file)+"?_pragma=busy_timeout(30000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(err)
	}
}

// grow adds rows to the source.
func (w *workshop) grow(t *testing.T, from, to int) {
	t.Helper()
	w.alter(t, "from.db", fmt.Sprintf("with recursive n(i) as (select %d union all select i + 1 from n where i < %d) insert into people select i, 'name ' || i from n", from, to))
}

// mark is the watermark of the workshop's task.
func (w *workshop) mark(t *testing.T) string {
	t.Helper()
	now, err := w.store.Tasks.Watermarks().Read(t.Context(), w.request.Task)
	if err != nil {
		t.Fatal(err)
	}
	return now.Of("v")
}

// A runner process is killed with SIGKILL between every two steps of a run that reads what is new. No row is lost or there
// twice, and the next run begins where this one ended.
func TestKillOfAnIncrementalRun(t *testing.T) {
	t.Parallel()
	const rows = 2_500
	for _, step := range []struct {
		name, subject string
		nth           int
	}{
		{"claiming", "$KV.runs_0.claim.", 1},
		{"deciding from where it reads", "$KV.runs_0.claim.", 2},
		{"saying what it has seen", "$KV.control.since.", 1},
		{"ending", "$KV.runs_0.final.", 1},
		{"saying that it has succeeded", "$KV.control.since.", 2},
		{"acknowledging", "$JS.ACK.", 1},
	} {
		for _, after := range []bool{false, true} {
			moment := "before"
			if after {
				moment = "after"
			}
			t.Run(moment+" "+step.name, func(t *testing.T) {
				t.Parallel()
				w := incremental(t, "")
				w.grow(t, 1, rows)
				first := w.submit(t)
				w.runUntilKilled(t, step.subject, step.nth, after)
				w.grow(t, rows+1, rows+10) // some of them before the first run reads, or after

				successor := w.start(t, w.store.Broker.URL())
				doc := w.await(t, first)
				if doc.Outcome() != run.Success {
					t.Fatalf("ended %s: %s", doc.Outcome(), doc.Message)
				}
				proctest.Eventually(t, "the watermark is what the run has seen", func() bool { return w.mark(t) == strconv.Itoa(w.rows(t)) })
				second := w.await(t, w.submit(t))
				if second.Outcome() != run.Success || doc.RowsInserted+second.RowsInserted != rows+10 || w.rows(t) != rows+10 || w.mark(t) != strconv.Itoa(rows+10) {
					t.Errorf("%d and %d rows, %d in the table, and the watermark is %s: %s", doc.RowsInserted, second.RowsInserted, w.rows(t), w.mark(t), second.Message)
				}
				if third := w.await(t, w.submit(t)); third.RowsRetrieved != 0 {
					t.Errorf("rows are read again: %+v", third)
				}
				successor.Kill()
			})
		}
	}
}

// A run that is taken over in the middle reads on from where its first attempt has begun, whatever the watermark is by
// then.
func TestTakeoverKeepsSince(t *testing.T) {
	t.Parallel()
	w := incremental(t, "", "rate: 2000/s")
	w.grow(t, 1, 6_000)
	n := w.submit(t)
	w.runUntilKilled(t, "$KV.runs_0.claim.", 3, true) // it has rows, and says how far it is
	if _, err := w.store.Tasks.Watermarks().Set(t.Context(), w.request.Task, "v", "5999", "ann"); err != nil {
		t.Fatal(err)
	}
	successor := w.start(t, w.store.Broker.URL())
	defer successor.Kill()
	if doc := w.await(t, n); doc.Outcome() != run.Success || doc.RowsInserted != 6_000 || w.rows(t) != 6_000 {
		t.Errorf("%+v", doc)
	}
	if mark := w.mark(t); mark != "5999" {
		t.Errorf("the run moves what was set while it was under way, to %s", mark)
	}
}

// What the first attempt has seen counts, also if the one that ends the run does not see it.
func TestTakeoverKeepsTheHighest(t *testing.T) {
	t.Parallel()
	w := incrementalBy(t, "10000 - id", "", "rate: 2000/s")
	w.grow(t, 1, 6_000)
	n := w.submit(t)
	w.runUntilKilled(t, "$KV.runs_0.claim.", 3, true)
	successor := w.start(t, w.store.Broker.URL())
	defer successor.Kill()
	if doc := w.await(t, n); doc.Outcome() != run.Success || doc.RowsInserted != 6_000 || doc.ExecutionCount != 2 {
		t.Errorf("%+v", doc)
	}
	if mark := w.mark(t); mark != "9999" {
		t.Errorf("the watermark is %s", mark)
	}
}

// What moves the watermark, and what does not.
func TestWhatMovesTheWatermark(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		more  string
		alter func(w *workshop)
		spoil string
		want  string
		// rows is 20 by default.
		rows   int
		upsert bool
	}{
		"success":       {want: "20"},
		"a dry run":     {alter: func(w *workshop) { w.request.DryRun = true }},
		"a failed run":  {more: "max_row_errors: 0\n", spoil: "create table people (id integer check (id <> 7), name text)"},
		"a stopped one": {more: "on_row_error: stop\n", spoil: "create table people (id integer check (id <> 7), name text)"},
		// The failed row is kept, to be corrected.
		"a failed row": {spoil: "create table people (id integer check (id <> 20), name text)", want: "20"},
		"skipped rows": {more: "where: id <= 12\n", want: "20"},
		"a value of a caller": {alter: func(w *workshop) {
			w.request.Parameters = task.Values{"State": {Values: []string{"CA"}, From: task.FromRequest}}
		}},
		"a value of the task": {alter: func(w *workshop) {
			w.request.Parameters = task.Values{"State": {Values: []string{"CA"}, From: task.FromTask}}
		}, want: "20"},
		// With insert the rows that are there would come twice.
		"failed rows that are not kept": {more: "rejected_rows: {max: 1KiB}\n", rows: 900, spoil: "create table people (id integer check (id > 899), name text)", want: "900"},
		"failed rows that are not kept, and upsert": {
			more: "rejected_rows: {max: 1KiB}\n", rows: 900, upsert: true,
			spoil: "create table people (id integer primary key check (id > 899), name text)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := incremental(t, c.more)
			if c.upsert {
				w.upserts(t)
			}
			w.grow(t, 1, cmp.Or(c.rows, 20))
			if c.spoil != "" {
				w.alter(t, "warehouse.db", c.spoil)
			}
			if c.alter != nil {
				c.alter(w)
			}
			n := w.submit(t)
			p := w.start(t, w.store.Broker.URL())
			defer p.Kill()
			doc := w.await(t, n)
			if got := w.mark(t); got != c.want {
				t.Errorf("the watermark is %q, want %q: %s", got, c.want, doc.Message)
			}
		})
	}
}

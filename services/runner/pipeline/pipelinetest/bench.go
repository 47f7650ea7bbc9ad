// Package pipelinetest runs jobs in tests, from each kind of source and to each kind of destination, and
// checks what holds for every run.
package pipelinetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"runhook/services/runner/connection"
	"runhook/services/runner/connector"
	"runhook/services/runner/connector/builtin"
	"runhook/services/runner/connector/connectortest"
	"runhook/services/runner/pipeline"
	"runhook/shared/mariatest"
	"runhook/shared/pgtest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// Bench is a folder with a files connection (drop), a database (warehouse), and a job to change.
type Bench struct {
	T      testing.TB
	Folder string
	Job    pipeline.Job

	table *task.SQLDestination
	// warehouse is the database's line in a file of connections.
	warehouse string
	open      func() (*sql.DB, error)
	// pool is open as long as the test; nil for a database that has to be closed.
	pool *sql.DB
}

// Make is a make of database.
type Make string

// The makes that a Bench may have.
const (
	SQLite   Make = "SQLite"
	Postgres Make = "PostgreSQL"
	MariaDB  Make = "MariaDB"
)

// EachMake runs a test on a bench of each make of database.
func EachMake(t *testing.T, test func(t *testing.T, of Make, b *Bench)) {
	for _, of := range []Make{SQLite, Postgres, MariaDB} {
		t.Run(string(of), func(t *testing.T) { test(t, of, NewOf(t, of)) })
	}
}

// New has the job copy members.csv to the table members of a SQLite database, by upsert on id.
func New(t testing.TB) *Bench {
	t.Helper()
	return NewOf(t, SQLite)
}

// NewOf is New with a database of a make.
func NewOf(t testing.TB, of Make) *Bench {
	t.Helper()
	folder := t.TempDir()
	warehouse, open := "warehouse: {sqlite: ./warehouse.db}\n", func() (*sql.DB, error) {
		return sql.Open("sqlite", filepath.Join(folder, "warehouse.db"))
	}
	var pool *sql.DB
	if of == Postgres {
		schema := pgtest.New(t).Schema(t)
		pool = schema.DB()
		warehouse, open = "warehouse: {postgres: '"+schema.URL+"'}\n", func() (*sql.DB, error) {
			return sql.Open("pgx", schema.Own+"&default_query_exec_mode=simple_protocol")
		}
	}
	if of == MariaDB {
		database := mariatest.New(t).Database(t)
		pool = database.DB()
		warehouse, open = "warehouse: {mysql: '"+database.URL+"'}\n", database.Open
	}
	set, err := connection.Parse([]byte("drop: {files: .}\n"+warehouse), filepath.Join(folder, "connections.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	table := &task.SQLDestination{
		Connection: "warehouse", Table: "members", Key: []string{"id"}, Action: task.Upsert, Create: true,
	}
	return &Bench{T: t, Folder: folder, table: table, warehouse: warehouse, open: open, pool: pool, Job: pipeline.Job{Kinds: connectortest.Watched(t, builtin.Kinds()), Job: connector.Job{
		Connections: set,
		Task: &task.Definition{
			Name:        "copy",
			Source:      &task.CSVSource{Connection: "drop", Path: "members.csv"},
			Mapping:     []task.Column{{Name: "id", Expression: "ID"}, {Name: "name", Expression: "Name"}},
			Destination: table,
			OnRowError:  task.ContinueOnRowError, MaxRowErrors: 1000,
		},
	}}}
}

// Table returns the sql destination that the job has at first.
func (b *Bench) Table() *task.SQLDestination { return b.table }

// Mapping sets the job's mapping: name, expression, name, expression, …
func (b *Bench) Mapping(pairs ...string) {
	b.Job.Task.Mapping = nil
	for i := 0; i < len(pairs); i += 2 {
		b.Job.Task.Mapping = append(b.Job.Task.Mapping, task.Column{Name: pairs[i], Expression: pairs[i+1]})
	}
}

// ToFile makes the job write out.csv.
func (b *Bench) ToFile(action task.Action) {
	b.Job.Task.Destination = &task.CSVDestination{Connection: "drop", Path: "out.csv", Action: action}
}

// Write writes a file in the folder.
func (b *Bench) Write(name, content string) {
	b.T.Helper()
	if err := os.WriteFile(filepath.Join(b.Folder, name), []byte(content), 0o600); err != nil {
		b.T.Fatal(err)
	}
}

// Read returns a file of the folder, or that there is none.
func (b *Bench) Read(name string) string {
	b.T.Helper()
	content, err := os.ReadFile(filepath.Join(b.Folder, name))
	if errors.Is(err, os.ErrNotExist) {
		return "(no file)"
	}
	if err != nil {
		b.T.Fatal(err)
	}
	return string(content)
}

// Open opens the database, for the caller to close.
func (b *Bench) Open() *sql.DB {
	b.T.Helper()
	db, err := b.open()
	if err != nil {
		b.T.Fatal(err)
	}
	return db
}

// use is the database until done.
func (b *Bench) use() (db *sql.DB, done func()) {
	if b.pool != nil {
		return b.pool, func() {}
	}
	db = b.Open()
	return db, func() { db.Close() }
}

// Exec runs statements on the database.
func (b *Bench) Exec(statements string) {
	b.T.Helper()
	db, done := b.use()
	defer done()
	if _, err := db.Exec(statements); err != nil {
		b.T.Fatal(err)
	}
}

// Query returns the rows of a query: values with spaces between, rows with semicolons.
func (b *Bench) Query(text string) string {
	b.T.Helper()
	db, done := b.use()
	defer done()
	rows, err := db.Query(text)
	if err != nil {
		b.T.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		b.T.Fatal(err)
	}
	var lines []string
	for rows.Next() {
		cells := make([]any, len(columns))
		for i := range cells {
			cells[i] = new(any)
		}
		if err := rows.Scan(cells...); err != nil {
			b.T.Fatal(err)
		}
		var texts []string
		for _, cell := range cells {
			switch value := (*cell.(*any)).(type) {
			case time.Time:
				texts = append(texts, value.Format(time.RFC3339Nano))
			case []byte: // as one driver gives texts
				texts = append(texts, string(value))
			default:
				texts = append(texts, fmt.Sprint(value))
			}
		}
		lines = append(lines, strings.Join(texts, " "))
	}
	if err := rows.Err(); err != nil {
		b.T.Fatal(err)
	}
	return strings.Join(lines, "; ")
}

// Run executes the job and checks what holds for every run.
func (b *Bench) Run(ctx context.Context) (pipeline.Snapshot, error) {
	b.T.Helper()
	var m pipeline.Meter
	err := pipeline.Run(ctx, b.Job, &m)
	s := m.Snapshot()
	c := s.Counts
	if c.Retrieved != c.Processed()+c.Skipped+c.Failed && (err == nil || b.Job.Task.Destination.Traits().Continues) {
		b.T.Errorf("retrieved %d is not processed %d + skipped %d + failed %d", c.Retrieved, c.Processed(), c.Skipped, c.Failed)
	}
	if err == nil && (c.Total != c.Retrieved || s.PercentComplete != 100) {
		b.T.Errorf("after success: total %d, retrieved %d, %v%%", c.Total, c.Retrieved, s.PercentComplete)
	}
	if err != nil && s.PercentComplete >= 100 {
		b.T.Errorf("after a failure: %v%%", s.PercentComplete)
	}
	if len(s.Errors) != int(min(c.Failed, run.MaxListedErrors)) {
		b.T.Errorf("%d errors listed for %d failed rows", len(s.Errors), c.Failed)
	}
	return s, err
}

// Succeed runs the job, which must succeed, and compares the counts.
func (b *Bench) Succeed(want run.Counts) pipeline.Snapshot {
	b.T.Helper()
	s, err := b.Run(b.T.Context())
	if err != nil {
		b.T.Fatalf("the run failed: %v", err)
	}
	b.Counts(s, want)
	return s
}

// Fail runs the job, which must fail with such a message.
func (b *Bench) Fail(message string) pipeline.Snapshot {
	b.T.Helper()
	s, err := b.Run(b.T.Context())
	failure, ok := errors.AsType[*run.Failure](err)
	if !ok || !strings.Contains(failure.Message, message) {
		b.T.Fatalf("got %v, want a failure with %q", err, message)
	}
	if strings.Contains(failure.Message, b.Folder) {
		b.T.Errorf("the message shows a path of the machine: %s", failure.Message)
	}
	return s
}

// Counts compares the counts of a run; a total of 0 is not compared.
func (b *Bench) Counts(s pipeline.Snapshot, want run.Counts) {
	b.T.Helper()
	if want.Total == 0 {
		want.Total = s.Counts.Total
	}
	if s.Counts != want {
		b.T.Errorf("counts %+v, want %+v; errors %v", s.Counts, want, s.Errors)
	}
}

// RowErrors compares the errors of rows, of which a part of the message is enough.
func (b *Bench) RowErrors(s pipeline.Snapshot, want ...run.RowError) {
	b.T.Helper()
	if len(s.Errors) != len(want) {
		b.T.Errorf("errors %+v, want %+v", s.Errors, want)
		return
	}
	for i, e := range s.Errors {
		if e.Row != want[i].Row || e.Column != want[i].Column || !strings.Contains(e.Message, want[i].Message) {
			b.T.Errorf("error %+v, want %+v", e, want[i])
		}
	}
}

// MemberHeader is the first line of what MemberFile writes.
const MemberHeader = "ID,FirstName,LastName,Email,Joined\n"

// MemberFile writes a CSV of that many members.
func MemberFile(t testing.TB, path string, rows int) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var text strings.Builder
	text.WriteString(MemberHeader)
	for i := range rows {
		fmt.Fprintf(&text, "%08d,Margaret,Ann Lee,member%d@example.org,2026-01-31\n", i, i)
		if text.Len() > 1<<20 {
			if _, err := f.WriteString(text.String()); err != nil {
				t.Fatal(err)
			}
			text.Reset()
		}
	}
	if _, err := f.WriteString(text.String()); err != nil {
		t.Fatal(err)
	}
}

// Reject collects rejected rows as "number column reason cells…".
func (b *Bench) Reject() *[]string {
	var rejected []string
	b.Job.Reject = func(_ context.Context, columns []string, r run.RejectedRow) error {
		if got := strings.Join(columns, ","); got != "ID,Name" && got != "ID" { // those that are used
			b.T.Errorf("the columns are %s", got)
		}
		rejected = append(rejected, fmt.Sprint(r.Row, " ", r.Column, " ", r.Reason, " ", strings.Join(r.Cells, ",")))
		return nil
	}
	return &rejected
}

// Parameters gives the job parameters with these values: name, value, name, value, …
func (b *Bench) Parameters(pairs ...string) {
	b.Job.Parameters = task.Values{}
	for i := 0; i < len(pairs); i += 2 {
		b.Job.Task.Parameters = append(b.Job.Task.Parameters, task.Parameter{Name: pairs[i]})
		if pairs[i+1] != "" {
			b.Job.Parameters[pairs[i]] = task.Value{Values: []string{pairs[i+1]}}
		}
	}
}

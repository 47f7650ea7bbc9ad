package pipeline_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"runhook/services/runner/connection"
	"runhook/services/runner/connector"
	"runhook/services/runner/connector/builtin"
	"runhook/services/runner/pipeline"
	"runhook/shared/run"
	"runhook/shared/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a folder with a files connection (drop), a database (warehouse), and a job to change.
type bench struct {
	t      testing.TB
	folder string
	job    pipeline.Job
}

// newBench has the job copy members.csv to the table members, by upsert on id.
func newBench(t testing.TB) *bench {
	t.Helper()
	folder := t.TempDir()
	set, err := connection.Parse([]byte("drop: {files: .}\nwarehouse: {sqlite: ./warehouse.db}\n"), filepath.Join(folder, "connections.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return &bench{t: t, folder: folder, job: pipeline.Job{Kinds: builtin.Kinds(), Job: connector.Job{
		Connections: set,
		Task: &task.Definition{
			Name:    "copy",
			Source:  &task.CSVSource{Connection: "drop", Path: "members.csv"},
			Mapping: []task.Column{{Name: "id", Expression: "ID"}, {Name: "name", Expression: "Name"}},
			Destination: &task.SQLDestination{
				Connection: "warehouse", Table: "members", Key: []string{"id"}, Action: task.Upsert, Create: true,
			},
			OnRowError: task.ContinueOnRowError, MaxRowErrors: 1000,
		},
	}}}
}

// table returns the job's sql destination.
func (b *bench) table() *task.SQLDestination { return b.job.Task.Destination.(*task.SQLDestination) }

// mapping sets the job's mapping: name, expression, name, expression, …
func (b *bench) mapping(pairs ...string) {
	b.job.Task.Mapping = nil
	for i := 0; i < len(pairs); i += 2 {
		b.job.Task.Mapping = append(b.job.Task.Mapping, task.Column{Name: pairs[i], Expression: pairs[i+1]})
	}
}

// toFile makes the job write out.csv.
func (b *bench) toFile(action task.Action) {
	b.job.Task.Destination = &task.CSVDestination{Connection: "drop", Path: "out.csv", Action: action}
}

func (b *bench) write(name, content string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.folder, name), []byte(content), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) read(name string) string {
	b.t.Helper()
	content, err := os.ReadFile(filepath.Join(b.folder, name))
	if errors.Is(err, os.ErrNotExist) {
		return "(no file)"
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return string(content)
}

func (b *bench) open() *sql.DB {
	b.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(b.folder, "warehouse.db"))
	if err != nil {
		b.t.Fatal(err)
	}
	return db
}

// exec runs statements on the database.
func (b *bench) exec(statements string) {
	b.t.Helper()
	db := b.open()
	defer db.Close()
	if _, err := db.Exec(statements); err != nil {
		b.t.Fatal(err)
	}
}

// query returns the rows of a query: values with spaces between, rows with semicolons.
func (b *bench) query(text string) string {
	b.t.Helper()
	db := b.open()
	defer db.Close()
	rows, err := db.Query(text)
	if err != nil {
		b.t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		b.t.Fatal(err)
	}
	var lines []string
	for rows.Next() {
		cells := make([]any, len(columns))
		for i := range cells {
			cells[i] = new(any)
		}
		if err := rows.Scan(cells...); err != nil {
			b.t.Fatal(err)
		}
		var texts []string
		for _, cell := range cells {
			texts = append(texts, fmt.Sprint(*cell.(*any)))
		}
		lines = append(lines, strings.Join(texts, " "))
	}
	if err := rows.Err(); err != nil {
		b.t.Fatal(err)
	}
	return strings.Join(lines, "; ")
}

// run executes the job and checks what holds for every run.
func (b *bench) run(ctx context.Context) (pipeline.Snapshot, error) {
	b.t.Helper()
	var m pipeline.Meter
	err := pipeline.Run(ctx, b.job, &m)
	s := m.Snapshot()
	c := s.Counts
	if c.Retrieved != c.Processed()+c.Skipped+c.Failed && (err == nil || b.job.Task.Destination.Name() != task.CSV) {
		b.t.Errorf("retrieved %d is not processed %d + skipped %d + failed %d", c.Retrieved, c.Processed(), c.Skipped, c.Failed)
	}
	if err == nil && (c.Total != c.Retrieved || s.PercentComplete != 100) {
		b.t.Errorf("after success: total %d, retrieved %d, %v%%", c.Total, c.Retrieved, s.PercentComplete)
	}
	if err != nil && s.PercentComplete >= 100 {
		b.t.Errorf("after a failure: %v%%", s.PercentComplete)
	}
	if s.ErrorCount != c.Failed || len(s.Errors) != int(min(c.Failed, run.MaxListedErrors)) {
		b.t.Errorf("%d errors, %d listed, for %d failed rows", s.ErrorCount, len(s.Errors), c.Failed)
	}
	return s, err
}

// succeed runs the job, which must succeed, and compares the counts.
func (b *bench) succeed(want run.Counts) pipeline.Snapshot {
	b.t.Helper()
	s, err := b.run(b.t.Context())
	if err != nil {
		b.t.Fatalf("the run failed: %v", err)
	}
	b.counts(s, want)
	return s
}

// fail runs the job, which must fail with such a message.
func (b *bench) fail(message string) pipeline.Snapshot {
	b.t.Helper()
	s, err := b.run(b.t.Context())
	failure, ok := errors.AsType[*run.Failure](err)
	if !ok || !strings.Contains(failure.Message, message) {
		b.t.Fatalf("got %v, want a failure with %q", err, message)
	}
	if strings.Contains(failure.Message, b.folder) {
		b.t.Errorf("the message shows a path of the machine: %s", failure.Message)
	}
	return s
}

func (b *bench) counts(s pipeline.Snapshot, want run.Counts) {
	b.t.Helper()
	if want.Total == 0 {
		want.Total = s.Counts.Total
	}
	if s.Counts != want {
		b.t.Errorf("counts %+v, want %+v; errors %v", s.Counts, want, s.Errors)
	}
}

func (b *bench) rowErrors(s pipeline.Snapshot, want ...run.RowError) {
	b.t.Helper()
	if len(s.Errors) != len(want) {
		b.t.Errorf("errors %+v, want %+v", s.Errors, want)
		return
	}
	for i, e := range s.Errors {
		if e.Row != want[i].Row || e.Column != want[i].Column || !strings.Contains(e.Message, want[i].Message) {
			b.t.Errorf("error %+v, want %+v", e, want[i])
		}
	}
}

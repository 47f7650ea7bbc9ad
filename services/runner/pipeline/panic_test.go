package pipeline

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"runhook/services/runner/connector"
	"runhook/services/runner/row"
	"runhook/shared/mapping"
	"runhook/shared/run"
	"runhook/shared/task"
)

// broken is a source of ten rows and a destination that panic or fail where told.
type broken struct {
	at    string
	row   int64
	kept  bool
	calls []string
}

func (b *broken) call(name string) {
	b.calls = append(b.calls, name)
	if b.at == name {
		panic("4711secret")
	}
	if b.at == "index in "+name {
		_ = make([]int, 3)[len(b.at)]
	}
}

func (b *broken) Columns() mapping.Columns                 { return mapping.Columns{Names: []string{"ID"}, Text: true} }
func (b *broken) Use([]bool)                               {}
func (b *broken) Progress() (float64, int64)               { return float64(b.row) / 10, 0 }
func (b *broken) Version() (string, error)                 { b.call("Version"); return "", nil }
func (b *broken) Skip(_ context.Context, rows int64) error { b.row += rows; return nil }

func (b *broken) Next(_ context.Context, cells []any) (int, error) {
	if b.row++; b.row > 10 {
		return 0, io.EOF
	}
	if b.row == 5 && strings.HasSuffix(b.at, "Next") {
		if b.at == "index in Next" {
			_ = make([]int, 3)[len(b.at)]
		}
		panic("4711secret")
	}
	cells[0] = "1"
	return 1, nil
}

type brokenDestination struct{ *broken }

func (b brokenDestination) Write(_ context.Context, batch *row.Batch, before func(int64) error) error {
	b.call("Write")
	for r := range batch.Pending() {
		r.Outcome = row.Inserted
	}
	return before(batch.Last())
}

func (b brokenDestination) Finish(context.Context) error { b.call("Finish"); return nil }

func (b brokenDestination) Close() bool { b.call("Close"); return b.kept }

func (b *broken) Close() error { b.call("close source"); return nil }

// A panic anywhere, on whichever goroutine, fails the run, shows no value and closes the destination.
func TestPanicsFailTheRun(t *testing.T) {
	for _, at := range []string{"Next", "index in Next", "Write", "index in Write", "Finish", "Close"} {
		t.Run(at, func(t *testing.T) {
			b := &broken{at: at}
			job := Job{Job: connector.Job{Task: &task.Definition{
				Mapping: []task.Column{{Name: "id", Expression: "ID"}}, MaxRowErrors: 10,
				Source:      &task.CSVSource{},
				Destination: &task.SQLDestination{Table: "members"},
			}}}
			rows, err := compile(job.Job, b)
			if err != nil {
				t.Fatal(err)
			}
			var m Meter
			err = func() (err error) {
				defer catchPanic(&err) // as Run has it
				return transfer(t.Context(), job, &m, b, rows, &bounds{job: job, meter: &m, to: brokenDestination{b}})
			}()
			var failure *run.Failure
			var panicked *Panic
			if !errors.As(err, &failure) || !errors.As(err, &panicked) {
				t.Fatalf("got %v, want a failure", err)
			}
			if !strings.HasPrefix(failure.Message, "the task panicked at panic_test.go:") || strings.Contains(failure.Message, "4711") || strings.Contains(failure.Message, "goroutine") {
				t.Errorf("the message is %q", failure.Message)
			}
			if strings.HasPrefix(at, "index") && !strings.Contains(failure.Message, "index out of range") {
				t.Errorf("the message does not say what happened: %q", failure.Message)
			}
			if !strings.Contains(string(panicked.Stack), "panic_test.go") {
				t.Error("the stack is missing")
			}
			if b.calls[len(b.calls)-1] != "Close" {
				t.Errorf("calls %v; the destination must be closed last", b.calls)
			}
			if c := m.Snapshot().Counts; c.Inserted != 0 && !b.kept && at != "Close" {
				t.Errorf("counts %+v of rows that went with their destination", c)
			}
		})
	}
}

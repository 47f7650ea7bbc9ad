package pipeline_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"testing"

	"runhook/services/runner/check"
	"runhook/services/runner/connector"
	"runhook/services/runner/pipeline"
	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/services/runner/row"
	"runhook/shared/mapping"
	"runhook/shared/run"
	"runhook/shared/task"
)

// warner is a source of three rows, the second of them faulty, that warns of how many it has given.
type warner struct{ given int }

func (w *warner) Open(context.Context, connector.Job) (connector.Source, error) {
	return &warner{}, nil
}

func (w *warner) Check(context.Context, connector.Job, *check.Report) (connector.Looked, error) {
	return connector.Looked{Columns: w.Columns(), Warnings: []string{"rows may lack something"}}, nil
}

func (w *warner) Columns() mapping.Columns { return mapping.Columns{Names: []string{"ID", "Name"}} }

func (w *warner) Next(_ context.Context, cells []any) (int, error) {
	switch w.given++; w.given {
	case 2:
		return 0, row.Faultf("ID", "is broken")
	case 4:
		return 0, io.EOF
	}
	cells[0], cells[1] = int64(w.given), "Ann"
	return 2, nil
}

func (w *warner) Warnings() []string {
	return []string{fmt.Sprintf("asked behind %d rows", w.given), "rows may lack something"}
}

func (w *warner) Progress() (part float64, total int64)    { return 0, 0 }
func (w *warner) Version() (string, error)                 { return "", nil }
func (w *warner) Skip(_ context.Context, rows int64) error { w.given += int(rows); return nil }
func (w *warner) Close() error                             { return nil }

func warned(t *testing.T) *pipelinetest.Bench {
	b := pipelinetest.New(t)
	kinds := connector.Kinds{Sources: map[task.Kind]connector.SourceKind{b.Job.Task.Source.Name(): &warner{}}, Destinations: b.Job.Kinds.Destinations}
	b.Job.Kinds = kinds
	return b
}

// What a source says of its rows is in the result, once it has given all of them.
func TestWarnings(t *testing.T) {
	b := warned(t)
	s := b.Succeed(run.Counts{Retrieved: 3, Inserted: 2, Failed: 1})
	if want := []string{"asked behind 4 rows", "rows may lack something"}; !slices.Equal(s.Warnings, want) {
		t.Errorf("the run warns of %q, want %q", s.Warnings, want)
	}
	b = warned(t)
	b.Job.Task.OnRowError = task.StopOnRowError
	if s := b.Fail("row 2"); len(s.Warnings) > 0 && s.Warnings[0] != "asked behind 4 rows" {
		t.Errorf("a run that stopped warns of %q", s.Warnings)
	}
}

func TestPreviewWarns(t *testing.T) {
	b := warned(t)
	for most, behind := range map[int]int{1: 1, 2: 3, 3: 4} {
		sample, err := pipeline.Preview(t.Context(), b.Job.Kinds, b.Job.Job, most)
		if err != nil {
			t.Fatal(err)
		}
		if want := []string{fmt.Sprintf("asked behind %d rows", behind), "rows may lack something"}; !slices.Equal(sample.Warnings, want) {
			t.Errorf("a preview of %d rows warns of %q, want %q", most, sample.Warnings, want)
		}
	}
}

func TestCheckWarns(t *testing.T) {
	b := warned(t)
	found, err := pipeline.Check(t.Context(), b.Job.Kinds, b.Job.Job)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(found, func(f check.Finding) bool {
		return f.Severity == check.Warning && f.Text() == "source: rows may lack something"
	}) {
		t.Errorf("found %v", found)
	}
}

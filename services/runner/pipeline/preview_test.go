package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"runhook/services/runner/pipeline/pipelinetest"

	"runhook/services/runner/pipeline"
	"runhook/shared/run"
)

func TestPreview(t *testing.T) {
	b := pipelinetest.New(t)
	b.Write("members.csv", "ID,Name\n1,Ann\n2\nx,Bob\n4,\n5,Eve\n6,Flo\n")
	b.Mapping("id", "int(ID)", "name", `Name == "" ? nil : Name`)
	b.Job.Task.Where = `ID != "5"`
	for most, want := range map[int]string{
		1: "1:[1 Ann] {Total:0 Retrieved:1 Inserted:0 Updated:0 Unchanged:0 Deleted:0 Skipped:0 Failed:0} [] false",
		2: "1:[1 Ann] 4:[4 <nil>] {Total:0 Retrieved:4 Inserted:0 Updated:0 Unchanged:0 Deleted:0 Skipped:0 Failed:2}",
		9: "1:[1 Ann] 4:[4 <nil>] 6:[6 Flo] {Total:6 Retrieved:6 Inserted:0 Updated:0 Unchanged:0 Deleted:0 Skipped:1 Failed:2}",
	} {
		sample, err := pipeline.Preview(t.Context(), b.Job.Kinds, b.Job.Job, most)
		if err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for _, r := range sample.Rows {
			fmt.Fprintf(&got, "%d:%v ", r.Number, r.Values)
		}
		fmt.Fprintf(&got, "%+v %v %v", sample.Counts, sample.Errors, sample.End)
		if !strings.HasPrefix(got.String(), want) || sample.End != (most == 9) {
			t.Errorf("%d rows: got %s, want %s", most, &got, want)
		}
		if most == 9 && (len(sample.Errors) != 2 || sample.Errors[1].Row != 3 || sample.Errors[1].Column != "id") {
			t.Errorf("errors %+v", sample.Errors)
		}
	}
	if got := b.Read("warehouse.db"); got != "(no file)" {
		t.Error("the destination was opened")
	}
}

func TestPreviewFails(t *testing.T) {
	b := pipelinetest.New(t)
	if _, err := pipeline.Preview(t.Context(), b.Job.Kinds, b.Job.Job, 5); !isFailure(err, "members.csv") {
		t.Errorf("no file: %v", err)
	}
	b.Write("members.csv", "ID,Name\n1,Ann\n")
	b.Mapping("id", "Id")
	if _, err := pipeline.Preview(t.Context(), b.Job.Kinds, b.Job.Job, 5); !isFailure(err, "did you mean ID?") {
		t.Errorf("no column: %v", err)
	}
	b.Mapping("id", "ID")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := pipeline.Preview(ctx, b.Job.Kinds, b.Job.Job, 5); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func isFailure(err error, part string) bool {
	failure, ok := errors.AsType[*run.Failure](err)
	return ok && strings.Contains(failure.Message, part)
}

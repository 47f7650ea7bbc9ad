package pipeline_test

import (
	"fmt"
	"testing"

	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// Many columns do not get more memory for a row than one would, and the one that is too much is named.
func TestMemoryOfARow(t *testing.T) {
	b := pipelinetest.New(t)
	b.Write("members.csv", "ID,Name\n1,abcdefghij\n2,b\n")
	pairs := []string{"id", "ID"}
	for i := range 12 {
		pairs = append(pairs, fmt.Sprint("c", i+1), `repeat(Name, 500000)`)
	}
	b.Mapping(pairs...)
	b.ToFile(task.Replace)
	b.RowErrors(b.Succeed(run.Counts{Retrieved: 2, Inserted: 1, Failed: 1}), run.RowError{Row: 1, Column: "c7", Message: "the row's values need more than 32 MiB of memory"})
}

// Many columns do not get more steps for a row than a few would, the one that is too much is named, and a run of such
// rows ends as any of failed rows does.
func TestStepsOfARow(t *testing.T) {
	b := pipelinetest.New(t)
	b.Write("members.csv", "ID,Name\n1,60000\n2,60000\n3,5\n4,60000\n5,5\n")
	pairs := []string{"id", "ID"}
	for i := range 40 {
		pairs = append(pairs, fmt.Sprint("c", i+1), `len(filter(1..int(Name), # % 7 == 0))`)
	}
	b.Mapping(pairs...)
	b.ToFile(task.Replace)
	b.Job.Task.MaxRowErrors = 3
	const why = "with it, the row's expressions take more than 2,000,000 steps"
	b.RowErrors(b.Succeed(run.Counts{Retrieved: 5, Inserted: 2, Failed: 3}), run.RowError{Row: 1, Column: "c4", Message: why}, run.RowError{Row: 2, Column: "c4", Message: why}, run.RowError{Row: 4, Column: "c4", Message: why})
	b.Job.Task.MaxRowErrors = 1
	b.Fail("max_row_errors")
}

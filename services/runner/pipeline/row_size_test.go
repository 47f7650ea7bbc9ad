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

package runner

import (
	"testing"
	"time"

	"runhook/services/runner/pipeline"
	"runhook/shared/run"
	"runhook/shared/task"
)

// SetStopLimit shortens how long a stop waits for work that does not stop, until restore.
func SetStopLimit(d time.Duration) (restore func()) {
	before := stopLimit
	stopLimit = d
	return func() { stopLimit = before }
}

// KeepsRow reports whether an attempt that goes on behind earlier rejected rows keeps another of one cell.
func KeepsRow(t testing.TB, earlier run.RejectedSet, most int64, cell string) bool {
	t.Helper()
	a := &attempt{meter: &pipeline.Meter{}}
	a.meter.Begin(run.Checkpoint{Rejected: earlier})
	rows := a.rejectedRows(&task.Definition{Source: &task.CSVSource{}, RejectedRows: task.RejectedRows{Max: most}})
	if err := rows.add(t.Context(), []string{"A"}, run.RejectedRow{Cells: []string{cell}}); err != nil {
		t.Fatal(err)
	}
	return len(rows.chunk.Rows) == 1
}

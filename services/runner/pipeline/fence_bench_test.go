package pipeline_test

import (
	"os"
	"path/filepath"
	"testing"

	"runhook/services/runner/pipeline/pipelinetest"

	"runhook/services/runner/connector"
	"runhook/services/runner/pipeline"
	"runhook/shared/task"
)

// BenchmarkCheckpointInSQLite reports rows/s of whole runs into SQLite with the checkpoint in the batches'
// transactions, and without one. They take turns, so that the ratio means something on a busy machine.
func BenchmarkCheckpointInSQLite(b *testing.B) {
	const rows = 100_000
	w := pipelinetest.New(b)
	pipelinetest.MemberFile(b, filepath.Join(w.Folder, "members.csv"), rows)
	w.Mapping(memberMapping...)
	w.Table().Action = task.Insert
	var spent [2]float64
	for i := 0; b.Loop(); i++ {
		for turn := range spent {
			w.Job.Fence = nil
			if (i+turn)%2 == 1 {
				w.Job.Fence = &connector.Fence{Store: "store", Task: "task", Number: 1, Token: 1}
			}
			b.StopTimer()
			os.Remove(filepath.Join(w.Folder, "warehouse.db"))
			b.StartTimer()
			before := b.Elapsed()
			var m pipeline.Meter
			if err := pipeline.Run(b.Context(), w.Job, &m); err != nil {
				b.Fatal(err)
			}
			spent[(i+turn)%2] += (b.Elapsed() - before).Seconds()
		}
	}
	b.ReportMetric(float64(rows*b.N)/spent[1], "rows/s")
	b.ReportMetric(float64(rows*b.N)/spent[0], "rows/s-without")
	b.ReportMetric(spent[0]/spent[1], "ratio")
}

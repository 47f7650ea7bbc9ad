package csvfile_test

import (
	"errors"
	"io"
	"path/filepath"
	"testing"

	"runhook/services/runner/connector/csvfile"
	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/shared/task"
)

// BenchmarkSource reports rows/s of a file that is read, and kept as a run keeps it.
func BenchmarkSource(b *testing.B) {
	const rows = 200_000
	w := pipelinetest.New(b)
	pipelinetest.MemberFile(b, filepath.Join(w.Folder, "members.csv"), rows)
	for b.Loop() {
		s, err := csvfile.Open(b.Context(), w.Job.Connections, &task.CSVSource{Connection: "drop", Path: "members.csv"})
		if err != nil {
			b.Fatal(err)
		}
		cells, read := make([]any, len(s.Columns().Names)), 0
		for ; err == nil; read++ {
			_, err = s.Next(b.Context(), cells)
			_ = s.Record()
		}
		if s.Close(); !errors.Is(err, io.EOF) || read != rows+1 {
			b.Fatal(read, err)
		}
	}
	b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
}

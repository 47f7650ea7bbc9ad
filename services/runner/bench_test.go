package runner_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"runhook/services/runner"
	"runhook/shared/bus"
	"runhook/shared/bustest"
)

// Whole runs, from the request to the final document, of a task with nothing to do.
func BenchmarkNoOpRun(b *testing.B) {
	w := &workshop{store: bustest.New(b, bus.Topology{}), dir: b.TempDir()}
	write(b, filepath.Join(w.dir, "one.csv"), "id\n1\n")
	write(b, filepath.Join(w.dir, "connections.yaml"), "drop: {files: .}\n")
	def := parse(b, fmt.Sprintf(`id: %s
name: Nothing
concurrency: 64
source: {csv: {connection: drop, path: one.csv}}
where: "false"
mapping: {id: id}
destination: {csv: {connection: drop, path: out.csv, action: append}}
`, taskID()))
	if _, err := w.store.Tasks.Apply(b.Context(), def, false); err != nil {
		b.Fatal(err)
	}
	w.request = request(def)
	var finals sync.WaitGroup
	_, err := jetStream(b, w.store).Conn().Subscribe("$KV.runs_0.final.>", func(*nats.Msg) { finals.Done() })
	if err != nil {
		b.Fatal(err)
	}
	w.runHere(b, runner.Options{Slots: 64})
	b.ResetTimer()
	finals.Add(b.N)
	var submitting sync.WaitGroup
	for c := range 64 {
		submitting.Go(func() {
			for i := c; i < b.N; i += 64 {
				if _, err := w.store.Runs.Submit(b.Context(), w.request, ""); err != nil {
					b.Error(err)
				}
			}
		})
	}
	submitting.Wait()
	finals.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "runs/s")
}

package runner

import (
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"runhook/shared/run"
)

// metrics label tasks by name, never by GUID: a GUID is what lets somebody call the webhook.
type metrics struct {
	running  prometheus.Gauge
	started  *series[prometheus.Counter]
	finished *series[prometheus.Counter]
	wait     *series[prometheus.Observer]
	duration *series[prometheus.Observer]
	rows     *series[prometheus.Counter]
}

// series are the metrics of a vector by their labels, at most two. A vector of the library takes many
// times as long to find one as that takes to count.
type series[M any] struct {
	find  func(labels ...string) M
	mu    sync.RWMutex
	known map[[2]string]M
}

func newSeries[M any](find func(labels ...string) M) *series[M] {
	return &series[M]{find: find, known: map[[2]string]M{}}
}

// of returns the metric with these labels; it is not shown before it is asked for.
func (s *series[M]) of(labels ...string) M {
	var key [2]string
	copy(key[:], labels)
	s.mu.RLock()
	metric, ok := s.known[key]
	s.mu.RUnlock()
	if !ok {
		metric = s.find(slices.Clone(labels)...)
		s.mu.Lock()
		s.known[key] = metric
		s.mu.Unlock()
	}
	return metric
}

func newMetrics(registry prometheus.Registerer) *metrics {
	factory := promauto.With(registry)
	waits := []float64{.001, .005, .025, .1, .5, 1, 5, 30, 120, 600, 3600}
	durations := []float64{.01, .1, .5, 1, 5, 15, 60, 300, 1800, 7200}
	return &metrics{
		running: factory.NewGauge(prometheus.GaugeOpts{
			Name: "runhook_runs_running", Help: "Runs under way in this runner.",
		}),
		started: newSeries(factory.NewCounterVec(prometheus.CounterOpts{
			Name: "runhook_runs_started_total", Help: "Attempts started, by task.",
		}, []string{"task"}).WithLabelValues),
		finished: newSeries(factory.NewCounterVec(prometheus.CounterOpts{
			Name: "runhook_runs_finished_total", Help: "Runs ended, by task and outcome.",
		}, []string{"task", "outcome"}).WithLabelValues),
		wait: newSeries(factory.NewHistogramVec(prometheus.HistogramOpts{
			Name: "runhook_run_wait_seconds", Help: "Time from the POST to the first start.", Buckets: waits,
		}, []string{"task"}).WithLabelValues),
		duration: newSeries(factory.NewHistogramVec(prometheus.HistogramOpts{
			Name: "runhook_run_duration_seconds", Help: "Time from the first start to the end.", Buckets: durations,
		}, []string{"task"}).WithLabelValues),
		rows: newSeries(factory.NewCounterVec(prometheus.CounterOpts{
			Name: "runhook_rows_total", Help: "Rows of ended runs, by task and what became of them.",
		}, []string{"task", "result"}).WithLabelValues),
	}
}

// count counts a run that has ended.
func (m *metrics) count(doc run.Document) {
	m.finished.of(doc.TaskName, string(doc.Outcome())).Inc()
	m.duration.of(doc.TaskName).Observe(float64(doc.DurationMs) / 1000)
	for _, some := range [...]struct {
		result string
		rows   int64
	}{
		{"inserted", doc.RowsInserted},
		{"updated", doc.RowsUpdated},
		{"unchanged", doc.RowsUnchanged},
		{"deleted", doc.RowsDeleted},
		{"skipped", doc.RowsSkipped},
		{"failed", doc.RowsFailed},
	} {
		if some.rows > 0 {
			m.rows.of(doc.TaskName, some.result).Add(float64(some.rows))
		}
	}
}

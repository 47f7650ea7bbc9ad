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
	// canceling is of all tasks together: it tells of this runner.
	canceling prometheus.Histogram
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
	counter := func(name, help string, labels ...string) *series[prometheus.Counter] {
		return newSeries(factory.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels).WithLabelValues)
	}
	histogram := func(name, help string, buckets ...float64) *series[prometheus.Observer] {
		options := prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}
		return newSeries(factory.NewHistogramVec(options, []string{"task"}).WithLabelValues)
	}
	return &metrics{
		running: factory.NewGauge(prometheus.GaugeOpts{
			Name: "runhook_runs_running", Help: "Runs under way in this runner.",
		}),
		started:  counter("runhook_runs_started_total", "Attempts started, by task.", "task"),
		finished: counter("runhook_runs_finished_total", "Runs ended, by task and outcome.", "task", "outcome"),
		wait: histogram("runhook_run_wait_seconds", "Time from the POST to the first start.",
			.001, .005, .025, .1, .5, 1, 5, 30, 120, 600, 3600),
		duration: histogram("runhook_run_duration_seconds", "Time from the first start to the end.",
			.01, .1, .5, 1, 5, 15, 60, 300, 1800, 7200),
		canceling: factory.NewHistogram(prometheus.HistogramOpts{
			Name: "runhook_run_cancel_seconds", Help: "Time from the request to cancel a run that this runner held to the end of its work.",
			Buckets: []float64{.025, .1, .25, .5, 1, 2.5, 5, 15, 60},
		}),
		rows: counter("runhook_rows_total", "Rows of ended runs, by task and what became of them.", "task", "result"),
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

package runner

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics label tasks by name, never by GUID: a GUID is what lets somebody call the webhook.
type metrics struct {
	running  prometheus.Gauge
	started  *prometheus.CounterVec
	finished *prometheus.CounterVec
	wait     *prometheus.HistogramVec
	duration *prometheus.HistogramVec
	rows     *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer) *metrics {
	factory := promauto.With(registry)
	waits := []float64{.001, .005, .025, .1, .5, 1, 5, 30, 120, 600, 3600}
	durations := []float64{.01, .1, .5, 1, 5, 15, 60, 300, 1800, 7200}
	return &metrics{
		running: factory.NewGauge(prometheus.GaugeOpts{
			Name: "runhook_runs_running", Help: "Runs under way in this runner.",
		}),
		started: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "runhook_runs_started_total", Help: "Attempts started, by task.",
		}, []string{"task"}),
		finished: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "runhook_runs_finished_total", Help: "Runs ended, by task and outcome.",
		}, []string{"task", "outcome"}),
		wait: factory.NewHistogramVec(prometheus.HistogramOpts{
			Name: "runhook_run_wait_seconds", Help: "Time from the POST to the first start.", Buckets: waits,
		}, []string{"task"}),
		duration: factory.NewHistogramVec(prometheus.HistogramOpts{
			Name: "runhook_run_duration_seconds", Help: "Time from the first start to the end.", Buckets: durations,
		}, []string{"task"}),
		rows: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "runhook_rows_total", Help: "Rows of ended runs, by task and what became of them.",
		}, []string{"task", "result"}),
	}
}

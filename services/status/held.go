package status

import "github.com/prometheus/client_golang/prometheus"

// heldTasks tells as a metric which tasks are held, of those that may be.
type heldTasks struct {
	*Service
	desc *prometheus.Desc
}

func (s *Service) heldTasks() heldTasks {
	return heldTasks{s, prometheus.NewDesc("runhook_task_held", "Whether too many failed runs in a row hold a task (1) or not (0), by task; of tasks with disable_after_failures.", []string{"task"}, nil)}
}

// Describe is of [prometheus.Collector].
func (h heldTasks) Describe(descs chan<- *prometheus.Desc) { descs <- h.desc }

// Collect is of [prometheus.Collector].
func (h heldTasks) Collect(metrics chan<- prometheus.Metric) {
	told := map[string]float64{} // two tasks may have one name
	for _, t := range h.options.Tasks.All() {
		_, held := h.options.Holds.Of(t.ID)
		if held {
			told[t.Name] = 1
		} else if t.DisableAfterFailures > 0 {
			told[t.Name] = max(told[t.Name], 0)
		}
	}
	for name, held := range told {
		metrics <- prometheus.MustNewConstMetric(h.desc, prometheus.GaugeValue, held, name)
	}
}

package pipeline_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"runhook/services/runner/pipeline"
	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/shared/task"
)

// The percentage is that of the rows that were delivered, however far the source has been read ahead.
func TestPercentIsOfTheRowsDelivered(t *testing.T) {
	const few, many = 40, 1200 // of a page the first thousand are kept
	for name, from := range map[string]func(b *pipelinetest.Bench){
		"a file":        func(b *pipelinetest.Bench) { b.Write("members.csv", members(few, "Ann")) },
		"a packed file": func(b *pipelinetest.Bench) { b.FromZipped(pipelinetest.Gzipped(b.T, members(few, "Ann"))) },
		"a workbook": func(b *pipelinetest.Bench) {
			rows := [][]string{{"ID", "Name"}}
			for i := range few {
				rows = append(rows, []string{fmt.Sprint(i + 1), "Ann"})
			}
			b.Workbook("members.xlsx", rows...)
			b.Job.Task.Source = &task.CSVSource{Connection: "drop", Path: "members.xlsx"}
		},
		"a page": nil,
	} {
		t.Run(name, func(t *testing.T) {
			b := pipelinetest.New(t)
			var m pipeline.Meter
			delivered, count := 0, few
			if from == nil {
				count = many
			}
			take := func(w http.ResponseWriter, _ []string) {
				if percent, now := m.Snapshot().PercentComplete, 100*float64(delivered)/float64(count); percent > now+5 || percent < now-15 {
					t.Errorf("%.1f %% with %d of %d rows", percent, delivered, count)
				}
				delivered++
				w.WriteHeader(http.StatusOK)
			}
			if from == nil {
				answer := "[" + strings.TrimSuffix(strings.Repeat(`{"id": "1", "name": "Ann"},`, count), ",") + "]"
				b.FromService(func(w http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodGet {
						w.Header().Set("Content-Length", fmt.Sprint(len(answer)))
						_, _ = w.Write([]byte(answer))
						return
					}
					take(w, nil)
				}, task.HTTPSource{Path: "/members"})
				b.Job.Task.Destination = &task.HTTPDestination{Connection: "partner", Path: "/members", Method: "POST", Batch: 1}
			} else {
				from(b)
				b.ToService(1, take)
			}
			if err := pipeline.Run(t.Context(), b.Job, &m); err != nil || delivered != count {
				t.Errorf("%d rows were delivered, %v", delivered, err)
			}
		})
	}
}

package httpjson_test

import (
	"fmt"
	"net/http"
	"testing"

	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// A web service is asked for what has changed since a value, which goes into its address with all its digits and signs; of
// a first run the query parameter is left out.
func TestServiceSince(t *testing.T) {
	b := pipelinetest.New(t)
	asked := ""
	b.FromService(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.RawQuery
		fmt.Fprint(w, `[{"id":"104","name":"a","at":"2026-02-01T10:00:00.1234567+02:00"},{"id":"99","name":"b","at":"2026-02-01T08:00:00.1234568Z"},{"id":"7","name":"c","at":""}]`)
	}, task.HTTPSource{Path: "/people?limit=5&after={params.since}", Total: task.NoTotal, Since: &task.Since{Column: "at", Digits: true}})
	b.Job.Parameters = task.Values{}.WithSince("")
	s := b.Succeed(run.Counts{Retrieved: 3, Inserted: 3})
	if asked != "limit=5" || s.Highest != "2026-02-01T08:00:00.1234568Z" {
		t.Errorf("asked for %s, and it has seen %s", asked, s.Highest)
	}
	b.Job.Parameters = task.Values{}.WithSince("2026-02-01T10:00:00.1234567+02:00")
	s = b.Succeed(run.Counts{Retrieved: 3, Unchanged: 3})
	if asked != "limit=5&after=2026-02-01T10%3A00%3A00.1234567%2B02%3A00" || s.Highest != "2026-02-01T08:00:00.1234568Z" {
		t.Errorf("asked for %s, and it has seen %s", asked, s.Highest)
	}
	// Numbers in texts count by their value: JSON of many services has all ids so.
	b.Job.Task.Source.(*task.HTTPSource).Since.Column = "id"
	b.Job.Parameters = task.Values{}.WithSince("")
	if s = b.Succeed(run.Counts{Retrieved: 3, Unchanged: 3}); s.Highest != "104" {
		t.Errorf("it has seen %s", s.Highest)
	}
}

package pipeline_test

import (
	"strings"
	"testing"

	"runhook/services/runner/pipeline/pipelinetest"

	"runhook/shared/run"
	"runhook/shared/task"
)

// A parameter is a text, and a column of a table has a type: where compares them as a person expects, and what it cannot
// compare is a failed row instead of one that is left out or kept.
func TestWhereComparesAColumnOfATableWithText(t *testing.T) {
	b := pipelinetest.New(t)
	b.Exec(`create table people_in (id INT, name TEXT, code TEXT, day DATE);
		insert into people_in values (7, 'Ann', '007', '2026-01-31'), (8, 'Bob', 'B8', '2026-02-28'), (70, 'Cy', '70', null)`)
	b.FromQuery("select * from people_in", "id")
	b.Job.Task.Parameters = []task.Parameter{{Name: "ID"}, {Name: "L", Multiple: true}, {Name: "Day"}}
	b.Job.Parameters = task.Values{"ID": {Values: []string{"7"}}, "L": {Values: []string{"8", "70"}, Multiple: true}, "Day": {Values: []string{"2026-01-31"}}}
	for where, want := range map[string]string{
		`id == params.ID`: "7", `id != params.ID`: "8 70", `id in params.L`: "8 70", `id not in params.L`: "7", `id >= params.ID && id < "10"`: "7 8", `id not in ["7", "8"]`: "70",
		`day == params.Day`: "7", `day > params.Day`: "8", `code == "007"`: "7", `code in params.L`: "70",
		`code == 70`: "70; code", `code != 7`: "8 70; code", `code not in [7]`: "8 70; code",
	} {
		b.Job.Task.Where = where
		s, err := b.Run(t.Context())
		if err != nil {
			t.Fatal(where, err)
		}
		var ids []string
		for line := range strings.Lines(b.Read("out.csv")) {
			if id, _, _ := strings.Cut(line, ","); id != "id" {
				ids = append(ids, id)
			}
		}
		got := strings.Join(ids, " ")
		if s.Counts.Failed > 0 {
			got += "; code"
			b.RowErrors(s, run.RowError{Row: 1, Column: "where", Message: "it compares a number with a text like 007"})
		}
		if got != want {
			t.Errorf("%s: rows %s, want %s; counts %+v, %v", where, got, want, s.Counts, s.Errors)
		}
	}
}

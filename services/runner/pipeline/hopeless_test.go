package pipeline_test

import (
	"strings"
	"testing"

	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/shared/run"
)

// A parameter that makes every row fail ends the run before any is read, and keeps none: whoever calls a task must
// not make its rows fail to read them.
func TestParametersThatLetNoRowPass(t *testing.T) {
	for _, c := range []struct {
		name, where, mapping string
		since                string
		fails                string
		counts               run.Counts
	}{
		{"the mapping", "", `date(params.Since) > date(Name) ? ID : ID`, "nonsense", "mapping.id cannot be computed: date, at character 1", run.Counts{}},
		{"a date", "", `date(params.Since) > date(Name) ? ID : ID`, "2026-01-31", "", run.Counts{Total: 2, Retrieved: 2, Inserted: 2}},
		{"where", `date(Name) > date(params.Since)`, "ID", "nonsense", "Where cannot be computed: date, at character 14", run.Counts{}},
		{"where, not come to", `params.Since == "" || date(Name) > date(params.Since)`, "ID", "", "", run.Counts{Total: 2, Retrieved: 2, Inserted: 2}},
		{"where, come to", `params.Since == "" || date(Name) > date(params.Since)`, "ID", "x", "Where cannot be computed: date, at character 36", run.Counts{}},
		{"a pattern", `Name matches params.Since`, "ID", "(", "Where cannot be computed: matches, at character 6", run.Counts{}},
		{"the mapping of rows that where keeps", `ID != "1"`, "ID + string(date(params.Since))", "x", "mapping.id cannot be computed: date, at character 13", run.Counts{}},
		{"the mapping, where none is kept", `ID == "9"`, "ID + string(date(params.Since))", "x", "", run.Counts{Total: 2, Retrieved: 2, Skipped: 2}},
		{"the mapping, where the parameter lets none pass", `params.Since == "y"`, "ID + string(date(params.Since))", "x", "", run.Counts{Total: 2, Retrieved: 2, Skipped: 2}},
		{"the mapping, where the parameter lets all pass", `params.Since == "x"`, "ID + string(date(params.Since))", "x", "mapping.id cannot be computed: date, at character 13", run.Counts{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := pipelinetest.New(t)
			b.Write("members.csv", "ID,Name\n1,2026-01-01\n2,2026-03-01\n")
			b.Job.Task.Where = c.where
			b.Mapping("id", c.mapping)
			b.Parameters("Since", c.since)
			rejected := b.Reject()
			if c.fails == "" {
				b.Succeed(c.counts)
			} else {
				s := b.Fail(c.fails)
				if s.Counts.Failed != 0 || s.Counts.Inserted != 0 {
					t.Errorf("%+v", s.Counts)
				}
			}
			if len(*rejected) > 0 {
				t.Errorf("rejected %q", *rejected)
			}
		})
	}
	b := pipelinetest.New(t)
	b.Mapping("id", "ID + string(date(params.Since))")
	b.Parameters("Since", "a secret")
	b.Write("members.csv", "ID,Name\n")
	if s := b.Fail("No row can pass, because this depends on the run's parameters alone: correct their values"); strings.Contains(s.Message, "secret") {
		t.Error(s.Message)
	}
}

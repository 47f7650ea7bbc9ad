package mapping_test

import (
	"strings"
	"testing"

	"runhook/shared/mapping"
)

// Expressions over a run that has ended see its fields and parameters below run, and nothing else.
func TestRunScope(t *testing.T) {
	t.Parallel()
	fields := []string{"RowsInserted", "Message", "Success", "Parameters.State", "Parameters.CsContact.Ids"}
	cells := []any{int64(12), "done", true, "TX", []any{"a", "b"}}
	for text, want := range map[string]any{
		`run.RowsInserted`:                                      int64(12),
		`run.RowsInserted > 10 && run.Success`:                  true,
		`run["RowsInserted"] + 1`:                               13,
		`run.Parameters.State`:                                  "TX",
		`run.Parameters["State"] + "!"`:                         "TX!",
		`len(run.Parameters["CsContact.Ids"])`:                  2,
		`let run = 5; run + 1`:                                  6,
		`let n = run.RowsInserted; n > 3 ? upper("y") : "n"`:    "Y",
		`any(run.Parameters["CsContact.Ids"], # == "b")`:        true,
		`run.Message contains "on" ? number("7") : number("8")`: nil, // a number, looked at below
	} {
		scope := mapping.NewRunScope(fields)
		scope.Row = cells
		program, err := scope.Compile(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		scope.Begin()
		if got, err := program.Eval(t.Context()); err != nil || want != nil && got != want {
			t.Errorf("%s gives %v (%T), %v; want %v", text, got, got, err, want)
		}
	}
	for text, says := range map[string]string{
		`run.RowsInsertd > 0`:        "a run has no RowsInsertd; did you mean RowsInserted?",
		`run.Parameters.Sate == "x"`: "unknown parameter Sate; did you mean State?",
		`run`:                        "run must be followed by a field's name",
		`run.Parameters`:             "run must be followed by a field's name",
		`RowsInserted > 0`:           "unknown name RowsInserted; did you mean run.RowsInserted?",
		`State == "TX"`:              "unknown name State; did you mean run.Parameters.State?",
		`params.State == "TX"`:       "the parameters of the run that has ended are run.Parameters",
		`row.State == "TX"`:          "unknown name row; there is no row here",
		`uper(run.Message)`:          "unknown function uper; did you mean upper?",
		`TX`:                         "A text stands in quotes",
		`run.RowsInserted >`:         "unexpected",
	} {
		_, err := mapping.NewRunScope(fields).Compile(text)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v; want %s", text, err, says)
		}
	}
}

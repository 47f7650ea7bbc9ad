package ingress

import (
	"slices"
	"testing"

	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/web"
)

// What an operator starts on the page is started as by a POST, and refused as that is.
func TestStartWanted(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	text := func(key, value string) task.Given {
		return task.Given{Key: key, GivenValue: task.GivenValue{Kind: task.GivenString, Text: value}}
	}
	region := []task.Given{text("Region", "North")}
	start := func(w run.Wanted) run.Number {
		t.Helper()
		w.Operator = "ann"
		number, err := h.In.StartWanted(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		return number
	}
	first := start(run.Wanted{Task: listedID, Given: region, Once: "a form", Base: "https://hooks.example.org"})
	request, err := h.Runs.Request(t.Context(), listedID, first)
	if err != nil || request.Trigger != run.Page || request.Operator != "ann" || request.DryRun || request.Base != "https://hooks.example.org" ||
		!slices.Equal(request.Parameters["Region"].Values, []string{"North"}) || request.Parameters["Region"].From != task.FromRequest {
		t.Errorf("%+v, %v", request, err)
	}
	if again := start(run.Wanted{Task: listedID, Given: region, Once: "a form"}); again != first {
		t.Errorf("a form that is sent twice starts run %s too", again)
	}
	for name, w := range map[string]run.Wanted{
		"another form":   {Task: listedID, Given: region, Once: "another form"},
		"another value":  {Task: listedID, Given: []task.Given{text("Region", "South")}, Once: "a form"},
		"a dry run":      {Task: listedID, Given: region, Once: "a form", DryRun: true},
		"without a name": {Task: listedID, Given: region},
	} {
		if other := start(w); other == first {
			t.Errorf("%s starts no run of its own", name)
		}
	}
	repeat := start(run.Wanted{Task: listedID, Given: region, RepeatOf: first})
	if request, err := h.Runs.Request(t.Context(), listedID, repeat); err != nil || request.Trigger != run.Again || request.RepeatOf != first {
		t.Errorf("%+v, %v", request, err)
	}
	for name, c := range map[string]struct {
		want   run.Wanted
		status int
		kind   string
	}{
		"no such task":      {run.Wanted{Task: absentID}, 404, "unknown-task"},
		"a value is needed": {run.Wanted{Task: listedID, Given: []task.Given{text("Region", "")}}, 400, "wrong-parameters"},
		"no such parameter": {run.Wanted{Task: listedID, Given: append(region, text("Sate", "x"))}, 400, "wrong-parameters"},
	} {
		number, err := h.In.StartWanted(t.Context(), c.want)
		if problem := web.ProblemOf(err); err == nil || number != 0 || problem.Status != c.status || problem.Kind != c.kind || c.status == 400 && len(problem.Errors) == 0 {
			t.Errorf("%s: %s, %v", name, number, err)
		}
	}
}

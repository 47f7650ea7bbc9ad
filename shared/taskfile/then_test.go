package taskfile_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"runhook/shared/task"
	"runhook/shared/taskfile"
)

// thenFile is a task of a number with lines in its file, beginning on line 7.
func thenFile(number int, name, lines string) []byte {
	return fmt.Appendf(nil, "id: 555e1a89-5d7d-4daf-ae0e-7b9b2b79330%d\nname: %s\nparameters: [{name: State}, {name: Ids, multiple: true}, {filter: CsContact.Id}]\nsource: {csv: {connection: a, path: a.csv}}\nmapping: {id: id}\ndestination: {csv: {connection: a, path: b.csv, action: replace}}\n%s", number, name, lines)
}

func thenDefinition(t *testing.T, number int, name, lines string) *task.Definition {
	t.Helper()
	def, err := taskfile.Parse(thenFile(number, name, lines), "then.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return def
}

// longThen is a task of a long chain.
func longThen(t *testing.T, n int, lines string) *task.Definition {
	t.Helper()
	def, err := taskfile.Parse(fmt.Appendf(nil, "id: 655e1a89-5d7d-4daf-ae0e-7b9b2b7933%02d\nname: Row %d\nparameters: [{name: State}]\nsource: {csv: {connection: a, path: a.csv}}\nmapping: {id: id}\ndestination: {csv: {connection: a, path: b.csv, action: replace}}\n%s", n, n, lines), "then.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return def
}

// Each entry has what it says, and what it leaves out.
func TestThen(t *testing.T) {
	t.Parallel()
	def := thenDefinition(t, 1, "One", `then:
  - task: Two
    on: [failed, canceled]
    when: run.RowsFailed > 0
    parameters:
      State: run.Parameters.State
      Id: run.Parameters["CsContact.Id"]
  - {task: 555e1a89-5d7d-4daf-ae0e-7b9b2b793303, on: canceled}
  - task: Three
`)
	one, two, three := def.Then[0], def.Then[1], def.Then[2]
	if one.Task != "Two" || !slices.Equal(one.On, []string{"failed", "canceled"}) || one.When != "run.RowsFailed > 0" || one.Line != 8 || one.WhenLine != 10 || one.ParametersLine != 11 ||
		len(one.Parameters) != 2 || one.Parameters[1] != (task.Column{Name: "Id", Expression: `run.Parameters["CsContact.Id"]`, Line: 13}) {
		t.Errorf("%+v", one)
	}
	if !slices.Equal(two.On, []string{"canceled"}) || !slices.Equal(three.On, []string{"success"}) || three.When != "" || three.Parameters != nil {
		t.Errorf("%+v %+v", two, three)
	}
	if !one.Fits("Failed") || one.Fits("Success") || !three.Fits("Success") || three.Fits("Canceled") {
		t.Error("the ways to end")
	}
}

// What is wrong in an entry is said with its line.
func TestThenRefused(t *testing.T) {
	t.Parallel()
	for lines, says := range map[string]string{
		"then: []":                                                      "7: then has no entry; remove it, or give it one, as in - task: Load the panel",
		"then: {task: Two}":                                             "7: then must be a list: each entry begins with a hyphen, as in - task: Load the panel",
		"then: [{on: success}]":                                         "7: then.task is missing: the other task: its name, or its id",
		"then: [{task: Two, on: cancelled}]":                            `7: then.on: there is no "cancelled"; did you mean canceled?`,
		"then: [{task: Two, on: always}]":                               `7: then.on: there is no "always"; did you mean [success, failed, canceled]?`,
		"then: [{task: Two, on: [failed, failed]}]":                     `7: then.on has "failed" twice`,
		"then: [{task: Two, on: []}]":                                   "7: then.on has no entry",
		"then: [{task: Two, on: x}]":                                    `7: then.on: there is no "x"; write success, failed, canceled, or a list of them`,
		"then:\n- task: Two\n  when: run.RowsFaild > 0":                 "9: then.when: a run has no RowsFaild; did you mean RowsFailed?",
		"then:\n- task: Two\n  when: run.RowsFailed >":                  "9: then.when: unexpected",
		"then:\n- task: Two\n  when: '\"yes\"'":                         "9: then.when: must give true or false, not string",
		"then:\n- task: Two\n  when: run.RowsInserted":                  "9: then.when: run.RowsInserted is neither true nor false; compare it, as in run.RowsInserted > 0",
		"then:\n- task: Two\n  when: ' '":                               "9: then.when has no expression",
		"then:\n- task: Two\n  parameters:\n    A: run.Parameters.Sate": "10: then.parameters.A: unknown parameter Sate; did you mean State?",
		"then:\n- task: Two\n  parameters:\n    A: CA":                  "10: then.parameters.A: unknown name CA; there is no row here, only run, the run that has ended, as in run.RowsInserted. A text stands in quotes, and in a task file in two kinds of them: '\"CA\"' (1:1)\n     | CA\n     | ^",
		"then:\n- task: Two\n  parameters:\n    A: '{\"a\": 1}'":        "10: then.parameters.A gives an object",
		"then:\n- task: Two\n  parameters:\n    A: '1'\n    A: '2'":     "11:",
		"then:\n- task: Two\n  wen: x":                                  `9: unknown field "wen" in then; did you mean "when"?`,
	} {
		_, err := taskfile.Parse(thenFile(1, "One", lines), "then.yaml")
		if err == nil || !strings.Contains(err.Error(), "then.yaml:"+says) || strings.Contains(err.Error(), "Unknown too: CA") {
			t.Errorf("%s\n%v\nwant %s", lines, err, says)
		}
	}
}

// Tasks that are not there, that do not take the parameters, and chains without an end are found among all tasks.
func TestCheckThen(t *testing.T) {
	t.Parallel()
	two, three := thenDefinition(t, 2, "Two", "then: [{task: three}]"), thenDefinition(t, 3, "Three", "")
	required, err := taskfile.Parse([]byte(strings.Replace(string(thenFile(4, "Required", "")), "{name: State}", "{name: State, prompt: required}", 1)), "then.yaml")
	if err != nil {
		t.Fatal(err)
	}
	others := []*task.Definition{two, three, required, thenDefinition(t, 5, "Twice", ""), thenDefinition(t, 6, "Twice", "")}
	for lines, says := range map[string]string{
		"":                    "",
		"then: [{task: Two}]": "",
		"then: [{task: tWO, parameters: {State: '\"x\"', cscontact.ID: '1'}}]": "",
		"then: [{task: \"{555E1A89-5D7D-4DAF-AE0E-7B9B2B793302}\"}]":           "",
		"then: [{task: Twoo}]":                                                            `then.yaml:7: then.task: there is no task "Twoo"; did you mean Two?`,
		"then: [{task: Nothing alike}]":                                                   `then.yaml:7: then.task: there is no task "Nothing alike"; apply its file first, or correct the name`,
		"then: [{task: 555e1a89-5d7d-4daf-ae0e-7b9b2b793309}]":                            "then.task: there is no task",
		"then: [{task: Twice}]":                                                           `then.task: 2 tasks are called "Twice"; write the id of the one that is meant`,
		"then: [{task: One}]":                                                             "then.task: the task would start itself, without an end",
		"then:\n- task: Two\n  parameters:\n    Ids: '[]'\n    Stat: '1'":                 `then.yaml:11: then.parameters: the task "Two": "Stat" is not a parameter of this task; did you mean State?`,
		"then: [{task: Required}]":                                                        `then.yaml:7: then.parameters: the task "Required": State is required and has no value`,
		"then: [{task: Required, parameters: {State: '\"CA\"'}}]":                         "",
		"then:\n- task: Two\n  parameters: {CsContact.Id: '1', Id: '2'}\n- {task: Three}": "are both the parameter Id",
	} {
		err := taskfile.CheckThen(thenDefinition(t, 1, "One", lines), others, "then.yaml")
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%s\n%v\nwant %s", lines, err, says)
		}
	}
	back := thenDefinition(t, 3, "Three", "then: [{task: One}]")
	err = taskfile.CheckThen(thenDefinition(t, 1, "One", "then: [{task: Two}]"), []*task.Definition{two, back}, "one.yaml")
	if err == nil || err.Error() != `one.yaml:7: then.task: a chain without an end: "One" → "Two" → "Three" → "One"; one of them must not start the next` {
		t.Error(err)
	}
	// A loop of others is theirs, and what was before under the id does not count.
	if err := taskfile.CheckThen(thenDefinition(t, 1, "One", "then: [{task: Two}]"), []*task.Definition{two, thenDefinition(t, 3, "Three", "then: [{task: Two}]")}, ""); err != nil {
		t.Error(err)
	}
	// A chain that would have more runs than it may is refused wherever it is made longer: 19 tasks behind, or before.
	var row []*task.Definition
	for n := range 19 {
		row = append(row, longThen(t, n, fmt.Sprintf("then: [{task: Row %d}]", n+1)))
	}
	row = append(row, longThen(t, 19, ""))
	if err := taskfile.CheckThen(row[0], row, "then.yaml"); err != nil {
		t.Errorf("a chain of 20: %v", err)
	}
	for _, test := range []struct {
		def *task.Definition
		of  []*task.Definition
	}{
		{thenDefinition(t, 1, "One", "then: [{task: Row 0}]"), row},
		{longThen(t, 19, "then: [{task: Two}]"), append([]*task.Definition{thenDefinition(t, 2, "Two", "")}, row[:19]...)},
		{longThen(t, 9, "then: [{task: Two}, {task: Row 10}]"), append([]*task.Definition{thenDefinition(t, 2, "Two", "then: [{task: Row 10}]")}, row...)},
	} {
		err := taskfile.CheckThen(test.def, test.of, "then.yaml")
		if err == nil || !strings.Contains(err.Error(), "then.yaml:7: then.task: with ") || !strings.Contains(err.Error(), "the chain may have 21 runs, and it has 20 at most") {
			t.Errorf("%s: %v", test.def.Name, err)
		}
	}
	var names []string
	for _, def := range taskfile.ChildrenFirst([]*task.Definition{thenDefinition(t, 1, "One", "then: [{task: Two}]"), two, three}) {
		names = append(names, def.Name)
	}
	if !slices.Equal(names, []string{"Three", "Two", "One"}) {
		t.Errorf("children first: %v", names)
	}
}

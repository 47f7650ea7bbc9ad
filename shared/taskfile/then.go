package taskfile

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"runhook/shared/mapping"
	"runhook/shared/nearest"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/wording"
)

// maxThen is how many runs the end of one starts at most.
const maxThen = 20

// outcomes are the ways to end that `on` knows.
var outcomes = []string{task.OnSuccess, task.OnFailed, task.OnCanceled}

var thenFields = []field{
	{
		name: "task", kind: kindText, max: maxNameLetters, required: true, example: "Load the panel",
		meaning: "the other task: its name, or its id",
	},
	{
		name: "on", kind: kindTextOrTexts, max: len(outcomes), byDefault: task.OnSuccess, values: outcomes,
		meaning: "after which ends it is started: success, failed, canceled, or a list of them",
	},
	{
		name: "when", kind: kindExpression, example: "run.RowsInserted > 0",
		meaning: "an expression over the run that has ended; if it gives false, the other task is not started",
	},
	{
		name: "parameters", kind: kindExpressions, max: maxParameters, example: "{State: run.Parameters.State}",
		meaning: "the parameters of the run that is started, each an expression over the run that has ended",
	},
}

// thens makes what follows a run from its entries in the file.
func (r *reader) thens(file *fieldSet, def *task.Definition, parametersKnown bool) (made []task.Then) {
	given, ok := file.field("then")
	if ok && len(given.sections) == 0 {
		r.report(given.line, "then has no entry; remove it, or give it one, as in - task: Load the panel")
	}
	for _, entry := range given.sections {
		t := task.Then{
			Task: strings.TrimSpace(entry.text("task")), On: r.on(entry),
			When: entry.text("when"), WhenLine: entry.contents["when"].line,
			Parameters: entry.contents["parameters"].columns, ParametersLine: entry.contents["parameters"].line,
			Line: cmp.Or(entry.contents["task"].line, entry.line),
		}
		if when, ok := entry.field("when"); ok && strings.TrimSpace(when.text) == "" {
			r.report(when.line, "then.when has no expression; remove it, or give it one, as in run.RowsInserted > 0")
		} else if ok && parametersKnown {
			r.overRun(when.line, "then.when", when.text, def, true)
		}
		for _, parameter := range t.Parameters {
			if parametersKnown {
				r.overRun(parameter.Line, "then.parameters."+parameter.Name, parameter.Expression, def, false)
			}
		}
		made = append(made, t)
	}
	return made
}

// on are the ways to end of an entry.
func (r *reader) on(entry *fieldSet) (on []string) {
	given := entry.contents["on"]
	if given.list && len(given.texts) == 0 {
		r.report(given.line, "then.on has no entry; remove it, or write success, failed or canceled")
	}
	for _, word := range given.texts {
		near := nearest.Name(word, outcomes)
		if far, known := farWords[strings.ToLower(word)]; known {
			near = far
		}
		switch {
		case slices.Contains(on, word):
			r.report(given.line, "then.on has %s twice", wording.Quote(word))
		case slices.Contains(outcomes, word):
			on = append(on, word)
		case near != "":
			r.report(given.line, "then.on: there is no %s; did you mean %s?", wording.Quote(word), near)
		default:
			r.report(given.line, "then.on: there is no %s; write success, failed, canceled, or a list of them", wording.Quote(word))
		}
	}
	return on
}

// farWords are words for ways to end that look like none of ours.
var farWords = map[string]string{
	"ok": task.OnSuccess, "done": task.OnSuccess, "completed": task.OnSuccess, "succeeded": task.OnSuccess, "successful": task.OnSuccess,
	"error": task.OnFailed, "fail": task.OnFailed, "failure": task.OnFailed, "cancel": task.OnCanceled, "cancelled": task.OnCanceled,
	"always": "[success, failed, canceled]", "any": "[success, failed, canceled]", "all": "[success, failed, canceled]",
}

// overRun checks an expression over a run of the task that has ended.
func (r *reader) overRun(line int, name, expression string, def *task.Definition, isCondition bool) {
	if letters := utf8.RuneCountInString(expression); letters > maxExpressionLetters {
		r.report(line, "%s: the expression has %d letters; it may have %d", name, letters, maxExpressionLetters)
		return
	}
	scope := EndedScope(def)
	var program *mapping.Program
	var err error
	if isCondition {
		program, err = scope.CompileCondition(expression)
	} else {
		program, err = scope.Compile(expression)
	}
	if err != nil {
		r.report(line, "%s: %v", name, err)
	} else if field, ok := program.Column(); ok && isCondition && field != "Success" && !strings.HasPrefix(field, "Parameters.") {
		r.report(line, "%s: run.%s is neither true nor false; compare it, as in run.RowsInserted > 0", name, field)
	} else if program.Kind() == reflect.Map {
		r.report(line, "%s gives an object, and a parameter takes a text, a number, true, false, or a list of them", name)
	}
}

// EndedScope is the scope of the expressions of `then`. Its cells are those of [run.EndedFields], followed by the
// parameters in the order of ExpressionNames.
func EndedScope(def *task.Definition) *mapping.Scope {
	fields := slices.Clone(run.EndedFields)
	for _, name := range def.ExpressionNames() {
		fields = append(fields, "Parameters."+name)
	}
	return mapping.NewRunScope(fields)
}

// CheckThen reports what is wrong with the chains that begin with a definition: tasks that are not there, parameters
// that they do not have, and chains without an end. others are the definitions of all tasks that there will be beside it.
// The error is an [*Invalid]; file is how it names the file.
func CheckThen(def *task.Definition, others []*task.Definition, file string) error {
	if len(def.Then) == 0 {
		return nil
	}
	all := []*task.Definition{def}
	for _, other := range others {
		if other.ID != def.ID {
			all = append(all, other)
		}
	}
	started, starters := links(all)
	var problems []Problem
	report := func(line int, format string, args ...any) {
		problems = append(problems, Problem{File: file, Line: line, Message: fmt.Sprintf(format, args...)})
	}
	for _, then := range def.Then {
		meant := task.Referred(then.Task, all)
		switch {
		case len(meant) > 1:
			report(then.Line, "then.task: %d tasks are called %s; write the id of the one that is meant", len(meant), wording.Quote(then.Task))
			continue
		case len(meant) == 0:
			names := make([]string, len(all))
			for i, d := range all {
				names[i] = d.Name
			}
			hint := cmp.Or(nearest.Hint(then.Task, names), "; apply its file first, or correct the name")
			report(then.Line, "then.task: there is no task %s%s", wording.Quote(then.Task), hint)
			continue
		case meant[0] == def:
			report(then.Line, "then.task: the task would start itself, without an end")
			continue
		}
		child := meant[0]
		if way := wayTo(child, def, all, map[task.ID]bool{}); way != nil {
			names := []string{wording.Quote(def.Name)}
			for _, d := range way {
				names = append(names, wording.Quote(d.Name))
			}
			report(then.Line, "then.task: a chain without an end: %s; one of them must not start the next", strings.Join(names, " → "))
		} else if runs := longest(def, starters) + longest(child, started); runs > task.MaxChain {
			report(then.Line, "then.task: with %s the chain may have %d runs, and it has %d at most: the last ones would not be started; remove one of its tasks", wording.Quote(child.Name), runs, task.MaxChain)
		}
		given := make([]task.Given, len(then.Parameters))
		for i, parameter := range then.Parameters {
			given[i] = task.Given{Key: parameter.Name, GivenValue: task.GivenValue{Kind: task.GivenString, Text: "1"}}
		}
		if _, err := child.Resolve(given); err != nil {
			line := cmp.Or(then.ParametersLine, then.Line)
			if wrong, ok := errors.AsType[*task.ParameterError](err); ok {
				for _, parameter := range then.Parameters {
					if parameter.Name == wrong.Problems[0].Parameter {
						line = parameter.Line
					}
				}
			}
			report(line, "then.parameters: the task %s: %v", wording.Quote(child.Name), err)
		}
	}
	if problems == nil {
		return nil
	}
	return &Invalid{Problems: problems}
}

// longest is how many tasks the longest chain has that begins with one. Loops are gone through once.
func longest(from *task.Definition, next map[*task.Definition][]*task.Definition) int {
	known, on := map[*task.Definition]int{}, map[*task.Definition]bool{}
	var of func(def *task.Definition) int
	of = func(def *task.Definition) (most int) {
		if n, ok := known[def]; ok || on[def] {
			return n
		}
		on[def] = true
		for _, other := range next[def] {
			most = max(most, of(other))
		}
		on[def] = false
		known[def] = most + 1
		return most + 1
	}
	return of(from)
}

// links are the tasks that each one starts, and those that start it.
func links(all []*task.Definition) (started, starters map[*task.Definition][]*task.Definition) {
	ids, named := map[task.ID][]*task.Definition{}, map[string][]*task.Definition{}
	for _, def := range all {
		ids[def.ID] = append(ids[def.ID], def)
		name := strings.ToLower(def.Name)
		named[name] = append(named[name], def)
	}
	started, starters = map[*task.Definition][]*task.Definition{}, map[*task.Definition][]*task.Definition{}
	for _, def := range all {
		for _, then := range def.Then {
			some := named[strings.ToLower(then.Task)]
			if id, err := task.ParseID(then.Task); err == nil {
				some = append(slices.Clip(ids[id]), some...)
			}
			if meant := task.Referred(then.Task, some); len(meant) == 1 {
				started[def] = append(started[def], meant[0])
				starters[meant[0]] = append(starters[meant[0]], def)
			}
		}
	}
	return started, starters
}

// wayTo are the tasks through which one starts another in the end, from the one to the other; nil if it does not.
func wayTo(from, to *task.Definition, all []*task.Definition, seen map[task.ID]bool) []*task.Definition {
	if from.ID == to.ID {
		return []*task.Definition{from}
	}
	if seen[from.ID] {
		return nil
	}
	seen[from.ID] = true
	for _, then := range from.Then {
		if meant := task.Referred(then.Task, all); len(meant) == 1 {
			if way := wayTo(meant[0], to, all, seen); way != nil {
				return append([]*task.Definition{from}, way...)
			}
		}
	}
	return nil
}

// ChildrenFirst sorts definitions so that each comes behind those that it starts, and otherwise as they were: whoever
// applies them one by one applies none before the task that it names.
func ChildrenFirst(defs []*task.Definition) []*task.Definition {
	var sorted []*task.Definition
	seen := map[*task.Definition]bool{}
	var add func(def *task.Definition)
	add = func(def *task.Definition) {
		if seen[def] {
			return
		}
		seen[def] = true
		for _, then := range def.Then {
			for _, child := range task.Referred(then.Task, defs) {
				add(child)
			}
		}
		sorted = append(sorted, def)
	}
	for _, def := range defs {
		add(def)
	}
	return sorted
}

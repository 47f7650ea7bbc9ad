package chains

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"runhook/shared/mapping"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/taskfile"
)

// scopeOf is the scope of the expressions of then, over a run that has ended and the values that it was started with.
func scopeOf(def *task.Definition, doc *run.Document, values task.Values) *mapping.Scope {
	scope := taskfile.EndedScope(def)
	scope.Row = doc.Ended()
	params := def.ExpressionParams(values)
	for _, name := range def.ExpressionNames() {
		value := params[name]
		if several, ok := value.([]string); ok {
			list := make([]any, len(several))
			for i, text := range several {
				list[i] = text
			}
			value = list
		}
		scope.Row = append(scope.Row, value)
	}
	return scope
}

// isWanted is why an entry of then starts nothing at the end of a run, "" if it wants a run. failed says that it is so
// because its condition cannot be computed. The error is ctx's.
func isWanted(ctx context.Context, def *task.Definition, then task.Then, doc *run.Document, values task.Values) (why string, failed bool, err error) {
	if !then.Fits(doc.StatusDescription) {
		return "it starts on " + strings.Join(then.On, ", ") + " only", false, nil
	}
	if then.When == "" {
		return "", false, nil
	}
	scope := scopeOf(def, doc, values)
	program, err := scope.CompileCondition(then.When)
	if err != nil {
		return "when: " + err.Error(), true, nil
	}
	scope.Begin()
	wanted, err := program.True(ctx)
	switch {
	case ctx.Err() != nil:
		return "", false, ctx.Err()
	case err != nil:
		return "when " + ofRun(err), true, nil
	case !wanted:
		return "when gives false", false, nil
	}
	return "", false, nil
}

// WhyNot is why an entry of then starts nothing at the end of a run that it fits, "" if its expressions want a run. The
// error is ctx's.
func WhyNot(ctx context.Context, def *task.Definition, then task.Then, doc *run.Document, values task.Values) (why string, err error) {
	why, _, err = isWanted(ctx, def, then, doc, values)
	if why == "" && err == nil {
		_, why, err = given(ctx, def, then, doc, values)
	}
	return why, err
}

// given are the parameters that an entry of then gives, or why they cannot be computed. The error is ctx's.
func given(ctx context.Context, def *task.Definition, then task.Then, doc *run.Document, values task.Values) (given []task.Given, why string, err error) {
	for _, parameter := range then.Parameters {
		scope := scopeOf(def, doc, values)
		program, err := scope.Compile(parameter.Expression)
		if err != nil {
			return nil, "parameters." + parameter.Name + ": " + err.Error(), nil
		}
		scope.Begin()
		value, err := program.Eval(ctx)
		switch {
		case ctx.Err() != nil:
			return nil, "", ctx.Err()
		case err != nil:
			return nil, "parameters." + parameter.Name + " " + ofRun(err), nil
		}
		passed, ok := passedOn(value)
		if !ok {
			return nil, "parameters." + parameter.Name + " gives an object, and takes a text, a number, true, false, or a list of them", nil
		}
		given = append(given, task.Given{Key: parameter.Name, GivenValue: passed})
	}
	return given, "", nil
}

// ofRun is the fault of an expression over a run.
func ofRun(err error) string {
	if fault, ok := errors.AsType[*mapping.Error](err); ok && fault.Part == "" {
		return "cannot be computed, or gives neither true nor false"
	}
	return strings.ReplaceAll(err.Error(), "for this row", "for this run")
}

// passedOn is a value of an expression as a request would pass it; ok is false if no request can.
func passedOn(value any) (v task.GivenValue, ok bool) {
	switch value := value.(type) {
	case nil:
		return task.GivenValue{Kind: task.GivenNull}, true
	case string:
		return task.GivenValue{Kind: task.GivenString, Text: value}, true
	case bool:
		return task.GivenValue{Kind: task.GivenBool, Text: strconv.FormatBool(value)}, true
	case int, int64:
		return task.GivenValue{Kind: task.GivenNumber, Text: fmt.Sprint(value)}, true
	case float64:
		return task.GivenValue{Kind: task.GivenNumber, Text: strconv.FormatFloat(mapping.Shown(value), 'f', -1, 64)}, true
	case json.Number:
		return task.GivenValue{Kind: task.GivenNumber, Text: value.String()}, true
	case time.Time:
		return task.GivenValue{Kind: task.GivenString, Text: value.UTC().Format(time.RFC3339Nano)}, true
	case time.Duration:
		return task.GivenValue{Kind: task.GivenString, Text: value.String()}, true
	case []string:
		v.Kind = task.GivenArray
		for _, text := range value {
			v.Items = append(v.Items, task.GivenValue{Kind: task.GivenString, Text: text})
		}
		return v, true
	case []any:
		v.Kind = task.GivenArray
		for _, item := range value {
			one, fits := passedOn(item)
			if !fits || one.Kind == task.GivenArray {
				return v, false
			}
			v.Items = append(v.Items, one)
		}
		return v, true
	}
	return v, false
}

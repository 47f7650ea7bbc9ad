package task

import (
	"fmt"
	"slices"
	"strings"

	"runhook/shared/nearest"
	"runhook/shared/wording"
)

// GivenKind is the kind of a value that a request passes.
type GivenKind int

// The kinds of JSON.
const (
	GivenNull GivenKind = iota
	GivenString
	GivenNumber
	GivenBool
	GivenArray
	GivenObject
)

// GivenValue is a value as a request passes it.
type GivenValue struct {
	Kind GivenKind
	// Text is a string's content, a number's digits as they stood in the body (never through a
	// float), or true or false; empty for the other kinds.
	Text string
	// Items are an array's elements.
	Items []GivenValue
}

// Given is one key and value of a request, as the caller wrote it. The members of an object are
// not read: a parameter cannot be one.
type Given struct {
	Key string
	GivenValue
}

// ParameterError is what is wrong with the parameters of a request. It holds every problem found,
// up to a bound, and shows no value.
type ParameterError struct {
	Problems []ParameterProblem
	// More is how many further problems there were.
	More int
}

// ParameterProblem is one thing wrong with a request's parameters.
type ParameterProblem struct {
	// Parameter is the key as the caller wrote it, or the parameter's key where none was given.
	Parameter string
	// Message says what is wrong and what to send instead; it begins with the parameter.
	Message string
}

// Error joins the messages.
func (e *ParameterError) Error() string {
	messages := make([]string, len(e.Problems))
	for i, problem := range e.Problems {
		messages[i] = problem.Message
	}
	if e.More > 0 {
		messages = append(messages, fmt.Sprintf("and %d more", e.More))
	}
	return strings.Join(messages, "; ")
}

// maxParameterProblems bounds the answer to a body that is wrong throughout.
const maxParameterProblems = 20

func (e *ParameterError) report(key, format string, args ...any) {
	if len(e.Problems) == maxParameterProblems {
		e.More++
		return
	}
	e.Problems = append(e.Problems, ParameterProblem{Parameter: key, Message: fmt.Sprintf(format, args...)})
}

// Resolve decides the value of every parameter: the request's, unless null or empty; else the
// task's default, unless empty; else the source's own. In an array, null and empty elements are
// no values. An error is a [*ParameterError]; then nothing may start. Values may share slices with
// the definition and are not to be changed.
func (d *Definition) Resolve(given []Given) (Values, error) {
	var wrong ParameterError
	keys := d.Keys()
	requested := d.requested(given, keys, &wrong)
	values := make(Values, len(keys))
	for i, parameter := range d.Parameters {
		value := Value{Multiple: parameter.Multiple}
		switch {
		case len(requested[i].values) > 0:
			value.Values, value.From = requested[i].values, FromRequest
		case len(parameter.Default) > 0:
			value.Values, value.From = parameter.Default, FromTask
		default:
			value.Values, value.From = parameter.SourceDefault, FromSource
			if parameter.Required && len(value.Values) == 0 && !requested[i].wrong {
				wrong.report(keys[i], "%s is required and has no value", keys[i])
			}
		}
		values[keys[i]] = value
	}
	if len(wrong.Problems) > 0 {
		return nil, &wrong
	}
	return values, nil
}

// request is what a request says of one parameter.
type request struct {
	by     string // the key that the caller used, "" when none was
	values []string
	wrong  bool // a problem was reported
}

// requested finds the parameter of every given value, by index.
func (d *Definition) requested(given []Given, keys []string, wrong *ParameterError) []request {
	requested := make([]request, len(keys))
	for _, g := range given {
		i, found := d.find(g.Key, keys, wrong)
		if !found {
			continue
		}
		r := &requested[i]
		if r.by != "" {
			r.wrong = true
			wrong.report(g.Key, "%s and %s are both the parameter %s; send one of them", wording.Quote(r.by), wording.Quote(g.Key), keys[i])
			continue
		}
		r.by = g.Key
		texts, fault := g.texts(d.Parameters[i].Multiple)
		if fault == "" {
			fault = d.Parameters[i].unfit(texts)
		}
		if r.values = texts; fault != "" {
			r.wrong = true
			wrong.report(g.Key, "%s %s", keys[i], fault)
		}
	}
	return requested
}

// find returns the parameter that a caller's key means: a qualified name, or a bare one that no
// other parameter has, in any letter case.
func (d *Definition) find(key string, keys []string, wrong *ParameterError) (index int, found bool) {
	qualified := func(p Parameter) bool { return p.Filter != "" && strings.EqualFold(p.Filter, key) }
	if i := slices.IndexFunc(d.Parameters, qualified); i >= 0 {
		return i, true
	}
	sharing := d.sharing(key)
	switch len(sharing) {
	case 1:
		return sharing[0], true
	case 0:
		wrong.report(key, "%s", d.unknown(key, keys))
	default:
		filters := make([]string, len(sharing))
		for at, i := range sharing {
			filters[at] = d.Parameters[i].Filter
		}
		wrong.report(key, "%s is ambiguous; send %s", wording.Quote(key), wording.Either(filters))
	}
	return 0, false
}

// unknown says that there is no such parameter, which is nearest, and which there are.
func (d *Definition) unknown(key string, keys []string) string {
	if len(keys) == 0 {
		return fmt.Sprintf("%s is not a parameter of this task, which has none", wording.Quote(key))
	}
	message := fmt.Sprintf("%s is not a parameter of this task", wording.Quote(key))
	if near := nearest.Name(key, d.parameterNames()); near != "" {
		return fmt.Sprintf("%s; did you mean %s? Its parameters are %s", message, near, strings.Join(keys, ", "))
	}
	return message + "; its parameters are " + strings.Join(keys, ", ")
}

// texts are the strings of a value, none where it is null or empty, or what is wrong with it.
func (v GivenValue) texts(multiple bool) (texts []string, fault string) {
	switch {
	case v.Kind == GivenObject:
		return nil, "cannot be an object; send text, a number, true, false or null"
	case v.Kind != GivenArray:
		return v.append(nil), ""
	case !multiple:
		return nil, "takes one value, not an array"
	}
	for _, item := range v.Items {
		if item.Kind == GivenArray || item.Kind == GivenObject {
			return nil, "takes an array of single values, without arrays or objects in it"
		}
		texts = item.append(texts)
	}
	return texts, ""
}

// unfit says why a request may not pass values, "" if it may.
func (p Parameter) unfit(values []string) string {
	bytes := 0
	for _, value := range values {
		bytes += len(value)
		if p.Segment && p.AnyPath && !isPath(value) {
			return "goes into a path, so it cannot have a control character in it, or dots alone between backslashes or in escapes"
		}
		if p.Segment && !p.AnyPath && !IsSegment(value) {
			return "goes into a path, so it cannot have a slash, a backslash or a control character in it, or be dots alone, also in escapes"
		}
	}
	if p.MaxBytes > 0 && bytes > p.MaxBytes {
		return fmt.Sprintf("has %d bytes, and may have %d", bytes, p.MaxBytes)
	}
	return ""
}

// append adds a single value's text, unless it is null or empty.
func (v GivenValue) append(texts []string) []string {
	if v.Kind == GivenNull || v.Text == "" {
		return texts
	}
	return append(texts, v.Text)
}

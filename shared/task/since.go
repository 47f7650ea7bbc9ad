package task

import "time"

// SinceParam is the parameter under which a task with since has the value from which it reads.
const SinceParam = "since"

// Since says how a source is read incrementally: the highest value of a column that a successful run has seen is what
// the next run gets as the parameter SinceParam.
type Since struct {
	// Column is a column of the source. Its values are numbers, dates or moments.
	Column string
	// Start is the value of the first run; empty for none.
	Start string
	// Overlap is how much the value goes back, so that rows are read that came late: a length of time or, for a column
	// of numbers, OverlapCount.
	Overlap      time.Duration
	OverlapCount int64
	// Prompt is the prompt of an IQA that gets the value; empty for none, and for other sources.
	Prompt string
	// Digits: texts that are numbers count as such, because the source has no types.
	Digits bool
}

// Incremental is a Source that may be read incrementally.
type Incremental interface {
	// Increment says how; nil if it is read as a whole.
	Increment() *Since
}

// Since says how the task's source is read incrementally; nil if it is read as a whole.
func (d *Definition) Since() *Since {
	if from, ok := d.Source.(Incremental); ok {
		return from.Increment()
	}
	return nil
}

// WithSince is values with the one from which a run reads; empty for none.
func (v Values) WithSince(value string) Values {
	with := make(Values, len(v)+1)
	for key, one := range v {
		with[key] = one
	}
	since := Value{From: FromSource}
	if value != "" {
		since.Values = []string{value}
	}
	with[SinceParam] = since
	return with
}

// since is the value from which a run with these values reads: that of the first run, if nobody has said another.
func (d *Definition) since(v Values) string {
	given, ok := v[SinceParam]
	switch {
	case !ok:
		return d.Since().Start
	case len(given.Values) > 0:
		return given.Values[0]
	}
	return ""
}

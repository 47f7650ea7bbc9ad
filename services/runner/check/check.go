// Package check holds what is found of a task before it runs: what a look at its source and its
// destination tells, all of it at once. The packages that know a kind of source or destination look,
// and change nothing.
package check

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"runhook/shared/run"
)

// Severity says what a finding means for a run.
type Severity string

// The severities.
const (
	// Error: a run fails, or rows of it that should not.
	Error Severity = "error"
	// Warning: a run may go well, and perhaps not as it is meant.
	Warning Severity = "warning"
	// Note: nothing is wrong, and it is good to know.
	Note Severity = "note"
)

// Field is where in a task file something stands: the fields above it and its own, such as
// destination, sql, key. Of a parameter and of a column of the mapping the last part is its name.
type Field []string

// At makes a Field.
func At(names ...string) Field { return names }

func (f Field) String() string { return strings.Join(f, ".") }

// Finding is one thing that was found.
type Finding struct {
	Severity Severity
	Field    Field
	// Message says what is so and what to do about it. It may have several lines, where it shows an
	// expression with a mark below the fault. It may begin with the field.
	Message string
}

// Text is the message behind its field, which does not stand twice.
func (f Finding) Text() string {
	if field := f.Field.String(); field != "" && !strings.HasPrefix(f.Message, field) {
		return field + ": " + f.Message
	}
	return f.Message
}

// Report collects findings. It belongs to one goroutine.
type Report struct {
	Findings []Finding
}

// Errorf adds an error.
func (r *Report) Errorf(at Field, format string, args ...any) { r.add(Error, at, format, args) }

// Warnf adds a warning.
func (r *Report) Warnf(at Field, format string, args ...any) { r.add(Warning, at, format, args) }

// Notef adds a note.
func (r *Report) Notef(at Field, format string, args ...any) { r.add(Note, at, format, args) }

func (r *Report) add(severity Severity, at Field, format string, args []any) {
	r.Findings = append(r.Findings, Finding{severity, at, fmt.Sprintf(format, args...)})
}

// Fail adds an error that would end a run, if it is one: a [*run.Failure]. Any other is left to the
// caller, who knows that it was canceled.
func (r *Report) Fail(at Field, err error) {
	if failure, ok := errors.AsType[*run.Failure](err); ok {
		r.add(Error, at, "%s", []any{failure.Message})
	}
}

// Failed reports whether there is an error among the findings.
func (r *Report) Failed() bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Severity == Error })
}

// Err is what a run says of the errors: the first, as a [*run.Failure], and how many there are; nil
// where there is none.
func (r *Report) Err() error {
	var first *Finding
	more := 0
	for i, f := range r.Findings {
		switch {
		case f.Severity != Error:
		case first == nil:
			first = &r.Findings[i]
		default:
			more++
		}
	}
	switch {
	case first == nil:
		return nil
	case more == 0:
		return run.Failf("%s", first.Message)
	case strings.Contains(first.Message, "\n"):
		return run.Failf("%s\nThat is not all: `runhook task check` lists %d more", first.Message, more)
	}
	end := "."
	if strings.HasSuffix(first.Message, "?") {
		end = ""
	}
	return run.Failf("%s%s That is not all: `runhook task check` lists %d more", first.Message, end, more)
}

// Kind is the kind of the values in a column, as far as it is known.
type Kind string

// The kinds.
const (
	Unknown Kind = ""
	Text    Kind = "text"
	Whole   Kind = "a whole number"
	Number  Kind = "a number"
	Boolean Kind = "true or false"
	Moment  Kind = "a date and time"
	Binary  Kind = "binary data"
)

// Column is what is known of a column before any row is seen.
type Column struct {
	// Name is the source's name of it, or, of a column of the mapping, the destination's.
	Name string
	Kind Kind
	// Length is how many letters its texts have at most; 0 where that is not known.
	Length int
	// From is the source's column that a column of the mapping passes untouched; empty for any other
	// expression.
	From string
	// Unseen: the source names the column, and no row that was looked at has it.
	Unseen bool
	// Stored: the values come as a database has them, which declares the column with the type Declared. That
	// is empty for one that takes values of any kind.
	Stored   bool
	Declared string
}

// Names are the columns' names.
func Names(columns []Column) []string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name
	}
	return names
}

// Fit is whether a destination's column takes a kind of values.
type Fit int

// The fits.
const (
	Always Fit = iota
	Perhaps
	Never
)

// Unless is Always, unless something is so.
func Unless(so bool, then Fit) Fit {
	if so {
		return then
	}
	return Always
}

// Fit reports a column of the mapping whose values its column of the destination, named to, does not take.
// problem is what is said of a value that it does not take: "is not a number".
func (r *Report) Fit(c Column, fit Fit, to, problem string) {
	values := "the expression gives " + string(c.Kind)
	if c.From != "" {
		values = "the source's column " + c.From + " is " + string(c.Kind)
	}
	switch fit {
	case Never:
		r.Errorf(At("mapping", c.Name), "%s, but %s does not take that: each row would fail, because it %s; convert it, or map another column", values, to, problem)
	case Perhaps:
		r.Warnf(At("mapping", c.Name), "%s, but %s does not take all of that: a row whose value %s fails", values, to, problem)
	}
}

package check

import (
	"cmp"
	"context"
	"slices"
	"time"

	"runhook/services/runner/row"
)

// Looked is how many of a source's first rows are looked at, and patience for how long they are waited
// for.
const (
	Looked   = 100
	patience = 10 * time.Second
)

// Cells are those of one row of a source, in the order of its columns, or why it cannot be read.
type Cells struct {
	Values []any
	Fault  *row.Fault
	// Blank: there is nothing in it.
	Blank bool
}

// First reads the first rows of a source, by what reads the next one, as far as they come.
func First(ctx context.Context, width int, next func(ctx context.Context, cells []any) (size int, err error)) []Cells {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var rows []Cells
	for len(rows) < Looked {
		read := Cells{Values: make([]any, width)}
		_, err := next(limited, read.Values)
		fault, own := row.Own(err)
		if err != nil && !own {
			break // the end, or what a run will meet too
		}
		read.Fault, read.Blank = fault, own && fault == nil
		rows = append(rows, read)
	}
	return rows
}

// Takes is what a destination says of a row, as the mapping makes it, before it is written: nil for one
// that it may take. It may change the values.
type Takes func(values []any) *row.Fault

// Tally counts the faults of rows, those of a kind together.
type Tally struct {
	kinds []tallied
}

type tallied struct {
	fault *row.Fault
	rows  int
	first int64
}

// Add counts the fault of a row.
func (t *Tally) Add(number int64, fault *row.Fault) {
	at := slices.IndexFunc(t.kinds, func(k tallied) bool { return k.fault.Column == fault.Column && k.fault.Message == fault.Message })
	if at < 0 {
		t.kinds = append(t.kinds, tallied{fault, 0, number})
		at = len(t.kinds) - 1
	}
	t.kinds[at].rows++
	t.kinds[at].first = min(t.kinds[at].first, number)
}

// Report reports the faults as warnings, of so many rows that were looked at, but those of a field that has an
// error anyway. field is where the task has a column.
func (t *Tally) Report(rows int, field func(column string) Field, found *Report) {
	slices.SortStableFunc(t.kinds, func(a, b tallied) int { return cmp.Compare(a.first, b.first) })
	for _, k := range t.kinds {
		at := field(k.fault.Column)
		if slices.ContainsFunc(found.Findings, func(f Finding) bool { return f.Severity == Error && slices.Equal(f.Field, at) }) {
			continue
		}
		found.Warnf(at, "of the first %d rows %d would fail, from row %d on: %v", rows, k.rows, k.first, k.fault)
	}
}

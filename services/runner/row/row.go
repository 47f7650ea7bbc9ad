// Package row holds what flows through a run's pipeline: rows in batches, what became of each, and
// the fault of a row that failed.
package row

import (
	"errors"
	"fmt"
	"strings"

	"runhook/shared/wording"
)

// Outcome is what became of a row.
type Outcome uint8

// The outcomes. A row is Ready until its destination has dealt with it.
const (
	Ready Outcome = iota
	Inserted
	Updated
	Unchanged
	Deleted
	// Skipped: where dropped the row, or an update or delete found nothing to change.
	Skipped
	Failed
)

// Fault says why a row failed. It goes into status documents: no cell value, no driver's words.
type Fault struct {
	// Column is the destination's column, or the source's where the row could not be read; it may
	// be empty.
	Column string
	// Message goes on where the column's name ends: "is not a number".
	Message string
	// Place is where a person finds the fault in the source, such as "cell D3", empty if the row's number
	// tells it. Faults of a kind have the same Message, each at a place of its own.
	Place string
	// Words are the driver's or server's own, where it has any. They go to the rejected rows only.
	Words string
}

// ErrBlank is what a source returns for a row that has nothing in it, such as a line of nothing but
// delimiters. The row is skipped.
var ErrBlank = errors.New("a row without anything in it")

// Own reports whether an error of a source is that of one row, behind which it goes on: a [*Fault], or
// [ErrBlank], for which fault is nil.
func Own(err error) (fault *Fault, own bool) {
	if err == nil {
		return nil, false
	}
	if fault, own = errors.AsType[*Fault](err); own {
		return fault, true
	}
	return nil, errors.Is(err, ErrBlank)
}

// Error joins column and message.
func (f *Fault) Error() string {
	if f.Column == "" {
		return f.Text()
	}
	return wording.Name(f.Column) + " " + f.Text()
}

// Text is the message with the place.
func (f *Fault) Text() string {
	if f.Place == "" {
		return f.Message
	}
	return f.Message + " (" + f.Place + ")"
}

// Reason is what the rejected rows say: the text, and the driver's or server's own words.
func (f *Fault) Reason() string {
	if f.Words == "" {
		return f.Text()
	}
	return f.Text() + ": " + f.Words
}

// Saying returns the fault with a driver's or server's own words, of which it keeps the beginning.
func (f *Fault) Saying(words string) *Fault {
	const most = 2000
	if words = strings.ToValidUTF8(words, "\uFFFD"); len(words) > most {
		words = strings.ToValidUTF8(words[:most], "") + "…"
	}
	f.Words = words
	return f
}

// Faultf returns a fault of a column.
func Faultf(column, format string, args ...any) *Fault {
	return &Fault{Column: column, Message: fmt.Sprintf(format, args...)}
}

// Row is one row of the source, mapped to the destination's columns.
type Row struct {
	// Number counts the source's data rows from 1.
	Number int64
	// Line is the line of the source at which it begins, 0 if the source has none.
	Line int64
	// Values are the mapping's values in its order. They mean something only in a row that is Ready
	// to be written.
	Values []any
	// Prepared: the destination has made of Values what it stores.
	Prepared bool
	// Outcome is what the destination sets, together with Fault for one that Failed.
	Outcome Outcome
	Fault   *Fault

	// Record is the source's row, for when this one fails.
	Record Record

	// decided is what the row was before any destination saw it: Ready, Skipped or Failed.
	decided Outcome
}

// Skip decides that the row is not written: where dropped it.
func (r *Row) Skip() { r.decided, r.Outcome = Skipped, Skipped }

// Reject decides that the row failed before it could be written.
func (r *Row) Reject(fault *Fault) { r.decided, r.Outcome, r.Fault = Failed, Failed, fault }

// Fail sets the outcome of a row that its destination did not take.
func (r *Row) Fail(fault *Fault) { r.Outcome, r.Fault = Failed, fault }

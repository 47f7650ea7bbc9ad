// Package connector is the contract between a run and what its rows come from and go to. A kind of
// source or destination is one folder below this one: kind.go implements [SourceKind] or
// [DestinationKind], the rest [Source] or [Destination], and its tests call package connectortest, the
// suite that each kind passes. Package builtin has one line for each. What a task says of the kind is a
// file of shared/task, and how that is written one of shared/taskfile. Nothing else of the program asks
// which kind it has.
//
// # The life of a source and a destination
//
// An attempt at a run makes these calls, in this order. Steps with a condition are left out otherwise.
//
//  1. SourceKind.Open, with the run's ctx.
//  2. Source.Columns. Recorder.Use, of a Recorder. Typed.Types, of a Typed.
//  3. DestinationKind.Open, with the mapping's columns. If the job is a dry run, what it opens changes
//     nothing at the destination, and gives each row the outcome that it would have.
//  4. Source.Version, if the task can continue an interrupted run.
//  5. Ledger.Raise, of a Ledger, if the job has a Fence.
//  6. Appended.ContinueBehind, of an Appended, if an earlier attempt left a checkpoint.
//  7. Source.Skip, once, and Next for the checkpoint's row, if the attempt continues. If the source is
//     not what it was, both are closed, and a run that may start over begins again at step 1.
//  8. Source.Next for each row, with Progress and Recorder.Record after each, until io.EOF, and then
//     Warner.Warnings, of a Warner. Beside it, on another goroutine, Destination.Write for each batch, in
//     the order of the rows.
//  9. Destination.Finish, once, if nothing has failed. Then Warnings, if the destination is a Warner,
//     also after a failure.
//  10. Destination.Close, then Source.Close, each once.
//  11. LedgerKind.Forget, after the run's result is stored. It may come from another process, or never.
//
// A run that is canceled before its attempt has come to step 5, and that an earlier attempt may still write for,
// makes LedgerKind.Overtake instead, and step 11.
//
// A preview makes steps 1, 2 and 8 of these, for the first rows alone, without the recording: it calls
// Warnings after the last row that it looked at.
//
// A kind opens all that it needs in Open; if Open returns an error, it has closed all that it opened.
//
// Any error of Next but a row's own, see [row.Own], ends the attempt: the next call is Close. It is a
// [*run.Failure], which is written into the run's status document and so holds no cell's value, no
// secret, and no driver's or server's words; or ctx's error when ctx has ended. A Failure that is Passing
// may be gone later: the run gets another attempt, from step 1 on, if the task has any left.
//
// Close comes when no other call is under way: at any moment after Open, also before the first row, in
// the middle, after an error, after ctx has ended, and after a panic. It ends all that the connector has
// begun: when it returns, no goroutine, file, lock, request or transaction of it is left.
//
// A connector belongs to one goroutine at a time. Source and destination may be in the same file,
// folder, database or site, so neither holds a lock that the other would wait for.
package connector

import (
	"context"
	"errors"
	"reflect"

	"runhook/services/runner/check"
	"runhook/services/runner/connection"
	"runhook/services/runner/row"
	"runhook/shared/mapping"
	"runhook/shared/run"
	"runhook/shared/task"
)

// Source gives rows. The package comment has the order of calls.
type Source interface {
	// Columns are those of every row.
	Columns() mapping.Columns
	// Next reads the next row into cells, which are as many as the columns and, unless the source is a
	// Recorder, nil. It returns about how much memory the row holds. io.EOF is the end, in every further
	// call too. After an error that is that row's own, a *row.Fault or row.ErrBlank, it goes on with the
	// next row. ctx is the same in every call of Skip and Next.
	Next(ctx context.Context, cells []any) (size int, err error)
	// Progress is the part that has been read, 0 to 1, which never falls, and the number of all rows; 0 of
	// either means that it is not known.
	Progress() (part float64, total int64)
	// Version identifies the source's state, as far as it can be told without reading all of it: if it
	// differs from that of an earlier attempt, the source has changed. Empty means that nothing is known.
	Version() (string, error)
	// Skip passes over that many rows, those with a fault among them, so that Next gives the row that it
	// would give after as many calls. If there are not so many, it or the Next after it returns io.EOF;
	// other errors are those of Next. What it skips is the same as in an earlier attempt only if the
	// task's source is ordered.
	Skip(ctx context.Context, rows int64) error
	// Close releases all that the source holds. Its error means nothing to a run.
	Close() error
}

// Recorder is a Source that keeps a row whole for less than its cells would take, such as a line of
// text. From any other source the cells themselves are kept.
type Recorder interface {
	// Use says which columns the task names; the cells of the others need not be filled in.
	Use(used []bool)
	// Record is the row that Next came to last, also when that was a fault.
	Record() row.Record
}

// Lined is a Source whose rows stand in the lines of a text, or of a sheet.
type Lined interface {
	// Line is where the row begins that Next came to last, also when that was a fault: from 1, as programs
	// number lines that show the whole of it; 0 if it is not known.
	Line() int64
}

// AtHand is a Source that may have all its rows in memory from the beginning: nothing is gained by
// reading them beside the writing.
type AtHand interface{ AtHand() bool }

// Named is a Source whose columns are decided elsewhere: its name begins the message of a run whose
// expressions do not fit them.
type Named interface{ Name() string }

// Comparing is a Source that knows how the values of a column are compared where it comes from.
type Comparing interface {
	// Compares reports whether texts of a column of Columns are compared as text, also if they are moments; unfit goes on
	// where the column's name ends, and says why no value of it says which rows come after; empty if it does.
	Compares(column string) (asText bool, unfit string)
}

// Placed is a Source that finds a row again by more than its number, so that rows that came or went before it do not
// matter.
type Placed interface {
	// Place is where a row is whose cells Next has given; empty if that cannot be told. It may be called beside the
	// other calls.
	Place(cells []any) string
	// SkipTo may be called instead of Skip: it has Next give the row at a place of an earlier attempt, and those behind
	// it. found is false, and nothing is changed, unless exactly one row is there. The error is that of Next.
	SkipTo(ctx context.Context, place string) (found bool, err error)
}

// Warner is a Source that has something to say of rows that can be read, and may not be what a person
// sees in the source: a workbook that asks to be calculated when it is opened, fewer columns than the
// header names. Or it is a Destination that has written rows, and may not have them as they were given to it: it
// is asked behind the last Write, before Close.
type Warner interface {
	// Warnings are sentences for people, at most [MostWarnings], without any cell's value, a capital letter
	// at the beginning, or a full stop at the end: they go into the run's Message, each once, however many
	// rows it is about. They are about the rows that Next has given so far, those that Skip has passed over
	// as far as it reads them, and the source as a whole. Warnings may be called behind any row and behind
	// the end, also more than once. Check returns the same of the rows that it looks at, as Looked.Warnings.
	Warnings() []string
}

// Repeater is a Warner that also looks for keys of the destination that its rows have again.
type Repeater interface {
	// Repeats is how many rows had a key that it has seen before, and which of Warnings says so, empty if none.
	// It may be called when Warnings may.
	Repeats() (rows int64, warning string)
}

// Repeats are those of a source, if it is a Repeater.
func Repeats(from Source) (rows int64, warning string) {
	if repeater, ok := from.(Repeater); ok {
		return repeater.Repeats()
	}
	return 0, ""
}

// MostWarnings is how many warnings a Warner has at most.
const MostWarnings = 10

// Warnings are those of a source or a destination, if it is a Warner.
func Warnings(of any) []string {
	if warner, ok := of.(Warner); ok {
		return warner.Warnings()
	}
	return nil
}

// Typed is a Source that may know more of its columns than their names.
type Typed interface {
	// Types are what is known of the columns' values, in the columns' order; nil if nothing is.
	Types() []check.Column
}

// Destination takes rows. The package comment has the order of calls.
type Destination interface {
	// Write writes the batch's pending rows as one unit, and sets the outcome of each: one of package
	// row, but Ready. A row that the destination does not take is Failed, with a fault, and keeps no
	// other from being written. There are no more rows to be written than the task's destination wants
	// in a batch.
	//
	// Write calls before when nothing is left to do but to make the batch last; in one that can take rows
	// back, they have their outcomes by then. It need not if no row is
	// left to be written, nor in a dry run, and it may call before again if it tries again.
	//
	// After any error, which is a *run.Failure, ctx's or before's, nothing of the batch is in the
	// destination. If that cannot be had (task.Destination.AtLeastOnce), nothing is after an error of the
	// first before, and later some of it may be, uncounted.
	Write(ctx context.Context, batch *row.Batch, before func(row int64) error) error
	// Finish makes all that was written last, in its place.
	Finish(ctx context.Context) error
	// Close releases all that the destination holds. kept is false if the rows written so far went with
	// it, because there was no Finish; in a dry run it is true.
	Close() (kept bool)
}

// Ledger is a Destination that keeps the run's checkpoint in the same transactions as the rows, so that
// a row is written once, by the attempt that may.
type Ledger interface {
	Destination
	// Raise makes this attempt the one that may write, in one step with reading the checkpoint of earlier
	// ones; found is false if they have left none. It returns ErrLost if there was a later attempt.
	Raise(ctx context.Context, fence *Fence) (at run.Checkpoint, found bool, err error)
	// Record makes the checkpoint last with the batch that is being written: it is called in Write's
	// before. It returns ErrLost if this attempt may not write any more.
	Record(ctx context.Context, at run.Checkpoint) error
}

// ErrLost: a later attempt at the run has been at the destination, or the run has ended. Nothing more
// may be written.
var ErrLost = errors.New("another attempt at the run has taken the destination over")

// Fence names a run, and the attempt at it that is to write.
type Fence struct {
	// Store is the id of the store that numbers the runs.
	Store  string
	Task   task.ID
	Number run.Number
	// Token is higher for every later attempt.
	Token uint64
	// Takeover: an earlier attempt may still be in the middle of a transaction. Raise waits for it until
	// the context ends, because its rows count if it commits.
	Takeover bool
}

// Appended is a Destination that rows are put behind what is there. What an interrupted attempt has put
// there behind its last checkpoint it recognizes, and does not put there again.
type Appended interface {
	// Length is where the next row goes, 0 before the first is about to be written.
	Length() int64
	// ContinueBehind says where an earlier attempt was at the checkpoint.
	ContinueBehind(length int64)
}

// Sized is a Destination that can tell how many rows it has: for tasks whose expect has a part of them.
type Sized interface {
	// Size is called before the first Write, and after Raise of a Ledger. For one that is replaced as a whole
	// it is that of what is there now. Any error is a [*run.Failure] or ctx's.
	Size(ctx context.Context) (rows int64, err error)
}

// Bulk is a Destination of which a batch costs much, however few rows it has.
type Bulk interface {
	// BatchRows is how many rows fill a batch, in place of [row.MaxRows]. It is asked once, before the first Write.
	BatchRows() int
}

// Preparing is a Destination that can say of a row by itself whether it takes it.
type Preparing interface {
	// Prepare makes of a row's values, in place, what the destination stores, or says what is wrong with them. It is
	// called before the row's batch is written, beside the writing of others. Write does it for a row that is not
	// Prepared.
	Prepare(values []any) *row.Fault
}

// Column is a column that the mapping writes.
type Column struct {
	Name string
	// Kind is that of the mapping's values, reflect.Interface where it is not known. It decides the
	// type of a column that is made.
	Kind reflect.Kind
	// Stored: the mapping passes a column untouched that the source's database declares with the type
	// Declared; see check.Column.
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

// Job is what a kind is told of a run.
type Job struct {
	Task        *task.Definition
	Parameters  task.Values
	Connections *connection.Set
	// DryRun: everything is done but the writing. The destination is checked, and what it says of
	// each row counts, as far as it can be told without writing.
	DryRun bool
	// Preview: the source's first rows are looked at, and no destination is opened.
	Preview bool
	// Run names the run to services and streams that drop what they are sent again: the same for
	// every attempt at the run, and for no other.
	Run string
	// Publish publishes to NATS; nil without a connection to it.
	Publish Publish
	// Total, when set, is told the number of the source's rows, by a source that knows it before it has any.
	Total func(rows int64)
	// Allow, when set, is asked by a destination whose Write cannot take rows back, before it updates or
	// deletes what is there for a row: with row.Updated or row.Deleted. Its error, a [*run.Failure], ends
	// the attempt. For any other destination the batch's outcomes are looked at in Write's before.
	Allow func(what row.Outcome) error
	// Fence, when set, is what a Ledger keeps the checkpoint under.
	Fence *Fence
}

// Publish publishes messages to a subject, each under an id, and returns when they have arrived.
// tooLarge are those, by index, that were not taken for their size, with the server's words. The error
// is a [*run.Failure] or ctx's; any part of the messages may have been published then.
type Publish func(ctx context.Context, subject string, ids []string, messages [][]byte) (tooLarge map[int]string, err error)

// Looked is what was seen of a source.
type Looked struct {
	Columns mapping.Columns
	// Types are what is known of the columns' values, in their order; nil if nothing is.
	Types []check.Column
	// First are the first rows, at most check.Looked.
	First []check.Cells
	// Warnings are what a Warner says behind them.
	Warnings []string
}

// Unseen is what was seen of a source whose columns are not known.
func Unseen() Looked { return Looked{Columns: mapping.Columns{Unknown: true}} }

// SourceKind opens the sources of one kind. Open and Check are given jobs whose task has such a source;
// of the task's other fields either needs the parameters alone.
type SourceKind interface {
	// Open opens the job's source, before its first row. Any error is a [*run.Failure] or ctx's.
	Open(ctx context.Context, job Job) (Source, error)
	// Check looks, now, at what Open and the first rows would meet, and reports all that it finds. Required
	// parameters may lack a value. The error is ctx's.
	Check(ctx context.Context, job Job, found *check.Report) (Looked, error)
}

// DestinationKind opens the destinations of one kind, for jobs whose task has one.
type DestinationKind interface {
	// Open opens the job's destination. columns are the mapping's. Any error is a [*run.Failure] or ctx's.
	Open(ctx context.Context, job Job, columns []Column) (Destination, error)
	// Check looks, now, at what Open would meet, changes nothing, and reports all that it finds. takes is
	// what the destination takes, nil if that cannot be told. The error is ctx's.
	Check(ctx context.Context, job Job, columns []check.Column, found *check.Report) (takes check.Takes, err error)
}

// LedgerKind is a DestinationKind whose destinations are Ledgers.
type LedgerKind interface {
	DestinationKind
	// Overtake does what Raise does for a run that ends where it is, without looking at its table: no earlier
	// attempt writes any more. Any error is a [*run.Failure], ctx's or ErrLost.
	Overtake(ctx context.Context, job Job) (at run.Checkpoint, found bool, err error)
	// Forget removes the checkpoint of a run that has ended, under the job's Fence. If it returns an
	// error, what it leaves behind means nothing, because no other run ever has that number.
	Forget(ctx context.Context, job Job) error
}

// Kinds are the kinds of source and destination that a program has.
type Kinds struct {
	Sources      map[task.Kind]SourceKind
	Destinations map[task.Kind]DestinationKind
}

// Source returns the kind of a task's source. The error is a [*run.Failure].
func (k Kinds) Source(from task.Source) (SourceKind, error) {
	kind := k.Sources[from.Name()]
	if kind == nil {
		return nil, run.Failf("the task's source is of a kind that this runner does not know; a newer one may")
	}
	return kind, nil
}

// Destination returns the kind of a task's destination. The error is a [*run.Failure].
func (k Kinds) Destination(to task.Destination) (DestinationKind, error) {
	kind := k.Destinations[to.Name()]
	if kind == nil {
		return nil, run.Failf("the task's destination is of a kind that this runner does not know; a newer one may")
	}
	return kind, nil
}

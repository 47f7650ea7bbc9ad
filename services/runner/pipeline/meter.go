package pipeline

import (
	"math"
	"slices"
	"sync"

	"runhook/services/runner/row"
	"runhook/shared/run"
)

// Meter is how far a run is. Run writes it; anybody may read it meanwhile. The zero Meter is ready, and
// Begin makes one ready for a run that earlier attempts were at.
type Meter struct {
	mu  sync.Mutex
	now Snapshot
}

// Snapshot is what a Meter shows at one moment.
type Snapshot struct {
	// Counts are exact: of the rows that are in the destination, or were dealt with up to there.
	Counts run.Counts
	// PercentComplete never goes backwards, and is 100 only after success.
	PercentComplete float64
	// Message says what is being done, for people; empty before Run.
	Message string
	// Errors are the first row errors, at most run.MaxListedErrors.
	Errors []run.RowError
	// Warnings are what the source says of its rows, once it has ended, and the destination of those it has.
	Warnings []string
	// Confirmed is where an attempt that comes after this one can continue: what the destination has
	// confirmed and whose rejected rows are stored. It may be a little behind the rest.
	Confirmed run.Checkpoint
	// Highest is the highest value of the column of since in the rows that were reached; empty for none.
	Highest string
	// Dropped is the number of row errors of earlier attempts whose rows are gone through again.
	Dropped int64
}

// mostBeforeEnd is the percentage that a run does not pass before it has succeeded.
const mostBeforeEnd = 99.99

// Snapshot returns the present state. Its Errors must not be changed.
func (m *Meter) Snapshot() Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now
	// Errors only grow: what is there does not change under the reader.
	now.Errors = slices.Clip(now.Errors)
	return now
}

// Begin sets the meter to where earlier attempts got.
func (m *Meter) Begin(from run.Checkpoint) {
	m.change(func(now *Snapshot) {
		now.Confirmed, now.Counts, now.Errors, now.Highest = from, from.Counts, slices.Clip(from.Errors), from.Highest
		now.PercentComplete = max(now.PercentComplete, min(from.Percent, mostBeforeEnd))
	})
}

// Continue sets the meter to where the attempt begins that took this claim.
func (m *Meter) Continue(c run.Claim) {
	m.Begin(c.Checkpoint)
	m.change(func(now *Snapshot) { now.Dropped = c.EarlierErrors })
}

func (m *Meter) change(to func(now *Snapshot)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	to(&m.now)
}

// restart drops what earlier attempts counted: all rows are gone through again. The percentage that was
// shown stays.
func (m *Meter) restart() {
	m.change(func(now *Snapshot) {
		now.Dropped += now.Counts.Failed
		now.Confirmed, now.Counts, now.Errors, now.Highest = run.Checkpoint{}, run.Counts{}, nil, ""
	})
}

func (m *Meter) say(message string) {
	m.change(func(now *Snapshot) { now.Message = message })
}

func (m *Meter) warn(warnings []string) {
	m.change(func(now *Snapshot) { now.Warnings = warnings })
}

// total sets the source's number of rows.
func (m *Meter) total(rows int64) {
	m.change(func(now *Snapshot) { now.Counts.Total = rows })
}

// after is what the meter shows once a batch is written: with the rows of it that the run has reached.
func (m *Meter) after(batch *row.Batch) Snapshot {
	next := m.Snapshot()
	counts := &next.Counts
	for _, r := range batch.Reached() {
		counts.Retrieved++
		switch r.Outcome {
		case row.Inserted:
			counts.Inserted++
		case row.Updated:
			counts.Updated++
		case row.Unchanged:
			counts.Unchanged++
		case row.Deleted:
			counts.Deleted++
		case row.Skipped:
			counts.Skipped++
		case row.Failed:
			counts.Failed++
			next.Errors = list(next.Errors, r)
		default:
			panic("a destination left a row without an outcome")
		}
	}
	percent := math.Floor(batch.Progress*10000) / 100
	next.PercentComplete = max(next.PercentComplete, min(percent, mostBeforeEnd))
	return next
}

// list adds a failed row to those that a document lists, which are the first.
func list(errors []run.RowError, r row.Row) []run.RowError {
	if len(errors) == run.MaxListedErrors {
		return errors
	}
	return append(errors, run.RowError{Row: r.Number, Line: r.Line, Column: r.Fault.Column, Message: r.Fault.Text()})
}

// checkpoint is the snapshot as what a later attempt continues from.
func (s Snapshot) checkpoint(source, mark, place string, rejected run.RejectedSet) run.Checkpoint {
	return run.Checkpoint{
		Row: s.Counts.Retrieved, Counts: s.Counts, Percent: s.PercentComplete, Errors: s.Errors,
		Source: source, Mark: mark, Place: place, Rejected: rejected, Writing: s.Confirmed.Writing, Highest: s.Highest,
	}
}

// confirm moves the checkpoint.
func (m *Meter) confirm(at run.Checkpoint) {
	m.change(func(now *Snapshot) { now.Confirmed = at })
}

// set shows what after returned, with the total that has been learned meanwhile.
func (m *Meter) set(next Snapshot) {
	m.change(func(now *Snapshot) {
		next.Counts.Total = now.Counts.Total
		*now = next
	})
}

// withdraw takes back the rows that went with their destination when the run failed.
func (m *Meter) withdraw() {
	m.change(func(now *Snapshot) {
		counts := &now.Counts
		counts.Inserted, counts.Updated, counts.Unchanged, counts.Deleted = 0, 0, 0, 0
	})
}

// finish marks the run as done.
func (m *Meter) finish() {
	m.change(func(now *Snapshot) { now.PercentComplete, now.Message = 100, "Done" })
}

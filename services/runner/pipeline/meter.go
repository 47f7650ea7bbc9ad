package pipeline

import (
	"math"
	"slices"
	"sync"

	"runhook/services/runner/row"
	"runhook/shared/run"
)

// Meter is how far a run is. Run writes it; anybody may read it meanwhile. The zero Meter is ready.
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
	// ErrorCount is the number of all row errors.
	ErrorCount int64
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

func (m *Meter) say(message string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now.Message = message
}

// total sets the source's number of rows.
func (m *Meter) total(rows int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now.Counts.Total = rows
}

// add counts the rows of a batch that the run has reached.
func (m *Meter) add(batch *row.Batch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	counts := &m.now.Counts
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
			m.now.ErrorCount++
			if len(m.now.Errors) < run.MaxListedErrors {
				m.now.Errors = append(m.now.Errors, run.RowError{Row: r.Number, Column: r.Fault.Column, Message: r.Fault.Message})
			}
		default:
			panic("a destination left a row without an outcome")
		}
	}
	percent := math.Floor(batch.Progress*10000) / 100
	m.now.PercentComplete = max(m.now.PercentComplete, min(percent, mostBeforeEnd))
}

// withdraw takes back the rows that went with their destination when the run failed.
func (m *Meter) withdraw() {
	m.mu.Lock()
	defer m.mu.Unlock()
	counts := &m.now.Counts
	counts.Inserted, counts.Updated, counts.Unchanged, counts.Deleted = 0, 0, 0, 0
}

// finish marks the run as done.
func (m *Meter) finish() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now.PercentComplete = 100
	m.now.Message = "Done"
}

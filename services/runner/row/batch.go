package row

import (
	"cmp"
	"iter"
)

// A batch ends at either bound. They are large enough to make the cost of a transaction small, and
// small enough for a live status and for rows of any size to fit into memory.
const (
	MaxRows  = 2000
	MaxBytes = 2 << 20
)

// Batch is rows that are written as one unit. It is made once and used again after Reset.
type Batch struct {
	// Limit is how many rows of the batch may fail; with one more the batch ends. Negative means
	// any number.
	Limit int
	// Most is how many rows that are Ready to be written fill the batch; 0 for no such bound.
	Most int
	// Rows is how many rows fill the batch, whatever becomes of them; 0 for MaxRows.
	Rows int
	// Progress is the part of the source that had been read when the batch ended, 0 to 1.
	Progress float64

	rows  []Row
	width int
	// counted rows have been looked at for Most; ready of them are Ready.
	counted, ready int
	slab           []any
	bytes          int
	// reached is how many rows the last pass of Pending came to.
	reached int
	stopped bool
}

// NewBatch returns an empty batch of rows with that many values.
func NewBatch(width int) *Batch { return &Batch{width: width, Limit: -1} }

// Reset empties the batch. The rows that it had must not be used any more.
func (b *Batch) Reset() {
	clear(b.slab[:cap(b.slab)])
	clear(b.rows)
	b.rows, b.slab, b.bytes = b.rows[:0], b.slab[:0], 0
	b.Limit, b.Progress, b.reached, b.stopped = -1, 0, 0, false
	b.counted, b.ready = 0, 0
}

// Add appends a row whose Values are to be filled in. The row is valid until the next Add.
func (b *Batch) Add(number int64) *Row {
	if cap(b.slab)-len(b.slab) < b.width {
		// Rows added before keep the old slab.
		b.slab = make([]any, 0, max(16*b.width, min(2*cap(b.slab), b.fullAt()*b.width)))
	}
	used := len(b.slab)
	b.slab = b.slab[:used+b.width]
	b.rows = append(b.rows, Row{Number: number, Values: b.slab[used : used+b.width : used+b.width]})
	return &b.rows[len(b.rows)-1]
}

// Grow counts the memory that a row's values hold.
func (b *Batch) Grow(bytes int) { b.bytes += bytes }

// Full reports whether the batch should be written before more is added.
func (b *Batch) Full() bool {
	for ; b.Most > 0 && b.counted < len(b.rows); b.counted++ {
		if b.rows[b.counted].decided == Ready {
			b.ready++
		}
	}
	return len(b.rows) >= b.fullAt() || b.bytes >= MaxBytes || b.Most > 0 && b.ready >= b.Most
}

func (b *Batch) fullAt() int { return cmp.Or(b.Rows, MaxRows) }

// Len is the number of rows in the batch.
func (b *Batch) Len() int { return len(b.rows) }

// Pending yields in order the rows that are to be written, and takes note of the Outcome that each
// has when the loop comes back. It ends where Limit is passed, so that no row after the one that
// stops a run is written. A second pass begins anew.
func (b *Batch) Pending() iter.Seq[*Row] {
	return func(yield func(*Row) bool) {
		failed := 0
		b.reached, b.stopped = 0, false
		for i := range b.rows {
			r := &b.rows[i]
			r.Outcome = r.decided
			if r.decided == Ready {
				r.Fault = nil
				if !yield(r) {
					return
				}
			}
			b.reached = i + 1
			if r.Outcome == Failed {
				if failed++; b.Limit >= 0 && failed > b.Limit {
					b.stopped = true
					return
				}
			}
		}
	}
}

// All yields all rows in order, whatever becomes of them.
func (b *Batch) All() iter.Seq[*Row] {
	return func(yield func(*Row) bool) {
		for i := range b.rows {
			if !yield(&b.rows[i]) {
				return
			}
		}
	}
}

// Writable reports whether a pass of Pending would yield any row.
func (b *Batch) Writable() bool {
	for range b.Pending() {
		return true
	}
	return false
}

// Reached returns the rows that the last pass of Pending came to, with their outcomes.
func (b *Batch) Reached() []Row { return b.rows[:b.reached] }

// Stopped reports whether the last pass ended because Limit was passed.
func (b *Batch) Stopped() bool { return b.stopped }

// Last is the number of the last row reached, 0 before any.
func (b *Batch) Last() int64 {
	if b.reached == 0 {
		return 0
	}
	return b.rows[b.reached-1].Number
}

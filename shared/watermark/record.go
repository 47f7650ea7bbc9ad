package watermark

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"runhook/shared/run"
)

// Record is how far the successful runs of a task have read its source, and the runs that are about to succeed. It is
// stored as JSON.
//
// That a run has succeeded, its final document says, and that is in another stream. So what a run has seen is written
// here before its final document, as pending, and settled by looking for that: it counts if the document is that
// writer's and says Success. Whoever reads the record settles it first.
type Record struct {
	// Column is the source's column that Value is of.
	Column string
	// Value is the highest that a successful run has seen, or what an operator has set; empty for none.
	Value string `json:",omitempty"`
	// Run is the run that has seen it, 0 if By has set it. On is when.
	Run run.Number `json:",omitempty"`
	By  string     `json:",omitempty"`
	On  time.Time
	// Set is how often operators have set it: what a run has seen that began before does not count.
	Set uint64 `json:",omitempty"`
	// Pending are runs that may have succeeded, each once, in the order of their numbers.
	Pending []Pending `json:",omitempty"`
}

// Pending is what a run has seen that is about to end with success.
type Pending struct {
	Run run.Number
	// Hold marks the final document of the holder of the run that wrote this.
	Hold          string
	Column, Value string
	On            time.Time
}

// Fate is what became of a run that was about to succeed.
type Fate int

// The fates.
const (
	Open      Fate = iota // it has not ended
	Succeeded             // it has ended with success, by the holder that says so
	Passed                // it has ended in another way, or nobody knows any more
)

// maxPending is more than a task can have runs at once.
const maxPending = 2000

// Settled is the record with what is known of the pending runs, and whether that is any of them.
func (r Record) Settled(fate func(Pending) (Fate, error)) (next Record, changed bool, err error) {
	next = r
	next.Pending = nil
	for _, p := range r.Pending {
		what, err := fate(p)
		if err != nil {
			return r, false, err
		}
		switch what {
		case Open:
			next.Pending = append(next.Pending, p)
			continue
		case Succeeded:
			next = next.moved(p)
		}
		changed = true
	}
	return next, changed, nil
}

// moved is the record once a pending run has succeeded: the value never goes back. One of another column takes its place.
func (r Record) moved(p Pending) Record {
	if r.Column == p.Column && r.Value != "" && !higher(p.Value, r.Value) {
		return r
	}
	r.Column, r.Value, r.Run, r.By, r.On = p.Column, p.Value, p.Run, "", p.On
	return r
}

// higher reports whether a value is higher than another one. What cannot be compared is not.
func higher(text, than string) bool {
	value, err := Parse(text)
	other, otherErr := Parse(than)
	if err != nil || otherErr != nil {
		return err == nil
	}
	order, err := value.Compare(other)
	return err == nil && order > 0
}

// With is the record with a pending run, in the place of what the run had before.
func (r Record) With(p Pending) Record {
	r.Pending = slices.DeleteFunc(slices.Clone(r.Pending), func(other Pending) bool { return other.Run == p.Run })
	at, _ := slices.BinarySearchFunc(r.Pending, p.Run, func(other Pending, n run.Number) int {
		if other.Run < n {
			return -1
		}
		return 1
	})
	r.Pending = slices.Insert(r.Pending, at, p)
	if r.Column == "" {
		r.Column = p.Column
	}
	return r
}

// Moves reports whether a run of the column that begins where the record was set so often, and has seen a value, moves
// it.
func (r Record) Moves(column, value string, set uint64) bool {
	return r.Set == set && (r.Column != column || r.Value == "" || higher(value, r.Value))
}

// SetTo is the record as an operator sets it: empty for none, so that the next run begins where the first one did. What
// runs have seen that are under way does not count.
func (r Record) SetTo(column, value, by string, on time.Time) Record {
	return Record{Column: column, Value: value, By: by, On: on, Set: r.Set + 1}
}

// Of is the value for a column; empty for none.
func (r Record) Of(column string) string {
	if r.Column != column {
		return ""
	}
	return r.Value
}

// Encode returns the bytes to store.
func (r Record) Encode() ([]byte, error) { return json.Marshal(r) }

// Decode reads a record.
func Decode(data []byte) (r Record, err error) {
	if err := json.Unmarshal(data, &r); err != nil {
		return Record{}, fmt.Errorf("decode the watermark of a task: %w", err)
	}
	wrong := r.Column == "" || len(r.Pending) > maxPending
	for i, p := range r.Pending {
		_, err := Parse(p.Value)
		wrong = wrong || err != nil || p.Column == "" || i > 0 && r.Pending[i-1].Run >= p.Run
	}
	if r.Value != "" {
		_, err := Parse(r.Value)
		wrong = wrong || err != nil
	}
	if wrong {
		return Record{}, errors.New("the watermark of a task says what cannot be")
	}
	return r, nil
}

package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// Timetable is how far the schedules of a task are dealt with, whoever has done so. It is stored as JSON.
type Timetable struct {
	// Definition is the hash of the definition whose schedules these are, and AppliedOn when it came into force.
	Definition string
	AppliedOn  time.Time
	// Done: all times before it are dealt with and, of the times at it, those of the first Entries entries.
	Done    time.Time
	Entries int `json:",omitempty"`
	// Firing is the run that a process is about to start; nil for none.
	Firing *Firing `json:",omitempty"`
	// Recent is what came of the last times, at most MaxRecent, the oldest first.
	Recent []Dealt `json:",omitempty"`
}

// Firing is a run that is about to be started: whoever finds it looks whether it was, and starts it if not.
type Firing struct {
	// Due is when, and Entry which entry of the schedule, counted from 0.
	Due   time.Time
	Entry int
	// Behind is a number that is lower than that of the run.
	Behind Number
	// By is the process that is about to do so.
	By string
}

// Dealt is what came of a time at which a task was due.
type Dealt struct {
	Due time.Time
	// Run is the run that was started; 0 if Why says why there is none.
	Run Number `json:",omitempty"`
	Why string `json:",omitempty"`
}

// MaxRecent is how many times a Timetable says of what came of them.
const MaxRecent = 10

// maxDealtWhy is how many bytes a reason has.
const maxDealtWhy = 500

// Past is the timetable once all is dealt with up to a time and, at it, the first entries; came is what came of it.
func (t Timetable) Past(due time.Time, entries int, came ...Dealt) Timetable {
	t.Done, t.Entries, t.Firing = due, entries, nil
	return t.With(came...)
}

// With is the timetable with more of what came of times.
func (t Timetable) With(came ...Dealt) Timetable {
	recent := append([]Dealt{}, t.Recent...)
	for _, one := range came {
		one.Why = cutText(one.Why, maxDealtWhy)
		recent = append(recent, one)
	}
	t.Recent = recent[max(0, len(recent)-MaxRecent):]
	return t
}

// Encode returns the bytes to store.
func (t Timetable) Encode() ([]byte, error) { return json.Marshal(t) }

// DecodeTimetable reads the timetable of a task.
func DecodeTimetable(data []byte) (t Timetable, err error) {
	if err := json.Unmarshal(data, &t); err != nil {
		return Timetable{}, fmt.Errorf("decode the timetable of a task: %w", err)
	}
	wrong := t.Done.IsZero() || t.Entries < 0 || len(t.Recent) > MaxRecent
	if f := t.Firing; f != nil {
		wrong = wrong || f.Due.Before(t.Done) || f.Entry < 0
	}
	for _, one := range t.Recent {
		wrong = wrong || len(one.Why) > maxDealtWhy+len("…") || !utf8.ValidString(one.Why)
	}
	if wrong {
		return Timetable{}, errors.New("the timetable of a task says what cannot be")
	}
	return t, nil
}

package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"runhook/shared/task"
)

// Ends is how far the ends of a task's runs are dealt with, whose runs start those of other tasks. It is stored as JSON.
type Ends struct {
	// Store is the id of the store. A restored one has another.
	Store string
	// Event is the sequence of the last event that is dealt with, and Run its run; 0 if none is.
	Event uint64
	Run   Number `json:",omitempty"`
	// Doubtful is the sequence of the last event that may have been dealt with before, although it comes behind Event.
	Doubtful uint64 `json:",omitempty"`
	// Starting are the runs that a process is about to start; nil for none.
	Starting *Starting `json:",omitempty"`
	// Recent is what came of the last ends, at most MaxFollowed, the oldest first.
	Recent []Followed `json:",omitempty"`
}

// Starting are runs that are about to be started after the end of one: whoever finds it looks whether they were, and
// starts those that were not.
type Starting struct {
	// Event is the sequence of the event of the end, and Run the run that has ended.
	Event uint64
	Run   Number
	// Children are the runs.
	Children []Child
	// Behind is a number that is lower than theirs.
	Behind Number
	// By is the process that is about to do so.
	By string
}

// Child is a run that is about to be started.
type Child struct {
	// Entry is which entry of the task's then wants it, counted from 0.
	Entry int
	Task  task.ID
}

// Followed is what came of an entry of then at the end of a run.
type Followed struct {
	// On is when, and Run the run that had ended.
	On  time.Time
	Run Number
	// Entry is which entry of the task's then, counted from 0, and Task the name of the task that it names.
	Entry int
	Task  string
	// Child is the run that was started; 0 if Why says why there is none.
	Child Number `json:",omitempty"`
	Why   string `json:",omitempty"`
}

// MaxFollowed is of how many ends an Ends says what came of them.
const MaxFollowed = 20

// mostChildren is how many runs the end of one starts at most.
const mostChildren = 20

// With is it with more of what came of ends.
func (e Ends) With(came ...Followed) Ends {
	recent := append([]Followed{}, e.Recent...)
	for _, one := range came {
		one.Why = cutText(one.Why, maxDealtWhy)
		recent = append(recent, one)
	}
	e.Recent = recent[max(0, len(recent)-MaxFollowed):]
	return e
}

// Past is it once all is dealt with up to an event, that of a run; came is what came of it.
func (e Ends) Past(event uint64, n Number, came ...Followed) Ends {
	e.Event, e.Run, e.Starting = event, n, nil
	if e.Doubtful <= event {
		e.Doubtful = 0
	}
	return e.With(came...)
}

// Encode returns the bytes to store.
func (e Ends) Encode() ([]byte, error) { return json.Marshal(e) }

// DecodeEnds reads how far the ends of a task's runs are dealt with.
func DecodeEnds(data []byte) (e Ends, err error) {
	if err := json.Unmarshal(data, &e); err != nil {
		return Ends{}, fmt.Errorf("decode how far the ends of a task's runs are dealt with: %w", err)
	}
	wrong := e.Store == "" || len(e.Recent) > MaxFollowed
	if s := e.Starting; s != nil {
		wrong = wrong || s.Event <= e.Event || s.Run == 0 || len(s.Children) == 0 || len(s.Children) > mostChildren
		for _, child := range s.Children {
			id, err := task.ParseID(string(child.Task))
			wrong = wrong || child.Entry < 0 || err != nil || id != child.Task
		}
	}
	for _, one := range e.Recent {
		wrong = wrong || one.Entry < 0 || len(one.Why) > maxDealtWhy+len("…") || !utf8.ValidString(one.Why)
	}
	if wrong {
		return Ends{}, errors.New("it says what cannot be")
	}
	return e, nil
}

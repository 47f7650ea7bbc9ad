package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"runhook/shared/task"
)

// Erasure is the removal of a run, or of many runs of a task, from the store. While it is under way it says what is still
// to do; once it is done it is the receipt. Nothing in it is of what the runs were about. It is stored as JSON.
type Erasure struct {
	// Task is the id that the runs are stored under, and TaskName what its task is called.
	Task     task.ID `json:"ExecuteId"`
	TaskName string
	// First and Last bound the runs; both are the same for one run.
	First, Last Number
	// Left are the runs that stay, because they had not ended: those between First and Last and, where somebody has asked,
	// the others that were accepted before that moment. MoreLeft counts others that it has no room for.
	Left     []Number `json:",omitempty"`
	MoreLeft int      `json:",omitempty"`
	// By is who asked: the name of an admin token, or ByKeep.
	By string
	// On is when it was asked for, by the clock of whoever took it.
	On time.Time
	// Before: runs that were accepted before that moment were asked for; nil where a run was named.
	Before *time.Time `json:",omitempty"`
	// EndedOn is when the run ended, of one that was named, once that was read.
	EndedOn *time.Time `json:",omitempty"`
	// Overwritten: what is removed is overwritten in the files of the streams at once.
	Overwritten bool
	// Replicated: the store is on several NATS servers, whose Raft logs have what is removed until they are cut.
	Replicated bool `json:",omitempty"`
	// Removed counts what was removed, and what is about to be: it is written before, so that whoever goes on with the
	// erasure need not know what is gone already.
	Removed Removed
	// Counted are the runs that Removed counts, as the highest number of each slice; nil in a receipt.
	Counted []Number `json:",omitempty"`
	// DoneOn is when everything was removed; nil while it is under way.
	DoneOn *time.Time `json:",omitempty"`
	// Holder is the process that does it.
	Holder string `json:",omitempty"`
}

// Removed counts what an erasure has removed.
type Removed struct {
	Runs, Requests, FinalDocuments, Events, RejectedChunks int
}

// Add adds what was removed of others.
func (r *Removed) Add(other Removed) {
	r.Runs += other.Runs
	r.Requests += other.Requests
	r.FinalDocuments += other.FinalDocuments
	r.Events += other.Events
	r.RejectedChunks += other.RejectedChunks
}

// ByKeep is who asks for an erasure where the task's file says how long its runs are kept.
const ByKeep = "keep"

// MostLeft is how many runs an erasure can leave out, and name.
const MostLeft = 10_000

// IsOne reports whether the erasure is of one run that somebody has named.
func (e *Erasure) IsOne() bool { return e.Before == nil }

// Has reports whether a run is among those that go.
func (e *Erasure) Has(n Number) bool {
	_, stays := slices.BinarySearch(e.Left, n)
	return e.First <= n && n <= e.Last && !stays
}

// Between are those of Left that have a number between First and Last.
func (e *Erasure) Between() []Number {
	from, _ := slices.BinarySearch(e.Left, e.First)
	to, _ := slices.BinarySearch(e.Left, e.Last+1)
	return e.Left[from:max(from, to)]
}

// Name has the erasure say which runs stay, once First and Last are set: all between them, and of the others as many as
// there is room for. all are sorted.
func (e *Erasure) Name(all []Number) {
	e.Left = all
	room := MostLeft - len(e.Between())
	e.Left = nil
	for _, n := range all {
		if outside := n < e.First || n > e.Last; outside {
			if room <= 0 {
				e.MoreLeft++
				continue
			}
			room--
		}
		e.Left = append(e.Left, n)
	}
}

// Encode returns the bytes to store.
func (e *Erasure) Encode() ([]byte, error) { return json.Marshal(e) }

// DecodeErasure reads an erasure.
func DecodeErasure(data []byte) (Erasure, error) {
	var e Erasure
	if err := json.Unmarshal(data, &e); err != nil {
		return e, fmt.Errorf("decode an erasure: %w", err)
	}
	id, err := task.ParseID(string(e.Task))
	switch {
	case err != nil || id != e.Task:
		return e, errors.New("the erasure names no task")
	case e.First == 0 || e.Last < e.First:
		return e, fmt.Errorf("the erasure is of the runs %s to %s", e.First, e.Last)
	case e.IsOne() && e.First != e.Last:
		return e, errors.New("the erasure is of more than one run, and does not say since when they are too old")
	case len(e.Left) > MostLeft || !slices.IsSorted(e.Left):
		return e, errors.New("the erasure does not say properly which runs stay")
	case e.By == "" || len(e.By) > maxBy || e.On.IsZero():
		return e, errors.New("the erasure does not say by whom it is, or when it was asked for")
	}
	return e, nil
}

// Text says what the receipt is of, and where else the data may be.
func (e *Erasure) Text() string {
	if e.DoneOn == nil {
		return "The erasure is under way: it goes on until everything is removed, whatever is restarted meanwhile."
	}
	removed := "What was removed stays in the store's files as bytes that nothing leads to, until the NATS server writes the file anew of which they are a part."
	if e.Overwritten {
		removed = "What was removed is overwritten in the store's files."
	}
	if e.Replicated {
		removed += " The Raft logs of the NATS servers have it until they are cut, within some minutes. " +
			"A server that is down meanwhile has it until it has started again, and in part until it writes the file anew of which that is a part."
	}
	return removed + " Backups that were made before hold it as long as you keep them: a restore of one brings it back, so erase it again then. " +
		"Subscribers, webhooks and destinations have what they were sent. The history of a server that is down loses it when that starts."
}

package run

import (
	"fmt"
	"time"
)

// Overdue reports whether a run that no runner has taken waited longer than it may. storedOn is when
// its request became durable. A run that is to start at a time begins to wait then.
func (r Request) Overdue(storedOn, now time.Time) bool {
	return r.StartWithin > 0 && now.Sub(r.WaitsSince(storedOn)) >= r.startWithin()
}

// WaitsSince is when a run whose request was stored then began to wait for a runner, or will.
func (r Request) WaitsSince(storedOn time.Time) time.Time {
	if r.RunAt.IsZero() {
		return storedOn
	}
	return r.RunAt
}

// Due is when a queued run becomes overdue; the zero time for never.
func (r Request) Due(storedOn time.Time) time.Time {
	if r.StartWithin <= 0 {
		return time.Time{}
	}
	return r.WaitsSince(storedOn).Add(r.startWithin())
}

func (r Request) startWithin() time.Duration { return time.Duration(r.StartWithin) * time.Second }

// OverdueDocument is the final document of a run that was not started because it is overdue.
func OverdueDocument(r Request, n Number, now time.Time) Document {
	doc := QueuedDocument(r, n)
	doc.End(Failed, fmt.Sprintf("No runner took the run within %s, as start_within asks, so it was not started. "+
		"An earlier run of the task may have taken long, or no runner was up", r.startWithin()), now)
	return doc
}

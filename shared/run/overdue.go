package run

import (
	"fmt"
	"time"
)

// Overdue reports whether a run that no runner has taken waited longer than it may. storedOn is when
// its request became durable.
func (r Request) Overdue(storedOn, now time.Time) bool {
	return r.StartWithin > 0 && now.Sub(storedOn) >= r.startWithin()
}

// Due is when a queued run becomes overdue; the zero time for never.
func (r Request) Due(storedOn time.Time) time.Time {
	if r.StartWithin <= 0 {
		return time.Time{}
	}
	return storedOn.Add(r.startWithin())
}

func (r Request) startWithin() time.Duration { return time.Duration(r.StartWithin) * time.Second }

// OverdueDocument is the final document of a run that was not started because it is overdue.
func OverdueDocument(r Request, n Number, now time.Time) Document {
	doc := QueuedDocument(r, n)
	doc.End(Failed, fmt.Sprintf("No runner took the run within %s, as start_within asks, so it was not started. "+
		"An earlier run of the task may have taken long, or no runner was up", r.startWithin()), now)
	return doc
}

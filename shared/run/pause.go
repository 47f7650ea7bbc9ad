package run

import (
	"fmt"
	"time"
)

// Pause is the wait of a run between an attempt that a passing fault ended and the next.
type Pause struct {
	// Until is when the next attempt begins, and Length how long the wait is from its beginning on.
	Until  time.Time
	Length time.Duration
	// Why is the failure's message.
	Why string
	// Attempts is how many the task allows.
	Attempts int
}

// Left is how long the wait still is at a moment. Whatever another machine's clock says, it is never
// longer than the whole.
func (p Pause) Left(now time.Time) time.Duration { return min(max(0, p.Until.Sub(now)), p.Length) }

// Message is the status document's while the run waits after so many tries.
func (p Pause) Message(tried int) string {
	return fmt.Sprintf("Attempt %d of %d failed, and the next begins at %s: %s",
		tried, p.Attempts, p.Until.UTC().Format("2006-01-02 15:04:05 UTC"), p.Why)
}

// Waiting is the wait of a run after so many tries.
func (p Pause) Waiting(tried int) Waiting {
	return Waiting{Kind: ForAttempt, Attempt: tried + 1, Until: new(Time(p.Until)), Since: new(Time(p.Until.Add(-p.Length)))}
}

// Rest is the claim of a holder whose attempt a passing fault ended, and that waits.
func (c Claim) Rest(p Pause) Claim {
	c.Tried, c.Pause = c.Tried+1, &p
	return c
}

// Again is the claim of the attempt that its holder begins after the wait.
func (c Claim) Again() Claim {
	next := c.Next(c.Owner)
	next.Executions, next.Pause = c.Executions+1, nil
	return next
}

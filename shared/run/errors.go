package run

import "time"

// Failure is an error that ends a run Failed. Message goes into the status document, the events
// and the logs, so it holds no cell value, no secret and not a driver's own words.
type Failure struct {
	Message string
	// Passing: the fault may be gone later, so the run may be attempted again: a service that refuses
	// connections, a database that is locked. Without it another attempt would fail like this one.
	Passing bool
	// RetryAfter is how long the other side asks to be left alone; 0 when it does not say.
	RetryAfter time.Duration
}

func (f *Failure) Error() string { return f.Message }

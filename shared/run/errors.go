package run

import (
	"errors"
	"fmt"
	"time"
)

// The errors of the store that callers tell apart with errors.Is.
var (
	// ErrUnavailable: the store cannot be reached or cannot store; nothing was stored.
	ErrUnavailable = errors.New("NATS is not available")
	// ErrFull: the store can be read but takes no writes, because its disk is full; nothing was
	// stored. It comes together with ErrUnavailable.
	ErrFull = errors.New("the disk of the store is full")
	// ErrDenied: the NATS user of this program lacks a right, so that nothing was stored. It comes together
	// with ErrUnavailable where it is told to callers.
	ErrDenied = errors.New("the NATS user lacks a right")
	// ErrMaybeStored: the request was sent and no acknowledgement came; it may have been stored.
	ErrMaybeStored = errors.New("no acknowledgement came; the run may have been stored")
	// ErrKeyReused: the idempotency key was used before with other parameters.
	ErrKeyReused = errors.New("the idempotency key was used before with other parameters")
	// ErrNoRun: the task never had such a run.
	ErrNoRun = errors.New("no such run")
	// ErrRunGone: the run's record has passed its retention, or was erased.
	ErrRunGone = errors.New("the run's record is gone")
	// ErrErased: the idempotency key has started a run that was erased since.
	ErrErased = errors.New("the idempotency key has started a run that was erased")
	// ErrRowsGone: the run's rejected rows have passed the time that its task keeps them.
	ErrRowsGone = errors.New("the run's failed rows are not kept any more")
	// ErrNotEnded: the run is queued or in progress.
	ErrNotEnded = errors.New("the run has not ended")
)

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

// Failf returns a permanent [*Failure].
func Failf(format string, args ...any) error {
	return &Failure{Message: fmt.Sprintf(format, args...)}
}

// Passingf returns a temporary [*Failure]: another attempt may succeed.
func Passingf(format string, args ...any) error {
	return &Failure{Message: fmt.Sprintf(format, args...), Passing: true}
}

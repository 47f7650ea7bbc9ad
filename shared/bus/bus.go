// Package bus is the one place that knows NATS: streams, buckets, subjects, headers. Everything
// else speaks its verbs: submit, pull, claim, renew, finish, look up, await, apply.
package bus

import (
	"context"
	"errors"
	"time"

	"runhook/shared/run"
	"runhook/shared/task"
)

// The errors callers tell apart with errors.Is.
var (
	// ErrUnavailable: NATS cannot be reached or cannot store; nothing was stored.
	ErrUnavailable = errors.New("NATS is not available")
	// ErrMaybeStored: the request was sent and no acknowledgement came; it may have been stored.
	ErrMaybeStored = errors.New("no acknowledgement came; the run may have been stored")
	// ErrKeyReused: the idempotency key was used before with other parameters.
	ErrKeyReused = errors.New("the idempotency key was used before with other parameters")
	// ErrNoRun: there never was such a run of this task (404).
	ErrNoRun = errors.New("no such run")
	// ErrRunGone: there was such a run, and its record has passed the retention (410).
	ErrRunGone = errors.New("the run's record is gone")
)

// Accepted is a stored request.
type Accepted struct {
	Number run.Number
	// Request is the stored one: the original's when Replayed.
	Request run.Request
	// Replayed: the idempotency key was known; Number is the original's and nothing was stored.
	Replayed bool
}

// Status is what the store says of a run at one moment.
type Status struct {
	Document run.Document
	// Bytes is the document as stored; what a final status answers, byte for byte.
	Bytes []byte
	Final bool
}

// Task is a task as the services see it.
type Task struct {
	*task.Definition
	// Enabled is false when the file says so or when the file was removed.
	Enabled   bool
	AppliedOn time.Time
}

// Bus is a connection to one store. Its methods are safe for concurrent use.
type Bus struct{}

// Submit makes a run durable and returns its number. key is the caller's idempotency key, empty
// for none; without one Submit never publishes twice.
func (b *Bus) Submit(ctx context.Context, request run.Request, key string) (Accepted, error) {
	return Accepted{}, nil
}

// Lookup tells how a run stands: final document, else live progress, else claim, else the
// request. It returns ErrNoRun, ErrRunGone or ErrUnavailable.
func (b *Bus) Lookup(ctx context.Context, id task.ID, n run.Number) (Status, error) {
	return Status{}, nil
}

// Await is Lookup that waits until the run has ended; when ctx ends first it returns the last
// status seen and no error.
func (b *Bus) Await(ctx context.Context, id task.ID, n run.Number) (Status, error) {
	return Status{}, nil
}

// Runs lists the newest runs first, of one task or (empty id) of all; at most limit.
func (b *Bus) Runs(ctx context.Context, id task.ID, limit int) ([]Status, error) {
	return nil, nil
}

// Apply stores a definition and makes it current. It reports whether anything changed.
func (b *Bus) Apply(ctx context.Context, def *task.Definition) (changed bool, err error) {
	return false, nil
}

// Ready reports why the store cannot be used right now, nil when it can.
func (b *Bus) Ready(ctx context.Context) error { return nil }

// StoreID is the random id of the store, known once Check or Init has succeeded.
func (b *Bus) StoreID() string { return "" }

// TaskView is a process's in-memory view of the task bucket, kept current by a watch.
type TaskView struct{}

// WatchTasks starts a view that follows the bucket until ctx ends. It returns once the bucket's
// present content is loaded, or with an error.
func (b *Bus) WatchTasks(ctx context.Context) (*TaskView, error) { return nil, nil }

// Get returns a task by id.
func (v *TaskView) Get(id task.ID) (Task, bool) { return Task{}, false }

// All returns every task, by name.
func (v *TaskView) All() []Task { return nil }

// Loaded reports whether the view has ever had the bucket's content.
func (v *TaskView) Loaded() bool { return false }

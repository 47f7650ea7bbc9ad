package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/wait"
)

// submitTimeout bounds one publish. It is short enough that a caller hears 503 before its own
// client gives up, and long enough for a leader election.
const submitTimeout = 5 * time.Second

// duplicateWait is how long a duplicate waits for its original to be agreed upon.
const duplicateWait = 5 * time.Millisecond

// Submit makes a run durable and returns its number. key is the caller's idempotency key, empty
// for none: a key that the task has seen within the window returns the original run, Replayed.
//
// An [*OpenRuns] means that the task's overlap refuses the run, and names the one that has not ended.
// run.ErrUnavailable means that nothing was stored, run.ErrMaybeStored that it cannot be known (without a
// key Submit never publishes twice), run.ErrKeyReused that the key belongs to other parameters.
func (r *Runs) Submit(ctx context.Context, request run.Request, key string) (Accepted, error) {
	// A caller who repeats a POST uses the same id, whatever it leads to by then.
	id := request.Called()
	ctx, cancel := context.WithTimeout(ctx, submitTimeout)
	defer cancel()
	err := r.store.Writable()
	if err == nil {
		err = r.store.Room(ctx)
	}
	if err != nil {
		if original, ok, _ := r.Keyed(ctx, id, key); ok {
			return original.unlessReused(request)
		}
		return Accepted{}, err
	}
	if key != "" {
		return r.submitKeyed(ctx, keyOf(id, key), request)
	}
	stored, err := r.enter(ctx, &request, "")
	if err != nil {
		return Accepted{}, err
	}
	return Accepted{Number: r.store.Numbers.Of(stored.Sequence), Request: request}, nil
}

// unlessReused is the answer to a repeated request: its original, or run.ErrKeyReused if they differ.
func (original Accepted) unlessReused(repeated run.Request) (Accepted, error) {
	if original.Request.ParameterHash != repeated.ParameterHash {
		return Accepted{}, run.ErrKeyReused
	}
	return original, nil
}

// errForeign: the message that has the id of a request is none.
var errForeign = errors.New("another program has used the message id of the request")

// Keyed returns the run that a POST to this id has started with an idempotency key within the window,
// Replayed; ok is false if none has, as without a key. It stores nothing.
func (r *Runs) Keyed(ctx context.Context, id task.ID, key string) (original Accepted, ok bool, err error) {
	if key == "" {
		return Accepted{}, false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, jet.ReadTimeout)
	defer cancel()
	k := keyOf(id, key)
	held, err := r.heldKey(ctx, k)
	if err == nil {
		original, _, err = r.startedWith(ctx, k, held)
	}
	switch {
	case errors.Is(err, jet.ErrMissing):
		return Accepted{}, false, nil
	case err != nil && !errors.Is(err, run.ErrUnavailable) && !errors.Is(err, run.ErrErased):
		err = fmt.Errorf("%w: look for an idempotency key: %w", run.ErrUnavailable, err)
	}
	return original, err == nil, err
}

// inProcess reports that a message of the same id is about to be agreed upon.
func inProcess(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && api.ErrorCode == jet.DuplicateInProcess
}

func (r *Runs) publish(ctx context.Context, e jet.Entry) (jet.Receipt, error) {
	for {
		stored, err := r.store.Runs.Publish(ctx, e)
		if err == nil {
			r.store.Given(r.store.Numbers.Of(stored.Sequence))
			return stored, nil
		}
		_, isAPI := errors.AsType[*jetstream.APIError](err)
		switch {
		case inProcess(err):
			if !wait.For(ctx, duplicateWait) {
				return jet.Receipt{}, run.ErrMaybeStored
			}
		case isAPI, // the server said no
			errors.Is(err, jetstream.ErrNoStreamResponse), // nobody was there to take it
			errors.Is(err, nats.ErrReconnectBufExceeded),  // it never left this process
			errors.Is(err, jet.ErrNotSent),
			errors.Is(err, run.ErrDenied),
			errors.Is(err, nats.ErrConnectionClosed),
			errors.Is(err, nats.ErrMaxPayload):
			return jet.Receipt{}, fmt.Errorf("%w: %w", run.ErrUnavailable, err)
		default:
			return jet.Receipt{}, fmt.Errorf("%w: %w", run.ErrMaybeStored, err)
		}
	}
}

// original reads the request of a run whose key is repeated. jet.ErrMissing means that it is gone.
func (r *Runs) original(ctx context.Context, n run.Number) (Accepted, error) {
	stored, err := r.store.Request(ctx, n)
	if errors.Is(err, jet.ErrMissing) { // a replica that lags
		stored, err = r.store.LeaderRequest(ctx, n)
	}
	if err != nil {
		return Accepted{}, err
	}
	return r.replay(stored, n)
}

// replay has a repeated POST answered exactly as the first was, whose request was read.
func (r *Runs) replay(stored jet.Record, n run.Number) (Accepted, error) {
	id, _ := jet.TaskOfRequest(stored.Subject)
	request, err := run.DecodeRequest(stored.Data, id)
	if err != nil {
		r.store.Runs.PassOver(stored, err)
		return Accepted{}, errForeign
	}
	return Accepted{Number: n, Request: request, Replayed: true, storedOn: stored.Time}, nil
}

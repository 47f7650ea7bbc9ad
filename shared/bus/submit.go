package bus

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
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
// run.ErrUnavailable means that nothing was stored, run.ErrMaybeStored that it cannot be known (without a
// key Submit never publishes twice), run.ErrKeyReused that the key belongs to other parameters.
func (r *Runs) Submit(ctx context.Context, request run.Request, key string) (Accepted, error) {
	if err := r.store.Writable(); err != nil {
		return Accepted{}, err
	}
	data, err := request.Encode()
	if err != nil {
		return Accepted{}, fmt.Errorf("encode a run request: %w", err)
	}
	msg := &nats.Msg{Subject: jet.RequestSubject(request.Task), Data: data, Header: nats.Header{}}
	if key != "" {
		msg.Header.Set(jet.HeaderParameters, request.ParameterHash)
		// A caller who repeats a POST uses the same id, whatever it leads to by then.
		id := cmp.Or(request.CalledAs, request.Task)
		msg.Header.Set(jetstream.MsgIDHeader, string(id)+"."+key)
	}
	ctx, cancel := context.WithTimeout(ctx, submitTimeout)
	defer cancel()
	stored, err := r.publish(ctx, msg)
	if err != nil {
		return Accepted{}, err
	}
	accepted := Accepted{Number: r.store.Numbers.Of(stored.Sequence), Request: request}
	if !stored.Duplicate {
		return accepted, nil
	}
	return r.original(ctx, accepted)
}

func (r *Runs) publish(ctx context.Context, msg *nats.Msg) (jet.Receipt, error) {
	if id := msg.Header.Get(jetstream.MsgIDHeader); id != "" {
		sequence, ok, err := r.restored(ctx, id)
		if ok || err != nil {
			return jet.Receipt{Sequence: sequence, Duplicate: ok}, err
		}
	}
	for {
		stored, err := r.store.Runs.Publish(ctx, jet.Entry{Msg: msg})
		if err == nil {
			return stored, nil
		}
		api, isAPI := errors.AsType[*jetstream.APIError](err)
		switch {
		case isAPI && api.ErrorCode == jet.DuplicateInProcess:
			if !wait.For(ctx, duplicateWait) {
				return jet.Receipt{}, run.ErrMaybeStored
			}
		case isAPI, // the server said no
			errors.Is(err, jetstream.ErrNoStreamResponse), // nobody was there to take it
			errors.Is(err, nats.ErrReconnectBufExceeded),  // it never left this process
			errors.Is(err, jet.ErrNotSent),
			errors.Is(err, nats.ErrConnectionClosed),
			errors.Is(err, nats.ErrMaxPayload):
			return jet.Receipt{}, fmt.Errorf("%w: %w", run.ErrUnavailable, err)
		default:
			return jet.Receipt{}, fmt.Errorf("%w: %w", run.ErrMaybeStored, err)
		}
	}
}

// original reads the request that a duplicate's acknowledgement points at, so that a replay can
// answer exactly as the first POST did.
func (r *Runs) original(ctx context.Context, duplicate Accepted) (Accepted, error) {
	stored, err := r.store.Request(ctx, duplicate.Number)
	if errors.Is(err, jet.ErrMissing) { // a replica that lags
		stored, err = r.store.LeaderRequest(ctx, duplicate.Number)
	}
	if err != nil {
		return Accepted{}, fmt.Errorf("read the original of a repeated request: %w", err)
	}
	if stored.Header.Get(jet.HeaderParameters) != duplicate.Request.ParameterHash {
		return Accepted{}, run.ErrKeyReused
	}
	original := Accepted{Number: duplicate.Number, Replayed: true}
	if err := json.Unmarshal(stored.Data, &original.Request); err != nil {
		return Accepted{}, fmt.Errorf("decode run request %s: %w", duplicate.Number, err)
	}
	return original, nil
}

package bus

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/wait"
)

// The bucket of keys remembers which run an idempotency key has started. The server itself knows the ids of
// requests too, but only for two minutes, because each of its starts reads all messages of that time.
//
// The entry of a key is written before the request, and says where RUNS ended then. The run's number is added
// once the request is stored. Whoever finds an entry without a number, because the process of the first POST
// has ended or is not done yet, looks for the request from there on, and publishes it where there is none: of
// two who do so at once, the server takes one.

// key is an idempotency key that the callers of an id have sent.
type key struct {
	id task.ID
	// message is the id of the request's message, and subject that of the entry.
	message, subject string
}

func keyOf(id task.ID, text string) key {
	return key{id: id, message: string(id) + "." + text, subject: jet.KeySubject(id, text)}
}

// again begins the id of a request whose own one another program has used. No key begins with it.
const again = "again."

// keyOfMessage is the key of a request's message, or of one that took its place.
func keyOfMessage(message string) (k key, ok bool) {
	for strings.HasPrefix(message, again) {
		message = message[len(again):]
	}
	id, text, ok := strings.Cut(message, ".")
	return keyOf(task.ID(id), text), ok && jet.IsID(id)
}

// keyEntry is what the bucket says of a key.
type keyEntry struct {
	// From is a sequence of RUNS: the request stands behind it, if it is stored.
	From uint64
	// Searched is up to where RUNS was searched for it already; it may have been bundled since.
	Searched uint64 `json:",omitempty"`
	// Task is the task of the run where that is another id than the one that was called, or anyTask.
	Task task.ID `json:",omitempty"`
	// Run is the run that the key has started, 0 while that is not known.
	Run run.Number `json:",omitempty"`
	// Erased: the run has been erased since.
	Erased bool `json:",omitempty"`
	// Since is when the request was stored, where that may be long before the entry was written.
	Since time.Time `json:",omitzero"`
}

// anyTask has the request of a key looked for among those of all tasks.
const anyTask = task.ID("*")

// heldKey is an entry as it is stored.
type heldKey struct {
	keyEntry
	// revision is that of the entry, 0 if there is none.
	revision uint64
	// passed: the entry is there, and its time is over.
	passed bool
}

// heldKey reads the entry of a key as the leader has it. One that is none of ours only tells that the key may
// have started a run.
func (r *Runs) heldKey(ctx context.Context, k key) (heldKey, error) {
	stored, err := r.store.Keys.LeaderLast(ctx, k.subject)
	if errors.Is(err, jet.ErrMissing) {
		return heldKey{}, r.store.Keys.Vouch(ctx)
	}
	if err != nil {
		return heldKey{}, err
	}
	held := heldKey{revision: stored.Sequence}
	err = json.Unmarshal(stored.Data, &held.keyEntry)
	if err == nil && held.Task != "" && held.Task != anyTask && !jet.IsID(string(held.Task)) {
		err = fmt.Errorf("the entry of a key names the task %q", held.Task)
	}
	if err != nil {
		r.store.Keys.PassOver(stored, err)
		held.keyEntry = keyEntry{Task: anyTask}
	}
	held.passed = !held.Since.IsZero() && time.Since(held.Since) > r.store.Keys.CachedInfo().Config.MaxAge
	return held, nil
}

// message is what writes the entry of a key in the place of the one with a revision, 0 for none.
func (e keyEntry) message(k key, inPlaceOf uint64) (*nats.Msg, error) {
	data, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode the entry of an idempotency key: %w", err)
	}
	header := nats.Header{jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(inPlaceOf, 10)}}
	return &nats.Msg{Subject: k.subject, Data: data, Header: header}, nil
}

// writeKey writes the entry of a key in the place of the one with a revision, 0 for none.
func (r *Runs) writeKey(ctx context.Context, k key, entry keyEntry, inPlaceOf uint64) (revision uint64, err error) {
	msg, err := entry.message(k, inPlaceOf)
	if err != nil {
		return 0, err
	}
	written, err := r.store.Keys.Publish(ctx, jet.Entry{Msg: msg, Fence: k.subject})
	if err != nil {
		return 0, fmt.Errorf("%w: note an idempotency key: %w", run.ErrUnavailable, err)
	}
	return written.Sequence, nil
}

// newEntry is the entry of a key whose request is about to be published for a task.
func (r *Runs) newEntry(ctx context.Context, k key, id task.ID) (keyEntry, error) {
	from, err := r.end(ctx)
	entry := keyEntry{From: from}
	if id != k.id {
		entry.Task = id
	}
	return entry, err
}

// submitKeyed publishes a request under a key, unless the key has started a run.
func (r *Runs) submitKeyed(ctx context.Context, k key, request run.Request) (Accepted, error) {
	entry, err := r.newEntry(ctx, k, request.Task)
	if err != nil {
		return Accepted{}, err
	}
	for inPlaceOf := uint64(0); ; {
		revision, err := r.writeKey(ctx, k, entry, inPlaceOf)
		if err == nil {
			return r.start(ctx, k, heldKey{keyEntry: entry, revision: revision}, request)
		}
		if !jet.Refused(err) {
			return Accepted{}, err
		}
		held, err := r.heldKey(ctx, k)
		if err != nil {
			return Accepted{}, err
		}
		original, searched, err := r.startedWith(ctx, k, held)
		switch {
		case err == nil:
			if held.Run != original.Number {
				held.Run, held.Since = original.Number, original.storedOn
				r.noteKey(ctx, k, held)
			}
			return original.unlessReused(request)
		case !errors.Is(err, jet.ErrMissing):
			if searched > max(held.From, held.Searched) { // the next POST goes on from there
				held.Searched = searched
				r.noteKey(ctx, k, held)
			}
			return Accepted{}, err
		case held.revision > 0 && !held.passed && held.From <= entry.From:
			return r.start(ctx, k, held, request)
		}
		inPlaceOf = held.revision
		if !wait.For(ctx, duplicateWait) {
			return Accepted{}, fmt.Errorf("%w: note an idempotency key: %w", run.ErrUnavailable, ctx.Err())
		}
	}
}

// start publishes a request under a key whose entry is written, and adds the run's number to it.
func (r *Runs) start(ctx context.Context, k key, held heldKey, request run.Request) (Accepted, error) {
	for id := k.message; ; id = again + id {
		stored, err := r.enter(ctx, &request, id)
		if err != nil {
			return Accepted{}, err
		}
		accepted := Accepted{Number: r.store.Numbers.Of(stored.Sequence), Request: request}
		if stored.Duplicate {
			accepted, err = r.original(ctx, accepted.Number)
		}
		if errors.Is(err, errForeign) {
			continue
		}
		if err != nil {
			return Accepted{}, fmt.Errorf("read the original of a repeated request: %w", err)
		}
		held.Run, held.Since = accepted.Number, accepted.storedOn
		r.noteKey(ctx, k, held)
		return accepted.unlessReused(request)
	}
}

// noteKey writes an entry in the place of the one that was read, if that is still there. Nobody waits for it,
// because the next who needs it and does not find it finds the request.
func (r *Runs) noteKey(ctx context.Context, k key, held heldKey) {
	r.noting.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), jet.WriteTimeout)
		defer cancel()
		if _, err := r.writeKey(ctx, k, held.keyEntry, held.revision); err != nil && !jet.Refused(err) {
			r.store.Log.Debug().Err(err).Str("task", string(k.id)).Msg("the run of an idempotency key could not be noted; a repeated POST looks for it")
		}
	})
}

// startedWith returns the run that a key with an entry has started, Replayed. jet.ErrMissing means that it has
// started none; after another error, RUNS was searched up to a sequence.
func (r *Runs) startedWith(ctx context.Context, k key, held heldKey) (original Accepted, searched uint64, err error) {
	if held.revision == 0 || held.passed {
		return Accepted{}, 0, jet.ErrMissing
	}
	if held.Erased {
		return Accepted{}, 0, run.ErrErased
	}
	if held.Run > 0 {
		original, err = r.original(ctx, held.Run)
		if err == nil && original.Request.Called() == k.id {
			return original, 0, nil
		}
		if err != nil && !errors.Is(err, errForeign) && !errors.Is(err, jet.ErrMissing) {
			return Accepted{}, 0, err
		}
	}
	subject := jet.RequestSubject(cmp.Or(held.Task, k.id))
	for searched = max(held.From, held.Searched); ; {
		stored, err := r.store.Runs.LeaderFollowing(ctx, subject, searched+1)
		if errors.Is(err, jet.ErrMissing) {
			if err = r.store.Runs.Vouch(ctx); err == nil {
				original, err = r.bundledWith(ctx, k, held)
			}
			return original, searched, err
		}
		if err != nil {
			return Accepted{}, searched, err
		}
		searched = stored.Sequence
		if !k.sent(stored) {
			continue
		}
		if original, err = r.replay(stored, r.store.Numbers.Of(searched)); err == nil {
			return original, searched, nil
		}
	}
}

// sent reports whether a request was sent with the key.
func (k key) sent(request jet.Record) bool {
	of, ok := keyOfMessage(request.Header.Get(jetstream.MsgIDHeader))
	return ok && of == k
}

// bundledWith is startedWith where the request may have left RUNS, because its run has ended.
func (r *Runs) bundledWith(ctx context.Context, k key, held heldKey) (original Accepted, err error) {
	info, err := r.store.Runs.Info(ctx)
	if err != nil {
		return Accepted{}, fmt.Errorf("%w: %w", run.ErrUnavailable, err)
	}
	var ids []task.ID
	if held.Task != anyTask {
		ids = []task.ID{cmp.Or(held.Task, k.id)}
	}
	err = jet.ErrMissing
	failed := r.store.Requests(ctx, held.From+1, info.State.FirstSeq, ids, func(request jet.Record) error {
		if !k.sent(request) {
			return nil
		}
		if original, err = r.original(ctx, r.store.Numbers.Of(request.Sequence)); errors.Is(err, errForeign) {
			err = jet.ErrMissing
			return nil
		}
		return jet.ErrEnough
	})
	return original, cmp.Or(failed, err)
}

// runsEnd is where RUNS ended a moment ago.
type runsEnd struct {
	mu       sync.Mutex
	sequence uint64
	asked    time.Time
}

// runsEndAge is how old it may be: the requests that came since are read where an entry has no number.
const runsEndAge = time.Second

// end is a sequence that RUNS has reached, at most a second old.
func (r *Runs) end(ctx context.Context) (uint64, error) {
	known := &r.ended
	known.mu.Lock()
	defer known.mu.Unlock()
	asked := time.Now()
	if asked.Sub(known.asked) < runsEndAge {
		return known.sequence, nil
	}
	info, err := r.store.Runs.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("%w: ask where RUNS ends: %w", run.ErrUnavailable, err)
	}
	known.sequence, known.asked = info.State.LastSeq, asked
	return known.sequence, nil
}

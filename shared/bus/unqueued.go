package bus

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/task"
)

// Unqueued finds the requests that no queue hands out: those of an id that no task has, or that has ended
// and whose queue is gone. It is for one goroutine.
type Unqueued struct {
	store *jet.Store
	// last is the last sequence of RUNS at the look before.
	last uint64
	// shown is, by subject, up to which sequence the requests have been seen to.
	shown map[string]uint64
}

// Unqueued returns a finder that has found nothing yet.
func (u *Unheld) Unqueued() *Unqueued {
	return &Unqueued{store: u.store, shown: map[string]uint64{}}
}

// Each shows the requests that it has not shown yet and that have not ended, until end fails. Where no
// request came since the call before, it is one look.
func (u *Unqueued) Each(ctx context.Context, end func(task.ID, Waiting) error) error {
	info, err := u.store.Runs.Info(ctx)
	if err != nil {
		return jet.Explain(err)
	}
	last := info.State.LastSeq
	if last == u.last {
		return nil
	}
	if info, err = u.store.Runs.Info(ctx, jetstream.WithSubjectFilter(jet.Requests)); err != nil {
		return jet.Explain(err)
	}
	queues := map[string]bool{} // of all tasks in few messages, however many there are
	names := u.store.Runs.ConsumerNames(ctx)
	for name := range names.Name() {
		queues[name] = true
	}
	if err := names.Err(); err != nil {
		return jet.Explain(err)
	}
	for subject := range info.State.Subjects {
		id, isTask := jet.TaskOfRequest(subject)
		if isTask && queues[string(id)] {
			continue
		}
		if isTask {
			willBe, err := u.willBeQueued(ctx, id)
			if err != nil {
				return err
			}
			if willBe {
				continue
			}
		}
		if err := u.each(ctx, subject, id, isTask, end); err != nil {
			return err
		}
	}
	u.last = last
	return nil
}

// willBeQueued reports whether an id without a queue gets one: a queue that was removed from outside is made again
// where the task is there.
func (u *Unqueued) willBeQueued(ctx context.Context, id task.ID) (bool, error) {
	entry, err := u.store.Definitions.Last(ctx, jet.TaskSubject(string(id)))
	if errors.Is(err, jet.ErrMissing) || err == nil && entry.Removed() {
		return false, nil
	}
	var now stored
	return err == nil && (json.Unmarshal(entry.Data, &now) != nil || !now.Retired), err
}

func (u *Unqueued) each(ctx context.Context, subject string, id task.ID, isTask bool, end func(task.ID, Waiting) error) error {
	for {
		stored, err := u.store.Runs.Following(ctx, subject, u.shown[subject]+1)
		if errors.Is(err, jet.ErrMissing) {
			return nil
		}
		if err != nil {
			return err
		}
		if stored.IsCall() { // its run is found by its request
			u.shown[subject] = stored.Sequence
			continue
		}
		request, err := run.DecodeRequest(stored.Data, id)
		if !isTask {
			err = errors.New("its subject names no task")
		}
		n := u.store.Numbers.Of(stored.Sequence)
		var ended bool
		if err != nil {
			u.store.Runs.PassOver(stored, err)
		} else if ended, err = u.store.Ended(ctx, id, n); err != nil {
			return err
		} else if !ended {
			if err := end(id, Waiting{Number: n, Request: request, StoredOn: stored.Time}); err != nil {
				return err
			}
		}
		u.shown[subject] = stored.Sequence
	}
}

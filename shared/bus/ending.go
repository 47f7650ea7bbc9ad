package bus

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/task"
)

// An id ends when its task gets another one, in a file of its former_ids, or is deleted. Its record stays, so that its runs
// still answer, and so does its queue for a while: an ingress that has not heard of it yet may still
// store a run.

// Revise replaces the definition of a task that is still as it was read; otherwise it changes
// nothing and returns ErrChanged. The id stays.
func (s *Tasks) Revise(ctx context.Context, was Task, def *task.Definition) error {
	if err := s.prepare(ctx, def); err != nil {
		return err
	}
	next := &stored{Text: def.Text, Hash: def.Hash, AppliedOn: time.Now().UTC(), FromFolder: was.FromFolder}
	return replace(ctx, s.store, was.ID, next, was.Revision)
}

// replace writes a task's record if it is still the one of a revision; 0 for none.
func replace(ctx context.Context, s *jet.Store, id task.ID, next *stored, revision uint64) error {
	if err := s.Writable(); err != nil {
		return fmt.Errorf("store task %s: %w", id, err)
	}
	data, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("encode task %s: %w", id, err)
	}
	if _, err = s.Tasks.Update(ctx, string(id), data, revision); err == nil {
		select {
		case s.TasksChanged <- struct{}{}:
		default: // it is in there
		}
		return nil
	}
	if jet.Refused(err) {
		return ErrChanged
	}
	return fmt.Errorf("store task %s: %w", id, jet.Explain(err))
}

// succeed makes a former id lead to the one that has taken its place.
func (s *Tasks) succeed(ctx context.Context, former, current task.ID) error {
	_, err := change(ctx, s.store, former, func(now *stored) (*stored, error) {
		switch {
		case now == nil: // it was a task elsewhere, and has no queue here
			return &stored{Successor: current, EndedOn: time.Now().UTC(), Retired: true}, nil
		case now.Successor == current:
			return nil, nil
		}
		if !now.ended() {
			now.EndedOn = time.Now().UTC()
		}
		now.Successor = current
		return now, nil
	})
	return err
}

// mayReturn refuses a definition under an id that was rotated away, as long as the task that it was
// rotated to is there: applying a file from before would undo the rotation for callers. A definition
// that lists the present id among its former ones means just that.
func (s *Tasks) mayReturn(ctx context.Context, def *task.Definition, successor task.ID) error {
	for range maxRotations {
		now, _, err := record(ctx, s.store, successor)
		switch {
		case err != nil:
			return err
		case now == nil, now.Deleted, !def.FormerUntil(successor).IsZero():
			return nil
		case now.Successor == "":
			return fmt.Errorf("%w: %s", ErrRotated, successor)
		}
		successor = now.Successor
	}
	return nil
}

// maxRotations bounds how far successors are followed; a loop of them is possible where folders and
// people contradict each other.
const maxRotations = 100

// OpenRuns is the error of what cannot be done while a task has runs that have not ended.
type OpenRuns struct {
	// Runs are the first of them.
	Runs []run.Number
	// More: there are others.
	More bool
}

func (e *OpenRuns) Error() string {
	numbers := make([]string, len(e.Runs))
	for i, n := range e.Runs {
		numbers[i] = n.String()
	}
	if e.More {
		numbers = append(numbers, "more")
	}
	if len(numbers) == 1 {
		return "run " + numbers[0] + " has not ended"
	}
	last := len(numbers) - 1
	return "runs " + strings.Join(numbers[:last], ", ") + " and " + numbers[last] + " have not ended"
}

// Delete takes a task away from callers; its runs still answer. While it has open runs, under its
// present or a former id, it returns an [*OpenRuns]. A run that is stored later through an ingress
// that has not heard of it yet is for the runner to end. It reports false for a task that is not there.
func (s *Tasks) Delete(ctx context.Context, t Task) (deleted bool, err error) {
	ids := []task.ID{t.ID}
	for _, former := range t.FormerIDs {
		ids = append(ids, former.ID)
	}
	var open OpenRuns
	for _, id := range ids {
		if err := s.addOpen(ctx, id, &open); err != nil {
			return false, err
		}
	}
	if len(open.Runs) > 0 {
		return false, &open
	}
	deleted, err = change(ctx, s.store, t.ID, func(now *stored) (*stored, error) {
		if now == nil || now.ended() {
			return nil, nil
		}
		now.Deleted, now.EndedOn = true, time.Now().UTC()
		return now, nil
	})
	if deleted {
		s.dropPace(ctx, t.ID)
		s.dropHealth(ctx, t.ID)
		s.drop(ctx, jet.TimetableSubject(t.ID))
		s.drop(ctx, jet.WatermarkSubject(t.ID))
	}
	return deleted, err
}

// maxListed is how many open runs are named.
const maxListed = 10

// addOpen adds the open runs of an id. None of them is below what its consumer has acknowledged. How many
// wait in its queue does not tell: the server counts a request some time after it was stored.
func (s *Tasks) addOpen(ctx context.Context, id task.ID, open *OpenRuns) error {
	alarms, err := alarms(ctx, s.store, id) // before the queue: what begins to wait meanwhile is there still
	if err != nil {
		return err
	}
	info, err := queueOf(ctx, s.store, id)
	if info == nil || err != nil {
		return err
	}
	state, err := s.store.Runs.Info(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", run.ErrUnavailable, err)
	}
	stored, err := between(ctx, s.store, []string{jet.RequestSubject(id)}, info.AckFloor.Stream+1, state.State.LastSeq+1)
	if err != nil {
		return err
	}
	for _, a := range alarms {
		stored = append(stored, listed{id, a.Number})
	}
	slices.SortFunc(stored, func(a, b listed) int { return cmp.Compare(a.number, b.number) })
	for _, r := range slices.Compact(stored) {
		if open.More {
			return nil
		}
		ended, err := s.store.Ended(ctx, id, r.number)
		switch {
		case err != nil:
			return err
		case ended:
		case len(open.Runs) == maxListed:
			open.More = true
		default:
			open.Runs = append(open.Runs, r.number)
		}
	}
	return nil
}

// queueOf is the state of an id's consumer, nil where there is none.
func queueOf(ctx context.Context, s *jet.Store, id task.ID) (*jetstream.ConsumerInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, jet.ReadTimeout)
	defer cancel()
	consumer, err := s.Runs.Consumer(ctx, string(id))
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: look into the queue of task %s: %w", run.ErrUnavailable, id, err)
	}
	return consumer.CachedInfo(), nil
}

// waiting is the state of an id's consumer, nil where there is nothing in its queue.
func waiting(ctx context.Context, s *jet.Store, id task.ID) (*jetstream.ConsumerInfo, error) {
	info, err := queueOf(ctx, s, id)
	if err != nil || info == nil || info.NumPending == 0 && info.NumAckPending == 0 {
		return nil, err
	}
	return info, nil
}

// Drained reports whether nothing is in a task's queue: no request waits, none is being executed.
func (w *Work) Drained(ctx context.Context, id task.ID) (bool, error) {
	info, err := waiting(ctx, w.store, id)
	return info == nil, err
}

// Retire removes the queue of an id that ended at least quiet ago, by the clock of whoever ended it,
// and that nothing is left in. It reports whether the queue is gone now.
func (w *Work) Retire(ctx context.Context, id task.ID, quiet time.Duration) (bool, error) {
	retired, err := change(ctx, w.store, id, func(now *stored) (*stored, error) {
		if now == nil || !now.ended() || now.Retired || time.Since(now.EndedOn) < quiet {
			return nil, nil
		}
		if drained, err := w.Drained(ctx, id); err != nil || !drained {
			return nil, err
		}
		now.Retired = true
		return now, nil
	})
	if !retired || err != nil {
		return false, err
	}
	if err := w.store.Runs.DeleteConsumer(ctx, string(id)); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return true, fmt.Errorf("remove the queue of task %s: %w", id, jet.Explain(err))
	}
	return true, nil
}

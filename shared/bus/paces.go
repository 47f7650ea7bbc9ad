package bus

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/task"
)

// Paces are the paces of all tasks, as a process sees them: by these it tells pollers when to poll again. They are safe
// for concurrent use. A nil Paces has none.
type Paces struct{ tasks *records[task.ID, run.Pace] }

// lookForPaces is how often it is looked for paces that other processes have stored.
const lookForPaces = time.Second

// Paces returns a view of the paces of tasks, which is empty until Follow.
func (r *Runs) Paces() *Paces {
	return &Paces{newRecords(r.store, jet.Paces, lookForPaces, r.store.Paced.Next, func(record jet.Record) (id task.ID, pace run.Pace, is bool, err error) {
		id, ok := jet.TaskOfPace(record.Subject)
		if !ok {
			return id, pace, false, errors.New("the key of a pace is that of a task")
		}
		pace, err = run.DecodePace(record.Data)
		return id, pace, err == nil, err
	})}
}

// Follow keeps the view current until ctx ends. While NATS is away it goes on with what it has.
func (v *Paces) Follow(ctx context.Context) { v.tasks.follow(ctx) }

// PollAgain is how long pollers of a run of a task, that has not ended, are asked to wait: what the task says, or what
// its pace says, which is [run.PollAtFirst] while there is none.
func (v *Paces) PollAgain(of *task.Definition, at run.Stage, now time.Time) time.Duration {
	if of.RetryAfter > 0 {
		return of.RetryAfter
	}
	var pace run.Pace
	if v != nil {
		pace, _ = v.tasks.of(of.ID)
	}
	return pace.PollAgain(at, now)
}

// AddToPace adds how long further runs of a task took to its pace, unless that would tell pollers nothing else, and
// returns the pace that is stored.
func (w *Work) AddToPace(ctx context.Context, id task.ID, lastMs []int64) (run.Pace, error) {
	ctx, cancel := context.WithTimeout(ctx, jet.WriteTimeout)
	defer cancel()
	for {
		pace, revision, err := w.pace(ctx, id)
		if err != nil {
			return pace, err
		}
		next := pace.With(lastMs...)
		if !next.Differs(pace) {
			return pace, nil
		}
		data, err := next.Encode()
		if err == nil {
			err = w.store.Writable()
		}
		if err != nil {
			return pace, err
		}
		_, err = w.store.JS.Publish(ctx, jet.PaceSubject(id), data, jetstream.WithExpectLastSequencePerSubject(revision))
		if err == nil {
			w.store.Paced.Ring()
			return next, nil
		}
		if !jet.Refused(err) { // else another runner was faster
			return pace, jet.Explain(err)
		}
	}
}

// pace is what the leader has of a task's, the zero Pace if there is none that can be read.
func (w *Work) pace(ctx context.Context, id task.ID) (pace run.Pace, revision uint64, err error) {
	stored, err := w.store.Control.LeaderLast(ctx, jet.PaceSubject(id))
	if errors.Is(err, jet.ErrMissing) {
		return run.Pace{}, 0, nil
	}
	if err != nil {
		return run.Pace{}, 0, err
	}
	if pace, err = run.DecodePace(stored.Data); err != nil {
		w.store.Control.PassOver(stored, err)
	}
	return pace, stored.Sequence, nil
}

// dropPace removes the pace of a task that is deleted. Where that fails a few bytes stay.
func (s *Tasks) dropPace(ctx context.Context, id task.ID) { s.drop(ctx, jet.PaceSubject(id)) }

// drop removes what the control bucket has under a subject.
func (s *Tasks) drop(ctx context.Context, subject string) {
	stored, err := s.store.Control.LeaderLast(ctx, subject)
	if err == nil {
		err = s.store.Control.DeleteMsg(ctx, stored.Sequence)
	}
	if err != nil && !errors.Is(err, jet.ErrMissing) {
		s.store.Log.Debug().Err(err).Str("subject", subject).Msg("what was stored about a deleted task stays")
	}
}

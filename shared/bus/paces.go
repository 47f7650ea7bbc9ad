package bus

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/task"
)

// Paces are the paces of all tasks, as a process sees them: by these it tells pollers when to poll again. They are safe
// for concurrent use. A nil Paces has none.
type Paces struct {
	store *jet.Store

	mu    sync.RWMutex
	tasks map[task.ID]run.Pace
}

// lookForPaces is how often it is looked for paces that other processes have stored.
const lookForPaces = time.Second

// Paces returns a view of the paces of tasks, which is empty until Follow.
func (r *Runs) Paces() *Paces { return &Paces{store: r.store, tasks: map[task.ID]run.Pace{}} }

// Follow keeps the view current until ctx ends. While NATS is away it goes on with what it has.
func (v *Paces) Follow(ctx context.Context) {
	var seen map[task.ID]bool
	f := following{
		stream: v.store.Control, subject: jet.Paces, every: lookForPaces, woken: v.store.Paced.Next,
		begun: func() { seen = map[task.ID]bool{} },
		note: func(record jet.Record) {
			if id, ok := v.note(record); ok {
				seen[id] = true
			}
		},
		whole: func() {
			v.mu.Lock()
			defer v.mu.Unlock()
			maps.DeleteFunc(v.tasks, func(id task.ID, _ run.Pace) bool { return !seen[id] })
		},
	}
	reconnected := v.store.NC.StatusChanged(nats.CONNECTED)
	defer v.store.NC.RemoveStatusListener(reconnected)
	f.follow(ctx, reconnected, f.readAll)
}

// note takes one change into the view.
func (v *Paces) note(record jet.Record) (id task.ID, ok bool) {
	id, ok = jet.TaskOfPace(record.Subject)
	if !ok {
		v.store.Control.PassOver(record, errors.New("the key of a pace is that of a task"))
		return id, false
	}
	pace, err := run.DecodePace(record.Data)
	if err != nil {
		v.store.Control.PassOver(record, err)
		return id, false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.tasks[id] = pace
	return id, true
}

// PollAgain is how long pollers of a run of a task, that has not ended, are asked to wait: what the task says, or what
// its pace says, which is [run.PollAtFirst] while there is none.
func (v *Paces) PollAgain(of *task.Definition, at run.Stage, now time.Time) time.Duration {
	if of.RetryAfter > 0 {
		return of.RetryAfter
	}
	var pace run.Pace
	if v != nil {
		v.mu.RLock()
		pace = v.tasks[of.ID]
		v.mu.RUnlock()
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

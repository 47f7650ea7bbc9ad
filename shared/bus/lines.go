package bus

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/task"
)

// Lines tells what runs wait for that no runner holds: their place in their queues. It looks when it is asked, and so costs nothing for runs that
// nobody asks about. It is safe for concurrent use.
type Lines struct {
	runs   *Runs
	tasks  *TaskView
	pauses *Pauses

	mu    sync.Mutex
	lines map[task.ID]*looked[line]
	pools map[string]*looked[presence]
}

const (
	// waitsFor is for how long what was seen of a queue, or of a pool, is told again.
	waitsFor = 400 * time.Millisecond
	// answersWithin is how long a runner has to answer that it is there.
	answersWithin = 250 * time.Millisecond
)

// Lines returns what tells it. tasks are the tasks as this process knows them, and pauses the connections
// that are paused, nil for none.
func (r *Runs) Lines(tasks *TaskView, pauses *Pauses) *Lines {
	return &Lines{runs: r, tasks: tasks, pauses: pauses, lines: map[task.ID]*looked[line]{}, pools: map[string]*looked[presence]{}}
}

// line is a task's queue.
type line struct {
	// queued are the requests that no runner was given yet, and open those that runners have, of which first is the
	// oldest. There are at most most of these.
	queued, open, most int
	first              run.Number
	// given is the last request that a runner was given.
	given run.Number
}

// Of says what a run waits for that no runner holds. place is whether it is to say how many runs come before it, which
// costs a look of its own. ok is false where that is not known: its task has no queue, or it is being taken.
func (w *Lines) Of(ctx context.Context, id task.ID, n run.Number, place bool) (on run.Waiting, ok bool, err error) {
	queue, ok := w.tasks.Queue(id)
	if !ok {
		return on, false, nil
	}
	if on, ok = w.paused(queue); ok {
		return on, true, nil
	}
	there, err := w.served(ctx, queue.Pool)
	if err != nil {
		return on, false, err
	}
	if there != takesRuns {
		return there.waiting(queue.Pool), true, nil
	}
	for _, former := range queue.After { // whose runs come first
		before, err := w.line(ctx, former)
		if err != nil {
			return on, false, err
		}
		if before.open > 0 {
			return run.Waiting{Kind: run.ForRun, Run: before.first, Open: before.open, Ahead: before.queued}, true, nil
		}
	}
	now, err := w.line(ctx, id)
	if err != nil {
		return on, false, err
	}
	on = run.Waiting{Kind: run.ForSlot, Pool: queue.Pool}
	if now.open >= now.most && now.first != n {
		on = run.Waiting{Kind: run.ForRun, Run: now.first, Open: now.open}
	}
	if place && n > now.given && now.queued > 1 {
		behind, err := w.runs.store.Runs.Behind(ctx, jet.RequestSubject(id), w.runs.store.Numbers.Sequence(n))
		if err != nil {
			return on, false, err
		}
		on.Ahead = max(0, now.queued-behind-1)
	}
	return on, true, nil
}

// paused says that the runs of a queue wait for a connection; ok is false if none of its task is paused.
func (w *Lines) paused(queue TaskQueue) (on run.Waiting, ok bool) {
	for _, name := range queue.Connections {
		if p, paused := w.pauses.Of(name); paused {
			return p.Waiting(), true
		}
	}
	return on, false
}

// Unserved says what a run waits for of whose runner nothing is heard: a connection, or a runner; ok is false if no
// connection of its task is paused and a runner of its pool is up and takes runs, which has it or will have it.
func (w *Lines) Unserved(ctx context.Context, id task.ID) (on run.Waiting, ok bool, err error) {
	queue, ok := w.tasks.Queue(id)
	if !ok {
		return on, false, nil
	}
	if on, ok = w.paused(queue); ok {
		return on, true, nil
	}
	there, err := w.served(ctx, queue.Pool)
	return there.waiting(queue.Pool), err == nil && there != takesRuns, err
}

// line looks into the queue of a task.
func (w *Lines) line(ctx context.Context, id task.ID) (line, error) {
	return look(ctx, &w.mu, w.lines, id, func(ctx context.Context) (now line, err error) {
		info, err := waiting(ctx, w.runs.store, id)
		if err != nil || info == nil {
			return line{most: 1}, err
		}
		numbers := w.runs.store.Numbers
		now = line{queued: int(info.NumPending), open: info.NumAckPending, most: info.Config.MaxAckPending, given: numbers.Of(info.Delivered.Stream)}
		if now.open == 0 {
			return now, nil
		}
		first, err := w.runs.store.Runs.Following(ctx, jet.RequestSubject(id), info.AckFloor.Stream+1)
		if errors.Is(err, jet.ErrMissing) {
			return now, nil
		}
		now.first = numbers.Of(first.Sequence)
		if n, called := jet.Called(first.Header); called {
			now.first = n
		}
		return now, err
	})
}

// presence is whether runners of a pool are up.
type presence int

const (
	nobody    presence = iota // none is
	held                      // some are, and take no run
	takesRuns                 // one is that takes runs
)

// waiting is what a run of the pool waits for while no runner takes runs.
func (there presence) waiting(pool string) run.Waiting {
	return run.Waiting{Kind: run.ForRunner, Pool: pool, Held: there == held}
}

// served reports whether runners of a pool are up. One that does not answer in time is there for as long as NATS takes
// it to be: it may have more to do.
func (w *Lines) served(ctx context.Context, pool string) (presence, error) {
	return look(ctx, &w.mu, w.pools, pool, func(ctx context.Context) (presence, error) {
		there, err := w.answered(ctx, jet.PoolSubject(pool))
		if there || err != nil {
			return takesRuns, err
		}
		if there, err = w.answered(ctx, jet.HeldPoolSubject(pool)); there {
			return held, nil
		}
		return nobody, err
	})
}

// answered reports whether anybody is there that takes what is asked on a subject.
func (w *Lines) answered(ctx context.Context, subject string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, answersWithin)
	defer cancel()
	_, err := w.runs.store.NC.RequestWithContext(ctx, subject, nil)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return false, nil
	case err == nil, errors.Is(err, context.DeadlineExceeded):
		return true, nil
	}
	return false, jet.Explain(err)
}

// looked is something that was seen a moment ago.
type looked[T any] struct {
	mu   sync.Mutex
	seen T
	when time.Time
}

// look returns what was seen of a key a moment ago, or looks. Of several who ask at once one looks.
func look[K comparable, T any](ctx context.Context, mu *sync.Mutex, known map[K]*looked[T], key K, see func(context.Context) (T, error)) (T, error) {
	mu.Lock()
	l := known[key]
	if l == nil {
		l = new(looked[T])
		known[key] = l
	}
	mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.when) < waitsFor {
		return l.seen, nil
	}
	seen, err := see(context.WithoutCancel(ctx))
	if err == nil {
		l.seen, l.when = seen, time.Now()
	}
	return seen, err
}

// Serve answers whoever asks whether a runner of a pool is up, until done is called. One that is held takes no run.
func (w *Work) Serve(pool string, isHeld bool) (done func(), err error) {
	subject := jet.PoolSubject(pool)
	if isHeld {
		subject = jet.HeldPoolSubject(pool)
	}
	subscription, err := w.store.NC.Subscribe(subject, func(asked *nats.Msg) {
		_ = asked.Respond(nil) // who asked asks again
	})
	if err != nil {
		return nil, jet.Explain(err)
	}
	return func() { _ = subscription.Unsubscribe() }, nil // fails only with the connection
}

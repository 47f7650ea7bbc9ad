package bus

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/task"
)

// How many runs wait is counted by the server. A process asks for it at most once a second for each task, unless the
// runs that it has stored since may have filled the queue: then it asks again before the next one.

const (
	// backlogAge is how old a count may be.
	backlogAge = time.Second
	// backlogPause is the least time between two counts.
	backlogPause = 20 * time.Millisecond
	// backlogLook is how long what was found of runs that ended while they waited counts at most: it costs the server a
	// list of the task's ended runs. Where that is soon made it counts for backlogAge.
	backlogLook = 5 * time.Second
)

// backlogs are the counts of the tasks that had runs of late.
type backlogs struct {
	mu     sync.Mutex
	byTask map[task.ID]*backlog
}

// backlog is how many runs of a task waited at a moment.
type backlog struct {
	// counting is held by who counts.
	counting sync.Mutex

	mu      sync.Mutex
	waiting int
	// over are those that wait at the server and have ended, when they were last looked for, and lookAgain is when they
	// are looked for again.
	over      int
	lookAgain time.Time
	// asked is when they were counted, the zero time for never; since is how many runs were let in after that.
	asked time.Time
	since int
}

// full reports whether as many runs wait as may, and if that has to be asked for first.
func (b *backlog) full(most int) (full, ask bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.waiting >= most, b.waiting+b.since >= most && time.Since(b.asked) >= backlogPause
}

// enter counts a run that is let in, and reports whether the count is old.
func (b *backlog) enter() (old bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.since++
	return time.Since(b.asked) >= backlogAge
}

func (b *backlogs) of(id task.ID) *backlog {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := b.byTask[id]
	if found == nil {
		if b.byTask == nil {
			b.byTask = map[task.ID]*backlog{}
		}
		found = new(backlog)
		b.byTask[id] = found
	}
	return found
}

// IsFull reports whether as many runs of a task wait as may, and else counts one that is let in. The count is at most a
// second old. Of a task that had no run for longer it is asked for beside, and the run is let in. Where it cannot be
// had runs are let in; if that is for a right that is lacking, the log says which.
func (r *Runs) IsFull(ctx context.Context, id task.ID, most int) bool {
	b := r.backlogs.of(id)
	full, ask := b.full(most)
	if ask {
		b.counting.Lock()
		if _, ask = b.full(most); ask { // nobody was faster
			r.count(ctx, id, b, most)
		}
		b.counting.Unlock()
		full, _ = b.full(most)
	}
	if !full && b.enter() && b.counting.TryLock() {
		r.noting.Go(func() {
			defer b.counting.Unlock()
			r.count(context.WithoutCancel(ctx), id, b, most)
		})
	}
	return full
}

// IsFullNow is IsFull as it is now, and not as it was a second ago: for who seldom asks.
func (r *Runs) IsFullNow(ctx context.Context, id task.ID, most int) bool {
	b := r.backlogs.of(id)
	b.counting.Lock()
	r.count(ctx, id, b, most)
	b.counting.Unlock()
	full, _ := b.full(most)
	return full
}

// count asks how many runs wait. The server counts runs that were canceled while they waited, until a runner gets them:
// where there may be too many, those are looked for.
func (r *Runs) count(ctx context.Context, id task.ID, b *backlog, most int) {
	asked := time.Now()
	info, err := queueOf(ctx, r.store, id)
	if err = r.store.Denials.Explain(asked, err); errors.Is(err, run.ErrDenied) {
		r.seldom.Line(zerolog.WarnLevel, "backlog").Err(err).Msg("how many runs wait is not known, so max_queued of tasks is not held")
	}
	waiting := 0
	if err == nil && info != nil {
		waiting = int(min(info.NumPending, 1<<31))
	}
	b.mu.Lock()
	over, again := b.over, b.lookAgain
	b.mu.Unlock()
	switch {
	case waiting < most:
		over, again = 0, time.Time{}
	case !asked.Before(again):
		if over, err = r.endedBehind(ctx, id, r.store.Numbers.Of(info.Delivered.Stream)); err != nil {
			r.store.Log.Debug().Err(err).Msg("runs that ended while they waited cannot be counted now, trying again")
		}
		again = asked.Add(lookPause(time.Since(asked)))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting, b.over, b.lookAgain, b.asked, b.since = max(0, waiting-over), over, again, asked, 0
}

// lookPause is how long what a look has found counts that took so long: a twentieth of the time is for looking.
func lookPause(took time.Duration) time.Duration { return min(max(20*took, backlogAge), backlogLook) }

// endedBehind counts the runs of a task behind a number that have ended.
func (r *Runs) endedBehind(ctx context.Context, id task.ID, behind run.Number) (ended int, err error) {
	next, err := r.store.Next(ctx)
	if err != nil {
		return 0, jet.Explain(err)
	}
	for n := behind + 1; n < next; {
		results, err := r.store.ResultsOf(ctx, n)
		switch {
		case errors.Is(err, run.ErrRunGone):
		case errors.Is(err, jet.ErrMissing): // it is not made yet, and has none
			return ended, nil
		case err != nil:
			return 0, err
		default:
			info, err := results.Info(ctx, jetstream.WithSubjectFilter(results.FinalsOf(id)))
			if err != nil {
				return 0, jet.Explain(err)
			}
			for subject := range info.State.Subjects {
				if _, over, ok := results.EndedRun(subject); ok && over > behind {
					ended++
				}
			}
		}
		n = max(n+1, r.store.Layout.SliceOf(n).End)
	}
	return ended, nil
}

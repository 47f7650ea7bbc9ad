package bus

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rs/zerolog"

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
			r.count(ctx, id, b)
		}
		b.counting.Unlock()
		full, _ = b.full(most)
	}
	if !full && b.enter() && b.counting.TryLock() {
		r.noting.Go(func() {
			defer b.counting.Unlock()
			r.count(context.WithoutCancel(ctx), id, b)
		})
	}
	return full
}

// count asks how many runs wait.
func (r *Runs) count(ctx context.Context, id task.ID, b *backlog) {
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
	defer b.mu.Unlock()
	b.waiting, b.asked, b.since = waiting, asked, 0
}

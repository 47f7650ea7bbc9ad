package runner

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"runhook/shared/bus"
	"runhook/shared/task"
	"runhook/shared/wait"
)

// whilePaused is after which time a run that waits for a paused connection is delivered again, to a runner that looks for
// one that is to be canceled.
const whilePaused = 2 * time.Second

// quiet is how long the queue of an ended id is kept, for an ingress that has not heard of the end.
const quiet = time.Hour

// pulling is the puller of one task.
type pulling struct {
	concurrency   int
	ended, paused bool
	stop          context.CancelFunc
}

// follow keeps a puller for each task until ctx ends and all of them have.
func (r *Runner) follow(ctx context.Context, start func(h *hold, ended func())) {
	var all sync.WaitGroup
	defer all.Wait()
	tasks := map[task.ID]pulling{}
	defer func() {
		for _, p := range tasks {
			p.stop()
		}
	}()
	for {
		changed, pauses, cancels := r.options.Tasks.Changed(), r.pauses.Changed(), r.cancels.Changed()
		wanted, paused := map[task.ID]bus.TaskQueue{}, map[task.ID]bool{}
		for _, q := range r.options.Tasks.Queues() {
			if q.Pool != r.options.Pool {
				continue
			}
			paused[q.Task] = r.isPaused(q)
			if !paused[q.Task] || r.cancels.Any(q.Task) {
				wanted[q.Task] = q
			}
		}
		for id, p := range tasks {
			if q := wanted[id]; q.Concurrency != p.concurrency || q.Ended != p.ended || paused[id] != p.paused {
				p.stop()
				delete(tasks, id)
			}
		}
		for id, q := range wanted {
			if _, ok := tasks[id]; ok {
				continue
			}
			pull, stop := context.WithCancel(ctx)
			tasks[id] = pulling{q.Concurrency, q.Ended, paused[id], stop}
			all.Go(func() { r.pull(pull, q, paused[id], start) })
		}
		if !slices.Contains(slices.Collect(maps.Values(paused)), true) {
			cancels = nil // they tell nothing of what to pull
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-pauses:
		case <-cancels:
		}
	}
}

// isPaused reports whether a connection that a queue's task uses is paused. Its runs wait where they are then, and take
// no slot from others. Only one that is to be canceled is taken, which a runner that has died may have left behind.
func (r *Runner) isPaused(q bus.TaskQueue) bool {
	return slices.ContainsFunc(q.Connections, func(name string) bool {
		_, paused := r.pauses.Of(name)
		return paused
	})
}

// puller takes the requests of one task's queue, in slots that are free for them.
type puller struct {
	*Runner
	from bus.TaskQueue
	// paused: only runs that are to be canceled are taken.
	paused bool
	// start executes a run in its slot, and ended is told when it has.
	start func(h *hold, ended func())
	queue *bus.Queue // nil until it is opened, and after an error
	// running are the runs of the task that this puller has started; ended tells when one has ended.
	running atomic.Int32
	ended   chan struct{}
	// more: the last look found as many requests as it asked for.
	more bool
}

// pull takes a task's requests while there is a free slot, until ctx ends.
func (r *Runner) pull(ctx context.Context, from bus.TaskQueue, paused bool, start func(*hold, func())) {
	if !r.awaitFormer(ctx, from) {
		return
	}
	p := &puller{Runner: r, from: from, paused: paused, start: start, ended: make(chan struct{}, 1)}
	defer p.close()
	pause := wait.Backoff{Least: 100 * time.Millisecond, Most: 5 * time.Second}
	for ctx.Err() == nil {
		err := p.next(ctx, pause.Reset)
		switch {
		case err == nil:
		case errors.Is(err, bus.ErrIdle) && from.Ended:
			r.retire(ctx, from.Task)
		case ctx.Err() != nil, errors.Is(err, context.Canceled), errors.Is(err, bus.ErrIdle):
		default:
			// Logged once an outage, not once a try.
			if pause.First() {
				r.options.Log.Warn().Err(err).Str("task", string(from.Task)).Msg("cannot pull requests, trying again")
			}
			p.close()
			pause.Wait(ctx)
		}
	}
}

func (p *puller) close() {
	if p.queue != nil {
		p.queue.Close()
	}
	p.queue = nil
}

// patience is how long slots are kept for a look that is not answered. The server is silent while the
// task has as many runs as it may have at once, some of them elsewhere.
const patience = 25 * time.Millisecond

// next takes what waits in the queue, once there are slots for it, if more is known to wait, and otherwise
// what comes while a slot is free, until the server ends the pull. came is called for each request.
func (p *puller) next(ctx context.Context, came func()) (err error) {
	if p.queue == nil {
		if p.queue, err = p.options.Work.Queue(ctx, p.from.Task); err != nil {
			return err
		}
	}
	room := p.from.Concurrency - int(p.running.Load())
	if p.more && room > 0 {
		return p.look(ctx, room, came)
	}
	if err := p.slots.looks.Wait(ctx); err != nil {
		return err
	}
	free, pull, done := p.slots.whileFree(ctx)
	defer done()
	switch {
	case free > 0:
		// Also while the task has as many runs as it may have: one of them may be delivered again.
		return p.queue.Pull(pull, max(1, min(free, room)), func(d *bus.Delivery) { came(); p.take(d, p.slots.take) })
	case room > 0:
		return p.look(ctx, room, came)
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.ended:
		p.more = true
		return nil
	}
}

// look takes up to most of the requests that wait.
func (p *puller) look(ctx context.Context, most int, came func()) error {
	slots, err := p.slots.acquire(ctx, most, p.more)
	if err != nil {
		return err
	}
	defer func() { p.slots.release(slots) }()
	looking, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = p.queue.Fetch(looking, slots, func(d *bus.Delivery) {
		came()
		p.take(d, func() bool {
			if slots == 0 {
				return p.slots.take()
			}
			slots--
			return true
		})
	})
	p.more = err == nil
	if ctx.Err() == nil && (errors.Is(err, bus.ErrIdle) || errors.Is(err, context.DeadlineExceeded)) {
		return nil
	}
	return err
}

// take starts a run, or hands it back where there is no slot.
func (p *puller) take(d *bus.Delivery, slot func() bool) {
	p.more = true
	taken, later := slot, time.Duration(0)
	if p.paused {
		later = whilePaused
		taken = func() bool {
			_, canceled := p.cancels.Of(p.from.Task, d.Number)
			return canceled && slot()
		}
	}
	p.dispatch(d, taken, later, func(h *hold) {
		p.running.Add(1)
		p.start(h, func() {
			p.running.Add(-1)
			select {
			case p.ended <- struct{}{}:
			default:
			}
		})
	})
}

// awaitFormer waits until the queues of the task's former ids are drained, so that its runs stay in
// order and do not overlap across a rotation. It reports false when ctx ended first.
func (r *Runner) awaitFormer(ctx context.Context, from bus.TaskQueue) bool {
	for _, former := range from.After {
		pause := wait.Backoff{Least: 100 * time.Millisecond, Most: time.Second}
		for {
			drained, err := r.options.Work.Drained(ctx, former)
			if err != nil && ctx.Err() == nil && pause.First() {
				r.options.Log.Warn().Err(err).Msg("cannot look into the queue of a rotated task, trying again")
			}
			if drained && err == nil {
				break
			}
			if !pause.Wait(ctx) {
				return false
			}
		}
	}
	return ctx.Err() == nil
}

// retire removes the queue of an ended id once it may go. The view tells then, and ends the pulling.
func (r *Runner) retire(ctx context.Context, id task.ID) {
	if _, err := r.options.Work.Retire(ctx, id, quiet); err != nil && ctx.Err() == nil {
		r.options.Log.Debug().Err(err).Msg("the queue of an ended task stays for now")
	}
}

// dispatch starts a run in a slot, if slot has one, or lets it adopt the delivery if it is already under way
// here. Otherwise it is delivered again after later.
func (r *Runner) dispatch(d *bus.Delivery, slot func() bool, later time.Duration, start func(*hold)) {
	h, adopted := r.admit(d, slot)
	switch {
	case adopted:
	case h != nil:
		start(h)
	default: // the last slot went while the request was on its way, or the runner has begun to stop
		if err := d.Retry(later); err != nil {
			r.options.Log.Debug().Err(err).Stringer("run", d.Number).Msg("a request could not be handed back; its lease will run out")
		}
	}
}

package runner

import (
	"context"
	"errors"
	"sync"
	"time"

	"runhook/shared/bus"
	"runhook/shared/task"
	"runhook/shared/wait"
)

// quiet is how long the queue of an ended id is kept, for an ingress that has not heard of the end.
const quiet = time.Hour

// pulling is the puller of one task.
type pulling struct {
	concurrency int
	ended       bool
	stop        context.CancelFunc
}

// follow keeps a puller for each task until ctx ends and all of them have.
func (r *Runner) follow(ctx context.Context, start func(*hold)) {
	var all sync.WaitGroup
	defer all.Wait()
	tasks := map[task.ID]pulling{}
	defer func() {
		for _, p := range tasks {
			p.stop()
		}
	}()
	for {
		changed := r.options.Tasks.Changed()
		wanted := map[task.ID]bus.TaskQueue{}
		for _, q := range r.options.Tasks.Queues() {
			wanted[q.Task] = q
		}
		for id, p := range tasks {
			if q := wanted[id]; q.Concurrency != p.concurrency || q.Ended != p.ended {
				p.stop()
				delete(tasks, id)
			}
		}
		for id, q := range wanted {
			if _, ok := tasks[id]; ok {
				continue
			}
			pull, stop := context.WithCancel(ctx)
			tasks[id] = pulling{q.Concurrency, q.Ended, stop}
			all.Go(func() { r.pull(pull, q, start) })
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

// pull takes a task's requests while there is a free slot, until ctx ends.
func (r *Runner) pull(ctx context.Context, from bus.TaskQueue, start func(*hold)) {
	if !r.awaitFormer(ctx, from) {
		return
	}
	var queue *bus.Queue
	defer func() {
		if queue != nil {
			queue.Close()
		}
	}()
	pause := wait.Backoff{Least: 100 * time.Millisecond, Most: 5 * time.Second}
	for ctx.Err() == nil {
		err := r.next(ctx, from, &queue, func(d *bus.Delivery) {
			pause.Reset()
			r.dispatch(d, start)
		})
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
			if queue != nil {
				queue.Close()
				queue = nil
			}
			pause.Wait(ctx)
		}
	}
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

// next makes one pull, which asks for no more than could be started at this moment. It is given up when
// the last slot is taken, perhaps by another task.
func (r *Runner) next(ctx context.Context, from bus.TaskQueue, queue **bus.Queue, take func(*bus.Delivery)) error {
	free, pull, done, err := r.slots.wait(ctx)
	if err != nil {
		return err
	}
	defer done()
	if *queue == nil {
		if *queue, err = r.options.Work.Queue(ctx, from.Task); err != nil {
			return err
		}
	}
	return (*queue).Pull(pull, min(free, from.Concurrency), take)
}

// dispatch starts a run, or lets it adopt the delivery if it is already under way here.
func (r *Runner) dispatch(d *bus.Delivery, start func(*hold)) {
	h, adopted := r.admit(d)
	switch {
	case adopted:
	case h != nil:
		start(h)
	default: // the last slot went while the request was on its way, or the runner has begun to stop
		if err := d.Retry(0); err != nil {
			r.options.Log.Debug().Err(err).Stringer("run", d.Number).Msg("a request could not be handed back; its lease will run out")
		}
	}
}


package sweep

import (
	"context"
	"maps"
	"time"

	"runhook/shared/bus"
	"runhook/shared/task"
)

// failuresEvery is how often it is looked whether runs have ended of tasks that are held after some failures.
const failuresEvery = 200 * time.Millisecond

// holdFailing holds, until ctx ends, the tasks of which as many runs in a row have failed as they allow.
func (s *Sweeper) holdFailing(ctx context.Context) {
	counters, counted := map[task.ID]*bus.Failures{}, uint64(0)
	ticker := time.NewTicker(failuresEvery)
	defer ticker.Stop()
	for {
		changed, watched := s.tasks.Changed(), map[task.ID]bus.Task{}
		for _, t := range s.tasks.All() {
			if t.DisableAfterFailures > 0 {
				watched[t.ID] = t
			}
		}
		maps.DeleteFunc(counters, func(id task.ID, _ *bus.Failures) bool { return watched[id].Definition == nil })
		tick := ticker.C
		if len(watched) == 0 {
			tick = nil
		} else if last, err := s.store.Events(ctx); err == nil && (last != counted || len(counters) < len(watched)) {
			counted = last
			for _, t := range watched {
				if counters[t.ID] == nil {
					counters[t.ID] = s.store.Failures(t.ID)
				}
				if !s.holdIfFailing(ctx, counters[t.ID], t, last) {
					counted = 0
				}
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-tick:
		}
	}
}

// holdIfFailing counts the runs of a task that have ended; done is false if that is to be tried again.
func (s *Sweeper) holdIfFailing(ctx context.Context, counter *bus.Failures, t bus.Task, last uint64) (done bool) {
	held, err := counter.Count(ctx, last, t.DisableAfterFailures)
	if err != nil && ctx.Err() == nil {
		s.log.Debug().Err(err).Str("task", t.Name).Msg("failed runs cannot be counted now, trying again")
	}
	if held != nil {
		s.log.Warn().Str("task", t.Name).Int("failures", held.Failures).Stringer("run", held.Run).Str("detail", held.Why).
			Msg("the task is held: too many runs failed in a row. It takes no POST until it is enabled")
	}
	return err == nil
}

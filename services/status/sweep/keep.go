package sweep

import (
	"context"
	"time"

	"runhook/shared/run"
	"runhook/shared/task"
)

// The runs of a task are looked at keepShare times in the time for which they are kept, at least keepLeast apart, and
// keepMost.
const (
	keepShare = 50
	keepLeast = time.Minute
	keepMost  = 24 * time.Hour
)

// keepLook is how often it is looked which tasks are due.
var keepLook = keepLeast / 4 // shorter in tests

// keep erases the runs of tasks that are past the time for which their files have them kept, until ctx ends.
func (s *Sweeper) keep(ctx context.Context) {
	if s.erasures == nil {
		return
	}
	ticker := time.NewTicker(keepLook)
	defer ticker.Stop()
	looked, rest := map[task.ID]time.Time{}, map[task.ID]run.Number{}
	for {
		for _, queue := range s.tasks.Queues() {
			every := min(max(queue.Keep/keepShare, keepLeast), keepMost)
			if queue.Keep == 0 || time.Since(looked[queue.Task]) < every {
				continue
			}
			looked[queue.Task] = time.Now()
			lowest, err := s.eraseOld(ctx, queue.Task, queue.Name, rest[queue.Task], s.now().Add(-queue.Keep))
			if err != nil {
				delete(looked, queue.Task)
				if ctx.Err() == nil {
					s.log.Debug().Err(err).Str("task", queue.Name).Msg("cannot look for runs past their keep now, trying again")
				}
				continue
			}
			rest[queue.Task] = lowest
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// eraseOld has the runs of an id erased that ended before a moment, and returns the lowest number that stays. Those below
// from are gone.
func (s *Sweeper) eraseOld(ctx context.Context, id task.ID, name string, from run.Number, before time.Time) (rest run.Number, err error) {
	for _, of := range s.erasures.All() {
		if of.Task == id && of.By == run.ByKeep && of.DoneOn == nil {
			return from, nil // another process has begun
		}
	}
	e, rest, err := s.store.Erasable(ctx, id, from, before.UTC(), true)
	if err != nil || e.First == 0 {
		return rest, err
	}
	e.TaskName, e.By, e.On = name, run.ByKeep, time.Now().UTC()
	_, err = s.store.AskErase(ctx, e)
	return min(rest, e.First), err
}

package sweep

import (
	"context"
	"errors"
	"slices"
	"time"

	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/task"
)

const (
	// overlapsEvery is how often it is looked for runs that came through other processes.
	overlapsEvery = 200 * time.Millisecond
	// endedAfter is when it is looked first whether a run that stays has ended; each further look comes twice as much
	// later, up to endedEvery.
	endedAfter = time.Second
	endedEvery = time.Minute
)

// overlaps are the tasks whose runs end others, or are skipped, as a sweeper sees them.
type overlaps struct {
	*Sweeper
	lines map[task.ID]*line
	// reached is the last request of all tasks at the look before; unfinished: that look has left something to be done.
	reached    uint64
	unfinished bool
}

// settleOverlaps ends, until ctx ends, the runs that the overlap of their task ends: those that are skipped, and those
// that a later run has taken the place of.
func (s *Sweeper) settleOverlaps(ctx context.Context) {
	o := &overlaps{Sweeper: s, lines: map[task.ID]*line{}}
	ticker := time.NewTicker(overlapsEvery)
	defer ticker.Stop()
	for {
		changed, woken := s.tasks.Changed(), s.store.Overlaps()
		o.look(ctx)
		tick := ticker.C
		if len(o.lines) == 0 { // there is nothing to look for
			tick, woken = nil, nil
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-woken:
		case <-tick:
		}
	}
}

// look takes up what is new.
func (o *overlaps) look(ctx context.Context) {
	wanted, fresh := map[task.ID]bool{}, false
	for _, queue := range o.tasks.Queues() {
		if queue.Overlap == "" || queue.Overlap == task.RejectOverlap {
			continue
		}
		wanted[queue.Task] = true
		if o.lines[queue.Task] == nil {
			o.lines[queue.Task], fresh = &line{overlaps: o, id: queue.Task}, true
		}
	}
	if len(o.lines) == 0 {
		return
	}
	reached, err := o.store.Reached(ctx)
	if err == nil && reached == o.reached && !fresh && !o.unfinished && len(wanted) == len(o.lines) {
		return
	}
	o.unfinished = false
	for id, l := range o.lines {
		l.again = false
		lookErr := l.look(ctx)
		switch {
		case lookErr != nil:
			err = lookErr
		case l.again:
			o.unfinished = true
		case !wanted[id]: // what came before is seen to
			delete(o.lines, id)
		}
	}
	o.reached, o.unfinished = reached, o.unfinished || err != nil
	if err != nil && ctx.Err() == nil {
		o.log.Debug().Err(err).Msg("runs that others have taken the place of stay for now, trying again")
	}
}

// line is what a sweeper knows of one task's runs.
type line struct {
	*overlaps
	id task.ID
	// behind is the place of the last run that it has seen; begun is false before it has seen any.
	behind run.Number
	begun  bool
	// open are those that it has not seen to end, oldest first.
	open []*waiting
	// again: it is to be looked at again soon, whether or not others come.
	again bool
}

// waiting is a run that waits, or that a runner holds.
type waiting struct {
	bus.Waiting
	// held: a runner has begun it. asked: that runner is to cancel it.
	held, asked bool
	// look is when it is to be looked whether it has ended, and pause how long the wait for that was.
	look  time.Time
	pause time.Duration
}

// look takes up the runs that came, and ends those that are to end.
func (l *line) look(ctx context.Context) error {
	if !l.begun {
		behind, err := l.store.Acknowledged(ctx, l.id)
		if err != nil {
			return err
		}
		l.behind, l.begun = behind, true
	}
	for {
		next, ok, err := l.store.Next(ctx, l.id, l.behind)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		l.behind = next.Place
		if slices.ContainsFunc(l.open, func(w *waiting) bool { return w.Number == next.Number }) { // it was called twice
			continue
		}
		l.open = append(l.open, &waiting{Waiting: next, look: time.Now().Add(endedAfter), pause: endedAfter})
	}
	// by are the runs behind the one that is looked at: the next that takes its place, and one that also cancels what
	// is under way; of dry runs and of others.
	type behind struct{ next, cancels *waiting }
	by := map[bool]behind{}
	left, err := []*waiting(nil), error(nil)
	for i := len(l.open) - 1; i >= 0; i-- {
		w := l.open[i]
		after := by[w.Request.DryRun]
		over, endErr := l.end(ctx, w, after.next, after.cancels, l.open[:i])
		if endErr != nil {
			err = endErr
		}
		if !over {
			left = append(left, w)
		}
		switch w.Request.Overlap {
		case task.CancelRunningOverlap:
			after.cancels = w
			after.next = w
		case task.LatestOverlap:
			after.next = w
		}
		by[w.Request.DryRun] = after
	}
	slices.Reverse(left)
	l.open = left
	return err
}

// end ends a run that is skipped, or that others behind it end, and reports whether it is over. next takes its place if
// it has not begun, and cancels also if it has; nil for none. before are those that came before it.
func (l *line) end(ctx context.Context, w, next, cancels *waiting, before []*waiting) (over bool, err error) {
	if next != nil && next.MayFollow(time.Now()) && !w.held {
		isOpen, err := l.anyOpen(ctx, before)
		if err != nil {
			return false, err
		}
		if !isOpen { // it is about to start
			l.again = true
			next = nil
		}
	}
	switch {
	case w.Request.SkippedFor > 0:
		return l.endUnstarted(ctx, w, run.SkippedDocument(w.Request, w.Number, time.Now()))
	case cancels != nil && !w.asked:
		return l.cancel(ctx, w, cancels.Cancel())
	case next != nil && !w.held:
		return l.endUnstarted(ctx, w, run.CanceledDocument(w.Request, w.Number, nil, next.Cancel(), time.Now()))
	case time.Now().After(w.look):
		w.pause = min(2*w.pause, endedEvery)
		w.look = time.Now().Add(w.pause)
		return l.store.Ended(ctx, l.id, w.Number)
	}
	return false, nil
}

// anyOpen reports whether one of some runs has not ended.
func (l *line) anyOpen(ctx context.Context, runs []*waiting) (bool, error) {
	for _, w := range slices.Backward(runs) {
		if w.Request.SkippedFor > 0 {
			continue
		}
		if ended, err := l.store.Ended(ctx, l.id, w.Number); err != nil || !ended {
			return true, err
		}
	}
	return false, nil
}

// endUnstarted ends a run that has not begun.
func (l *line) endUnstarted(ctx context.Context, w *waiting, doc run.Document) (over bool, err error) {
	err = l.store.EndUnclaimed(ctx, l.id, w.Number, doc)
	if err == nil {
		l.tellOverlap(doc)
	}
	if !errors.Is(err, bus.ErrClaimed) {
		return err == nil, err
	}
	w.held = !errors.Is(err, bus.ErrUnsure)
	return l.store.Ended(ctx, l.id, w.Number)
}

// cancel ends a run, or has its runner end it.
func (l *line) cancel(ctx context.Context, w *waiting, c run.Cancel) (over bool, err error) {
	doc, err := l.store.Cancel(ctx, l.id, w.Number, c)
	switch {
	case err == nil:
		l.tellOverlap(doc)
		return true, nil
	case errors.Is(err, run.ErrNoRun), errors.Is(err, run.ErrRunGone):
		return true, nil
	case !errors.Is(err, bus.ErrClaimed):
		return false, err
	}
	if over, err = l.store.Ended(ctx, l.id, w.Number); over || err != nil {
		return over, err
	}
	// What its runner does not do, because it hands the run back in this moment, is seen to where it was asked.
	if _, err = l.store.AskCancel(ctx, l.id, w.Number, c); err == nil {
		w.held, w.asked = true, true
	}
	return false, err
}

// tellOverlap tells of a run that was ended.
func (o *overlaps) tellOverlap(doc run.Document) {
	o.overlapped.WithLabelValues(doc.TaskName).Inc()
	o.log.Debug().Str("task", doc.TaskName).Stringer("run", doc.ImportID).Str("detail", doc.Message).Msg("ended a run because of its task's overlap")
}

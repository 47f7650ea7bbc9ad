package status

import (
	"context"
	"fmt"
	"time"

	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/task"
)

// told has the document of a run that has not ended say what is known beside the store's word: that it is to be
// canceled, and, where no runner holds it, what it waits for; with place also how many runs come before it.
func (s *Service) told(ctx context.Context, id task.ID, n run.Number, status bus.Status, place bool) (bus.Status, error) {
	if status.Final {
		return status, nil
	}
	marked, explained := s.mark(id, n, &status.Document), s.explain(ctx, id, n, &status.Document, place)
	if !marked && !explained {
		return status, nil
	}
	var err error
	status.Bytes, err = status.Document.Encode()
	return status, err
}

// mark has a document say that its run is to be canceled.
func (s *Service) mark(id task.ID, n run.Number, doc *run.Document) (changed bool) {
	if s.options.Cancels == nil || doc.CancelRequestedOn != nil {
		return false
	}
	c, ok := s.options.Cancels.Of(id, n)
	if ok {
		doc.CancelRequestedOn = new(run.Time(c.On))
	}
	return ok
}

// waitsUnheld reports whether a document is that of a run that no runner holds: it is queued, or handed back.
func waitsUnheld(doc *run.Document) bool {
	return doc.Status == run.Queued || doc.Waiting != nil && doc.Waiting.Kind == run.ForSlot
}

// abandoned is how old the word of a runner is that may be gone.
const abandoned = time.Second

// explain has the document of a run that no runner holds say what it waits for, as far as that can be told now.
func (s *Service) explain(ctx context.Context, id task.ID, n run.Number, doc *run.Document, place bool) (changed bool) {
	var on run.Waiting
	var ok bool
	var err error
	switch {
	case s.options.Lines == nil, doc.WaitsForTime(time.Now()): // which it says
		return false
	case waitsUnheld(doc):
		on, ok, err = s.options.Lines.Of(context.WithoutCancel(ctx), id, n, place)
	case time.Since(time.Time(doc.UpdatedOn)) > abandoned: // its runner may be gone
		on, ok, err = s.options.Lines.Unserved(context.WithoutCancel(ctx), id)
	}
	if err != nil {
		s.options.Log.Debug().Err(err).Str("task", doc.TaskName).Stringer("run", n).Msg("what a run waits for cannot be told now")
	}
	if err != nil || !ok {
		return false
	}
	if on.Since == nil && doc.Status == run.Queued {
		on.Since = new(doc.CreatedOn)
	}
	doc.WaitFor(on)
	return true
}

// unserved warns that no runner would take the runs of a task that names a pool; empty if one would, or if that is not
// known.
func (s *Service) unserved(ctx context.Context, t bus.Task) string {
	if s.options.Lines == nil || t.Pool == task.DefaultPool {
		return ""
	}
	on, ok, err := s.options.Lines.Unserved(ctx, t.ID)
	if err != nil || !ok || on.Kind == run.ForConnection {
		return ""
	}
	if on.Held {
		return fmt.Sprintf("all runners of pool %s are held (--hold), so runs of this task wait until you start one without that", on.Pool)
	}
	return fmt.Sprintf("%s is up, so runs of this task wait until you start one: `runhook runner --pool %s`", on, on.Pool)
}

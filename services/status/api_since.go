package status

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"runhook/shared/audit"
	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/watermark"
	"runhook/shared/web"
)

// sinceDocument is how far a task that reads incrementally has read, as the admin routes show it.
type sinceDocument struct {
	Column string
	Value  string
	Start  string
	// Overlap is how much the next run goes back.
	Overlap string     `json:",omitempty"`
	Run     run.Number `json:",omitempty"`
	By      string     `json:",omitempty"`
	On      *run.Time  `json:",omitempty"`
	Fault   string     `json:",omitempty"`
}

// describeSince is nil for a task that reads all rows.
func (s *Service) describeSince(ctx context.Context, t bus.Task) (*sinceDocument, error) {
	since := t.Since()
	if since == nil {
		return nil, nil
	}
	now, err := s.options.Store.Watermarks().Read(ctx, t.ID)
	if errors.Is(err, bus.ErrForeignWatermark) {
		return &sinceDocument{Column: since.Column, Start: since.Start, Fault: err.Error()}, nil
	}
	if err != nil {
		return nil, err
	}
	return sinceOf(since, now.Record), nil
}

func sinceOf(since *task.Since, now watermark.Record) *sinceDocument {
	doc := &sinceDocument{Column: since.Column, Start: since.Start, Value: now.Of(since.Column)}
	switch {
	case since.Overlap > 0:
		doc.Overlap = run.Span(since.Overlap)
	case since.OverlapCount > 0:
		doc.Overlap = strconv.FormatInt(since.OverlapCount, 10)
	}
	if now.Column == since.Column && !now.On.IsZero() {
		doc.Run, doc.By, doc.On = now.Run, now.By, new(run.Time(now.On))
	}
	return doc
}

// setSince answers POST /api/tasks/{task}/since?value= with the watermark. Without a value, or with an empty one, there is
// none: the next run begins as the first one did.
func (s *Service) setSince(ctx context.Context, rc *fasthttp.RequestCtx, query map[string]string) error {
	found, err := s.current(rc)
	if err != nil {
		return err
	}
	since := found.Since()
	if since == nil {
		return &web.Problem{
			Kind: "no-since", Title: "The task reads all rows", Status: fasthttp.StatusConflict,
			Detail: "The source of the task has no since, so there is no watermark to set.",
		}
	}
	value := query["value"]
	if value != "" {
		given, err := watermark.Parse(value)
		switch {
		case err != nil:
			return wrongValue("value", err.Error())
		case given.IsNumber() && since.Overlap > 0:
			return wrongValue("value", "is a number, and overlap of the task is a time; give a date or a moment")
		case !given.IsNumber() && since.OverlapCount > 0:
			return wrongValue("value", "is "+given.Kind()+", and overlap of the task is a number; give a number")
		}
	}
	by := web.Operator(rc)
	// A stop must not leave unknown whether it was set.
	was, err := s.options.Store.Watermarks().Set(context.WithoutCancel(ctx), found.ID, since.Column, value, by)
	if err != nil {
		return errors.Join(s.options.Store.Ready(ctx), err)
	}
	detail := "set to a value"
	if value == "" {
		detail = "reset: the next run begins as the first one did"
	}
	s.audit(rc, found.Name).Bool("reset", value == "").Msg("watermark set")
	s.keep(ctx, rc, audit.Line{What: audit.TaskSince, TaskID: found.ID, Task: found.Name, Detail: detail})
	return writeJSON(rc, sinceOf(since, was.SetTo(since.Column, value, by, time.Now())))
}

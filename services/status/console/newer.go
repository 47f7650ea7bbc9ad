package console

import (
	"context"
	"errors"

	"github.com/valyala/fasthttp"

	"runhook/shared/bus"
	"runhook/shared/making"
	"runhook/shared/run"
	"runhook/shared/session"
	"runhook/shared/web"
)

// newerData is what the page shows of a file that is to take the place of a task's.
type newerData struct {
	madeData
	// TaskID is the task's, and Before the name of the file that it reads now.
	TaskID, Before string
	// Runs: the task can be run now.
	Runs bool
}

// reader is the task of a request, which reads a file that can be replaced here.
func (p *Page) reader(rc *fasthttp.RequestCtx, visit session.Session) (bus.Task, error) {
	_, found := p.tasks.Named(web.PathValue(rc, "task"))
	switch {
	case p.maker == nil:
		return found, errNotHere
	case visit.ReadOnly:
		return found, errOnlyReads
	case found.Definition == nil || found.Deleted:
		return found, errNoTask
	case making.Uploaded(found.Definition) == "":
		return found, errNoUpload
	}
	return found, nil
}

var errNoUpload = web.Refuse(fasthttp.StatusConflict, "This task reads no file that was uploaded here, so there is none to replace.")

// newerFile answers POST /console/tasks/{task}/file: it keeps the file, and leads to what the task makes of it.
func (p *Page) newerFile(ctx context.Context, rc *fasthttp.RequestCtx, visit session.Session, shown *view) error {
	shown.Section = "tasks"
	found, err := p.reader(rc, visit)
	if err != nil {
		return err
	}
	id, err := p.keep(ctx, rc)
	if refusal, ok := errors.AsType[*making.Refusal](err); ok {
		return web.Refuse(fasthttp.StatusUnprocessableEntity, refusal.Message+" The task reads the file that it has read before.")
	}
	if err != nil {
		return err
	}
	return lead(rc, shown.Up+"tasks/"+string(found.ID)+"/file/"+id)
}

// newerPage answers GET /console/tasks/{task}/file/{draft} with what the task makes of a file.
func (p *Page) newerPage(ctx context.Context, rc *fasthttp.RequestCtx, visit session.Session, shown *view) error {
	return p.showNewer(ctx, rc, visit, shown, fasthttp.StatusOK, "")
}

func (p *Page) showNewer(ctx context.Context, rc *fasthttp.RequestCtx, visit session.Session, shown *view, status int, refused string) error {
	shown.Section = "tasks"
	found, err := p.reader(rc, visit)
	if err != nil {
		return err
	}
	proposal, err := p.maker.Look(ctx, found.Definition, web.PathValue(rc, "draft"))
	if errors.Is(err, making.ErrNoDraft) {
		return errDraftGone
	}
	if err != nil {
		return err
	}
	_, held := p.service.Held(found.ID)
	shown.Title = "New file: " + found.Name
	shown.Data = newerData{
		madeData: madeData{Proposal: proposal, Refused: refused},
		TaskID:   string(found.ID), Before: making.Uploaded(found.Definition), Runs: p.startRun != nil && found.Enabled && !held,
	}
	return show(rc, status, "newer.html", *shown)
}

// useFile answers POST /console/tasks/{task}/file/{draft}: the task reads the file from now on. It leads to the task, or
// to a run of it.
func (p *Page) useFile(ctx context.Context, rc *fasthttp.RequestCtx, visit session.Session, shown *view) error {
	shown.Section = "tasks"
	found, err := p.reader(rc, visit)
	if err != nil {
		return err
	}
	err = p.maker.Use(context.WithoutCancel(ctx), found.Definition, web.PathValue(rc, "draft"))
	refusal, refused := errors.AsType[*making.Refusal](err)
	switch {
	case errors.Is(err, making.ErrNoDraft):
		return errDraftGone
	case refused:
		return p.showNewer(ctx, rc, visit, shown, fasthttp.StatusUnprocessableEntity, refusal.Message)
	case err != nil:
		return err
	}
	p.service.FileTaken(ctx, rc, found)
	switch then := string(rc.PostArgs().Peek("then")); then {
	case "run", "dry":
		return p.start(ctx, rc, shown, run.Wanted{Task: found.ID, DryRun: then == "dry"})
	}
	return lead(rc, shown.Up+"tasks/"+string(found.ID))
}

package console

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/valyala/fasthttp"

	"runhook/shared/run"
	"runhook/shared/session"
	"runhook/shared/task"
	"runhook/shared/web"
	"runhook/shared/zone"
)

// maxRunForm is the largest form in bytes that starts a run.
const maxRunForm = 64 << 10

// change lets in a form of the page, of somebody who is signed in and may change things.
func (p *Page) change(most int, handle handler) web.Handler {
	return p.changeOf(func(rc *fasthttp.RequestCtx) error { return form(rc, most) }, handle)
}

// changeOf is change of a form that read reads.
func (p *Page) changeOf(read func(*fasthttp.RequestCtx) error, handle handler) web.Handler {
	return func(ctx context.Context, rc *fasthttp.RequestCtx) error {
		visit, err := p.admin.Visitor(ctx, rc)
		if errors.Is(err, session.ErrNone) || err != nil && web.ProblemOf(err).Status == fasthttp.StatusUnauthorized {
			return forPeople(errSignedOut, "signin.html", view{Title: signInTitle, Up: up(rc)})
		}
		if err == nil && !visit.ReadOnly {
			err = read(rc)
		}
		if err == nil {
			err = p.admin.Check(ctx, rc)
		}
		if err == nil {
			err = p.service.Loaded()
		}
		if err != nil {
			return err
		}
		shown := view{Up: up(rc), Name: visit.Name, ReadOnly: visit.ReadOnly, FormToken: visit.FormToken()}
		if err := handle(ctx, rc, visit, &shown); err != nil {
			return forPeople(err, "problem.html", view{Up: shown.Up, Section: shown.Section, Name: shown.Name, FormToken: shown.FormToken})
		}
		return nil
	}
}

var errSignedOut = web.Refuse(fasthttp.StatusUnauthorized, "You are signed out, so nothing was done. Sign in again; Back shows what you have entered.")

// setEnabled answers POST /console/tasks/{task}/enable, or disable, and leads back to the task.
func (p *Page) setEnabled(enabled bool) handler {
	return func(ctx context.Context, rc *fasthttp.RequestCtx, _ session.Session, shown *view) error {
		shown.Section = "tasks"
		if err := p.service.SetEnabled(ctx, rc, enabled); err != nil {
			return err
		}
		return lead(rc, shown.Up+"tasks/"+web.PathValue(rc, "task"))
	}
}

// cancel answers POST /console/runs/{run}/cancel, and leads back to the run.
func (p *Page) cancel(ctx context.Context, rc *fasthttp.RequestCtx, _ session.Session, shown *view) error {
	shown.Section = "runs"
	if err := p.service.CancelRun(ctx, rc, strings.TrimSpace(string(rc.PostArgs().Peek("why")))); err != nil {
		return explainRun(rc, err)
	}
	return lead(rc, shown.Up+"runs/"+web.PathValue(rc, "run"))
}

// again answers POST /console/runs/{run}/again: it starts a run with the same values, and leads to it.
func (p *Page) again(ctx context.Context, rc *fasthttp.RequestCtx, _ session.Session, shown *view) error {
	shown.Section = "runs"
	doc, err := p.service.RunDocument(ctx, rc)
	if err != nil {
		return explainRun(rc, err)
	}
	request, err := p.service.RunRequest(ctx, doc.ExecuteID, doc.ImportID)
	if err != nil {
		return err
	}
	return p.start(ctx, rc, shown, run.Wanted{
		Task: doc.ExecuteID, RepeatOf: doc.ImportID, DryRun: request.DryRun, Correction: request.Correction, Given: sameValues(request),
	})
}

// runNow answers POST /console/tasks/{task}/run: it starts a run with the values of the form, and leads to it, or shows
// the form again with what is wrong.
func (p *Page) runNow(ctx context.Context, rc *fasthttp.RequestCtx, _ session.Session, shown *view) error {
	shown.Section = "tasks"
	_, found := p.tasks.Named(web.PathValue(rc, "task"))
	if found.Definition == nil || found.Deleted {
		return errNoTask
	}
	sent := rc.PostArgs()
	wanted := run.Wanted{Task: found.ID, DryRun: sent.Has("dry")}
	typed := map[string]string{}
	for i, parameter := range found.Parameters {
		key := found.Key(i)
		text := strings.ReplaceAll(string(sent.Peek(fieldOf(key))), "\r\n", "\n")
		typed[key] = text
		values := []string{text}
		if parameter.Multiple {
			values = slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool { return line == "" })
		}
		wanted.Given = append(wanted.Given, given(key, values, parameter.Multiple))
	}
	at, zoned := string(sent.Peek("at")), strings.TrimSpace(string(sent.Peek("zone")))
	var err error
	if wanted.RunAt, err = startsAt(at, zoned, sent.Has("later")); err == nil {
		err = p.start(ctx, rc, shown, wanted)
	}
	if err == nil {
		return nil
	}
	if kind := web.ProblemOf(err).Kind; kind != "wrong-parameters" && kind != wrongRunAt {
		return err
	}
	data, fault := p.taskData(ctx, rc, found)
	if fault != nil {
		return fault
	}
	data.Later.At, data.Later.Zone = at, zoned
	data.refuse(web.ProblemOf(err), typed)
	shown.Title, shown.Data = found.Name, data
	return show(rc, fasthttp.StatusBadRequest, "task.html", *shown)
}

// wrongRunAt is the kind of a problem with the time at which a run is to start.
const wrongRunAt = "wrong-run-at"

// startsAt is when a run is to start, as a form has it; the zero time for now. later is whether it is to start later.
func startsAt(at, zoned string, later bool) (moment time.Time, err error) {
	wrong := func(text string) (time.Time, error) {
		return time.Time{}, &web.Problem{Kind: wrongRunAt, Title: "The time of the run cannot be used", Status: fasthttp.StatusBadRequest, Detail: text}
	}
	switch {
	case at == "" && !later:
		return moment, nil
	case at == "":
		return wrong("Enter the date and the time at which the run is to start.")
	case !later:
		return wrong("There is a time: press Start at that time, or empty it to start now.")
	}
	if moment, err = zone.ParseMoment(strings.Replace(at, "T", " ", 1) + " " + zoned); err != nil {
		return wrong(strings.ToUpper(err.Error()[:1]) + strings.Replace(err.Error()[1:]+".", "?.", "?", 1))
	}
	return moment, nil
}

// refuse has the form of a task say what is wrong with what was typed.
func (d *taskData) refuse(problem *web.Problem, typed map[string]string) {
	d.Refused = problem.Detail
	if problem.Kind == wrongRunAt {
		d.Later.Wrong = problem.Detail
	}
	first := true
	for i := range d.Parameters {
		parameter := &d.Parameters[i]
		parameter.Typed = typed[parameter.Key]
		for _, fault := range problem.Errors {
			if fault.Name == parameter.Key && parameter.Wrong == "" {
				parameter.Wrong, parameter.First = fault.Detail, first
				first = false
			}
		}
	}
}

// start starts a run, and leads to it.
func (p *Page) start(ctx context.Context, rc *fasthttp.RequestCtx, shown *view, wanted run.Wanted) (err error) {
	if p.startRun == nil {
		return errNoStart
	}
	if wanted.Base, err = p.service.Base(rc); err != nil {
		return err
	}
	wanted.Operator, wanted.Address, wanted.Once = web.Operator(rc), p.service.Client(rc), string(rc.PostArgs().Peek("once"))
	number, err := p.startRun(ctx, wanted)
	if err != nil {
		return err
	}
	return lead(rc, shown.Up+"runs/"+number.String())
}

var errNoStart = web.Refuse(fasthttp.StatusNotImplemented, "This status service starts no runs: POST to the webhook of the task, or use `runhook run`.")

// given is a value as the body of a POST has it.
func given(key string, values []string, multiple bool) task.Given {
	if !multiple && len(values) == 1 {
		return task.Given{Key: key, GivenValue: task.GivenValue{Kind: task.GivenString, Text: values[0]}}
	}
	list := task.Given{Key: key, GivenValue: task.GivenValue{Kind: task.GivenArray}}
	for _, value := range values {
		list.Items = append(list.Items, task.GivenValue{Kind: task.GivenString, Text: value})
	}
	if len(values) == 0 {
		list.Kind = task.GivenNull
	}
	return list
}

// fieldOf is the name of a parameter's field.
func fieldOf(key string) string { return "p." + key }

// once is a name for a form.
func once() string { return uuid.NewString() }

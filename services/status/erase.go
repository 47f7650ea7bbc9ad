package status

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/valyala/fasthttp"

	"runhook/shared/audit"
	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/web"
)

// erasedWithin is how long an answer waits for an erasure to be done.
const erasedWithin = 10 * time.Second

// receipt is an erasure as it is answered.
type receipt struct {
	// Receipt names it.
	Receipt string
	run.Erasure
	// Text says what was removed, and where else it may be.
	Text string
}

func receiptOf(e run.Erasure) receipt {
	e.Holder = ""
	return receipt{fmt.Sprintf("%s.%s-%s", e.Task, e.First, e.Last), e, e.Text()}
}

// erases is a route that erases runs, where this service has a view of the erasures.
func (s *Service) erases(handle adminHandler) adminHandler {
	return func(ctx context.Context, rc *fasthttp.RequestCtx, query map[string]string) error {
		if s.options.Erasures == nil {
			return web.Refuse(fasthttp.StatusNotImplemented, "This service erases no runs.")
		}
		return handle(ctx, rc, query)
	}
}

// deleteRun answers DELETE /api/runs/{run}: it has a run erased that has ended, and answers with the receipt, 202 while it
// is under way.
func (s *Service) deleteRun(ctx context.Context, rc *fasthttp.RequestCtx, _ map[string]string) error {
	id, number, err := s.findRun(ctx, rc)
	if err != nil {
		return err
	}
	if e, ok := s.options.Erasures.Of(id, number, number); ok { // it was asked for before
		return s.answerErasures(ctx, rc, e)
	}
	doc, err := s.mayErase(ctx, id, number)
	if err != nil {
		return err
	}
	// A stop must not cut the write short, because nobody could tell whether the run goes.
	e, err := s.options.Unheld.AskErase(context.WithoutCancel(ctx), run.Erasure{
		Task: id, TaskName: doc.TaskName, First: number, Last: number, By: web.Operator(rc), On: time.Now().UTC(), Overwritten: true,
	})
	if err != nil {
		return err
	}
	s.audit(rc, e.TaskName).Stringer("run", number).Msg("somebody erased a run")
	s.keep(ctx, rc, audit.Line{What: audit.RunsDelete, TaskID: e.Task, Task: e.TaskName, Run: number})
	return s.answerErasures(ctx, rc, e)
}

// mayErase refuses a run that has not ended. Of one that has lost its result, its request may be left.
func (s *Service) mayErase(ctx context.Context, id task.ID, n run.Number) (run.Document, error) {
	status, err := s.options.Runs.Lookup(ctx, id, n)
	switch {
	case errors.Is(err, run.ErrRunGone):
		request, err := s.options.Runs.Request(ctx, id, n)
		return run.Document{TaskName: request.TaskName}, err
	case err != nil:
		return run.Document{}, err
	case !status.Final:
		return run.Document{}, &web.Problem{
			Kind: "run-open", Title: "The run has not ended", Status: fasthttp.StatusConflict,
			Detail: fmt.Sprintf("Run %s has not ended (%s), so it was not deleted. Cancel it first (`runhook runs cancel %[1]s`), or wait for its end.", n, status.Document.StatusDescription),
		}
	}
	return status.Document, nil
}

// deleteRuns answers DELETE /api/runs?task=&before=: it has the ended runs of a task erased that were accepted before a
// moment, and answers with the receipts, one for each id that the task's runs are stored under.
func (s *Service) deleteRuns(ctx context.Context, rc *fasthttp.RequestCtx, query map[string]string) error {
	for _, name := range []string{"task", "before"} {
		if query[name] == "" {
			return wrongValue(name, "is missing: give both task, an id, and before, a moment like 2031-01-31T12:00:00Z")
		}
	}
	id, err := task.ParseID(query["task"])
	if err != nil {
		return wrongValue("task", err.Error())
	}
	of, known := s.options.Tasks.Of(id)
	if !known {
		return wrongValue("task", "no task has the id "+string(id))
	}
	before, err := time.Parse(time.RFC3339, query["before"])
	switch {
	case err != nil:
		return wrongValue("before", "give a moment like 2031-01-31T12:00:00Z")
	case before.After(time.Now()):
		return wrongValue("before", "is in the future, so nothing was deleted: give a moment that has passed")
	}
	uncut := context.WithoutCancel(ctx)
	var asked []run.Erasure
	for _, id := range s.options.Tasks.IDs(of.ID) {
		e, _, err := s.options.Unheld.Erasable(uncut, id, 0, before.UTC(), false)
		if many, ok := errors.AsType[*bus.TooMany](err); ok {
			return &web.Problem{
				Kind: "open-runs", Title: "Too many runs have not ended", Status: fasthttp.StatusConflict,
				Detail: "Nothing was deleted: " + many.Error() + ". Cancel them first, or wait for their end.",
			}
		}
		if err == nil && e.First > 0 {
			e.TaskName, e.By, e.On = nameOf(of), web.Operator(rc), time.Now().UTC()
			e, err = s.options.Unheld.AskErase(uncut, e)
			asked = append(asked, e)
		}
		if err != nil {
			return err
		}
	}
	if len(asked) > 0 {
		s.audit(rc, nameOf(of)).Time("before", before).Msg("somebody erased runs of a task")
		s.keep(ctx, rc, audit.Line{What: audit.RunsDelete, TaskID: of.ID, Task: nameOf(of), Run: asked[0].First, Last: asked[len(asked)-1].Last, Detail: "accepted before " + before.UTC().Format(time.RFC3339)})
	}
	return s.answerErasures(ctx, rc, asked...)
}

// nameOf is what a task is called, empty where nothing is known of it but its id.
func nameOf(of bus.Task) string {
	if of.Definition == nil {
		return ""
	}
	return of.Name
}

// answerErasures answers with the receipts of erasures: 202 while one is under way.
func (s *Service) answerErasures(ctx context.Context, rc *fasthttp.RequestCtx, asked ...run.Erasure) error {
	ctx, cancel := context.WithTimeout(ctx, erasedWithin)
	defer cancel()
	answer := struct{ Receipts []receipt }{Receipts: []receipt{}}
	code := fasthttp.StatusOK
	for _, e := range asked {
		e = s.options.Erasures.AwaitErased(ctx, e)
		if e.DoneOn == nil {
			code = fasthttp.StatusAccepted
		}
		answer.Receipts = append(answer.Receipts, receiptOf(e))
	}
	err := writeJSON(rc, answer)
	if err == nil {
		rc.SetStatusCode(code)
	}
	return err
}

// showReceipt answers GET /api/receipts/{receipt}.
func (s *Service) showReceipt(ctx context.Context, rc *fasthttp.RequestCtx, _ map[string]string) error {
	name := web.PathValue(rc, "receipt")
	for _, e := range s.options.Erasures.All() {
		if found := receiptOf(e.Erasure); found.Receipt == name {
			return writeJSON(rc, found)
		}
	}
	var found *receipt
	err := s.options.Unheld.Receipts(ctx, time.Unix(0, 0), func(e run.Erasure) {
		if one := receiptOf(e); one.Receipt == name {
			found = &one
		}
	})
	if err != nil {
		return err
	}
	if found == nil {
		return web.Refuse(fasthttp.StatusNotFound, "There is no receipt of this name; `runhook audit --what delete` lists what was deleted.")
	}
	return writeJSON(rc, *found)
}

// deleted is the Problem of a run that has no request because it was erased; nil where that is not known.
func (s *Service) deleted(ctx context.Context, n run.Number) error {
	if s.options.Erasures == nil || n == 0 {
		return nil
	}
	e, ok, err := s.options.Unheld.ErasureOf(ctx, s.options.Erasures, n)
	if err != nil {
		s.options.Log.Debug().Err(err).Stringer("run", n).Msg("cannot look whether a run was erased")
	}
	if err != nil || !ok {
		return nil
	}
	detail := fmt.Sprintf("Run %s is being deleted; `runhook audit --what runs` lists what was.", n)
	if e.DoneOn != nil {
		detail = fmt.Sprintf("Run %s was deleted on %s, by %s; `runhook audit --what runs-deleted` lists all that were.", n, e.DoneOn.UTC().Format("2006-01-02 15:04:05 UTC"), e.By)
	}
	return &web.Problem{Kind: "run-deleted", Title: "The run was deleted", Status: fasthttp.StatusGone, Detail: detail}
}

// isErased reports whether a run is being erased.
func (s *Service) isErased(n run.Number) bool {
	return s.options.Erasures != nil && s.options.Erasures.Has(n)
}

// dropErased drops what this process keeps of runs that are erased.
func (s *Service) dropErased(e run.Erasure) {
	s.memory.forgetRuns(e.Has)
	if s.options.History != nil {
		s.options.History.Erase(e)
	}
}

package status

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"

	"runhook/shared/audit"
	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/taskfile"
	"runhook/shared/web"
)

// rotationDays is how long a former id goes on starting runs where nobody says otherwise.
const rotationDays = 30

// current returns the task that a request's path names by its id or a former one.
func (s *Service) current(rc *fasthttp.RequestCtx) (bus.Task, error) {
	_, found := s.task(rc)
	if found.Definition == nil || found.Deleted {
		return bus.Task{}, web.Refuse(fasthttp.StatusNotFound, "No task has this id; /api/tasks lists all.")
	}
	return found, nil
}

// disableTask answers POST /api/tasks/{task}/disable.
func (s *Service) disableTask(ctx context.Context, rc *fasthttp.RequestCtx, _ map[string]string) error {
	return s.edit(ctx, rc, taskDisabled, func(text []byte) ([]byte, error) { return taskfile.SetEnabled(text, false) })
}

// enableTask answers POST /api/tasks/{task}/enable: it lets a held task go, and enables one that is disabled.
func (s *Service) enableTask(ctx context.Context, rc *fasthttp.RequestCtx, _ map[string]string) error {
	was, err := s.current(rc)
	if err != nil {
		return err
	}
	held, err := s.options.Store.Release(context.WithoutCancel(ctx), was.ID)
	if err != nil {
		return s.explainEdit(ctx, err)
	}
	if held != nil {
		s.audit(rc, was.Name).Str("held_since", held.On.Format(time.RFC3339)).Int("failures", held.Failures).Stringer("run", held.Run).Msg("held task let go")
		s.keep(ctx, rc, audit.Line{What: audit.TaskEnable, TaskID: was.ID, Task: was.Name, Detail: fmt.Sprintf("it was held after %d failures", held.Failures)})
		if err := s.awaitRelease(ctx, was.ID); err != nil {
			return err
		}
		if was.Enabled {
			return s.answerChange(ctx, rc, was, was.Definition, true, "")
		}
	}
	return s.edit(ctx, rc, taskEnabled, func(text []byte) ([]byte, error) { return taskfile.SetEnabled(text, true) })
}

// awaitRelease waits until this process sees that a task is not held any more.
func (s *Service) awaitRelease(ctx context.Context, id task.ID) error {
	if s.options.Holds == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, seeTimeout)
	defer cancel()
	for {
		changed := s.options.Holds.Changed()
		if _, held := s.options.Holds.Of(id); !held {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return &web.Problem{
				Kind: "not-seen", Title: "The task is let go, and that is not seen yet", Status: fasthttp.StatusServiceUnavailable,
				Detail:     "The task is not held any more, and this service has not seen that yet; get the task to see it.",
				RetryAfter: time.Second, Cause: ctx.Err(),
			}
		}
	}
}

// rotateTask answers POST /api/tasks/{task}/rotate?until= with the task and its webhook's new id.
func (s *Service) rotateTask(ctx context.Context, rc *fasthttp.RequestCtx, query map[string]string) error {
	until := time.Now().AddDate(0, 0, rotationDays)
	if text, given := query["until"]; given {
		var err error
		if until, err = taskfile.ParseMoment(text); err != nil {
			return wrongValue("until", "give a date like 2031-01-31, or a moment like 2031-01-31T12:00:00Z")
		}
	}
	id := task.NewID()
	return s.edit(ctx, rc, taskRotated, func(text []byte) ([]byte, error) { return taskfile.Rotate(text, id, until) })
}

// edit changes the text of the task that a request names, where it is kept, and answers as applyTask
// does, once this process uses the result.
func (s *Service) edit(ctx context.Context, rc *fasthttp.RequestCtx, done string, change func([]byte) ([]byte, error)) error {
	was, err := s.current(rc)
	if err != nil {
		return err
	}
	// A stop must not leave half of it done.
	def, err := s.revise(context.WithoutCancel(ctx), was, change)
	if err != nil {
		return s.explainEdit(ctx, err)
	}
	return s.answerChange(ctx, rc, was, def, def.Hash != was.Hash || def.Enabled != was.Enabled, done)
}

// audit begins the log's line about a change that an administrator has made.
func (s *Service) audit(rc *fasthttp.RequestCtx, name string) *zerolog.Event {
	line := s.options.Log.Info().Str("by", web.Operator(rc))
	if web.ViaPage(rc) {
		line.Str("via", "page")
	}
	return line.Stringer("address", s.options.Locator.Client(rc)).Str("task", name)
}

// answerChange logs what was done to a task, if that changed it and is not logged already, and answers with the task once this process uses
// its definition. was has no Definition if there was no such task.
func (s *Service) answerChange(ctx context.Context, rc *fasthttp.RequestCtx, was bus.Task, def *task.Definition, changed bool, done string) error {
	if changed && done != "" {
		line := s.audit(rc, def.Name)
		if was.Definition != nil && !was.Deleted {
			line.Str("before", was.Hash).Bool("enabled_before", was.Enabled)
		}
		line.Str("definition", def.Hash).Bool("enabled", def.Enabled).Msg(done)
		kept := audit.Line{What: changes[done], TaskID: def.ID, Task: def.Name, After: def.Hash}
		if was.Definition != nil && !was.Deleted {
			kept.Before = was.Hash
		}
		s.keep(ctx, rc, kept)
	}
	var now bus.Task
	seen := func() bool {
		now, _ = s.options.Tasks.Get(def.ID)
		return now.Definition != nil && now.Enabled == def.Enabled && s.options.Tasks.Shows(def.ID, def.Hash)
	}
	if err := s.await(ctx, seen); err != nil {
		return &web.Problem{
			Kind: "not-seen", Title: "The task is stored, and not seen yet", Status: fasthttp.StatusServiceUnavailable,
			Detail:     "The task file is stored. This service has not seen it yet, or it was replaced by another one at the same time; get the task to see which.",
			RetryAfter: time.Second, Cause: err,
		}
	}
	doc, err := s.describe(rc, now, false)
	if err != nil {
		return err
	}
	return writeJSON(rc, struct {
		Changed bool
		Task    taskDocument
		Warning string `json:",omitempty"`
	}{changed, doc, s.unserved(ctx, now)})
}

// changes are what the audit calls the changes of tasks, by what the log says of them.
var changes = map[string]string{
	taskApplied: audit.TaskApply, taskEnabled: audit.TaskEnable, taskDisabled: audit.TaskDisable, taskRotated: audit.TaskRotate,
}

const (
	taskApplied  = "task applied"
	taskEnabled  = "task enabled"
	taskDisabled = "task disabled"
	taskRotated  = "task rotated: its webhook has a new id"
)

// keep keeps a line of the audit about what the request's operator has done, as of now.
func (s *Service) keep(ctx context.Context, rc *fasthttp.RequestCtx, line audit.Line) {
	if s.options.Audit == nil {
		return
	}
	line.On, line.Address = time.Now().UTC(), s.options.Locator.Client(rc).String()
	if line.By == "" {
		line.By = web.Operator(rc)
	}
	if web.ViaPage(rc) {
		line.Via = "page"
	}
	s.options.Audit.Keep(ctx, line)
}

// seeTimeout bounds the wait until this process sees what it has changed.
const seeTimeout = 5 * time.Second

// await waits until the view of the tasks shows what was done. The error is ctx's, or that of the time-out.
func (s *Service) await(ctx context.Context, seen func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, seeTimeout)
	defer cancel()
	for {
		changed := s.options.Tasks.Changed()
		if seen() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// revise edits a task's text: in its file where it came from a folder, whose word counts, else in the
// store.
func (s *Service) revise(ctx context.Context, was bus.Task, change func([]byte) ([]byte, error)) (def *task.Definition, err error) {
	if was.FromFolder {
		if s.options.EditFile == nil {
			return nil, errElsewhere
		}
		err = s.options.EditFile(ctx, was.ID, func(text []byte) ([]byte, error) {
			if text == nil {
				return nil, errNoFile
			}
			edited, err := change(text)
			if err == nil {
				def, err = taskfile.Parse(edited, "the task's file")
			}
			return edited, err
		})
		return def, err
	}
	edited, err := change(was.Text)
	if err != nil {
		return nil, err
	}
	if def, err = taskfile.Parse(edited, "the stored definition"); err != nil {
		return nil, err
	}
	if def.Hash == was.Hash && def.Enabled == was.Enabled {
		return def, nil
	}
	return def, s.options.Store.Revise(ctx, was, def)
}

// deleteTask answers DELETE /api/tasks/{task} with 204, once callers of this process get 404.
func (s *Service) deleteTask(ctx context.Context, rc *fasthttp.RequestCtx, _ map[string]string) error {
	was, err := s.current(rc)
	if err != nil {
		return err
	}
	uncut := context.WithoutCancel(ctx)
	if was.FromFolder && s.options.EditFile != nil {
		err = s.options.EditFile(uncut, was.ID, func([]byte) ([]byte, error) {
			_, err := s.options.Store.Delete(uncut, was)
			return nil, err
		})
	} else {
		_, err = s.options.Store.Delete(uncut, was)
	}
	if err != nil {
		return s.explainEdit(ctx, err)
	}
	s.audit(rc, was.Name).Str("before", was.Hash).Bool("enabled_before", was.Enabled).Msg("task deleted")
	s.keep(ctx, rc, audit.Line{What: audit.TaskDelete, TaskID: was.ID, Task: was.Name, Before: was.Hash})
	gone := func() bool {
		_, there := s.options.Tasks.Get(was.ID)
		return !there
	}
	if err := s.await(ctx, gone); err != nil {
		return err
	}
	rc.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	rc.SetStatusCode(fasthttp.StatusNoContent)
	return nil
}

var (
	errElsewhere = &web.Problem{
		Kind: "in-a-folder", Title: "The task's file is elsewhere", Status: fasthttp.StatusConflict,
		Detail: "The task came with `runhook serve --tasks`, and this server follows no folder, so its file would undo the change. Change the file in its folder.",
	}
	errNoFile = &web.Problem{
		Kind: "no-file", Title: "The task's file is gone", Status: fasthttp.StatusConflict,
		Detail: "The task came from the folder of --tasks, and there is no file with its id that can be used; nothing was changed. Put the file back or mend it, or delete the task.",
	}
)

// explainEdit turns what kept a task from being changed into what the client is told.
func (s *Service) explainEdit(ctx context.Context, err error) error {
	conflict := func(kind, title, detail string) error {
		return &web.Problem{Kind: kind, Title: title, Status: fasthttp.StatusConflict, Detail: detail}
	}
	if _, ok := errors.AsType[*web.Problem](err); ok {
		return err
	}
	if open, ok := errors.AsType[*bus.OpenRuns](err); ok {
		return conflict("open-runs", "The task has open runs", "The task was not deleted: "+open.Error()+
			". Disable the task, so that no new ones come, and delete it when they have ended.")
	}
	switch {
	case errors.Is(err, bus.ErrChanged):
		return conflict("changed", "The task was changed at the same time", "Somebody else changed the task at the same time; nothing was done. Look at it, and try again.")
	case errors.Is(err, run.ErrUnavailable):
		return err
	}
	if unready := s.options.Store.Ready(ctx); unready != nil {
		return errors.Join(unready, err)
	}
	return conflict("not-changed", "The task cannot be changed", "The task was not changed: "+err.Error()+".")
}

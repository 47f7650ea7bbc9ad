package status

import (
	"context"
	"errors"
	"time"

	"github.com/valyala/fasthttp"

	"runhook/services/status/history"
	"runhook/shared/audit"
	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/web"
)

// PagePath is where the page begins.
const PagePath = "/console/"

// Loaded reports why nothing can be said of tasks and runs yet; nil if it can.
func (s *Service) Loaded() error { return s.loaded() }

// RunPage is a page of a list of runs.
type RunPage struct {
	Runs []run.Listed
	// Next is the Before of the next page; 0 if there is none.
	Next run.Number
	// Percent is how much of the store's runs the list is made of: 100, unless the history is being made.
	Percent float64
}

// Search lists runs, the newest first. Without the history it lists those of tasks alone, and refuses other queries.
func (s *Service) Search(ctx context.Context, q history.Query, limit int) (RunPage, error) {
	list, err := s.search(ctx, q, limit)
	page := RunPage{list.Runs, list.Next, 100}
	if list.History != nil {
		page.Percent = list.History.Percent
	}
	return page, err
}

// LastRuns returns the newest run of each task, by the task's id, as the history has them; Refresh has one be as it is
// now. Without a history there are none, and known is false.
func (s *Service) LastRuns(ctx context.Context, tasks []bus.Task) (last map[task.ID]run.Listed, known bool, err error) {
	if s.options.History == nil {
		return nil, false, nil
	}
	if state := s.options.History.Fresh(ctx, freshWithin); state.Missing != nil {
		return nil, false, nil
	}
	last = make(map[task.ID]run.Listed, len(tasks))
	for _, t := range tasks {
		found, err := s.options.History.List(ctx, history.Query{Tasks: s.options.Tasks.IDs(t.ID)}, 1)
		if errors.Is(err, history.ErrAnew) {
			return nil, false, nil
		}
		if err != nil {
			return nil, false, err
		}
		if len(found) > 0 {
			last[t.ID] = found[0]
		}
	}
	return last, true, nil
}

// Refresh returns runs that had not ended when the history last looked as the store has them now, without those that
// are gone.
func (s *Service) Refresh(ctx context.Context, runs ...run.Listed) ([]run.Listed, error) {
	return s.confirm(ctx, runs, history.Query{})
}

// ChainedRun is a run of a chain, with those that its end has started.
type ChainedRun struct {
	run.Listed
	Next []*ChainedRun
	// None says which tasks its end has not started, and why.
	None []string
}

// RunChain is the first run of the chain that a run is part of; nil if it is part of none.
func (s *Service) RunChain(ctx context.Context, id task.ID, number run.Number) (*ChainedRun, error) {
	chain, err := s.chain(ctx, id, number)
	if err != nil || len(chain.Runs) < 2 && len(chain.None) == 0 {
		return nil, err
	}
	known := map[run.Number]*ChainedRun{}
	for _, l := range chain.Runs {
		one := &ChainedRun{Listed: l}
		if by := known[l.StartedBy]; by != nil {
			by.Next = append(by.Next, one)
		}
		known[l.ImportID] = one
	}
	for _, none := range chain.None {
		if of := known[none.Run]; of != nil {
			of.None = append(of.None, none.Task+": "+none.Why)
		}
	}
	return known[chain.Runs[0].ImportID], nil
}

// RunDocument is the document of the run that the path of a request names as {run}.
func (s *Service) RunDocument(ctx context.Context, rc *fasthttp.RequestCtx) (run.Document, error) {
	id, number, err := s.findRun(ctx, rc)
	if err != nil {
		return run.Document{}, err
	}
	seen, err := s.document(ctx, id, number)
	if err != nil {
		return run.Document{}, err
	}
	return run.DecodeDocument(seen.body)
}

// RunRequest is what a run was started with.
func (s *Service) RunRequest(ctx context.Context, id task.ID, number run.Number) (run.Request, error) {
	return s.options.Runs.Request(ctx, id, number)
}

// RejectedRows are those that a run has kept; nil where it has none, or has not ended.
func (s *Service) RejectedRows(ctx context.Context, id task.ID, number run.Number) (*bus.RejectedRows, error) {
	rows, err := s.options.Runs.RejectedRows(ctx, id, number)
	if errors.Is(err, run.ErrNotEnded) || err == nil && rows.Chunks() == 0 {
		return nil, nil
	}
	return rows, err
}

// TaskMade puts down that the operator of a request has made a task, on the page.
func (s *Service) TaskMade(ctx context.Context, rc *fasthttp.RequestCtx, id task.ID) {
	line := audit.Line{What: audit.TaskApply, TaskID: id, Detail: "made on the page of an uploaded file"}
	if _, made := s.options.Tasks.Named(string(id)); made.Definition != nil {
		line.Task, line.After = made.Name, made.Hash
	}
	s.audit(rc, line.Task).Str("definition", line.After).Msg("task made on the page")
	s.keep(ctx, rc, line)
}

// FileTaken puts down that the operator of a request has had a task read a newer file.
func (s *Service) FileTaken(ctx context.Context, rc *fasthttp.RequestCtx, of bus.Task) {
	s.audit(rc, of.Name).Msg("a newer file of the task was taken on the page")
	s.keep(ctx, rc, audit.Line{What: audit.TaskApply, TaskID: of.ID, Task: of.Name, Before: of.Hash, After: of.Hash, Detail: "it reads a newer file that was uploaded on the page"})
}

// StoreCorrection stores chunks of corrected rows of a task's run until a moment, for a run that is to read them. What
// no run comes to read means nothing, and expires.
func (s *Service) StoreCorrection(ctx context.Context, id task.ID, c run.Correction, chunks [][]byte, until time.Time) error {
	for i, data := range chunks {
		if err := s.options.Runs.StoreCorrection(ctx, id, c, i+1, data, until); err != nil {
			return err
		}
	}
	return nil
}

// AnswerPoll answers a poll of the run that the path of a request names as {run}, for whoever may read all runs.
func (s *Service) AnswerPoll(ctx context.Context, rc *fasthttp.RequestCtx) error {
	id, number, err := s.findRun(ctx, rc)
	if err != nil {
		return err
	}
	return s.answerPoll(ctx, rc, target{key: key{id, number}}) // whatever failed_status its task has
}

// AnswerRejected answers with the rejected rows of the run that the path of a request names as {run}, as CSV or as a
// workbook.
func (s *Service) AnswerRejected(ctx context.Context, rc *fasthttp.RequestCtx, workbook bool) error {
	id, number, err := s.findRun(ctx, rc)
	if err != nil {
		return err
	}
	accept := csvType
	if workbook {
		accept = xlsxType
	}
	rc.Request.Header.Set(fasthttp.HeaderAccept, accept)
	return s.answerRejected(ctx, rc, id, number)
}

// CancelRun cancels the run that the path of a request names as {run}, for the operator whom [web.Admin.Check] has let in.
func (s *Service) CancelRun(ctx context.Context, rc *fasthttp.RequestCtx, why string) error {
	id, number, err := s.findRun(ctx, rc)
	if err != nil {
		return err
	}
	if fault := run.CheckWhy(why); fault != nil {
		return wrongValue("why", fault.Error())
	}
	_, err = s.cancelFor(ctx, rc, target{key: key{id, number}}, run.Cancel{By: web.Operator(rc), On: time.Now().UTC(), Why: why}, false)
	return err
}

// SetEnabled enables the task that the path of a request names as {task}, or disables it, for such an operator.
func (s *Service) SetEnabled(ctx context.Context, rc *fasthttp.RequestCtx, enabled bool) error {
	set := s.disableTask
	if enabled {
		set = s.enableTask
	}
	err := set(ctx, rc, nil)
	rc.Response.ResetBody() // the page leads on instead
	return err
}

// Client is the address that a request came from.
func (s *Service) Client(rc *fasthttp.RequestCtx) string {
	return s.options.Locator.Client(rc).String()
}

// Base is scheme and host of the address that a request's page has, empty where links are relative.
func (s *Service) Base(rc *fasthttp.RequestCtx) (string, error) { return s.options.Locator.Base(rc) }

// Held is why a task is held; ok is false if it is not.
func (s *Service) Held(id task.ID) (held run.Hold, ok bool) { return s.options.Holds.Of(id) }

// Webhooks are the addresses of a task's webhook, for the caller of a request.
func (s *Service) Webhooks(rc *fasthttp.RequestCtx, t bus.Task) (execute, polling string, err error) {
	doc, err := s.describe(rc, t, false)
	return doc.ExecuteURL, doc.ExecutePollingURL, err
}

// FileFault is why the file of a task is not used, "" if it is.
func (s *Service) FileFault(id task.ID) string {
	if s.options.FileFault == nil {
		return ""
	}
	return s.options.FileFault(id)
}

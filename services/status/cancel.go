package status

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/valyala/fasthttp"

	"runhook/shared/audit"
	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/web"
)

// cancelTries bounds how often a claim that moves in between is looked at.
const cancelTries = 5

var (
	errCancelNotSigned = &web.Problem{
		Kind: "signature-needed", Title: "The address needs its signature", Status: fasthttp.StatusForbidden,
		Detail: "A run is canceled at its CancelUrl, exactly as the POST's answer has it, with its ?sig=, or with an admin token. Nothing was canceled.",
	}
	errCancelWrongSignature = &web.Problem{
		Kind: "wrong-signature", Title: "The signature does not fit", Status: fasthttp.StatusForbidden,
		Detail: "The sig of this address does not cancel this run, so nothing was canceled. Use CancelUrl exactly as the POST's answer has it, or send an admin token.",
	}
)

// refusesCancel reports whether a request to cancel will be refused for its headers and path alone.
func (s *Service) refusesCancel(head web.Head) bool {
	id, _ := s.options.Tasks.Named(head.PathValue("task"))
	return id == "" || len(head.Peek(fasthttp.HeaderAuthorization)) > 0 && s.options.Admin.Refuses(head.RequestHeader)
}

// cancelRun answers POST /task/executepolling/{task}/{run}/cancel and DELETE of a run's status with the document of
// the run, which ends Canceled: at once if no runner holds it, and otherwise as soon as its runner has heard.
func (s *Service) cancelRun(ctx context.Context, rc *fasthttp.RequestCtx) error {
	at, err := s.target(rc)
	var by string
	if err == nil {
		by, err = s.mayCancel(ctx, rc, at)
	}
	var query map[string]string
	if err == nil {
		query, err = queryValues(rc, []string{"sig", "why", "queued"})
	}
	if err == nil {
		if fault := run.CheckWhy(query["why"]); fault != nil {
			err = wrongValue("why", fault.Error())
		}
	}
	if queued, given := query["queued"]; err == nil && given && queued != "true" {
		err = wrongValue("queued", fmt.Sprintf("%q is not true", queued))
	}
	if err == nil {
		err = s.loaded()
	}
	if err != nil {
		s.cancels.WithLabelValues(at.taskName(), cancelRefused(err)).Inc()
		return err
	}
	done, err := s.cancelFor(ctx, rc, at, run.Cancel{By: by, On: time.Now().UTC(), Why: query["why"]}, query["queued"] != "")
	if err != nil {
		return err
	}
	done.doc.ShowAs(at.id)
	body, err := done.doc.Encode()
	if err != nil {
		return err
	}
	rc.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	web.SetJSON(rc, fasthttp.StatusAccepted, body)
	return nil
}

// cancelFor cancels a run for whoever may, and counts and logs that.
func (s *Service) cancelFor(ctx context.Context, rc *fasthttp.RequestCtx, at target, c run.Cancel, queued bool) (canceled, error) {
	// A stop must not cut the write short, because nobody could tell whether the run has ended.
	done, err := s.cancel(context.WithoutCancel(ctx), at, c, queued)
	result := done.result
	if err != nil {
		result = cancelRefused(err)
	}
	s.cancels.WithLabelValues(at.taskName(), result).Inc()
	if err != nil {
		return done, err
	}
	line := s.options.Log.Info().Str("by", c.By)
	if web.ViaPage(rc) {
		line.Str("via", "page")
	}
	line.Stringer("address", s.options.Locator.Client(rc)).Str("task", done.doc.TaskName).
		Stringer("run", done.doc.ImportID).Str("why", c.Why).Str("result", result).Msg("somebody canceled a run")
	kept := audit.Line{By: c.By, What: audit.RunsCancel, TaskID: done.doc.ExecuteID, Task: done.doc.TaskName, Run: done.doc.ImportID}
	if web.Operator(rc) != "" { // a caller's reason may be about somebody, and would outlive the run
		kept.Why = c.Why
	}
	s.keep(ctx, rc, kept)
	return done, nil
}

// The results of a request to cancel, as its metric and the log call them.
const (
	endedAtOnce  = "ended"     // no runner held the run
	runnerAsked  = "requested" // a runner holds it
	cancelLate   = "late"      // it had ended
	cancelDenied = "forbidden"
	cancelFailed = "error"
)

func cancelRefused(err error) string {
	switch web.ProblemOf(err).Status {
	case fasthttp.StatusConflict:
		return cancelLate
	case fasthttp.StatusForbidden, fasthttp.StatusUnauthorized:
		return cancelDenied
	}
	return cancelFailed
}

// mayCancel refuses who has neither the run's CancelUrl nor an admin token that changes things, and returns who it is.
func (s *Service) mayCancel(ctx context.Context, rc *fasthttp.RequestCtx, at target) (by string, err error) {
	err = errCancelNotSigned
	if sig := rc.QueryArgs().Peek("sig"); len(sig) > 0 {
		_, err = s.verify(string(sig), at, web.ControlRun)
		switch {
		case err == nil:
			return run.ByLink, nil
		case errors.Is(err, web.ErrTasksNotLoaded):
			return "", err
		case errors.Is(err, web.ErrWrongSignature):
			err = errCancelWrongSignature
		}
	}
	token, cookie := len(rc.Request.Header.Peek(fasthttp.HeaderAuthorization)) > 0, len(rc.Request.Header.Peek(fasthttp.HeaderCookie)) > 0
	if !token && !cookie {
		return "", err
	}
	refusal := s.options.Admin.Check(ctx, rc)
	switch {
	case refusal == nil:
		return web.Operator(rc), nil
	case !token && web.ProblemOf(refusal).Status == fasthttp.StatusUnauthorized: // the cookie is no session's
		rc.Response.Header.Del(fasthttp.HeaderWWWAuthenticate)
		return "", err
	}
	return "", refusal
}

// canceled is what became of a request to cancel: the run's document now.
type canceled struct {
	doc    run.Document
	result string
}

// cancel cancels a run that is stored under the id in its address or, if that leads to a task with another id, under
// that one; with queued only if no runner holds it.
func (s *Service) cancel(ctx context.Context, at target, c run.Cancel, queued bool) (done canceled, err error) {
	ids := []task.ID{at.id}
	if at.elsewhere() {
		ids = append(ids, at.task.ID)
		if slices.Contains(at.task.WebhookIDs(), at.id) { // which never was a task's own
			ids = ids[1:]
		}
	}
	for _, id := range ids {
		if done, err = s.cancelStored(ctx, id, at.number, c, queued); !errors.Is(err, run.ErrNoRun) {
			return done, err
		}
	}
	if errors.Is(err, run.ErrNoRun) && !at.known() {
		err = errUnknownTask
	}
	return done, err
}

// cancelStored ends a run as a runner would, in one step in which it is claimed and ended, or asks the runner that
// holds it. Whoever asks while the run has not ended gets no error if that is what ends it, however many ask.
func (s *Service) cancelStored(ctx context.Context, id task.ID, n run.Number, c run.Cancel, queued bool) (canceled, error) {
	asked, open := false, false
	for range cancelTries {
		over, err := s.options.Unheld.Ended(ctx, id, n)
		if err == nil && !over { // mostly nobody holds it
			open = true
			doc, cancelErr := s.options.Unheld.Cancel(ctx, id, n, c)
			if cancelErr == nil {
				s.canceled.WithLabelValues(doc.TaskName).Inc()
				return canceled{doc, endedAtOnce}, nil
			}
			if !errors.Is(cancelErr, bus.ErrClaimed) {
				err = cancelErr
			}
		}
		if err != nil {
			return canceled{}, err
		}
		status, err := s.options.Runs.Lookup(ctx, id, n)
		switch {
		case err != nil:
			return canceled{}, err
		case status.Final && open && status.Document.Outcome() == run.Canceled:
			return canceled{status.Document, runnerAsked}, nil
		case status.Final:
			return canceled{}, ended(status.Document)
		}
		open = true
		isHeld, err := s.options.Unheld.IsHeld(ctx, id, n)
		if err == nil && isHeld && queued {
			return canceled{}, held(n)
		}
		if err == nil && isHeld && !asked {
			// It is looked at once more afterwards: its runner may hand it back, or end it, in this moment.
			if c, err = s.options.Unheld.AskCancel(ctx, id, n, c); err == nil {
				asked = true
				isHeld, err = s.options.Unheld.IsHeld(ctx, id, n)
			}
		}
		if err != nil {
			return canceled{}, err
		}
		if isHeld {
			status.Document.CancelRequestedOn = new(run.Time(c.On))
			return canceled{status.Document, runnerAsked}, nil
		}
	}
	return canceled{}, fmt.Errorf("%w: run %s was taken and left again and again while it was to be canceled", run.ErrUnavailable, n)
}

func ended(doc run.Document) error {
	return &web.Problem{
		Kind: "run-ended", Title: "The run has ended", Status: fasthttp.StatusConflict,
		Detail: fmt.Sprintf("Run %s has ended already: %s.", doc.ImportID, doc.StatusDescription),
	}
}

func held(n run.Number) error {
	return &web.Problem{
		Kind: "run-held", Title: "A runner has the run", Status: fasthttp.StatusConflict,
		Detail: fmt.Sprintf("A runner has run %s, and with queued=true only a run that no runner has is canceled. It goes on.", n),
	}
}

package status

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/valyala/fasthttp"

	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/web"
)

// cancelTries bounds how often a claim that moves in between is looked at.
const cancelTries = 5

// cancelRun answers POST /task/executepolling/{task}/{run}/cancel with the final document of the run, which
// ends Canceled. It refuses a run that a runner holds, and one that has ended.
func (s *Service) cancelRun(ctx context.Context, rc *fasthttp.RequestCtx, _ map[string]string) error {
	at, err := s.target(rc)
	if err != nil {
		return err
	}
	if at.elsewhere() && slices.Contains(at.task.WebhookIDs(), at.id) {
		at.id = at.task.ID
	}
	// A stop must not cut the write short, because nobody could tell whether the run has ended.
	doc, err := s.cancel(context.WithoutCancel(ctx), at)
	if err != nil {
		return err
	}
	s.canceled.WithLabelValues(doc.TaskName).Inc()
	s.audit(rc, doc.TaskName).Stringer("run", doc.ImportID).Msg("an administrator canceled a run that no runner held")
	body, err := doc.Encode()
	if err != nil {
		return err
	}
	rc.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	web.SetJSON(rc, fasthttp.StatusAccepted, body)
	return nil
}

// cancel ends a run as a runner would: in one step it is claimed and ended.
func (s *Service) cancel(ctx context.Context, at target) (run.Document, error) {
	for range cancelTries {
		status, err := s.options.Runs.Lookup(ctx, at.id, at.number)
		if err != nil {
			return run.Document{}, err
		}
		if status.Final {
			return run.Document{}, ended(status.Document)
		}
		request, err := s.options.Runs.Request(ctx, at.id, at.number)
		if err != nil {
			return run.Document{}, err
		}
		seen, claimed, err := s.options.Unheld.FindClaim(ctx, at.id, at.number)
		if err != nil {
			return run.Document{}, err
		}
		var doc run.Document
		switch {
		case !claimed:
			doc = run.CanceledDocument(request, at.number, nil, time.Now())
			err = s.options.Unheld.EndUnclaimed(ctx, at.id, at.number, doc)
		case seen.Foreign: // somebody else's message, which nobody holds the run by
			doc = run.CanceledDocument(request, at.number, nil, time.Now())
			err = s.options.Unheld.EndAbandoned(ctx, at.id, at.number, seen, doc)
		case seen.State.HandedBack:
			doc = run.CanceledDocument(request, at.number, &seen.State, time.Now())
			err = s.options.Unheld.EndAbandoned(ctx, at.id, at.number, seen, doc)
		default:
			return run.Document{}, held(at.number)
		}
		if !errors.Is(err, bus.ErrClaimed) { // else it was taken, or ended, in this moment
			return doc, err
		}
	}
	return run.Document{}, held(at.number)
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
		Detail: fmt.Sprintf("A runner has run %s. A run in progress cannot be canceled yet: wait for its end, or set timeout in the task.", n),
	}
}

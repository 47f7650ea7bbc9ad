package status

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/valyala/fasthttp"

	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/web"
)

// target is what the path of a status address names.
type target struct {
	key
	// task has no Definition where no task has the id; the runs of a former one still answer.
	task bus.Task
}

func (t target) known() bool { return t.task.Definition != nil }

// taskName labels metrics: never the GUID, which is what lets somebody call the webhook.
func (t target) taskName() string {
	if t.known() {
		return t.task.Name
	}
	return ""
}

// poll answers with a run's status: 202 with Location and Retry-After until it has ended, then, without
// those two, the same bytes for as long as the store keeps them.
func (s *Service) poll(ctx context.Context, rc *fasthttp.RequestCtx) error {
	at, err := s.target(rc)
	var seen *sighting
	if err == nil {
		err = s.mayRead(ctx, rc, at)
	}
	if err == nil {
		seen, err = s.latest(ctx, rc, at)
	}
	if err == nil {
		err = s.answer(rc, at, seen)
	}
	s.polls.WithLabelValues(at.taskName(), outcome(rc, seen, err)).Inc()
	return err
}

// outcome is what a poll's metric calls it.
func outcome(rc *fasthttp.RequestCtx, seen *sighting, err error) string {
	if err != nil {
		switch web.ProblemOf(err).Status {
		case fasthttp.StatusNotFound:
			return "unknown"
		case fasthttp.StatusGone:
			return "gone"
		case fasthttp.StatusForbidden:
			return "forbidden"
		case fasthttp.StatusServiceUnavailable:
			return "unavailable"
		}
		return "error"
	}
	switch {
	case rc.Response.StatusCode() == fasthttp.StatusNotModified:
		return "unchanged"
	case seen.outcome == run.Success:
		return "success"
	case seen.outcome == run.Failed:
		return "failed"
	case seen.outcome == run.Canceled:
		return "canceled"
	case seen.phase == run.InProgress:
		return "running"
	}
	return "queued"
}

var (
	errUnknownTask = &web.Problem{
		Kind: "unknown-task", Title: "There is no such task", Status: fasthttp.StatusNotFound,
		Detail: "No task has this id. Poll the address that the POST's answer has in Location.",
	}
	errNotSigned = &web.Problem{
		Kind: "signature-needed", Title: "The address needs its signature", Status: fasthttp.StatusForbidden,
		Detail: "This server shows a run's status only at its signed URL. Poll Location exactly as the POST's answer has it, with its ?sig=, or send the admin token.",
	}
	errWrongSignature = &web.Problem{
		Kind: "wrong-signature", Title: "The signature does not fit", Status: fasthttp.StatusForbidden,
		Detail: "The sig of this address is not that of this run. Poll Location exactly as the POST's answer has it, or send the admin token.",
	}
)

// target reads the path.
func (s *Service) target(rc *fasthttp.RequestCtx) (target, error) {
	var at target
	at.id, at.task = s.task(rc)
	if at.id == "" {
		return at, errUnknownTask
	}
	number, err := run.ParseNumber(web.PathValue(rc, "run"))
	if err != nil {
		return at, run.ErrNoRun
	}
	at.number = number
	return at, nil
}

// mayRead refuses a poll without the run's signature where links are signed.
func (s *Service) mayRead(ctx context.Context, rc *fasthttp.RequestCtx, at target) error {
	if s.options.Links == nil {
		return nil
	}
	return s.holds(ctx, rc, at, web.ReadRun, errNotSigned, errWrongSignature)
}

// holds refuses who has neither a signature of that scope over the run, nor what the task's auth asks for, nor
// the admin token: with
// unsigned where there is no signature at all, else with wrong.
func (s *Service) holds(ctx context.Context, rc *fasthttp.RequestCtx, at target, scope web.Scope, unsigned, wrong error) error {
	sig := rc.QueryArgs().Peek("sig")
	if len(sig) > 0 && s.options.Keys != nil && s.options.Keys.Verify(string(sig), scope, s.options.Runs.StoreID(), at.id, at.number) {
		return nil
	}
	if at.known() && s.options.Callers.Knows(ctx, rc, at.task.Definition) {
		return nil
	}
	if len(rc.Request.Header.Peek(fasthttp.HeaderAuthorization)) > 0 {
		if s.options.Admin.Check(ctx, rc) == nil {
			return nil
		}
		rc.Response.Header.Del(fasthttp.HeaderWWWAuthenticate) // the answer is 403
	}
	if len(sig) > 0 {
		return wrong
	}
	return unsigned
}

// latest is the run's status, as far as it is known: from memory if the run has ended, else from
// the store, else, while that is away, what was seen last.
func (s *Service) latest(ctx context.Context, rc *fasthttp.RequestCtx, at target) (*sighting, error) {
	before := s.memory.recall(at.key)
	if before != nil && before.final() && time.Since(before.seenOn) < s.options.TrustFinal {
		web.SetWaitApplied(rc, web.PreferredWait(rc))
		return before, nil
	}
	if err := s.loaded(); err != nil {
		return nil, err
	}
	status, err := s.look(ctx, rc, at)
	switch {
	case err == nil:
		return s.memory.note(at.key, status)
	case errors.Is(err, run.ErrUnavailable):
		s.options.Log.Debug().Err(err).Str("task", at.taskName()).Stringer("run", at.number).Msg("answered a poll without the store")
		if before != nil {
			return before.remembered()
		}
		return s.unseen(rc, at)
	case errors.Is(err, run.ErrNoRun), errors.Is(err, run.ErrRunGone):
		s.memory.forget(at.key)
		if !at.known() {
			return nil, errUnknownTask
		}
	}
	return nil, err
}

// look asks the store, and waits for the run's end if the client prefers that. A server that stops and a
// client that leaves end the wait, not the read.
func (s *Service) look(ctx context.Context, rc *fasthttp.RequestCtx, at target) (bus.Status, error) {
	wait := s.options.Waits.Begin(ctx, rc)
	defer wait.End()
	if !wait.Waits() {
		return s.options.Runs.Lookup(context.WithoutCancel(ctx), at.id, at.number)
	}
	status, err := s.options.Runs.Await(wait, at.id, at.number)
	if err == nil {
		wait.Applied(rc)
	}
	return status, err
}

// outOfReach begins the message of every answer that was given without the store: another process may
// have answered something newer, or know that the run has ended.
const outOfReach = "The store cannot be reached at the moment"

// unseen is the answer about a run that this process never saw while it cannot ask for it. It is a
// 202 all the same: many clients give a run up at any other status. It says queued, so that no later
// answer can go back behind it.
func (s *Service) unseen(rc *fasthttp.RequestCtx, at target) (*sighting, error) {
	base, err := s.options.Locator.Base(rc)
	if err != nil {
		return nil, err
	}
	retryAfter := defaultRetryAfter
	if at.known() && at.task.RetryAfter > 0 {
		retryAfter = at.task.RetryAfter
	}
	doc := run.QueuedDocument(run.Request{
		Task: at.id, TaskName: at.taskName(), Base: base, Trigger: run.Webhook,
		RetryAfter: int(retryAfter / time.Second), CreatedOn: time.Now(),
	}, at.number)
	doc.Message = outOfReach + ", so the run's status is not known. Poll again."
	body, err := doc.Encode()
	if err != nil {
		return nil, err
	}
	return newSighting(bus.Status{Document: doc, Bytes: body}), nil
}

func (s *Service) answer(rc *fasthttp.RequestCtx, at target, seen *sighting) error {
	if !seen.final() {
		return s.answerUnfinished(rc, at, seen)
	}
	rc.Response.Header.Set(fasthttp.HeaderCacheControl, "no-cache")
	rc.Response.Header.Set(fasthttp.HeaderETag, seen.etag)
	code := fasthttp.StatusOK
	if seen.outcome == run.Failed && at.known() && at.task.FailedStatus != 0 {
		code = at.task.FailedStatus
	}
	// RFC 9110, 13.2.1: a condition counts only where the answer would be a success.
	if code == fasthttp.StatusOK && hasTag(rc.Request.Header.Peek(fasthttp.HeaderIfNoneMatch), seen.etag) {
		rc.SetStatusCode(fasthttp.StatusNotModified)
		return nil
	}
	web.SetJSON(rc, code, seen.body)
	return nil
}

func (s *Service) answerUnfinished(rc *fasthttp.RequestCtx, at target, seen *sighting) error {
	base, err := s.options.Locator.Base(rc)
	if err != nil {
		return err
	}
	location := base + run.StatusPath(at.id, at.number) + s.options.Links.Query(web.ReadRun, s.options.Runs.StoreID(), at.id, at.number)
	rc.Response.Header.Set(fasthttp.HeaderLocation, location)
	rc.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	web.SetRetryAfter(rc, seen.retryAfter)
	web.SetJSON(rc, fasthttp.StatusAccepted, seen.body)
	return nil
}

// hasTag reports whether an If-None-Match header lists the tag. Ours holds no comma, so parts of a
// foreign one that does cannot be taken for it.
func hasTag(header []byte, etag string) bool {
	for part := range bytes.SplitSeq(header, []byte(",")) {
		part = bytes.TrimPrefix(bytes.TrimSpace(part), []byte("W/"))
		if string(part) == etag || string(part) == "*" {
			return true
		}
	}
	return false
}

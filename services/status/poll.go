package status

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/valyala/fasthttp"

	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/web"
)

// target is what the path of a status address names: a run, by an id that its task has or had.
type target struct {
	key
	// task has no Definition where no task has the id; the runs of a former one still answer.
	task bus.Task
	// until is when the signature of the address expires; zero without one, or where none is needed.
	until time.Time
}

func (t target) known() bool { return t.task.Definition != nil }

// elsewhere: runs that were called by the id are stored under the task's own.
func (t target) elsewhere() bool { return t.known() && t.task.ID != t.id }

// taskName labels metrics: never the GUID, which is what lets somebody call the webhook.
func (t target) taskName() string {
	if t.known() {
		return t.task.Name
	}
	return ""
}

// poll answers with a run's status: 202 with Location and Retry-After until it has ended, then, without
// those two, the same bytes for as long as the store keeps them. Who asks for events gets a stream of them.
func (s *Service) poll(ctx context.Context, rc *fasthttp.RequestCtx) error {
	at, err := s.target(rc)
	if err == nil {
		at.until, err = s.mayRead(ctx, rc, at)
	}
	if err != nil {
		s.polls.WithLabelValues(at.taskName(), outcome(rc, nil, err)).Inc()
		return err
	}
	return s.answerPoll(ctx, rc, at)
}

// answerPoll is poll for whoever may read the run.
func (s *Service) answerPoll(ctx context.Context, rc *fasthttp.RequestCtx, at target) error {
	var following *events
	if wantsEvents(rc) {
		following = &events{service: s, at: at, conn: rc.Conn()}
	}
	seen, err := s.latest(ctx, rc, at, following)
	switch {
	case err != nil:
	case following != nil:
		following.answer(rc, seen)
	default:
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
	case string(rc.Response.Header.ContentType()) == eventsType:
		return "followed"
	case rc.Response.StatusCode() == fasthttp.StatusNotModified, rc.Response.StatusCode() == fasthttp.StatusNoContent:
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
		Detail: "The run's status is shown only at its signed URL. Poll Location exactly as the POST's answer has it, with its ?sig=, or send the admin token, or the task's credential if it has auth.",
	}
	errLinkOver = &web.Problem{
		Kind: "link-expired", Title: "The link has expired", Status: fasthttp.StatusForbidden,
		Detail: "The signature of this address has expired, or the id that it was made for has: the task was rotated or deleted. Send the admin token, or start another run.",
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

// mayRead refuses a poll without the run's signature where links are signed, and returns when that expires.
func (s *Service) mayRead(ctx context.Context, rc *fasthttp.RequestCtx, at target) (until time.Time, err error) {
	if s.options.Links == nil && (!at.known() || len(at.task.Auth) == 0) {
		return until, nil
	}
	return s.holds(ctx, rc, at, web.ReadRun, errNotSigned, errWrongSignature)
}

// holds refuses who has neither a signature of that scope over the run, nor what the task's auth asks for, nor
// the admin token: with unsigned where there is no signature at all, else with wrong, or because the signature
// has ended.
func (s *Service) holds(ctx context.Context, rc *fasthttp.RequestCtx, at target, scope web.Scope, unsigned, wrong error) (until time.Time, err error) {
	err = unsigned
	if sig := rc.QueryArgs().Peek("sig"); len(sig) > 0 {
		if until, err = s.verify(string(sig), at, scope); err == nil || errors.Is(err, web.ErrTasksNotLoaded) {
			return until, err
		}
		if errors.Is(err, web.ErrWrongSignature) {
			err = wrong
		}
	}
	if at.known() {
		if known, fault := s.options.Callers.Knows(ctx, rc, at.task.Definition); known || fault != nil {
			return time.Time{}, fault
		}
	}
	if len(rc.Request.Header.Peek(fasthttp.HeaderAuthorization)) > 0 {
		if s.options.Admin.Check(ctx, rc) == nil {
			return time.Time{}, nil
		}
		rc.Response.Header.Del(fasthttp.HeaderWWWAuthenticate) // the answer is 403
	}
	return time.Time{}, err
}

// verify returns until when a signature gives scope over a run. It ends before that with the id that it was made
// for: when that starts no more runs, and but for reading the status when the task is deleted. A task that is disabled
// ends none, because its accepted runs finish.
func (s *Service) verify(sig string, at target, scope web.Scope) (until time.Time, err error) {
	if s.options.Keys == nil {
		return until, web.ErrWrongSignature
	}
	until, err = s.options.Keys.Verify(sig, scope, s.options.Runs.StoreID(), at.id, at.number)
	switch {
	case errors.Is(err, web.ErrLinkExpired):
		return until, errLinkOver
	case err != nil:
		return until, err
	case !s.options.Tasks.Loaded():
		return until, web.ErrTasksNotLoaded
	case !at.known(), !at.task.Starts(at.id, time.Now()), at.task.Deleted && scope != web.ReadRun:
		return until, errLinkOver
	}
	return until, nil
}

// latest is the run's status, as far as it is known: from memory if the run has ended, else from
// the store, else, while that is away, what was seen last. following, if it is not nil, then goes on.
func (s *Service) latest(ctx context.Context, rc *fasthttp.RequestCtx, at target, following *events) (*sighting, error) {
	if s.isErased(at.number) {
		return nil, run.ErrRunGone
	}
	before := s.memory.recall(at.key)
	if before != nil && before.final() && time.Since(before.seenOn) < s.options.TrustFinal {
		web.SetWaitApplied(rc, web.PreferredWait(rc))
		return before, nil
	}
	if err := s.loaded(); err != nil {
		return nil, err
	}
	look := s.look
	if following != nil {
		look = following.follow
	}
	status, err := look(ctx, rc, at)
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
		return s.stored(ctx, at, func(id task.ID) (bus.Status, error) {
			return s.options.Runs.Lookup(context.WithoutCancel(ctx), id, at.number)
		})
	}
	status, err := s.stored(ctx, at, func(id task.ID) (bus.Status, error) { return s.options.Runs.Await(wait, id, at.number) })
	if err == nil {
		wait.Applied(rc)
	}
	return status, err
}

// stored reads a run that is stored under the id in its address or, if that leads to a task with another id, under
// that one. It is shown under the id in the address.
func (s *Service) stored(ctx context.Context, at target, read func(id task.ID) (bus.Status, error)) (bus.Status, error) {
	if !at.elsewhere() || !slices.Contains(at.task.WebhookIDs(), at.id) { // the id may have been a task's own
		status, err := read(at.id)
		switch {
		case err == nil:
			return s.shown(ctx, at, at.id, status)
		case !errors.Is(err, run.ErrNoRun) || !at.elsewhere():
			return status, err
		}
	}
	status, err := read(at.task.ID)
	if err != nil {
		return status, err
	}
	return s.shown(ctx, at, at.task.ID, status)
}

// shown is the status of a run, which is stored under an id, as whoever calls the id in its address sees it.
func (s *Service) shown(ctx context.Context, at target, storedAs task.ID, status bus.Status) (bus.Status, error) {
	status, err := s.told(ctx, storedAs, at.number, status, true)
	if err != nil || storedAs == at.id {
		return status, err
	}
	status.Document.ShowAs(at.id)
	status.Bytes, err = status.Document.Encode()
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
	doc := run.QueuedDocument(run.Request{
		Task: at.id, TaskName: at.taskName(), Base: base, Trigger: run.Webhook,
		RetryAfter: int(run.PollAtFirst / time.Second), CreatedOn: time.Now(),
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
	cache := "no-cache"
	if at.known() && len(at.task.Auth) > 0 {
		cache = "private, no-cache" // a cache knows nothing of keys in X-Api-Key
	}
	rc.Response.Header.Set(fasthttp.HeaderCacheControl, cache)
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
	location := base + run.StatusPath(at.id, at.number)
	if !at.until.IsZero() {
		location += s.options.Keys.Query(web.ReadRun, s.options.Runs.StoreID(), at.id, at.number, at.until)
	}
	rc.Response.Header.Set(fasthttp.HeaderLocation, location)
	rc.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	after, body := s.pollAgain(at.task, seen)
	web.SetRetryAfter(rc, after)
	web.SetJSON(rc, fasthttp.StatusAccepted, body)
	return nil
}

// pollAgain is how long a poller of a run that has not ended is asked to wait, and the document that says so: as the
// run's task has it now, or, if there is none any more, as the document has it.
func (s *Service) pollAgain(of bus.Task, seen *sighting) (after time.Duration, body []byte) {
	if of.Definition != nil {
		after = s.options.Paces.PollAgain(of.Definition, seen.stage, time.Now())
	} else {
		after = cmp.Or(seen.retryAfter, run.PollAtFirst)
	}
	if after == seen.retryAfter {
		return after, seen.body
	}
	return after, run.PolledAgain(seen.body, after)
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

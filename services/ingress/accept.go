package ingress

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"runhook/shared/bus"
	"runhook/shared/caller"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/web"
)

// accept makes a request's run durable, or finds the one that its idempotency key had started.
func (in *Ingress) accept(ctx context.Context, rc *fasthttp.RequestCtx, target called, dry bool) (bus.Accepted, error) {
	sender, err := in.sender(ctx, rc, target.Definition)
	if err != nil {
		return bus.Accepted{}, err
	}
	key, err := idempotencyKey(&rc.Request.Header, sender)
	if err != nil {
		return bus.Accepted{}, err
	}
	base, err := in.options.Locator.Base(rc)
	if err != nil {
		return bus.Accepted{}, err
	}
	// A stop must not cut a publish short, because nobody could tell whether the run was stored. The store
	// bounds each of its answers itself.
	ctx = context.WithoutCancel(ctx)
	accepted, err := in.start(ctx, rc, target, key, base, dry)
	if key != "" && target.Definition != nil && refused(err) {
		accepted, err = in.replayed(ctx, rc, target, key, dry, err)
	}
	// Who sent the key first, perhaps under another Host, does not decide where this caller polls.
	accepted.Request.Base = base
	return accepted, err
}

// sender is who sends a request, nobody in particular where the task lets in everybody.
func (in *Ingress) sender(ctx context.Context, rc *fasthttp.RequestCtx, def *task.Definition) (caller.Caller, error) {
	switch {
	case def == nil:
		return caller.Caller{}, nil
	case len(def.Auth) > 0 && in.options.Admin.Knows(rc):
		return caller.Caller{Name: "operator " + web.Operator(rc)}, nil
	}
	return in.options.Callers.Check(ctx, rc, def)
}

// refused reports whether a request was refused for what it is or for the state of its task.
func refused(err error) bool {
	_, isProblem := errors.AsType[*web.Problem](err)
	return isProblem || errors.Is(err, run.ErrKeyReused)
}

// start checks the whole request and makes its run durable.
func (in *Ingress) start(ctx context.Context, rc *fasthttp.RequestCtx, target called, key, base string, dry bool) (bus.Accepted, error) {
	if err := in.usable(target); err != nil {
		return bus.Accepted{}, err
	}
	asked, err := parameters(rc, target.Definition)
	if err != nil {
		return bus.Accepted{}, err
	}
	at, err := in.checkRunAt(asked.runAt, dry)
	if err != nil {
		return bus.Accepted{}, err
	}
	correlation := web.CorrelationOf(&rc.Request.Header)
	by, err := in.starter(rc)
	if err != nil {
		return bus.Accepted{}, err
	}
	if by.full && target.Since() == nil {
		return bus.Accepted{}, refusal(fasthttp.StatusConflict, "no-full", "The task reads all rows anyway",
			"The task does not read incrementally (since), so that each of its runs reads all rows. Nothing was started.")
	}
	return in.submit(ctx, target, asked, at, by, correlation, key, base, dry)
}

// submit makes the run of a request durable that was checked; at is when it is to start, the zero time for at once.
func (in *Ingress) submit(ctx context.Context, target called, asked asked, at time.Time, by starter, correlation web.Correlation, key, base string, dry bool) (bus.Accepted, error) {
	now := time.Now()
	request := run.Request{
		Task: target.ID, TaskName: target.Name, Definition: target.Hash,
		Parameters: asked.values, ParameterHash: asked.hash(dry, by.full), Base: base, DryRun: dry, RunAt: at, Full: by.full,
		Trigger: by.trigger, Operator: by.operator, RepeatOf: by.repeats, Correction: by.correction, Overlap: target.Overlap,
		CorrelationID: correlation.ID, TraceParent: correlation.TraceParent, WorkflowRunID: correlation.WorkflowRunID,
		RetryAfter:  int(in.options.Paces.PollAgain(target.Definition, run.Stage{Phase: run.Queued, Since: now}, now) / time.Second),
		StartWithin: int(target.StartWithin / time.Second), CreatedOn: now.UTC(),
	}
	if target.as != target.ID {
		request.CalledAs = target.as
	}
	if target.Overlap == "" && target.MaxQueued > 0 && at.IsZero() && in.options.Runs.IsFull(ctx, target.ID, target.MaxQueued) {
		return bus.Accepted{}, queueFull(target.MaxQueued)
	}
	accepted, err := in.options.Runs.Submit(ctx, request, key)
	if open, ok := errors.AsType[*bus.OpenRuns](err); ok {
		return bus.Accepted{}, runOpen(open)
	}
	return accepted, err
}

// asked is what a POST asks for.
type asked struct {
	values task.Values
	// runAt is when the run is to start, as it was sent; the zero time for at once.
	runAt time.Time
}

// parameters reads the body and the query string, and resolves what they pass.
func parameters(rc *fasthttp.RequestCtx, def *task.Definition) (asked, error) {
	refuse := func(kind, title, detail string) *web.Problem {
		p := refusal(fasthttp.StatusBadRequest, kind, title, detail)
		p.Template = def.Template()
		return p
	}
	if encoding := rc.Request.Header.ContentEncoding(); len(encoding) > 0 && !strings.EqualFold(string(encoding), "identity") {
		return asked{}, refusal(fasthttp.StatusUnsupportedMediaType, "compressed-body", "The body is compressed",
			"Send the body as it is, without Content-Encoding.")
	}
	wrongPlace := func(faults []web.Fault) *web.Problem {
		p := refuse("misplaced-parameter", "A parameter is in the wrong place",
			faults[0].Detail+"; parameters go into the member QueryParameters of the body.")
		p.Errors = faults
		return p
	}
	sent, err := web.Body(rc)
	if err != nil {
		return asked{}, err
	}
	body, err := parseBody(sent)
	if err != nil {
		return asked{}, refuse("malformed-body", "The body cannot be used", err.Error())
	}
	var query []datum
	for name, value := range rc.QueryArgs().All() {
		query = append(query, datum{name: string(name), kind: '"', text: string(value)})
	}
	at, err := takeRunAt(def, &body, query)
	if err != nil {
		return asked{}, err
	}
	s := search{def: def, room: maxInflated}
	s.misplaced(inBody, body.others)
	s.misplaced(inQuery, query)
	if len(s.faults) > 0 {
		return asked{}, wrongPlace(s.faults)
	}
	values, err := def.Resolve(body.given)
	if s.values = values; len(body.others)+len(query) > 0 && (err == nil || len(body.given) == 0) {
		s.unread(inBody, body.others)
		s.unread(inQuery, query)
		if len(s.faults) > 0 {
			return asked{}, wrongPlace(s.faults)
		}
	}
	if wrong, ok := errors.AsType[*task.ParameterError](err); ok {
		p := wrongParameters(wrong)
		p.Template = def.Template()
		return asked{}, p
	}
	return asked{values, at}, err
}

// wrongParameters is the answer to parameters that do not fit.
func wrongParameters(wrong *task.ParameterError) *web.Problem {
	p := refusal(fasthttp.StatusBadRequest, "wrong-parameters", "The parameters do not fit the task", wrong.Error()+".")
	for _, problem := range wrong.Problems {
		p.Errors = append(p.Errors, web.Fault{Name: problem.Parameter, Detail: problem.Message})
	}
	return p
}

package ingress

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/web"
)

// accept checks the whole request and makes its run durable.
func (in *Ingress) accept(ctx context.Context, rc *fasthttp.RequestCtx, target called, dry bool) (bus.Accepted, error) {
	key, err := idempotencyKey(&rc.Request.Header)
	if err != nil {
		return bus.Accepted{}, err
	}
	values, err := parameters(rc, target.Definition)
	if err != nil {
		return bus.Accepted{}, err
	}
	base, err := in.options.Locator.Base(rc)
	if err != nil {
		return bus.Accepted{}, err
	}
	correlation := web.CorrelationOf(&rc.Request.Header)
	request := run.Request{
		Task: target.ID, TaskName: target.Name, Definition: target.Hash,
		Parameters: values, ParameterHash: values.Hash(), Base: base, Trigger: run.Webhook,
		CorrelationID: correlation.ID, TraceParent: correlation.TraceParent, WorkflowRunID: correlation.WorkflowRunID,
		RetryAfter: int(target.RetryAfter / time.Second), StartWithin: int(target.StartWithin / time.Second),
		CreatedOn: time.Now().UTC(),
	}
	if dry {
		// Under one idempotency key, trying a task is not the same as running it.
		request.DryRun, request.ParameterHash = true, "dry run "+request.ParameterHash
	}
	if target.as != target.ID {
		request.CalledAs = target.as
	}
	// A stop must not cut a publish short, because nobody could tell whether the run was stored. Submit
	// bounds itself.
	return in.options.Runs.Submit(context.WithoutCancel(ctx), request, key)
}

// parameters reads the body and the query string, and resolves what they pass.
func parameters(rc *fasthttp.RequestCtx, def *task.Definition) (task.Values, error) {
	refuse := func(kind, title, detail string) *web.Problem {
		p := refusal(fasthttp.StatusBadRequest, kind, title, detail)
		p.Template = def.Template()
		return p
	}
	if encoding := rc.Request.Header.ContentEncoding(); len(encoding) > 0 && !strings.EqualFold(string(encoding), "identity") {
		return nil, refusal(fasthttp.StatusUnsupportedMediaType, "compressed-body", "The body is compressed",
			"Send the body as it is, without Content-Encoding.")
	}
	body, err := parseBody(rc.PostBody())
	if err != nil {
		return nil, refuse("malformed-body", "The body cannot be used", err.Error())
	}
	faults := misplaced(def, "member", body.others)
	if query := rc.QueryArgs(); query.Len() > 0 {
		var names []string
		for name := range query.All() {
			names = append(names, string(name))
		}
		faults = append(faults, misplaced(def, "query-string name", names)...)
	}
	if len(faults) > 0 {
		p := refuse("misplaced-parameter", "A parameter is in the wrong place",
			faults[0].Detail+"; parameters go into the member QueryParameters of the body.")
		p.Errors = faults
		return nil, p
	}
	values, err := def.Resolve(body.given)
	if wrong, ok := errors.AsType[*task.ParameterError](err); ok {
		p := refuse("wrong-parameters", "The parameters do not fit the task", wrong.Error()+".")
		for _, problem := range wrong.Problems {
			p.Errors = append(p.Errors, web.Fault{Name: problem.Parameter, Detail: problem.Message})
		}
		return nil, p
	}
	return values, err
}

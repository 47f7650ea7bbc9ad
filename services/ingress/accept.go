package ingress

import (
	"context"
	"errors"
	"strconv"
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

// maxKey is the longest idempotency key.
const maxKey = 255

// idempotencyKey reads the header Idempotency-Key, a structured-field string or the bare key; both
// spell the same key. Empty means that there is none.
func idempotencyKey(header *fasthttp.RequestHeader) (string, error) {
	lines := header.PeekAll("Idempotency-Key")
	if len(lines) == 0 {
		return "", nil
	}
	refuse := func(detail string) error {
		return refusal(fasthttp.StatusBadRequest, "idempotency-key", "The Idempotency-Key cannot be used", detail)
	}
	if len(lines) > 1 {
		return "", refuse("The header Idempotency-Key is there " + strconv.Itoa(len(lines)) + " times; send one.")
	}
	key := strings.Trim(string(lines[0]), " \t")
	if strings.HasPrefix(key, `"`) {
		unquoted, ok := unquote(key)
		if !ok {
			return "", refuse(`The Idempotency-Key begins with a quotation mark and is not a string such as "8e03978e-40d5".`)
		}
		key = unquoted
	}
	if len(key) == 0 || len(key) > maxKey {
		return "", refuse("An Idempotency-Key has 1 to " + strconv.Itoa(maxKey) + " characters; this one has " + strconv.Itoa(len(key)) + ".")
	}
	for _, c := range []byte(key) {
		if c <= ' ' || c > '~' {
			return "", refuse("An Idempotency-Key has visible ASCII characters only, without spaces.")
		}
	}
	return key, nil
}

// unquote reads a string of RFC 8941.
func unquote(quoted string) (string, bool) {
	var plain strings.Builder
	for i := 1; i < len(quoted); i++ {
		switch c := quoted[i]; c {
		case '"':
			return plain.String(), i == len(quoted)-1
		case '\\':
			i++
			if i == len(quoted) || (quoted[i] != '"' && quoted[i] != '\\') {
				return "", false
			}
			plain.WriteByte(quoted[i])
		default:
			plain.WriteByte(c)
		}
	}
	return "", false
}

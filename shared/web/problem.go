package web

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strconv"
	"time"

	"runhook/shared/run"

	"github.com/valyala/fasthttp"
)

// Problem is an error as a client is told it: RFC 9457 problem details. A Handler returns one, or
// any error of the table in this file; everything else becomes a 500 without details.
type Problem struct {
	// Kind names the kind of problem in lower-case words with hyphens; it becomes the member "type"
	// (urn:runhook:problem:<kind>) and the reason in metrics. Empty where the status says it all.
	Kind string `json:"-"`
	// Title is the kind in words; the status's own phrase when left empty.
	Title string `json:"title"`
	// Status is the HTTP status.
	Status int `json:"status"`
	// Detail says what was wrong with this request and what to do about it.
	Detail string `json:"detail,omitempty"`
	// Errors lists single faults where there are several.
	Errors []Fault `json:"errors,omitempty"`
	// Template is the body that would have been right, as JSON.
	Template json.RawMessage `json:"template,omitempty"`

	// RetryAfter is sent as a header in whole seconds, rounded up; 0 sends none.
	RetryAfter time.Duration `json:"-"`
	// Cause is logged with answers of 500 and above and never sent.
	Cause error `json:"-"`
	// Unlogged: the log says it elsewhere, once and not with each answer.
	Unlogged bool `json:"-"`
	// Page writes the problem for people, once everything but the body and its type is set; nil writes JSON.
	Page func(rc *fasthttp.RequestCtx) `json:"-"`
}

// Fault is one of several things wrong with a request.
type Fault struct {
	// Name is what the fault is about: a parameter, a member, a header. Empty in a file.
	Name string `json:"name,omitempty"`
	// Line is where the fault stands in a task file, from 1; 0 outside of one.
	Line   int    `json:"-"`
	Detail string `json:"detail"`
}

// MarshalJSON gives the faults of a task file the members of the schema FileFault.
func (f Fault) MarshalJSON() ([]byte, error) {
	if f.Line > 0 {
		return json.Marshal(struct {
			Line    int
			Message string
		}{f.Line, f.Detail})
	}
	type fault Fault // without this method
	return json.Marshal(fault(f))
}

func (p *Problem) Error() string {
	if p.Detail == "" {
		return fasthttp.StatusMessage(p.Status)
	}
	return p.Detail
}

func (p *Problem) Unwrap() error { return p.Cause }

// Refuse returns a Problem of a status with a detail.
func Refuse(status int, detail string) *Problem {
	return &Problem{Status: status, Detail: detail}
}

// ErrTasksNotLoaded is the Problem of a request that needs the tasks before they were loaded.
var ErrTasksNotLoaded = &Problem{
	Kind: "tasks-not-loaded", Title: "The tasks are not loaded", Status: fasthttp.StatusServiceUnavailable,
	Detail:     "The tasks have not been loaded from NATS yet, so nothing was done; send the request again.",
	RetryAfter: 5 * time.Second,
}

// The answers to errors that are not Problems themselves: the one table from error to status.
// The first that errors.Is finds decides.
var answers = []struct {
	err    error
	answer Problem
}{
	{run.ErrMaybeStored, Problem{
		Kind: "maybe-stored", Title: "The run may have been stored", Status: fasthttp.StatusServiceUnavailable,
		Detail:     "The request was sent to NATS and no acknowledgement came, so the run may have been stored. To repeat the request without starting a second run, send it with an Idempotency-Key.",
		RetryAfter: 5 * time.Second,
	}},
	{run.ErrFull, Problem{
		Kind: "store-full", Title: "The store is full", Status: fasthttp.StatusServiceUnavailable,
		Detail:     "The disk that the store is on is full, so this request started nothing. What was accepted before is safe, and new requests are taken as soon as there is room again; whoever runs this server has to make some.",
		RetryAfter: 10 * time.Second,
	}},
	{run.ErrDenied, Problem{
		Kind: "store-denied", Title: "This server may not use its store", Status: fasthttp.StatusServiceUnavailable,
		Detail:     "This server lacks a right at NATS, so this request started nothing. Whoever runs it finds the right in its log.",
		RetryAfter: 30 * time.Second,
	}},
	{run.ErrUnavailable, Problem{
		Kind: "store-unavailable", Title: "The store is not available", Status: fasthttp.StatusServiceUnavailable,
		Detail:     "NATS cannot be reached or cannot store at the moment; this request started nothing.",
		RetryAfter: 5 * time.Second,
	}},
	{run.ErrKeyReused, Problem{
		Kind: "idempotency-key-reused", Title: "Idempotency-Key is already used", Status: fasthttp.StatusUnprocessableEntity,
		Detail: "This Idempotency-Key was used before with other parameters; send a new key for a new run.",
	}},
	{run.ErrErased, Problem{
		Kind: "run-erased", Title: "The run of this Idempotency-Key was erased", Status: fasthttp.StatusGone,
		Detail: "This Idempotency-Key has started a run that an administrator has erased since, so nothing was started; send a new key for a new run.",
	}},
	{run.ErrNoRun, Problem{Status: fasthttp.StatusNotFound, Detail: "This task has no such run; use the Location that the POST returned."}},
	{run.ErrRunGone, Problem{Status: fasthttp.StatusGone, Detail: "The record of this run is gone: it has passed its retention, was erased, or was lost with damaged data."}},
	{run.ErrRowsGone, Problem{
		Kind: "rows-gone", Title: "The failed rows are gone", Status: fasthttp.StatusGone,
		Detail: "The failed rows of this run have been removed: they are kept as long as rejected_rows.keep of its task says.",
	}},
	{fasthttp.ErrBodyTooLarge, Problem{
		Kind: "body-too-large", Title: "The body is too large", Status: fasthttp.StatusRequestEntityTooLarge,
	}},
	{context.Canceled, Problem{
		Status: fasthttp.StatusServiceUnavailable, Detail: "The server is stopping; send the request again.", RetryAfter: 5 * time.Second,
	}},
	{context.DeadlineExceeded, Problem{
		Status: fasthttp.StatusServiceUnavailable, Detail: "NATS did not answer in time.", RetryAfter: 5 * time.Second,
	}},
}

// ProblemOf turns any error into what the client is told.
func ProblemOf(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	for _, known := range answers {
		if errors.Is(err, known.err) {
			p := known.answer
			p.Cause = err
			return &p
		}
	}
	return &Problem{
		Status: fasthttp.StatusInternalServerError, Cause: err,
		Detail: "The server failed in a way it did not expect; its log says more.",
	}
}

// problemOfRead turns an error met while a request was still being read into what the client is told.
func (s *Server) problemOfRead(err error) *Problem {
	if errors.Is(err, fasthttp.ErrBodyTooLarge) {
		p := ProblemOf(err)
		p.Detail = "The body may have at most " + strconv.Itoa(s.maxBody) + " bytes."
		return p
	}
	if _, ok := errors.AsType[*fasthttp.ErrSmallBuffer](err); ok {
		return Refuse(fasthttp.StatusRequestHeaderFieldsTooLarge,
			"The request line and the headers may have at most "+strconv.Itoa(s.maxHeader)+" bytes together.")
	}
	if netErr, ok := errors.AsType[net.Error](err); ok && netErr.Timeout() {
		return Refuse(fasthttp.StatusRequestTimeout, "The request did not arrive whole within "+s.readTimeout.String()+".")
	}
	return Refuse(fasthttp.StatusBadRequest, "The request is not well-formed HTTP/1.1, or ended too early.")
}

// write answers rc with the problem, in place of whatever was prepared.
func (p *Problem) write(rc *fasthttp.RequestCtx) {
	out := struct {
		Type string `json:"type"`
		Problem
	}{"about:blank", *p}
	if out.Kind != "" {
		out.Type = "urn:runhook:problem:" + out.Kind
	}
	if out.Title == "" {
		out.Title = fasthttp.StatusMessage(out.Status)
	}
	body, err := json.Marshal(out)
	if err != nil { // only a Template that is not JSON gets here
		out.Template = nil
		body, _ = json.Marshal(out)
	}
	for _, prepared := range []string{fasthttp.HeaderLocation, fasthttp.HeaderRetryAfter, fasthttp.HeaderETag} {
		rc.Response.Header.Del(prepared)
	}
	rc.SetStatusCode(out.Status)
	rc.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	if out.RetryAfter > 0 {
		SetRetryAfter(rc, out.RetryAfter)
	}
	if p.Page != nil {
		p.Page(rc)
		return
	}
	rc.SetContentType("application/problem+json")
	rc.SetBody(body)
}

// SetRetryAfter sets Retry-After in whole seconds, rounded up, at least 1.
func SetRetryAfter(rc *fasthttp.RequestCtx, after time.Duration) {
	seconds := max(1, int64((after+time.Second-1)/time.Second))
	rc.Response.Header.Set(fasthttp.HeaderRetryAfter, strconv.FormatInt(seconds, 10))
}

// SetJSON answers with a JSON body, which is copied.
func SetJSON(rc *fasthttp.RequestCtx, status int, body []byte) {
	rc.SetStatusCode(status)
	rc.SetContentType("application/json")
	rc.SetBody(body)
}

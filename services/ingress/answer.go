package ingress

import (
	"context"
	"fmt"
	"time"

	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"

	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/web"
)

// answerFunc answers a POST whose run is durable. It must not fail for what happens to the run
// later: the caller has to learn that there is one.
type answerFunc func(ctx context.Context, rc *fasthttp.RequestCtx, target called, accepted bus.Accepted) error

// answerExecute is for callers who do not wait: 200 and no Location, because a client with the
// asynchronous pattern on would otherwise begin to poll.
func (in *Ingress) answerExecute(_ context.Context, rc *fasthttp.RequestCtx, target called, accepted bus.Accepted) error {
	return in.answerQueued(rc, fasthttp.StatusOK, target, accepted)
}

// answerPolling is for callers who poll: 202 with Location and Retry-After, or, where the caller
// prefers to wait and the run ends in time, what the last poll would answer.
func (in *Ingress) answerPolling(ctx context.Context, rc *fasthttp.RequestCtx, target called, accepted bus.Accepted) error {
	wait := in.options.Waits.Begin(ctx, rc)
	defer wait.End()
	if !wait.Waits() {
		in.setPolling(rc, target, accepted)
		return in.answerQueued(rc, fasthttp.StatusAccepted, target, accepted)
	}
	// A replay's run may be stored under the id that the task had then.
	status, err := in.options.Runs.Await(wait, accepted.Request.Task, accepted.Number)
	if err != nil {
		in.seldom.Line(zerolog.WarnLevel, "waiting").Err(err).Str("task", target.Name).Stringer("run", accepted.Number).Msg("waiting for a run ended early; its caller was told to poll")
		in.setPolling(rc, target, accepted)
		return in.answerQueued(rc, fasthttp.StatusAccepted, target, accepted)
	}
	wait.Applied(rc)
	if !status.Final {
		doc := status.Document
		in.setPolling(rc, target, accepted)
		if target.Definition != nil {
			after := in.options.Paces.PollAgain(target.Definition, doc.Stage(), time.Now())
			doc.SetPollAgain(after)
			web.SetRetryAfter(rc, after)
		}
		rc.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
		return in.answerDocument(rc, fasthttp.StatusAccepted, doc, target, accepted)
	}
	code := fasthttp.StatusOK
	if status.Document.Outcome() == run.Failed && target.FailedStatus != 0 {
		code = target.FailedStatus
	}
	rc.Response.Header.Set(fasthttp.HeaderCacheControl, "no-cache")
	return in.answerDocument(rc, code, status.Document, target, accepted)
}

// setPolling sets the two headers that a poller lives by.
func (in *Ingress) setPolling(rc *fasthttp.RequestCtx, target called, accepted bus.Accepted) {
	request := accepted.Request
	location := request.Base + run.StatusPath(request.Called(), accepted.Number)
	rc.Response.Header.Set(fasthttp.HeaderLocation, location+in.statusQuery(target, accepted))
	web.SetRetryAfter(rc, time.Duration(request.RetryAfter)*time.Second)
}

// statusQuery is what the status URL ends in: its signature, where it needs one.
func (in *Ingress) statusQuery(target called, accepted bus.Accepted) string {
	keys := in.options.Links
	if target.Definition != nil && len(target.Auth) > 0 {
		keys = in.options.Keys
	}
	until := accepted.Request.CreatedOn.Add(in.options.Runs.Retention())
	return keys.Query(web.ReadRun, in.options.Runs.StoreID(), accepted.Request.Called(), accepted.Number, until)
}

// rowsQuery is the signature that opens a run's rejected rows, "" for who may not have it: without one nobody
// reads them who only knows the task's id. Where the task asks for credentials, its callers have shown them.
func (in *Ingress) rowsQuery(target called, accepted bus.Accepted) string {
	if target.Definition == nil || target.Deleted || len(target.Auth) == 0 && !target.RejectedRows.Link {
		return ""
	}
	until := accepted.Request.CreatedOn.Add(target.RejectedRows.KeepOf(accepted.Request.DryRun))
	return in.options.Keys.Query(web.ReadRows, in.options.Runs.StoreID(), accepted.Request.Called(), accepted.Number, until)
}

// cancelQuery is the signature with which a caller cancels the run, "" if nothing can be signed.
func (in *Ingress) cancelQuery(target called, accepted bus.Accepted) string {
	if target.Definition == nil || target.Deleted {
		return ""
	}
	until := accepted.Request.CreatedOn.Add(in.options.Runs.Retention())
	return in.options.Keys.Query(web.ControlRun, in.options.Runs.StoreID(), accepted.Request.Called(), accepted.Number, until)
}

func (in *Ingress) answerQueued(rc *fasthttp.RequestCtx, status int, target called, accepted bus.Accepted) error {
	rc.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	return in.answerDocument(rc, status, run.QueuedDocument(accepted.Request, accepted.Number), target, accepted)
}

// answerDocument answers with a document, under the id that was called, and with the signatures that only the
// POST's answer has.
func (in *Ingress) answerDocument(rc *fasthttp.RequestCtx, status int, doc run.Document, target called, accepted bus.Accepted) error {
	base, as := accepted.Request.Base, accepted.Request.Called()
	doc.ExecuteID = as
	doc.PollingURL = base + run.StatusPath(as, accepted.Number) + in.statusQuery(target, accepted)
	if query := in.rowsQuery(target, accepted); doc.RejectedURL != "" || query != "" && doc.Status != run.Done {
		doc.RejectedURL = base + run.RejectedPath(as, accepted.Number) + query
	}
	if query := in.cancelQuery(target, accepted); query != "" && doc.Status != run.Done {
		doc.CancelURL = base + run.CancelPath(as, accepted.Number) + query
	}
	body, err := doc.Encode()
	if err != nil {
		return fmt.Errorf("answer for run %s, which is stored: %w", accepted.Number, err)
	}
	web.SetJSON(rc, status, body)
	return nil
}

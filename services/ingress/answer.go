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
type answerFunc func(ctx context.Context, rc *fasthttp.RequestCtx, target bus.Task, accepted bus.Accepted) error

// answerExecute is for callers who do not wait: 200 and no Location, because a client with the
// asynchronous pattern on would otherwise begin to poll.
func (in *Ingress) answerExecute(_ context.Context, rc *fasthttp.RequestCtx, _ bus.Task, accepted bus.Accepted) error {
	return in.answerQueued(rc, fasthttp.StatusOK, accepted)
}

// answerPolling is for callers who poll: 202 with Location and Retry-After, or, where the caller
// prefers to wait and the run ends in time, what the last poll would answer.
func (in *Ingress) answerPolling(ctx context.Context, rc *fasthttp.RequestCtx, target bus.Task, accepted bus.Accepted) error {
	wait := in.options.Waits.Begin(ctx, rc)
	defer wait.End()
	if !wait.Waits() {
		in.setPolling(rc, accepted)
		return in.answerQueued(rc, fasthttp.StatusAccepted, accepted)
	}
	// A replay's run may be stored under the id that the task had then.
	status, err := in.options.Runs.Await(wait, accepted.Request.Task, accepted.Number)
	if err != nil {
		in.seldom.Line(zerolog.WarnLevel, "waiting").Err(err).Str("task", target.Name).Stringer("run", accepted.Number).Msg("waiting for a run ended early; its caller was told to poll")
		in.setPolling(rc, accepted)
		return in.answerQueued(rc, fasthttp.StatusAccepted, accepted)
	}
	wait.Applied(rc)
	if !status.Final {
		in.setPolling(rc, accepted)
		rc.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
		return in.answerDocument(rc, fasthttp.StatusAccepted, status.Document, accepted)
	}
	code := fasthttp.StatusOK
	if status.Document.Outcome() == run.Failed && target.FailedStatus != 0 {
		code = target.FailedStatus
	}
	rc.Response.Header.Set(fasthttp.HeaderCacheControl, "no-cache")
	return in.answerDocument(rc, code, status.Document, accepted)
}

// setPolling sets the two headers that a poller lives by.
func (in *Ingress) setPolling(rc *fasthttp.RequestCtx, accepted bus.Accepted) {
	request := accepted.Request
	location := request.PollingURL(accepted.Number) + in.options.Links.Query(web.ReadRun, in.options.Runs.StoreID(), request.Task, accepted.Number)
	rc.Response.Header.Set(fasthttp.HeaderLocation, location)
	web.SetRetryAfter(rc, time.Duration(request.RetryAfter)*time.Second)
}

func (in *Ingress) answerQueued(rc *fasthttp.RequestCtx, status int, accepted bus.Accepted) error {
	rc.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	return in.answerDocument(rc, status, run.QueuedDocument(accepted.Request, accepted.Number), accepted)
}

// answerDocument answers with a document and the addresses that only the POST's answer has, because
// they reveal rows.
func (in *Ingress) answerDocument(rc *fasthttp.RequestCtx, status int, doc run.Document, accepted bus.Accepted) error {
	doc.PollingURL = accepted.Request.PollingURL(accepted.Number)
	if in.options.Keys != nil {
		id := accepted.Request.Task
		doc.RejectedURL = accepted.Request.Base + run.RejectedPath(id, accepted.Number) +
			in.options.Keys.Query(web.ControlRun, in.options.Runs.StoreID(), id, accepted.Number)
	}
	body, err := doc.Encode()
	if err != nil {
		return fmt.Errorf("answer for run %s, which is stored: %w", accepted.Number, err)
	}
	web.SetJSON(rc, status, body)
	return nil
}

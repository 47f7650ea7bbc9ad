package ingress

import (
	"context"
	"fmt"
	"time"

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
	return answerQueued(rc, fasthttp.StatusOK, accepted)
}

// answerPolling is for callers who poll: 202 with Location and Retry-After, or, where the caller
// prefers to wait and the run ends in time, what the last poll would answer.
func (in *Ingress) answerPolling(ctx context.Context, rc *fasthttp.RequestCtx, target bus.Task, accepted bus.Accepted) error {
	wait := web.PreferredWait(rc)
	if wait == 0 {
		in.setPolling(rc, accepted)
		return answerQueued(rc, fasthttp.StatusAccepted, accepted)
	}
	limited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	status, err := in.Bus.Await(limited, target.ID, accepted.Number)
	if err != nil {
		in.Log.Warn().Err(err).Str("task", target.Name).Stringer("run", accepted.Number).Msg("waiting for a run ended early; its caller was told to poll")
		in.setPolling(rc, accepted)
		return answerQueued(rc, fasthttp.StatusAccepted, accepted)
	}
	web.SetWaitApplied(rc, wait)
	if !status.Final {
		in.setPolling(rc, accepted)
		rc.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
		web.SetJSON(rc, fasthttp.StatusAccepted, status.Bytes)
		return nil
	}
	code := fasthttp.StatusOK
	if status.Document.Outcome() == run.Failed && target.FailedStatus != 0 {
		code = target.FailedStatus
	}
	rc.Response.Header.Set(fasthttp.HeaderCacheControl, "no-cache")
	web.SetJSON(rc, code, status.Bytes)
	return nil
}

// setPolling sets the two headers that a poller lives by. A replay gets those of the original.
func (in *Ingress) setPolling(rc *fasthttp.RequestCtx, accepted bus.Accepted) {
	request := accepted.Request
	location := request.PollingURL(accepted.Number)
	if in.SignedLinks {
		location += "?sig=" + in.Keys.Sign(web.ReadRun, in.Bus.StoreID(), request.Task, accepted.Number)
	}
	rc.Response.Header.Set(fasthttp.HeaderLocation, location)
	web.SetRetryAfter(rc, time.Duration(request.RetryAfter)*time.Second)
}

func answerQueued(rc *fasthttp.RequestCtx, status int, accepted bus.Accepted) error {
	document := run.QueuedDocument(accepted.Request, accepted.Number)
	body, err := document.Encode()
	if err != nil {
		return fmt.Errorf("answer for run %s, which is stored: %w", accepted.Number, err)
	}
	rc.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	web.SetJSON(rc, status, body)
	return nil
}

package ingress

import (
	"slices"

	"github.com/valyala/fasthttp"

	"runhook/shared/run"
	"runhook/shared/web"
)

// starter is who starts a run, and how.
type starter struct {
	trigger  run.Trigger
	operator string
	repeats  run.Number
	// full: the run reads from the start.
	full bool
	// correction is what the run reads instead of its task's source; nil for that.
	correction *run.Correction
}

// claimed are the triggers that a request may say of itself.
var claimed = []run.Trigger{run.CLI, run.Page}

// starter tells who starts a run. What a request says of that counts with an admin token only: a webhook's caller
// could say anything.
func (in *Ingress) starter(rc *fasthttp.RequestCtx) (by starter, err error) {
	by.trigger = run.Webhook
	header := &rc.Request.Header
	known := in.options.Admin.Knows(rc)
	if known {
		by.operator = web.Operator(rc)
	}
	if trigger := run.Trigger(header.Peek(run.TriggerHeader)); known && slices.Contains(claimed, trigger) {
		by.trigger = trigger
	}
	if by.full = len(header.Peek(run.FullHeader)) > 0; by.full && !known {
		return by, refusal(fasthttp.StatusForbidden, "no-full", "Only an administrator has a run read all rows",
			"The header "+run.FullHeader+" needs an admin token that this service knows (--admin-token-file). Nothing was started.")
	}
	if full := string(header.Peek(run.FullHeader)); by.full && full != "true" {
		return by, refusal(fasthttp.StatusBadRequest, "no-full", "The header cannot be used", run.FullHeader+" is true, or left out. Nothing was started.")
	}
	text := string(header.Peek(run.RepeatHeader))
	if text == "" {
		return by, nil
	}
	if !known {
		return by, refusal(fasthttp.StatusForbidden, "no-repeat", "Only an administrator repeats a run",
			"The header "+run.RepeatHeader+" needs an admin token that this service knows (--admin-token-file). Nothing was started.")
	}
	if by.repeats, err = run.ParseNumber(text); err != nil {
		return by, refusal(fasthttp.StatusBadRequest, "no-repeat", "There is no such run", run.RepeatHeader+": "+err.Error()+".")
	}
	by.trigger = run.Again
	return by, nil
}

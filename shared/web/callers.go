package web

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"

	"runhook/shared/caller"
	"runhook/shared/seldom"
	"runhook/shared/task"
)

// Callers lets in who may call a task, as the task's auth says. It is safe for concurrent use.
type Callers struct {
	checker *caller.Checker
	locator *Locator
	limits  limits
	seldom  *seldom.Log
}

// NewCallers lets in who has one of those secrets, which may be nil, or a token.
func NewCallers(secrets *caller.Secrets, locator *Locator, log zerolog.Logger) *Callers {
	return &Callers{checker: caller.NewChecker(secrets), locator: locator, seldom: seldom.New(log)}
}

// Check returns who sends a POST to a task, nobody in particular where the task has no auth. The error is a
// Problem: 429 above the task's rate_limit, 401, alike for what is missing and what is wrong, or 503 while the
// operator has to do something.
func (c *Callers) Check(ctx context.Context, rc *fasthttp.RequestCtx, def *task.Definition) (caller.Caller, error) {
	if len(def.Auth) == 0 && def.RateLimit.Count == 0 {
		return caller.Caller{}, nil
	}
	if rate := def.RateLimit; rate.Count > 0 {
		left, reset, wait := c.limits.take(rate, limitedAddr(def.ID, c.locator.Client(rc), false), time.Now())
		tellLimit(rc, rate, left, reset)
		if wait > 0 {
			return caller.Caller{}, errTooMany(rate, wait)
		}
	}
	if len(def.Auth) == 0 {
		return caller.Caller{}, nil
	}
	known, err := c.checker.Check(ctx, def.Auth, sent(rc, false))
	if err == nil {
		return known, nil
	}
	if c.logUnready(def, err) {
		return known, errNotReady
	}
	c.seldom.Line(zerolog.WarnLevel, "refused "+def.Name).Err(err).Str("task", def.Name).Stringer("address", c.locator.Client(rc)).Msg("a caller was refused")
	for _, challenge := range challenges(def) {
		rc.Response.Header.Add(fasthttp.HeaderWWWAuthenticate, challenge)
	}
	return known, errUnknownCaller
}

// Refuses reports whether Check will refuse a POST to a task, for its headers alone.
func (c *Callers) Refuses(head Head, def *task.Definition) bool {
	return c.checker.Refuses(head.ctx, def.Auth, func(name string) []byte { return head.Peek(name) })
}

// Knows reports whether a request that only reads carries what a task's auth asks for. A task without auth asks
// for nothing that anybody could know. The error is a Problem: 429 after as many guesses as rate_limit allows.
func (c *Callers) Knows(ctx context.Context, rc *fasthttp.RequestCtx, def *task.Definition) (bool, error) {
	header := &rc.Request.Header
	if len(def.Auth) == 0 || len(header.Peek(fasthttp.HeaderAuthorization)) == 0 && len(header.Peek("X-Api-Key")) == 0 {
		return false, nil
	}
	rate, who := def.RateLimit, limitedAddr(def.ID, c.locator.Client(rc), true)
	if rate.Count > 0 {
		if wait := c.limits.full(rate, who, time.Now()); wait > 0 {
			return false, errTooMany(rate, wait)
		}
	}
	_, err := c.checker.Check(ctx, def.Auth, sent(rc, true))
	if err == nil {
		return true, nil
	}
	c.logUnready(def, err)
	if rate.Count > 0 {
		c.limits.take(rate, who, time.Now())
	}
	return false, nil
}

// logUnready logs that the operator has to do something before a task's callers are known, if that is why one is not.
func (c *Callers) logUnready(def *task.Definition, err error) bool {
	refused, ok := errors.AsType[*caller.Refused](err)
	if !ok || !refused.Unready {
		return false
	}
	c.seldom.Line(zerolog.ErrorLevel, "unready "+def.Name).Err(err).Str("task", def.Name).Msg("callers of the task are refused until this is mended")
	return true
}

// sent is what a request carries.
func sent(rc *fasthttp.RequestCtx, reads bool) caller.Request {
	return caller.Request{
		Header: func(name string) []byte { return rc.Request.Header.Peek(name) },
		Body:   rc.Request.Body(),
		Reads:  reads,
	}
}

// errNotReady is the answer while a task's auth names what is not there.
var errNotReady = &Problem{
	Kind: "not-ready", Status: fasthttp.StatusServiceUnavailable, RetryAfter: 30 * time.Second, Unlogged: true,
	Detail: "The server cannot check callers of this task at the moment; its log says why.",
}

// errUnknownCaller is the answer to whoever a task's auth does not let in. It says nothing of why.
var errUnknownCaller = &Problem{
	Kind: "unknown-caller", Status: fasthttp.StatusUnauthorized,
	Detail: "This task takes requests from known callers only. Send the key, signature or token that its owner gave you.",
}

// challenges are the ways that a task's auth offers, as RFC 9110 has them in WWW-Authenticate.
func challenges(def *task.Definition) (offered []string) {
	offer := func(challenge string) {
		if !slices.Contains(offered, challenge) {
			offered = append(offered, challenge)
		}
	}
	for _, way := range def.Auth {
		switch {
		case way.HMAC != nil:
			offer(`HMAC realm="runhook"`)
		case way.JWT != nil:
			offer(`Bearer realm="runhook"`)
		default:
			offer(`Bearer realm="runhook"`)
			offer(`Basic realm="runhook", charset="UTF-8"`)
		}
	}
	return offered
}

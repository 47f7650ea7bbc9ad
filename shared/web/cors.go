package web

import (
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"runhook/shared/task"
)

// CORS lets pages of other sites call a route and read its answers, errors included.
type CORS struct {
	// Origins returns the origins that may call, as scheme://host[:port]; "*" or none at all is any.
	// It is asked for every request, before the handler. nil allows any origin.
	Origins func(rc *fasthttp.RequestCtx) []string
}

// TaskOrigins lets the pages call that a request's task allows. find returns that task; nil, where
// the request names none, lets any page read that.
func TaskOrigins(find func(rc *fasthttp.RequestCtx) *task.Definition) *CORS {
	return &CORS{Origins: func(rc *fasthttp.RequestCtx) []string {
		if found := find(rc); found != nil {
			return found.AllowOrigins
		}
		return nil
	}}
}

// AnyOrigin allows every page.
var AnyOrigin = &CORS{}

// exposedHeaders are those that a page's script may read.
const exposedHeaders = "Location, Retry-After, ETag, Idempotency-Replayed, Preference-Applied"

// preflightMaxAge is how long a browser may keep a preflight's answer: two hours, its own limit.
const preflightMaxAge = "7200"

// errOtherOrigin is the answer to a page that may not call.
var errOtherOrigin = &Problem{
	Kind: "other-origin", Status: fasthttp.StatusForbidden,
	Detail: "Pages of this origin may not call this task, so nothing was done. The task's allow_origins lists those that may.",
}

// apply sets the headers that every answer carries. An origin that is not listed gets none of them: the
// browser keeps the answer from the page. What only reads is answered all the same. Everything else is an
// error, because a page can send a form, or POST with no-cors, without asking first.
func (c *CORS) apply(rc *fasthttp.RequestCtx) error {
	header := &rc.Response.Header
	var origins []string
	if c.Origins != nil {
		origins = c.Origins(rc)
	}
	if len(origins) == 0 || slices.Contains(origins, "*") {
		header.Set(fasthttp.HeaderAccessControlAllowOrigin, "*")
		header.Set(fasthttp.HeaderAccessControlExposeHeaders, exposedHeaders)
		return nil
	}
	origin := rc.Request.Header.Peek(fasthttp.HeaderOrigin)
	allowed := len(origin) > 0 && slices.ContainsFunc(origins, func(listed string) bool { return strings.EqualFold(listed, string(origin)) })
	header.Add(fasthttp.HeaderVary, fasthttp.HeaderOrigin)
	if allowed {
		header.SetBytesV(fasthttp.HeaderAccessControlAllowOrigin, origin)
		header.Set(fasthttp.HeaderAccessControlExposeHeaders, exposedHeaders)
	}
	reads := rc.IsGet() || rc.IsHead() || rc.IsOptions()
	if len(origin) > 0 && !allowed && !reads {
		return errOtherOrigin
	}
	return nil
}

// preflight adds what only the answer to a preflight carries, unless its origin was refused.
func (c *CORS) preflight(rc *fasthttp.RequestCtx, methods []string) {
	header := &rc.Response.Header
	if len(rc.Request.Header.Peek(fasthttp.HeaderAccessControlRequestMethod)) == 0 ||
		len(header.Peek(fasthttp.HeaderAccessControlAllowOrigin)) == 0 {
		return
	}
	header.Del(fasthttp.HeaderAccessControlExposeHeaders)
	header.Set(fasthttp.HeaderAccessControlAllowMethods, strings.Join(methods, ", "))
	header.Set(fasthttp.HeaderAccessControlMaxAge, preflightMaxAge)
	header.Add(fasthttp.HeaderVary, fasthttp.HeaderAccessControlRequestHeaders)
	// Whatever headers a page wants to send are allowed: those we do not know are ignored.
	if wanted := rc.Request.Header.Peek(fasthttp.HeaderAccessControlRequestHeaders); isHeaderList(wanted) {
		header.SetBytesV(fasthttp.HeaderAccessControlAllowHeaders, wanted)
	}
}

// isHeaderList reports whether text is a list of header names that may be repeated in an answer.
func isHeaderList(text []byte) bool {
	listed := func(c byte) bool { return isTokenByte(c) || c == ',' || c == ' ' }
	return len(text) > 0 && len(text) <= 1024 && allBytes(text, listed)
}

// isTokenByte reports whether c may stand in a token of RFC 9110.
func isTokenByte(c byte) bool {
	return c > ' ' && c < 0x7f && !strings.ContainsRune(`"(),/:;<=>?@[\]{}`, rune(c))
}

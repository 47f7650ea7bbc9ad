package web

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/fasthttp/router"
	"github.com/valyala/fasthttp"
)

// Head is a request whose body was not read yet.
type Head struct {
	*fasthttp.RequestHeader
	// ctx ends when the server begins to stop.
	ctx context.Context
	rc  *fasthttp.RequestCtx
}

// PathValue is [PathValue] of the request.
func (h Head) PathValue(name string) string { return PathValue(h.rc, name) }

// unreadKey is the user value of a request whose body was left unread, because its headers were enough to
// refuse it.
const unreadKey = "runhook.unread"

// errUnread is the answer where such a request is no longer refused, as a task has come in between.
var errUnread = &Problem{
	Kind: "unread", Status: fasthttp.StatusServiceUnavailable, RetryAfter: time.Second, Unlogged: true,
	Detail: "Something has changed while the request came, so its body was not read and nothing was done; send it again.",
}

// Body returns the body of a request, which is valid until the handler returns. The handler of a route with
// Refuses must read it by this alone: the error is that the body was not read.
func Body(rc *fasthttp.RequestCtx) ([]byte, error) {
	if rc.UserValue(unreadKey) != nil {
		return nil, errUnread
	}
	return rc.PostBody(), nil
}

// probe looks up the route of a request that is not read yet.
type probe struct {
	ctx     context.Context
	rc      fasthttp.RequestCtx
	uri     fasthttp.URI
	header  *fasthttp.RequestHeader
	refused bool
	// most is the route's MaxBody.
	most int
}

var probes = sync.Pool{New: func() any { return new(probe) }}

// probeKey is the user value by which a handler of a table's heads finds its probe.
const probeKey = "runhook.probe"

// handleHead has the heads of a table know a route.
func (t *table) handleHead(method string, r Route) {
	t.heads.Handle(method, r.Pattern, func(rc *fasthttp.RequestCtx) {
		p := rc.UserValue(probeKey).(*probe)
		p.refused = r.Refuses != nil && r.Refuses(Head{p.header, p.ctx, rc}) || r.MaxBody > 0 && p.header.ContentLength() > r.MaxBody
		p.most = r.MaxBody
	})
}

// refuses reports whether a request will be refused for its headers alone: there is no such path, no such
// method of it, or the route says so. most is the route's MaxBody, 0 for the server's.
func (t *table) refuses(ctx context.Context, header *fasthttp.RequestHeader) (refused bool, most int) {
	p := probes.Get().(*probe)
	defer probes.Put(p)
	if p.uri.Parse(nil, header.RequestURI()) != nil {
		return true, 0
	}
	path := p.uri.PathOriginal()
	if isCrooked(path) {
		return true, 0
	}
	p.ctx, p.header, p.refused, p.most = ctx, header, false, 0
	p.rc.ResetUserValues()
	p.rc.SetUserValue(probeKey, p)
	handler, _ := t.heads.Lookup(string(header.Method()), string(path), &p.rc)
	if handler == nil {
		return true, 0
	}
	handler(&p.rc)
	return p.refused, p.most
}

// unreadLength is the length that a body is given to be refused unread.
const unreadLength = 2

// UploadTimeout bounds the arrival of a request with a body that only its route's MaxBody allows.
const UploadTimeout = 5 * time.Minute

// headerReceived is called before the body of a request is read, and before the client is told to continue. It
// makes fasthttp refuse a body unread that is too large, and that of a request which is refused anyway.
func (s *Server) headerReceived(header *fasthttp.RequestHeader) fasthttp.RequestConfig {
	const none = -2 // neither a length nor chunks
	length := header.ContentLength()
	if length == 0 || length == none {
		return fasthttp.RequestConfig{}
	}
	switch refused, most := s.table.Load().refuses(s.stopping, header); {
	case length > s.maxBody && most == 0:
		header.Del(fasthttp.HeaderExpect)
	case refused && s.maxBody >= unreadLength:
		header.Del(fasthttp.HeaderExpect)
		header.SetContentLength(unreadLength)
		return fasthttp.RequestConfig{MaxRequestBodySize: unreadLength - 1}
	case most > s.maxBody && length > s.maxBody:
		return fasthttp.RequestConfig{MaxRequestBodySize: most, ReadTimeout: UploadTimeout}
	}
	return fasthttp.RequestConfig{}
}

// refuseUnread answers a request that could not be read whole, or was not. The connection is closed after it,
// so it lingers: else the reset would overtake the answer on its way to a client still sending.
func (s *Server) refuseUnread(rc *fasthttp.RequestCtx, err error) {
	c, ok := rc.Conn().(*conn)
	if ok {
		c.lingers.Store(true)
		_ = c.SetWriteDeadline(time.Now().Add(lingerTotal)) // if it fails, so does the write
	}
	if errors.Is(err, fasthttp.ErrBodyTooLarge) && rc.Request.Header.ContentLength() == unreadLength && s.maxBody >= unreadLength {
		rc.SetUserValue(unreadKey, true)
		s.handle(rc)
		return
	}
	setSafety(rc)
	p := s.problemOfRead(err)
	if ok && c.full {
		p = errBodies
	}
	rc.SetUserValue(refusalKey, p)
	t := s.table.Load()
	if at, _ := t.Lookup(router.MethodWild, string(rc.Request.URI().PathOriginal()), rc); at != nil {
		at(rc)
		return
	}
	s.notFound(t, rc)
}

package web

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/fasthttp/router"
	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"
)

// Handler answers one request, or returns the error that the client is to be told (see Problem).
// ctx ends when the server begins to stop: waits end with it, and what must not be cut short uses
// context.WithoutCancel with a time-out of its own. Bytes got from rc are valid until the handler
// returns; what outlives it must be copied.
type Handler func(ctx context.Context, rc *fasthttp.RequestCtx) error

// Route is one row of a service's table of routes.
type Route struct {
	Method string
	// Pattern is a path whose {name} segments PathValue reads. A GET route answers HEAD too.
	Pattern string
	// Summary is one line for the API's description.
	Summary string
	Handler Handler
	// Always: the route is answered also while there are too many connections, and under any Host.
	Always bool
	// Inner: the route shows or changes what is inside, so it is answered under the server's own names only. The
	// routes of one pattern share it.
	Inner bool
	// Refuses reports whether the handler will refuse a request for its headers and path alone. Its body is not
	// read then: see Body. Nil refuses none.
	Refuses func(Head) bool
	// MaxBody is the largest body in bytes that the route takes, where that is more than the server's MaxBody. Such a
	// body may take UploadTimeout to arrive. What is larger is refused as if Refuses had.
	MaxBody int
	// CORS lets pages of other sites call the route; nil for none. The routes of one pattern share
	// what the first of them has. A preflight is answered without a route of its own.
	CORS *CORS
}

// handler is the route's handler, without requests on spare connections unless it is answered always.
func (r Route) handler() Handler {
	if r.Always {
		return r.Handler
	}
	return func(ctx context.Context, rc *fasthttp.RequestCtx) error {
		if isSpare(rc) {
			return errCrowded
		}
		if r.Refuses == nil && rc.UserValue(unreadKey) != nil { // the route was mounted in between
			return errUnread
		}
		return r.Handler(ctx, rc)
	}
}

// PathValue returns the decoded segment of the path that a pattern calls {name}; what cannot be
// decoded is returned as it stands. The result may alias the request.
func PathValue(rc *fasthttp.RequestCtx, name string) string {
	raw, _ := rc.UserValue(name).(string)
	if !strings.Contains(raw, "%") {
		return raw
	}
	if decoded, err := url.PathUnescape(raw); err == nil {
		return decoded
	}
	return raw
}

// site is what the routes of one pattern share.
type site struct {
	pattern string
	methods []string
	cors    *CORS
	inner   bool
	always  bool
}

// refusalKey is the user value under which a request that was refused before it was routed carries
// its Problem to its site's refuse.
const refusalKey = "runhook.refusal"

// table is the routes that a server answers at one time.
type table struct {
	*router.Router
	// heads has the same routes, for requests whose bodies are not read yet.
	heads *router.Router
	// corsPrefixes begin the paths that pages of other sites may call.
	corsPrefixes []string
	// starting: Mount brings the others later.
	starting bool
}

// newTable builds the router of all routes. It never redirects; a known path with another method is
// 405 with Allow, an unknown one 404, both as problems.
func (s *Server) newTable(routes []Route) (t *table, err error) {
	t = &table{Router: router.New(), heads: router.New()}
	t.RedirectTrailingSlash = false
	t.RedirectFixedPath = false
	t.HandleMethodNotAllowed = false
	t.HandleOPTIONS = false
	t.NotFound = func(rc *fasthttp.RequestCtx) { s.notFound(t, rc) }
	defer func() { // the router panics on patterns that contradict each other
		if fault := recover(); fault != nil {
			err = fmt.Errorf("mount the routes: %v", fault)
		}
	}()

	var sites []*site
	bySite := make(map[string]*site)
	for _, r := range routes {
		at := bySite[r.Pattern]
		if at == nil {
			at = &site{pattern: r.Pattern, cors: r.CORS, inner: r.Inner, always: r.Always}
			bySite[r.Pattern] = at
			sites = append(sites, at)
		}
		if slices.Contains(at.methods, r.Method) {
			return nil, fmt.Errorf("mount the routes: %s %s is there twice", r.Method, r.Pattern)
		}
		at.methods = append(at.methods, r.Method)
	}
	for _, r := range routes {
		at := bySite[r.Pattern]
		t.Handle(r.Method, r.Pattern, s.wrap(at, r.handler()))
		t.handleHead(r.Method, r)
		if r.Method == fasthttp.MethodGet && !slices.Contains(at.methods, fasthttp.MethodHead) {
			at.methods = append(at.methods, fasthttp.MethodHead)
			t.Handle(fasthttp.MethodHead, r.Pattern, s.wrap(at, r.handler()))
			t.handleHead(fasthttp.MethodHead, r)
		}
	}
	for _, at := range sites {
		if !slices.Contains(at.methods, fasthttp.MethodOptions) {
			at.methods = append(at.methods, fasthttp.MethodOptions)
			t.Handle(fasthttp.MethodOptions, at.pattern, s.wrap(at, at.options))
			t.handleHead(fasthttp.MethodOptions, Route{Pattern: at.pattern})
		}
		slices.Sort(at.methods)
		t.Handle(router.MethodWild, at.pattern, s.wrap(at, at.refuse))
		if prefix, _, found := strings.Cut(at.pattern, "{"); at.cors != nil && found {
			t.corsPrefixes = append(t.corsPrefixes, prefix)
		}
	}
	return t, nil
}

// isSpare reports whether a request came on a connection for which there is no room.
func isSpare(rc *fasthttp.RequestCtx) bool {
	c, ok := rc.Conn().(*conn)
	return ok && c.spare && !c.server.crowd.promote(c)
}

// handle answers a request; a spare connection ends with it.
func (s *Server) handle(rc *fasthttp.RequestCtx) {
	setSafety(rc)
	if isSpare(rc) {
		rc.SetConnectionClose()
	}
	if isCrooked(rc.URI().PathOriginal()) {
		errCrooked.write(rc)
		s.logAccess(rc, time.Time{})
		return
	}
	s.table.Load().Handler(rc)
}

// options answers a preflight, and an OPTIONS request that is none.
func (at *site) options(_ context.Context, rc *fasthttp.RequestCtx) error {
	rc.Response.Header.Set(fasthttp.HeaderAllow, strings.Join(at.methods, ", "))
	if asksForPrivate(&rc.Request.Header) {
		return errPrivate
	}
	if at.cors != nil {
		at.cors.preflight(rc, at.methods)
	}
	rc.SetStatusCode(fasthttp.StatusNoContent)
	return nil
}

// refuse answers a request to a known path that no route takes, or that could not be read whole.
func (at *site) refuse(_ context.Context, rc *fasthttp.RequestCtx) error {
	if p, ok := rc.UserValue(refusalKey).(*Problem); ok {
		return p
	}
	allow := strings.Join(at.methods, ", ")
	rc.Response.Header.Set(fasthttp.HeaderAllow, allow)
	return Refuse(fasthttp.StatusMethodNotAllowed, "This address takes "+allow+".")
}

// notFound answers a path that no pattern fits, and a request that ended before its path was known.
func (s *Server) notFound(t *table, rc *fasthttp.RequestCtx) {
	p, unread := rc.UserValue(refusalKey).(*Problem)
	if !unread && t.starting {
		s.refuseStarting(rc)
		return
	}
	if !unread {
		p = Refuse(fasthttp.StatusNotFound, "There is nothing at this address.")
	}
	path := string(rc.Request.URI().PathOriginal())
	if slices.ContainsFunc(t.corsPrefixes, func(prefix string) bool {
		// What is said of an unread request tells nothing about any task: every page may read it.
		return unread || strings.HasPrefix(path, prefix)
	}) {
		_ = AnyOrigin.apply(rc) // which refuses none
	}
	p.write(rc)
	s.logAccess(rc, time.Time{})
}

// wrap makes a router's handler of ours: cross-origin headers on every answer, errors to problems,
// panics to 500, and the access log.
func (s *Server) wrap(at *site, handle Handler) fasthttp.RequestHandler {
	return func(rc *fasthttp.RequestCtx) {
		var start time.Time
		if s.logsAccess {
			start = time.Now()
		}
		if at.inner {
			setInnerSafety(rc)
		}
		err := s.hosts.refuse(at, rc)
		if err == nil && at.cors != nil {
			err = at.cors.apply(rc)
		}
		if err == nil {
			err = s.guarded(handle, rc)
		}
		if err != nil {
			s.answerError(rc, err)
		}
		s.logAccess(rc, start)
	}
}

// panicked is the error of a handler that panicked.
type panicked struct {
	value any
	stack []byte
}

// Error leaves out what was panicked with, for it may hold a secret or a cell's value. The runtime's own panics
// speak of types and indexes only.
func (p *panicked) Error() string {
	if known, ok := p.value.(runtime.Error); ok {
		return "panic: " + known.Error()
	}
	return fmt.Sprintf("panic with a %T; the stack says where", p.value)
}

func (s *Server) guarded(handle Handler, rc *fasthttp.RequestCtx) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &panicked{value: value, stack: debug.Stack()}
		}
	}()
	return handle(s.stopping, rc)
}

// answerError writes the problem of an error and logs, once in a while, what only the operator should see.
func (s *Server) answerError(rc *fasthttp.RequestCtx, err error) {
	p := ProblemOf(err)
	if p.Status >= fasthttp.StatusInternalServerError && !p.Unlogged {
		level, cause := zerolog.WarnLevel, cmp.Or(p.Kind, p.Detail)
		if p.Status == fasthttp.StatusInternalServerError {
			level, cause = zerolog.ErrorLevel, err.Error()
		}
		line := s.seldom.Line(level, cause).Bytes("method", rc.Method()).Bytes("path", rc.Path()).Int("status", p.Status)
		if fault, ok := err.(*panicked); ok {
			line = line.Bytes("stack", fault.stack)
		}
		line.AnErr("error", cmp.Or[error](p.Cause, p)).Msg("request failed")
	}
	p.write(rc)
}

// logAccess writes the access log's line, without the query: it may hold a signature.
func (s *Server) logAccess(rc *fasthttp.RequestCtx, start time.Time) {
	if !s.logsAccess {
		return
	}
	line := s.log.Debug().Bytes("method", rc.Method()).Bytes("path", rc.Path()).
		Int("status", rc.Response.StatusCode()).Stringer("peer", rc.RemoteAddr())
	if !start.IsZero() {
		line = line.Dur("duration", time.Since(start))
	}
	line.Msg("request")
}

package web

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"

	"runhook/shared/audit"
	"runhook/shared/session"
)

// Admit has the guard let in, by their cookies, those who are signed in to the page.
func (a *Admin) Admit(sessions *session.Keeper) { a.sessions.Store(sessions) }

// renewAfter is how long a session is used before its cookie says so: its idle end is at most so much early.
const renewAfter = 5 * time.Minute

// The names of what a page of ours sends with a change. A form has the field, so that it works without a script; a
// script may send the header.
const (
	FormTokenField  = "form_token"
	FormTokenHeader = "X-Form-Token"
)

// backgroundHeader marks the requests that a page's script makes by itself, which do not use a session.
const backgroundHeader = "X-Runhook-Console"

// SetBackground marks a request as one that a page's script makes by itself.
func SetBackground(rc *fasthttp.RequestCtx) { rc.Request.Header.Set(backgroundHeader, "1") }

// viaPageKey is the user value that tells that an operator is let in by a session.
const viaPageKey = "runhook.page"

// ViaPage reports whether Check has let a request in by a session of the page, for the log.
func ViaPage(rc *fasthttp.RequestCtx) bool { return rc.UserValue(viaPageKey) != nil }

var (
	errOtherPage = &Problem{
		Kind: "other-page", Title: "The request is not from a page of this server", Status: fasthttp.StatusForbidden,
		Detail: "The Origin of the request is not this server's address, so nothing was changed. If a proxy is in front of the server, name it in --trusted-proxies, or set --public-url.",
	}
	errFormToken = &Problem{
		Kind: "form-token", Title: "The form is not of this session", Status: fasthttp.StatusForbidden,
		Detail: "The form does not have the token of this session, so nothing was changed. Load the page again, and send it once more.",
	}
	errSignedOut = &Problem{
		Kind: "signed-out", Title: "You are signed out", Status: fasthttp.StatusUnauthorized,
		Detail: "Your session has ended, so nothing was done. Sign in again.",
	}
	errWrongCode = &Problem{
		Kind: "wrong-code", Title: "Nobody was signed in", Status: fasthttp.StatusUnauthorized,
		Detail: "This is no admin token, and no code of a link that still signs in: a link does so once, and for 10 minutes. `runhook console` prints another.",
	}
	errManyLinks = &Problem{
		Kind: "too-many-links", Title: "Too many links are open", Status: fasthttp.StatusTooManyRequests, RetryAfter: session.LinkFor,
		Detail: "There are 20 links of this token that sign in and that nobody has used, or 100 of all tokens, so none was made. Each is over after 10 minutes.",
	}
	errNoSessions = &Problem{
		Kind: "no-sessions", Title: "Nobody can sign in yet", Status: fasthttp.StatusServiceUnavailable, RetryAfter: 5 * time.Second,
		Detail: "The server is starting, so nobody can sign in yet; try again.",
	}
)

// Visitor returns the session of whoever is signed in on the page, and notes that it was used. The error is ErrNone of
// package session without one, and a Problem if it has ended, or if the store cannot tell.
func (a *Admin) Visitor(ctx context.Context, rc *fasthttp.RequestCtx) (session.Session, error) {
	keeper := a.sessions.Load()
	if keeper == nil {
		return session.Session{}, session.ErrNone
	}
	visit, cookie, err := a.opened(keeper, rc)
	if err == nil {
		err = keeper.Check(ctx, visit)
	}
	switch {
	case errors.Is(err, session.ErrOver):
		clearCookie(rc, cookie)
		rc.Response.Header.Set(fasthttp.HeaderWWWAuthenticate, "Bearer")
		return session.Session{}, errSignedOut
	case err != nil:
		return session.Session{}, err
	}
	if now := time.Now(); now.Sub(visit.Used) >= renewAfter && len(rc.Request.Header.Peek(backgroundHeader)) == 0 {
		visit.Used = now
		setCookie(rc, cookie, visit)
	}
	return visit, nil
}

// opened is the session of a request's cookie. Of two that are sent under one name, one was planted by somebody else:
// none counts.
func (a *Admin) opened(keeper *session.Keeper, rc *fasthttp.RequestCtx) (visit session.Session, cookie string, err error) {
	scheme, host, _ := a.locator.seen(rc)
	visit, cookie, err = a.openedAs(keeper, rc, true, string(host))
	if errors.Is(err, session.ErrNone) && scheme != "https" { // whoever is between could plant one that comes without TLS
		return a.openedAs(keeper, rc, false, string(host))
	}
	return visit, cookie, err
}

// openedAs is opened, of one of the two names.
func (a *Admin) openedAs(keeper *session.Keeper, rc *fasthttp.RequestCtx, secure bool, host string) (visit session.Session, cookie string, err error) {
	cookie, err = cookieName(secure, host), session.ErrNone
	for name, value := range rc.Request.Header.Cookies() {
		if string(name) != cookie {
			continue
		}
		opened, fault := keeper.Open(string(value), a.operators())
		switch {
		case errors.Is(fault, session.ErrOver) && err != nil:
			err = fault
		case fault != nil || opened.Secure != secure:
		case err == nil && !opened.Same(visit):
			return session.Session{}, "", session.ErrNone
		default:
			visit, err = opened, nil
		}
	}
	return visit, cookie, err
}

// mayBe is the operator whose cookie a request has, by its headers alone; nil if there is none.
func (a *Admin) mayBe(header *fasthttp.RequestHeader) *session.Operator {
	keeper := a.sessions.Load()
	if keeper == nil {
		return nil
	}
	for name, value := range header.Cookies() {
		if !bytes.HasPrefix(bytes.TrimPrefix(name, []byte(securePrefix)), []byte(cookieBase)) {
			continue
		}
		if opened, err := keeper.Open(string(value), a.operators()); err == nil {
			return &opened.Operator
		}
	}
	return nil
}

// admit lets a session in, or says why it may not do what a request asks for.
func (a *Admin) admit(rc *fasthttp.RequestCtx, visit session.Session) error {
	if header := &rc.Request.Header; !header.IsGet() && !header.IsHead() {
		if visit.ReadOnly {
			return onlyReads(visit.Name)
		}
		if err := a.ofOurPage(rc, visit); err != nil {
			return err
		}
	}
	rc.SetUserValue(operatorKey, visit.Name)
	rc.SetUserValue(readsOnlyKey, visit.ReadOnly)
	rc.SetUserValue(viaPageKey, true)
	return nil
}

// ofOurPage refuses a change that a form of the session's has not sent.
func (a *Admin) ofOurPage(rc *fasthttp.RequestCtx, visit session.Session) error {
	if _, own := a.ownPage(rc); !own {
		return errOtherPage
	}
	if !visit.Proves(formToken(rc)) {
		return errFormToken
	}
	return nil
}

// formToken is the token that a form or a script sends.
func formToken(rc *fasthttp.RequestCtx) []byte {
	if token := rc.Request.Header.Peek(FormTokenHeader); len(token) > 0 {
		return token
	}
	if bytes.HasPrefix(rc.Request.Header.ContentType(), []byte("multipart/form-data")) {
		if form, err := rc.MultipartForm(); err == nil && len(form.Value[FormTokenField]) == 1 {
			return []byte(form.Value[FormTokenField][0])
		}
		return nil
	}
	return rc.PostArgs().Peek(FormTokenField) // of a body that is a form
}

// ownPage reports whether a page of this server has sent a request, by its Origin, which browsers send with every
// change; secure: by TLS, as far as the browser is concerned. The scheme counts too: whoever can answer in the place
// of http://NAME is not the server at https://NAME.
func (a *Admin) ownPage(rc *fasthttp.RequestCtx) (secure, own bool) {
	origin, err := url.Parse(string(rc.Request.Header.Peek(fasthttp.HeaderOrigin)))
	if err != nil || origin.Host == "" || a.crossSite(rc) {
		return false, false
	}
	scheme, host, _ := a.locator.seen(rc)
	is := func(scheme, host string) bool {
		return origin.Scheme == scheme && strings.EqualFold(withoutPort(scheme, origin.Host), withoutPort(scheme, host))
	}
	own = is(scheme, string(host))
	if public, err := url.Parse(a.locator.PublicURL()); err == nil && public.Host != "" {
		own = own || is(public.Scheme, public.Host)
	}
	return origin.Scheme == "https", own
}

// withoutPort is a host without the port that goes without saying.
func withoutPort(scheme, host string) string {
	if scheme == "https" {
		return strings.TrimSuffix(host, ":443")
	}
	return strings.TrimSuffix(host, ":80")
}

// names reports whether the server goes by a host's name, if its names are known.
func (l *Locator) names(host []byte) bool {
	return l == nil || l.hosts == nil || l.hosts.names[hostName(string(host))]
}

// The cookie's name. Browsers keep one of securePrefix for TLS and for this host alone. The port is in it, because
// they send the cookies of all ports of a host to each: two servers on one machine do not take each other's.
const (
	cookieBase   = "runhook"
	securePrefix = "__Host-"
)

func cookieName(secure bool, host string) string {
	name := cookieBase
	if _, port, err := net.SplitHostPort(host); err == nil {
		name += "-" + port
	}
	if secure {
		name = securePrefix + name
	}
	return name
}

// setCookie has the browser keep a session that was used now, until it ends.
func setCookie(rc *fasthttp.RequestCtx, name string, visit session.Session) {
	cookie := fasthttp.AcquireCookie()
	defer fasthttp.ReleaseCookie(cookie)
	cookie.SetKey(name)
	cookie.SetValue(visit.Cookie(visit.Used))
	cookie.SetPath("/")
	cookie.SetHTTPOnly(true)
	cookie.SetSameSite(fasthttp.CookieSameSiteStrictMode)
	cookie.SetSecure(visit.Secure)
	cookie.SetMaxAge(max(1, int(time.Until(visit.Ends())/time.Second)))
	rc.Response.Header.SetCookie(cookie)
}

// clearCookie has the browser forget a session.
func clearCookie(rc *fasthttp.RequestCtx, name string) {
	cookie := fasthttp.AcquireCookie()
	defer fasthttp.ReleaseCookie(cookie)
	cookie.SetKey(name)
	cookie.SetPath("/")
	cookie.SetHTTPOnly(true)
	cookie.SetSameSite(fasthttp.CookieSameSiteStrictMode)
	cookie.SetSecure(strings.HasPrefix(name, securePrefix))
	cookie.SetExpire(fasthttp.CookieExpireDelete)
	rc.Response.Header.SetCookie(cookie)
}

// SignIn begins a session for whoever sends the code of a link, or an admin token, by a form of this server's page,
// and sets its cookie. Another page could sign an operator in as somebody else, so the Origin must be ours. What is
// wrong is logged and waits, as a wrong token does.
func (a *Admin) SignIn(ctx context.Context, rc *fasthttp.RequestCtx, secret []byte) error {
	secure, own := a.ownPage(rc)
	if !own {
		return errOtherPage
	}
	keeper := a.sessions.Load()
	if keeper == nil {
		return errNoSessions
	}
	secret = bytes.TrimSpace(secret)
	// A stop must not cut the use of a code short, because the link would be used up for nothing.
	uncut := context.WithoutCancel(ctx)
	var visit session.Session
	var err error
	by := "token"
	if operator := a.operator(secret); operator != nil {
		visit, err = keeper.Begin(uncut, *operator, secure)
	} else {
		by = "link"
		visit, err = keeper.Redeem(uncut, string(secret), a.operators(), secure)
	}
	if errors.Is(err, session.ErrNone) {
		a.seldom.Line(zerolog.WarnLevel, "code").Stringer("address", a.locator.Client(rc)).
			Msg("a wrong code or token was refused on the sign-in page; if nobody used an old link, somebody tries to get in")
		a.pause(ctx)
		rc.Response.Header.Set(fasthttp.HeaderWWWAuthenticate, "Bearer")
		return errWrongCode
	}
	if err != nil {
		return err
	}
	_, host, _ := a.locator.seen(rc)
	setCookie(rc, cookieName(secure, string(host)), visit)
	a.audit(rc, visit).Str("with", by).Bool("reads_only", visit.ReadOnly).Msg("an operator signed in")
	a.keep(uncut, audit.Line{By: visit.Name, Via: "page", Address: a.locator.Client(rc).String(), What: audit.SignIn, Detail: "with a " + by})
	return nil
}

// SignOut ends the session that a form of the page is of, and with everywhere each session of the operator's name. The
// browser forgets the cookie also if the store is away, so that nobody else finds it there.
func (a *Admin) SignOut(ctx context.Context, rc *fasthttp.RequestCtx, everywhere bool) error {
	visit, err := a.Visitor(ctx, rc)
	if errors.Is(err, session.ErrNone) || errors.Is(err, errSignedOut) {
		return nil // as it is to be
	}
	if err != nil {
		return err
	}
	if err := a.ofOurPage(rc, visit); err != nil {
		return err
	}
	_, host, _ := a.locator.seen(rc)
	clearCookie(rc, cookieName(visit.Secure, string(host)))
	keeper, uncut := a.sessions.Load(), context.WithoutCancel(ctx)
	if everywhere {
		err = keeper.EndAll(uncut, visit.Name)
	} else {
		err = keeper.End(uncut, visit)
	}
	if err == nil {
		a.audit(rc, visit).Bool("everywhere", everywhere).Msg("an operator signed out")
		detail := ""
		if everywhere {
			detail = "everywhere"
		}
		a.keep(uncut, audit.Line{By: visit.Name, Via: "page", Address: a.locator.Client(rc).String(), What: audit.SignOut, Detail: detail})
	}
	return err
}

// Arrival is how a browser came to a page.
type Arrival int

// The ways to come to a page. A browser says nothing where there is neither TLS nor a loopback address.
const (
	Unknown Arrival = iota
	// Directly: by hand, from another program, or from a page of this server.
	Directly
	// FromElsewhere: a page of another site has led there, and no cookie of ours comes along.
	FromElsewhere
)

// Arrived tells how a browser came to a page. A page of another site that does anything but lead there is refused.
func (a *Admin) Arrived(rc *fasthttp.RequestCtx) (Arrival, error) {
	header := &rc.Request.Header
	site, mode, to := header.Peek("Sec-Fetch-Site"), string(header.Peek("Sec-Fetch-Mode")), string(header.Peek("Sec-Fetch-Dest"))
	switch {
	case !a.crossSite(rc) && len(site) == 0:
		return Unknown, nil
	case !a.crossSite(rc):
		return Directly, nil
	case mode == "navigate" && to == "document" && len(header.Peek(fasthttp.HeaderOrigin)) == 0:
		return FromElsewhere, nil
	}
	return FromElsewhere, errCrossSite
}

// audit begins the log's line about a session.
func (a *Admin) audit(rc *fasthttp.RequestCtx, visit session.Session) *zerolog.Event {
	return a.log.Info().Str("by", visit.Name).Str("via", "page").Stringer("address", a.locator.Client(rc))
}

// Link is a code that signs an operator in to the page, once.
type Link struct {
	Code string
	// Name is whose token it is for, which may only read.
	Name     string
	ReadOnly bool
	Until    time.Time
}

// Link makes a link for whoever sends a token, also for one that only reads. A session makes none: it would have no end
// then. The errors are those of Check.
func (a *Admin) Link(ctx context.Context, rc *fasthttp.RequestCtx) (Link, error) {
	if a.crossSite(rc) {
		return Link{}, errCrossSite
	}
	token, given := a.find(&rc.Request.Header)
	if token == nil {
		return Link{}, a.refuseToken(ctx, rc, given)
	}
	link, err := a.link(ctx, *token)
	if err == nil {
		a.log.Info().Str("by", token.Name).Stringer("address", a.locator.Client(rc)).Msg("a link was made that signs in to the page")
		a.keep(ctx, audit.Line{By: token.Name, Address: a.locator.Client(rc).String(), What: audit.Link})
	}
	return link, err
}

// RefusesLink reports whether Link will refuse a request, as far as its headers alone tell.
func (a *Admin) RefusesLink(header *fasthttp.RequestHeader) bool {
	token, _ := a.find(header)
	return token == nil || otherSite(header)
}

// OwnLink makes a link for the first token of the file, which a command with --token-file sends too.
func (a *Admin) OwnLink(ctx context.Context) (Link, error) {
	operators := a.operators()
	if len(operators) == 0 {
		return Link{}, errNoSessions
	}
	return a.link(ctx, operators[0])
}

func (a *Admin) link(ctx context.Context, operator session.Operator) (Link, error) {
	keeper := a.sessions.Load()
	if keeper == nil {
		return Link{}, errNoSessions
	}
	code, until, err := keeper.Link(context.WithoutCancel(ctx), operator)
	if errors.Is(err, session.ErrMany) {
		err = errManyLinks
	}
	return Link{Code: code, Name: operator.Name, ReadOnly: operator.ReadOnly, Until: until}, err
}

package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"

	"runhook/shared/audit"
	"runhook/shared/seldom"
	"runhook/shared/session"
	"runhook/shared/tokenfile"
)

// A wrong token is answered late, so that guessing takes time. The right one never waits.
var wrongPause = time.Second // shorter in tests

// mostPaused bounds the requests that wait with a wrong token; others are refused at once.
const mostPaused = 256

// Admin guards the routes that only an administrator may use: a request must carry a token as a bearer
// token, or the cookie of a session of the page. The zero Admin lets nobody in. It is safe for concurrent use.
type Admin struct {
	file       string
	publicHost string
	locator    *Locator
	tokens     atomic.Pointer[[]session.Operator]
	sessions   atomic.Pointer[session.Keeper]
	audited    atomic.Pointer[audit.Keeper]
	paused     atomic.Int64
	log        zerolog.Logger
	seldom     *seldom.Log
}

// NewAdmin reads the tokens of file (--admin-token-file). locator tells under which name pages of our own
// come, and from where requests; log gets that a wrong token came.
func NewAdmin(file string, locator *Locator, log zerolog.Logger) (*Admin, error) {
	a := &Admin{file: file, locator: locator, log: log, seldom: seldom.New(log)}
	if public, err := url.Parse(locator.PublicURL()); err == nil {
		a.publicHost = public.Host
	}
	return a, a.load()
}

// Reload reads the tokens again. If they cannot be used, the log says so and the former ones still hold.
func (a *Admin) Reload() {
	if err := a.load(); err != nil {
		a.log.Error().Err(err).Msg("the admin tokens were not read again; those of before still hold")
		return
	}
	tokens := *a.tokens.Load()
	a.log.Info().Str("file", a.file).Int("tokens", len(tokens)).Msg("the admin tokens were read again")
	var names []string
	for _, token := range tokens {
		name := token.Name
		if token.ReadOnly {
			name += " (read)"
		}
		names = append(names, name)
	}
	a.keep(context.Background(), audit.Line{By: "SIGHUP", What: audit.Tokens, Detail: shortened("of "+strings.Join(names, ", "), 500)})
}

// shortened is a text of at most some bytes.
func shortened(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// Audit has the guard's own lines of the audit kept: who was signed in and out, and the tokens that were read again.
func (a *Admin) Audit(keeper audit.Keeper) { a.audited.Store(&keeper) }

// keep keeps a line of the audit, as of now.
func (a *Admin) keep(ctx context.Context, line audit.Line) {
	if keeper := a.audited.Load(); keeper != nil {
		line.On = time.Now().UTC()
		keeper.Keep(ctx, line)
	}
}

func (a *Admin) load() error {
	read, err := tokenfile.Read(a.file)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("--admin-token-file: there is no file %s; make one with `(umask 077; openssl rand -hex 32 > %[1]s)`", a.file)
	}
	if err != nil {
		return fmt.Errorf("--admin-token-file: %w", err)
	}
	tokens := make([]session.Operator, len(read))
	for i, token := range read {
		tokens[i] = session.Operator{Name: token.Name, ReadOnly: token.ReadOnly, Token: sha256.Sum256([]byte(token.Secret))}
	}
	a.tokens.Store(&tokens)
	return nil
}

// operatorKey is the user value that has the name of the token a request came with.
const operatorKey = "runhook.operator"

// Operator is the name of the token that Check or Knows has let in, or whose session it has, for the log.
func Operator(rc *fasthttp.RequestCtx) string {
	name, _ := rc.UserValue(operatorKey).(string)
	return name
}

// readsOnlyKey is the user value that is there if the token only reads.
const readsOnlyKey = "runhook.reads-only"

// ReadsOnly reports whether the token that Check has let in, or whose session it has, only reads: its holder does not
// see the values of parameters either.
func ReadsOnly(rc *fasthttp.RequestCtx) bool {
	only, _ := rc.UserValue(readsOnlyKey).(bool)
	return only
}

// Check returns nil for an administrator's request, else the Problem to answer: 401 without a token that
// is right, or a session, 403 for what such a token does not cure. A wrong token is answered after a pause, which
// ends with ctx. What a session reads needs its cookie alone, which browsers send for pages of this server only; a
// change needs the Origin of such a page too, and the session's form token. A token needs neither, because no browser
// sends one by itself.
func (a *Admin) Check(ctx context.Context, rc *fasthttp.RequestCtx) error {
	header := &rc.Request.Header
	if a.crossSite(rc) {
		return errCrossSite
	}
	token, given := a.find(header)
	if !given {
		visit, err := a.Visitor(ctx, rc)
		if err == nil {
			return a.admit(rc, visit)
		}
		if !errors.Is(err, session.ErrNone) {
			return err
		}
	}
	if token == nil {
		return a.refuseToken(ctx, rc, given)
	}
	if token.ReadOnly && !header.IsGet() && !header.IsHead() {
		return onlyReads(token.Name)
	}
	rc.SetUserValue(operatorKey, token.Name)
	rc.SetUserValue(readsOnlyKey, token.ReadOnly)
	return nil
}

// errCrossSite is the answer to a page of another site.
var errCrossSite = Refuse(fasthttp.StatusForbidden, "Pages of other sites may not use the admin routes.")

func onlyReads(name string) error {
	return Refuse(fasthttp.StatusForbidden, "The token of "+name+" only reads, so nothing was changed; use one without (read).")
}

// refuseToken refuses a request without a right token. A wrong one, if one is given, is logged, and waits.
func (a *Admin) refuseToken(ctx context.Context, rc *fasthttp.RequestCtx, given bool) error {
	if given {
		a.seldom.Line(zerolog.WarnLevel, "token").Stringer("address", a.locator.Client(rc)).Bytes("path", rc.Path()).
			Msg("a wrong admin token was refused; if nobody mistyped one, somebody tries to get in")
		a.pause(ctx)
	}
	rc.Response.Header.Set(fasthttp.HeaderWWWAuthenticate, "Bearer")
	return Refuse(fasthttp.StatusUnauthorized, "The admin routes need an admin token (Authorization: Bearer TOKEN). "+
		"The command line finds the one that `runhook serve` has made with --data DIR, or takes --token-file FILE, or RUNHOOK_TOKEN.")
}

// Knows reports whether a request carries a token that changes things. Another token is left to whoever else the
// request may be for, and a session is none. Nil knows none.
func (a *Admin) Knows(rc *fasthttp.RequestCtx) bool {
	if a == nil {
		return false
	}
	token, _ := a.find(&rc.Request.Header)
	if token == nil || token.ReadOnly || a.crossSite(rc) {
		return false
	}
	rc.SetUserValue(operatorKey, token.Name)
	return true
}

// Refuses reports whether Check will refuse a request, as far as its headers alone tell.
func (a *Admin) Refuses(header *fasthttp.RequestHeader) bool {
	operator, given := a.find(header)
	if !given {
		operator = a.mayBe(header)
	}
	return operator == nil || otherSite(header) || operator.ReadOnly && !header.IsGet() && !header.IsHead()
}

// find returns the token that a request carries, nil if it is none of ours; given reports whether it carries any.
func (a *Admin) find(header *fasthttp.RequestHeader) (found *session.Operator, given bool) {
	authorization := header.Peek(fasthttp.HeaderAuthorization)
	scheme, text, _ := bytes.Cut(authorization, []byte(" "))
	if a.tokens.Load() == nil || len(authorization) == 0 {
		return nil, false
	}
	if !strings.EqualFold(string(scheme), "Bearer") {
		return nil, true
	}
	return a.operator(bytes.TrimSpace(text)), true
}

// operators are those of the file.
func (a *Admin) operators() []session.Operator {
	if tokens := a.tokens.Load(); tokens != nil {
		return *tokens
	}
	return nil
}

// operator returns whose token a text is, nil if it is none.
func (a *Admin) operator(token []byte) (found *session.Operator) {
	hash := sha256.Sum256(token)
	operators := a.operators()
	for i := range operators {
		if operator := &operators[i]; subtle.ConstantTimeCompare(hash[:], operator.Token[:]) == 1 {
			found = operator
		}
	}
	return found
}

// pause makes who sent a wrong token wait.
func (a *Admin) pause(ctx context.Context) {
	if a.paused.Add(1) <= mostPaused {
		select {
		case <-time.After(wrongPause):
		case <-ctx.Done():
		}
	}
	a.paused.Add(-1)
}

// otherSite reports whether a browser says that a page of another site has sent a request.
func otherSite(header *fasthttp.RequestHeader) bool {
	switch string(header.Peek("Sec-Fetch-Site")) {
	case "cross-site", "same-site":
		return true
	}
	return false
}

// crossSite reports whether a page of another site has sent a request.
func (a *Admin) crossSite(rc *fasthttp.RequestCtx) bool {
	header := &rc.Request.Header
	if otherSite(header) {
		return true
	}
	origin := string(header.Peek(fasthttp.HeaderOrigin))
	return origin != "" && !a.ownOrigin(origin, rc)
}

// ownOrigin reports whether a page of origin was served by this server.
func (a *Admin) ownOrigin(origin string, rc *fasthttp.RequestCtx) bool {
	parsed, err := url.Parse(origin)
	if err != nil || parsed.Host == "" || (parsed.Scheme != "http" && parsed.Scheme != "https") {
		return false
	}
	own := func(host []byte) bool { return strings.EqualFold(parsed.Host, string(host)) }
	if _, host, forwarded := a.locator.seen(rc); forwarded && a.locator.names(host) && own(host) {
		return true
	}
	return own(rc.Request.Header.Host()) || (a.publicHost != "" && own([]byte(a.publicHost)))
}

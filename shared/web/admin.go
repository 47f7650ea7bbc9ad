package web

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"github.com/valyala/fasthttp"
)

// minTokenBytes is the shortest admin token that is accepted: one that cannot be guessed.
const minTokenBytes = 16

// Admin guards the routes that only an administrator may use. With a token, a request must carry
// it as a bearer token. Without one, only programs of this machine are let in, and not when there
// is a sign of a proxy, which would open the routes to the world.
type Admin struct {
	tokenHash   [sha256.Size]byte
	hasToken    bool
	behindProxy bool
	publicHost  string
}

// NewAdmin reads the token from tokenFile (--admin-token-file; empty for none). locator tells
// whether a proxy is in front and under which name pages of our own come.
func NewAdmin(tokenFile string, locator *Locator) (*Admin, error) {
	a := &Admin{behindProxy: locator.BehindProxy()}
	if public, err := url.Parse(locator.PublicURL()); err == nil {
		a.publicHost = public.Host
	}
	if tokenFile == "" {
		return a, nil
	}
	data, err := os.ReadFile(tokenFile)
	if err != nil {
		return nil, fmt.Errorf("--admin-token-file: %w", err)
	}
	token := bytes.TrimSpace(data)
	if len(token) < minTokenBytes || !allBytes(token, func(c byte) bool { return c > ' ' && c < 0x7f }) {
		return nil, fmt.Errorf("--admin-token-file %s: a token is one line of at least %d visible characters; make one with `openssl rand -hex 32 > %s`",
			tokenFile, minTokenBytes, tokenFile)
	}
	a.tokenHash, a.hasToken = sha256.Sum256(token), true
	return a, nil
}

// Check returns nil for an administrator's request, else the Problem to answer: 401 without the
// token, 403 for what a token would not cure or where none is set.
func (a *Admin) Check(rc *fasthttp.RequestCtx) error {
	header := &rc.Request.Header
	host := string(header.Host())
	if site := header.Peek("Sec-Fetch-Site"); bytes.Equal(site, []byte("cross-site")) || bytes.Equal(site, []byte("same-site")) {
		return Refuse(fasthttp.StatusForbidden, "Pages of other sites may not use the admin routes.")
	}
	if origin := string(header.Peek(fasthttp.HeaderOrigin)); origin != "" && !a.ownOrigin(origin, host) {
		return Refuse(fasthttp.StatusForbidden, "Pages of other sites may not use the admin routes.")
	}
	if a.hasToken {
		scheme, token, _ := strings.Cut(string(header.Peek(fasthttp.HeaderAuthorization)), " ")
		given := sha256.Sum256([]byte(strings.TrimSpace(token)))
		if strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(given[:], a.tokenHash[:]) == 1 {
			return nil
		}
		rc.Response.Header.Set(fasthttp.HeaderWWWAuthenticate, "Bearer")
		return Refuse(fasthttp.StatusUnauthorized,
			"The admin routes need the token of --admin-token-file: Authorization: Bearer …, or --token-file at the command line.")
	}
	const remedy = "; start the server with --admin-token-file to use the admin routes from elsewhere."
	switch {
	case a.behindProxy:
		return Refuse(fasthttp.StatusForbidden, "Without a token the admin routes are closed where --public-url or --trusted-proxies is set"+remedy)
	case wasForwarded(header):
		return Refuse(fasthttp.StatusForbidden, "Without a token the admin routes take no request that came through a proxy"+remedy)
	case !peerAddr(rc).IsLoopback():
		return Refuse(fasthttp.StatusForbidden, "Without a token the admin routes are open to this machine only"+remedy)
	case !isLoopbackHost(host):
		// A page whose name was made to point at this machine sends its own name here.
		return Refuse(fasthttp.StatusForbidden, "Without a token the admin routes answer only under localhost or a loopback address"+remedy)
	}
	return nil
}

// ownOrigin reports whether a page of origin was served by this server.
func (a *Admin) ownOrigin(origin, host string) bool {
	parsed, err := url.Parse(origin)
	if err != nil || parsed.Host == "" || (parsed.Scheme != "http" && parsed.Scheme != "https") {
		return false
	}
	return strings.EqualFold(parsed.Host, host) || (a.publicHost != "" && strings.EqualFold(parsed.Host, a.publicHost))
}

func wasForwarded(header *fasthttp.RequestHeader) bool {
	for key := range header.All() {
		name := strings.ToLower(string(key))
		if name == "forwarded" || name == "via" || strings.HasPrefix(name, "x-forwarded-") {
			return true
		}
	}
	return false
}

func isLoopbackHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.IsLoopback()
}

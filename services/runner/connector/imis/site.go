package imis

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"runhook/services/runner/connection"
	"runhook/services/runner/turn"
	"runhook/shared/outward"
	"runhook/shared/run"
)

// site is one iMIS site.
type site struct {
	http *http.Client
	// mu guards what follows: logins are by account, and users counts the open clients.
	mu     sync.Mutex
	logins map[credentials]*login
	users  int
}

type credentials struct{ username, password string }

// siteKey is the key of a site in the pool of a set of connections. The runs of a set share its sites,
// whatever task they are of: the vendor forbids to pull data with several requests at a time.
type siteKey struct {
	url     string
	private bool
}

// use returns the site of a connection, the turn at it and its account's login, until leave.
func use(where connection.IMIS) (*site, *turn.Turn, *login) {
	key := siteKey{strings.ToLower(strings.TrimSuffix(where.URL.String(), "/")), where.Private}
	s := connection.Share(where.Pool, key, func() *site {
		return &site{http: newHTTP(where), logins: map[credentials]*login{}}
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users++
	account := credentials{where.Username, where.Password}
	if s.logins[account] == nil {
		s.logins[account] = &login{}
	}
	return s, where.Pool.Turn(key.hash(), where.Limit), s.logins[account]
}

// leave closes the connections that nobody uses any more. Tokens are kept.
func (s *site) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users--; s.users == 0 {
		s.http.CloseIdleConnections()
	}
}

// newHTTP returns a client that takes proxies from the environment, and follows no redirect: those of an
// API lead to a page to sign in, or elsewhere with the token.
func newHTTP(where connection.IMIS) *http.Client {
	transport := outward.Transport(where.URL, where.Private)
	transport.OnProxyConnectResponse = func(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
		if answer.StatusCode != http.StatusOK {
			return &proxyRefusal{answer.StatusCode}
		}
		return nil
	}
	transport.MaxIdleConnsPerHost = where.Limit
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// hash names the site to other runners, without telling them where it is.
func (k siteKey) hash() string {
	sum := sha256.Sum256([]byte(k.url))
	return hex.EncodeToString(sum[:16])
}

// begin waits until the connection is not paused, and then for the client's turn at the site, which end gives back.
func (c *client) begin(ctx context.Context) (end func(), err error) {
	who, user := turn.Who{}, c.connection.User
	var waits func(ahead func() int) (over func())
	if user != nil {
		if err := user.Proceed(ctx, c.connection.Name); err != nil {
			return nil, err
		}
		who = user.Who()
		waits = func(ahead func() int) (over func()) {
			since := run.Time(time.Now())
			return user.Waits(func() run.Waiting {
				return run.Waiting{Kind: run.ForSite, Connection: c.connection.Name, Ahead: ahead(), Since: &since}
			})
		}
	}
	return c.turn.Begin(ctx, who, waits)
}

// hold keeps the site from being asked before it wants to be, after the n-th try, and returns the error.
func (c *client) hold(err error, n int) error {
	fault, ok := errors.AsType[*passing](err)
	if ok && fault.throttled && fault.wait == 0 {
		fault.wait = pause.After(n)
	}
	if ok && fault.wait > 0 {
		c.turn.Rest(time.Now().Add(min(fault.wait, maxRetryAfter)))
	}
	return err
}

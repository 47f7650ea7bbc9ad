package imis

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"runhook/services/runner/connection"
	"runhook/shared/outward"
	"runhook/shared/wait"
)

// site is one iMIS site.
type site struct {
	http *http.Client
	// turn is taken by the one whose request is under way. resume and what is in a login are its too.
	turn chan struct{}
	// resume is when the site may be asked again, after it asked to wait.
	resume time.Time

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

// use returns the site of a connection and its account's login, until leave.
func use(where connection.IMIS) (*site, *login) {
	key := siteKey{strings.ToLower(strings.TrimSuffix(where.URL.String(), "/")), where.Private}
	s := connection.Share(where.Pool, key, func() *site {
		return &site{http: newHTTP(where), turn: make(chan struct{}, 1), logins: map[credentials]*login{}}
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users++
	account := credentials{where.Username, where.Password}
	if s.logins[account] == nil {
		s.logins[account] = &login{}
	}
	return s, s.logins[account]
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
	transport.MaxIdleConnsPerHost = 1
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// begin waits until no other request is under way, and until the site may be asked.
func (s *site) begin(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if !wait.For(ctx, time.Until(s.resume)) {
		s.end()
		return ctx.Err()
	}
	return nil
}

func (s *site) end() { <-s.turn }

// hold keeps the site from being asked before it wants to be, after the n-th try, and returns the error.
func (s *site) hold(err error, n int) error {
	fault, ok := errors.AsType[*passing](err)
	if ok && fault.throttled && fault.wait == 0 {
		fault.wait = pause.After(n)
	}
	if ok && fault.wait > 0 {
		s.resume = time.Now().Add(min(fault.wait, maxRetryAfter))
	}
	return err
}

package imis

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"time"

	"runhook/shared/run"
)

const (
	// earlier is how long before its end a token is renewed, or a tenth of its life where that is less.
	earlier = time.Minute
	// unknownLife is that of a token that does not tell its own.
	unknownLife = 10 * time.Minute
	// refusedFor is how long an account that was refused is not tried again, by any run: iMIS locks an
	// account after five failed logins.
	refusedFor = time.Hour
)

// login is what an account has of its site. It is safe for concurrent use.
type login struct {
	// mu is held by who signs in.
	mu sync.Mutex
	// token is empty where there is none.
	token   string
	renew   time.Time
	refused time.Time
}

// drop forgets a token that the site does not take any more.
func (l *login) drop(token string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.token == token {
		l.token = ""
	}
}

// signIn returns a token with some life left.
func (c *client) signIn(ctx context.Context) (token string, err error) {
	l := c.login
	l.mu.Lock()
	defer l.mu.Unlock()
	err = c.renew(ctx)
	return l.token, err
}

// renew sees to it that there is a token with some life left; the caller holds the login.
func (c *client) renew(ctx context.Context) error {
	l := c.login
	if l.token != "" && time.Now().Before(l.renew) {
		return nil
	}
	if !l.refused.IsZero() && time.Since(l.refused) < refusedFor {
		return c.badLogin(", a while ago; it is not tried again for an hour, unless the runner is started anew")
	}
	form := url.Values{"grant_type": {"password"}, "username": {c.connection.Username}, "password": {c.connection.Password}}
	asked := c.signingIn()
	ask := call{method: http.MethodPost, address: "/token", body: form.Encode()}
	answer, err := c.send(ctx, ask, "application/x-www-form-urlencoded", "")
	if err != nil {
		return err
	}
	err = classify(answer, ask)
	if refused, ok := errors.AsType[*refusal](err); ok {
		switch refused.status {
		case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
			l.token, l.refused = "", time.Now()
			return c.badLogin("")
		case http.StatusNotFound:
			return run.Failf("%s: there is no /token below its url, so it is not that of an iMIS site", asked)
		}
		return refused.failure(asked)
	}
	if err != nil {
		return err
	}
	text, err := c.text(answer, asked)
	if err != nil {
		return err
	}
	var granted struct {
		Token string          `json:"access_token"`
		Life  json.RawMessage `json:"expires_in"`
	}
	if json.Unmarshal([]byte(text), &granted) != nil || granted.Token == "" {
		return run.Failf("%s brings no token; is its url that of an iMIS site?", asked)
	}
	life := time.Duration(number(granted.Life)) * time.Second
	if life <= 0 {
		life = unknownLife
	}
	l.token, l.renew, l.refused = granted.Token, time.Now().Add(life-min(life/10, earlier)), time.Time{}
	return nil
}

func (c *client) badLogin(when string) error {
	return run.Failf("the site of connection %s refuses its username and password%s. Correct them before another run: iMIS locks an account after five failed logins", c.connection.Name, when)
}

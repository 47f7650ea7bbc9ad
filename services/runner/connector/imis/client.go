package imis

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"runhook/services/runner/connection"
	"runhook/services/runner/row"
	"runhook/services/runner/turn"
	"runhook/shared/outward"
	"runhook/shared/run"
	"runhook/shared/wait"
)

// What a request may cost before it is given up.
const (
	// maxTries bounds how often a request is sent; maxBlindTries does where the site answers what may
	// pass or may not, as a 500.
	maxTries      = 8
	maxBlindTries = 4
	// maxRetryAfter is the longest wait that a site can ask for.
	maxRetryAfter = 10 * time.Minute
	// maxBody bounds an answer.
	maxBody = 64 << 20
)

// pause bounds the waits between tries: the first, which doubles, and the longest.
var pause = wait.Backoff{Least: 500 * time.Millisecond, Most: 30 * time.Second}

// patience is how long one request may take with its answer: read for one that reads, as an IQA that takes
// minutes, and change for one that changes a record. linger is what a change that is under way still
// gets when its run ends: it is better known what became of it.
var patience = struct{ read, change, linger time.Duration }{5 * time.Minute, 2 * time.Minute, 3 * time.Second}

const (
	statusBadRequest     = http.StatusBadRequest
	statusNotFound       = http.StatusNotFound
	statusNotImplemented = http.StatusNotImplemented
)

// client sends the requests of one source or destination.
type client struct {
	connection connection.IMIS
	site       *site
	turn       *turn.Turn
	login      *login
	body       bytes.Buffer
	// impatient: somebody waits for the answer, and little is tried again.
	impatient bool
}

// What an impatient client asks again, and waits for.
const (
	maxImpatientTries = 2
	maxImpatientWait  = 30 * time.Second
)

// open returns a client, to be closed.
func open(where connection.IMIS) *client {
	site, turn, login := use(where)
	return &client{connection: where, site: site, turn: turn, login: login}
}

func (c *client) close() { c.site.leave() }

// refusal is an answer that says no, and will again.
type refusal struct {
	status int
	// location is where a redirect leads, without its query.
	location string
	// body is what the site says of it, which may show values.
	body string
	// doubted: an earlier try of the same call may have been carried out.
	doubted bool
}

func (r *refusal) Error() string { return "refused with status " + strconv.Itoa(r.status) }

// passing is a fault that may be gone in a moment.
type passing struct {
	// reason goes on where what was asked ends: "answers with status 503".
	reason string
	tries  int
	// wait is what the site asks for, for everybody; 0 where it does not.
	wait time.Duration
	// throttled: the site is asked too often.
	throttled bool
	// undone: the site has certainly not carried out what was asked.
	undone bool
	// blind: it is not known whether the site is at fault or what was asked.
	blind bool
}

func (p *passing) Error() string { return p.reason }

// failure ends the attempt; another one may do better.
func (p *passing) failure(message string) error {
	return &run.Failure{Message: message, Passing: true, RetryAfter: p.wait}
}

// errNoTurn: nothing was sent, because the turn at the site is lost.
var errNoTurn = errors.New("the turn at the site is lost")

// call is one request of the API. Without an address there is none: the account is only signed in.
type call struct {
	method, address, body string
	// again: it changes records, and may do so twice.
	again bool
	// once: what it does must not be done twice, so it is sent again only where it was not carried out.
	once bool
}

// changes reports whether the call changes records.
func (c call) changes() bool {
	return c.once || c.again || c.method == http.MethodPut || c.method == http.MethodDelete
}

// spent is the end of a call that did not come to an answer.
type spent struct {
	*passing
	tried int
	// tooLong: the site asks for a wait that is longer than anybody waits here.
	tooLong bool
	// lost: the call is one to make once, and may have been carried out.
	lost bool
}

// failure says so, of what was asked.
func (s *spent) failure(asked string) error {
	switch {
	case s.tooLong:
		return s.passing.failure(fmt.Sprintf("%s: the site asks to wait %s", asked, run.Span(s.wait)))
	case s.lost:
		return run.Failf("%s %s", asked, s.reason)
	}
	return s.passing.failure(fmt.Sprintf("%s %s, %d times in a row", asked, s.reason, s.tried))
}

// ask sends a request that changes nothing, a POST where it has a body, and returns the answer, which is
// valid JSON. asked names what is asked for, in messages. The error is a [*refusal], a [*run.Failure]
// or ctx's.
func (c *client) ask(ctx context.Context, asked, address, body string) (string, error) {
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	text, err := c.do(ctx, asked, call{method: method, address: address, body: body})
	if s, ok := errors.AsType[*spent](err); ok {
		return "", s.failure(asked)
	}
	return text, err
}

// greet signs in where that is needed. The error is a [*run.Failure] or ctx's.
func (c *client) greet(ctx context.Context) error {
	_, err := c.ask(ctx, c.signingIn(), "", "")
	return err
}

// signingIn names that in messages.
func (c *client) signingIn() string {
	return "signing in to the site of connection " + c.connection.Name
}

// do makes a call and returns the answer: valid JSON, or nothing where a change is answered so. What may
// pass is tried again. The error is a [*refusal], a [*spent], a [*run.Failure] or ctx's.
func (c *client) do(ctx context.Context, asked string, call call) (string, error) {
	doubted := false
	for try := 1; ; try++ {
		text, err := c.try(ctx, try, asked, call)
		fault, mayPass := errors.AsType[*passing](err)
		switch {
		case err == nil:
			return text, nil
		case ctx.Err() != nil:
			return "", ctx.Err()
		case errors.Is(err, errNoTurn):
			try--
			continue
		case !mayPass:
			if refused, ok := errors.AsType[*refusal](err); ok {
				refused.doubted = doubted
			}
			return "", err
		}
		doubted = doubted || !fault.undone
		longest, tries := maxRetryAfter, fault.tries
		if c.impatient {
			longest, tries = maxImpatientWait, min(tries, maxImpatientTries)
		}
		switch lost := call.once && !fault.undone; {
		case lost, fault.wait > longest, try >= tries:
			return "", &spent{passing: fault, tried: try, tooLong: fault.wait > longest, lost: lost}
		case fault.wait > 0:
			// The next turn waits.
			continue
		}
		if !wait.For(ctx, pause.After(try)) {
			return "", ctx.Err()
		}
	}
}

// try sends the request once, for the n-th time, in its turn, with a token that is good: where the site no longer takes the
// one it gave, once more with a new one.
func (c *client) try(ctx context.Context, n int, asked string, call call) (string, error) {
	end, err := c.begin(ctx)
	if err != nil {
		return "", err
	}
	defer end()
	for renewed := false; ; renewed = true {
		token, err := c.signIn(ctx)
		if err != nil {
			if fault, ok := errors.AsType[*passing](err); ok {
				fault.undone = true
			}
			return "", c.hold(err, n)
		}
		if call.address == "" {
			return "", nil
		}
		if !c.turn.Holds() { // this process stood still, and another runner may have its place
			return "", errNoTurn
		}
		answer, err := c.send(ctx, call, "application/json", "Bearer "+token)
		if err != nil {
			return "", c.hold(err, n)
		}
		if answer.StatusCode == http.StatusUnauthorized {
			c.login.drop(token)
			if renewed {
				return "", run.Failf("%s: the site signs the account of connection %s in, and then refuses the token that it gave", asked, c.connection.Name)
			}
			continue
		}
		if err := classify(answer, call); err != nil {
			if refused, ok := errors.AsType[*refusal](err); ok {
				refused.body = c.body.String()
			}
			return "", c.hold(err, n)
		}
		if call.changes() && len(bytes.TrimSpace(c.body.Bytes())) == 0 {
			return "", nil
		}
		return c.text(answer, asked)
	}
}

// send sends one request and reads the answer into c.body. The error is a [*passing], a [*run.Failure]
// or ctx's.
func (c *client) send(ctx context.Context, call call, kind, authorization string) (*http.Response, error) {
	timeout := patience.read
	if call.changes() {
		timeout = patience.change
		lasting, end := wait.Linger(ctx, patience.linger)
		defer end()
		ctx = lasting
	}
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(limited, call.method, strings.TrimSuffix(c.connection.URL.String(), "/")+call.address, strings.NewReader(call.body))
	if err != nil {
		return nil, run.Failf("the url of connection %s cannot be used", c.connection.Name)
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "runhook")
	if call.body != "" {
		request.Header.Set("Content-Type", kind)
	}
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	answer, err := c.site.http.Do(request)
	switch {
	case outward.LongHeader(err) != "" && call.changes():
		return nil, run.Failf("the site of connection %s answers a change with %s; the change may have been made", c.connection.Name, outward.LongHeader(err))
	case outward.LongHeader(err) != "":
		return nil, run.Failf("the site of connection %s answers with %s", c.connection.Name, outward.LongHeader(err))
	case err != nil:
		return nil, c.explain(ctx, err)
	}
	defer answer.Body.Close()
	c.body.Reset()
	_, err = c.body.ReadFrom(io.LimitReader(answer.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, c.explain(ctx, err)
	case c.body.Len() > maxBody:
		return nil, run.Failf("an answer of the site of connection %s is longer than %d MiB; take a smaller page_size", c.connection.Name, maxBody>>20)
	}
	return answer, nil
}

// classify is nil for an answer that is to be read.
func classify(answer *http.Response, call call) error {
	status := answer.StatusCode
	says := "answers with status " + strconv.Itoa(status)
	switch {
	case status == http.StatusOK, status == http.StatusPartialContent && !call.changes(), call.changes() && (status == http.StatusCreated || status == http.StatusNoContent):
		return nil
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable, status == http.StatusForbidden && wait.Limited(answer.Header):
		after := wait.Asked(answer.Header, time.Now())
		return &passing{reason: says, tries: maxTries, wait: after, throttled: status != http.StatusServiceUnavailable, undone: true}
	case status == http.StatusBadGateway, status == http.StatusGatewayTimeout, status == http.StatusRequestTimeout:
		return &passing{reason: says, tries: maxTries}
	case status == http.StatusInternalServerError:
		return &passing{reason: says, tries: maxBlindTries, blind: true}
	}
	r := &refusal{status: status}
	if to, err := answer.Location(); err == nil {
		to.RawQuery, to.User, to.Fragment = "", nil, ""
		r.location = to.String()
	}
	return r
}

// text is the body of a good answer.
func (c *client) text(answer *http.Response, asked string) (string, error) {
	body := bytes.TrimSpace(c.body.Bytes())
	kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	if strings.Contains(kind, "html") || bytes.HasPrefix(body, []byte("<")) {
		return "", run.Failf("%s answers with a page for people (HTML) instead of data; the url of connection %s may be wrong, or the site under maintenance", asked, c.connection.Name)
	}
	if row.Exceeds(body, maxValues) {
		return "", run.Failf("%s answers with JSON that is nested deeper than %d levels, or has more than %d values", asked, row.MaxDepth, maxValues)
	}
	if !json.Valid(body) {
		return "", &passing{reason: "answers with something that is not JSON", tries: maxBlindTries}
	}
	return strings.ToValidUTF8(string(body), "\uFFFD"), nil
}

// failure says that what was asked is refused.
func (r *refusal) failure(asked string) error {
	switch {
	case r.location != "" && looksLikeLogin(r.location):
		return run.Failf("%s is answered by a redirect to a page to sign in, %s; the url in the connection may be wrong", asked, r.location)
	case r.location != "":
		return run.Failf("%s is answered by a redirect to %s, which is not followed; correct the url in the connection", asked, r.location)
	case r.status == http.StatusForbidden:
		return run.Failf("%s is not allowed to the account of the connection (status 403)", asked)
	case r.status == http.StatusProxyAuthRequired:
		return run.Failf("%s: the proxy between asks to sign in (status 407); put user and password into HTTPS_PROXY", asked)
	}
	return run.Failf("%s is refused with status %d", asked, r.status)
}

func looksLikeLogin(location string) bool {
	location = strings.ToLower(location)
	return strings.Contains(location, "login") || strings.Contains(location, "signin") || strings.Contains(location, "sign-in")
}

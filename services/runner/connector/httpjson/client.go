package httpjson

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"runhook/services/runner/connection"
	"runhook/shared/outward"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/wait"
)

// patience is how long a service is waited for and how often it is asked again.
type patience struct {
	// attempts is how often a page is asked for before the run fails.
	attempts int
	// first is the wait before the second attempt, which doubles with each; most is the longest wait,
	// also for a Retry-After.
	first, most time.Duration
	// silence is how long a service may send nothing.
	silence time.Duration
	// linger is what rows that were sent still get for their answer when their run ends: it is better known what became
	// of them.
	linger time.Duration
}

var usualPatience = patience{attempts: 5, first: 500 * time.Millisecond, most: time.Minute, silence: time.Minute, linger: 500 * time.Millisecond}

// maxRedirects bounds how many redirects one request follows, all below the connection's url.
const maxRedirects = 5

var (
	errElsewhere = errors.New("a redirect out of the connection's url")
	errRedirects = errors.New("too many redirects")
	errSilence   = errors.New("the service sent nothing for too long")
)

// client asks one connection for documents, and never leaves its url: what it sends has credentials.
type client struct {
	to       connection.HTTP
	http     *http.Client
	patience patience
}

func newClient(to connection.HTTP, p patience) *client {
	transport := outward.Transport(to.URL, to.Private)
	transport.ResponseHeaderTimeout = p.silence
	c := &client{to: to, patience: p}
	c.http = &http.Client{Transport: located{transport}, CheckRedirect: func(request *http.Request, via []*http.Request) error {
		switch {
		case !c.holds(request.URL) || strays(request.URL, via[0].URL):
			return errElsewhere
		case request.Method != via[0].Method:
			return http.ErrUseLastResponse // what was to be sent would not be
		case len(via) > maxRedirects:
			return errRedirects
		}
		return nil
	}}
	return c
}

func (c *client) close() { c.http.CloseIdleConnections() }

// locate is a path with its query below the connection's url. field is whose path it is.
func (c *client) locate(field, target string) (*url.URL, error) {
	below, err := url.Parse(sendable("/" + strings.TrimLeft(target, "/")))
	if err != nil {
		return nil, run.Failf("%s is not a path; write other characters as %%20 and the like", field)
	}
	u := *c.to.URL
	u.Path = strings.TrimSuffix(c.to.URL.Path, "/") + below.Path
	u.RawPath = strings.TrimSuffix(c.to.URL.EscapedPath(), "/") + below.EscapedPath()
	u.RawQuery, u.ForceQuery = below.RawQuery, below.ForceQuery
	if !c.holds(&u) {
		return nil, run.Failf("%s leaves the url of connection %s", field, c.to.Name)
	}
	return &u, nil
}

// holds reports whether an address is below the connection's url.
func (c *client) holds(u *url.URL) bool {
	base := strings.TrimSuffix(path.Clean("/"+c.to.URL.Path), "/")
	below := path.Clean("/" + u.Path)
	return u.Scheme == c.to.URL.Scheme && host(u) == host(c.to.URL) && u.User == nil && (below == base || strings.HasPrefix(below, base+"/"))
}

// strays reports whether an address to which a service leads from another has a segment in its path that the service
// may take for several, and the other address has not.
func strays(to, from *url.URL) bool {
	known := strings.Split(from.EscapedPath(), "/")
	for segment := range strings.SplitSeq(to.EscapedPath(), "/") {
		plain, err := url.PathUnescape(segment)
		if (err != nil || !task.IsSegment(plain)) && !slices.Contains(known, segment) {
			return true
		}
	}
	return false
}

// host is the host with its port, given or usual.
func host(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return strings.ToLower(u.Hostname()) + ":" + port
}

// refusal is how a request ends that gets no document.
type refusal struct {
	// status is the answer's, 0 without one.
	status int
	// why goes on where what was asked for ends: "cannot be reached".
	why string
	// passing faults may be gone at another attempt, and not before wait.
	passing bool
	wait    time.Duration
	// taken: what was sent may have been taken.
	taken bool
}

func (r *refusal) Error() string { return r.why }

// failure ends the attempt. what is what was asked for, and why replaces the refusal's own words.
func (r *refusal) failure(what, why string) error {
	return &run.Failure{Message: what + " " + why, Passing: r.passing, RetryAfter: r.wait}
}

// get asks for a document once. The error is a *refusal, or ctx's.
func (c *client) get(ctx context.Context, u *url.URL, accepts string) (*http.Response, error) {
	response, err := c.ask(ctx, http.MethodGet, u, nil, map[string]string{"Accept": accepts})
	if err != nil {
		return nil, err
	}
	switch response.StatusCode {
	case http.StatusOK, http.StatusNonAuthoritativeInfo, http.StatusNoContent, http.StatusPartialContent:
		return response, nil
	}
	defer func() { _ = response.Body.Close() }() // it only ends the request
	return nil, c.refused(response)
}

// ask sends a request once, with the connection's headers and those of usual that it does not have. The
// error is a *refusal, or ctx's.
func (c *client) ask(ctx context.Context, method string, u *url.URL, body []byte, usual map[string]string) (*http.Response, error) {
	if c.to.User != nil {
		if err := c.to.User.Proceed(ctx, c.to.Name); err != nil {
			return nil, err
		}
	}
	requesting, cancel := context.WithCancelCause(ctx)
	request, err := http.NewRequestWithContext(requesting, method, u.String(), bytes.NewReader(body))
	if err != nil {
		cancel(nil)
		return nil, &refusal{why: "has an address that cannot be asked for"}
	}
	request.Header = c.to.Headers.Clone()
	for name, value := range usual {
		setDefault(request.Header, name, value)
	}
	setDefault(request.Header, "Accept", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		cancel(nil)
		return nil, c.unreached(ctx, err)
	}
	response.Body = &listener{body: response.Body, silence: c.patience.silence, cancel: cancel}
	if decode(response) != nil {
		_ = response.Body.Close()
		return nil, &refusal{why: "comes in a content coding other than gzip, deflate and br; set Accept-Encoding to gzip in the headers of the connection"}
	}
	return response, nil
}

func setDefault(header http.Header, name, value string) {
	if header.Get(name) == "" {
		header.Set(name, value)
	}
}

// unreached says why there is no answer.
func (c *client) unreached(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var certificate *tls.CertificateVerificationError
	var name *net.DNSError
	switch {
	case errors.Is(err, outward.ErrPrivate):
		return &refusal{why: "cannot be reached: the host of the connection's url has a private address; write private: true beside the url of the connection in the connections file if that is meant"}
	case errors.Is(err, errElsewhere):
		return &refusal{why: "redirects out of the url of the connection, where its credentials must not go; correct the url in the connections file, or path"}
	case errors.Is(err, errRedirects):
		return &refusal{why: "redirects " + strconv.Itoa(maxRedirects) + " times and more"}
	case outward.LongHeader(err) != "":
		return &refusal{why: "is answered with " + outward.LongHeader(err), taken: true}
	case errors.As(err, &certificate):
		return &refusal{why: "cannot be trusted: the certificate of the service is not valid for the url of the connection"}
	case errors.As(err, &name) && name.IsNotFound:
		return &refusal{why: "cannot be reached: there is no host of the name that the connection's url has"}
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return &refusal{why: "got no answer within " + c.patience.silence.String(), passing: true}
	}
	return &refusal{why: "cannot be reached: the service refuses or drops the connection", passing: true}
}

// refused says what an answer without a document means.
func (c *client) refused(response *http.Response) error {
	status := response.StatusCode
	r := &refusal{status: status, why: "is answered " + strings.TrimSpace(strconv.Itoa(status)+" "+http.StatusText(status))}
	limit, perhaps := isLimit(response)
	switch {
	case limit || status == http.StatusRequestTimeout || status >= 500:
		r.passing = true
		r.wait = pause(response, limit)
	case status == http.StatusUnauthorized:
		r.why += "; correct the credentials in the headers of the connection"
	case perhaps:
		r.why += " with words about a limit of requests; look at what the account may ask for, ask more slowly by rate, or correct the credentials in the headers of the connection"
	case status == http.StatusForbidden:
		r.why += "; correct the credentials in the headers of the connection, or give their account the right to it"
	case status == http.StatusNotFound:
		r.why += "; correct path, or the url of the connection"
	}
	return r
}

// rest waits before attempt number made+1; false means that there is to be none.
func (c *client) rest(ctx context.Context, made int, asked time.Duration) bool {
	if made >= c.patience.attempts || asked > c.patience.most {
		return false
	}
	return wait.For(ctx, max(wait.Doubled(c.patience.first, c.patience.most, made), asked))
}

// listener reads a body and gives up when nothing comes for too long. Closing it ends the request.
type listener struct {
	body    io.ReadCloser
	silence time.Duration
	cancel  context.CancelCauseFunc
}

func (l *listener) Read(p []byte) (int, error) {
	silence := time.AfterFunc(l.silence, func() { l.cancel(errSilence) })
	defer silence.Stop()
	return l.body.Read(p)
}

func (l *listener) Close() error {
	l.cancel(nil)
	return l.body.Close()
}

// Package client is the HTTP client of the command line and of tests: it starts runs, waits for
// their end, and asks the admin routes of a Runhook server.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"runhook/shared/wait"
)

// DefaultServer is where a `runhook serve` without flags listens.
const DefaultServer = "http://127.0.0.1:8080"

// maxAnswer bounds what is read of one answer. The largest is a list of runs.
const maxAnswer = 64 << 20

// requestTimeout bounds one request that does not ask the server to wait.
const requestTimeout = 30 * time.Second

// maxAtOnce is for how many requests at the same time connections are kept.
const maxAtOnce = 32

// Client speaks to one server. It is safe for concurrent use.
type Client struct {
	base  string
	token string
	http  *http.Client
	// Patience is how long Start, Repeat and Try go on while the server cannot reach its store. Zero is a few tries. It is
	// set before the first request.
	Patience time.Duration
}

// New makes a client of the server at an address such as http://127.0.0.1:8080, which may have a
// path in front of Runhook's own. token is the admin token; empty for none. caFile has certificates of
// authorities that are trusted besides those of the system; empty for none.
func New(server, token, caFile string) (*Client, error) {
	parsed, err := url.Parse(server)
	if err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Host == "" {
		return nil, fmt.Errorf("--server %q is not an address such as http://127.0.0.1:8080", server)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = maxAtOnce
	if caFile != "" {
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("--ca-file: %w", err)
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--ca-file %s has no certificate; it is PEM, with BEGIN CERTIFICATE", caFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	return &Client{
		base:  strings.TrimRight(parsed.String(), "/"),
		http:  &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		token: token,
	}, nil
}

// URL is the address of a path on the server.
func (c *Client) URL(path string) string { return c.base + path }

// Close closes the idle connections; requests under way go on.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Problem is an answer that says why the server did not do what was asked (RFC 9457).
type Problem struct {
	Status int
	// Type names its kind: urn:runhook:problem: and a word, or about:blank.
	Type   string
	Title  string
	Detail string
	// Errors are the faults of a task file, where that is what was refused.
	Errors []Fault
	// RetryAfter is when the server says to try again; 0 when it does not say.
	RetryAfter time.Duration
}

// Fault is one problem of a task file.
type Fault struct {
	Line    int
	Message string
}

func (p *Problem) Error() string {
	switch {
	case p.Detail != "":
		return p.Detail
	case p.Title != "":
		return p.Title
	}
	return fmt.Sprintf("the server answered %d %s", p.Status, http.StatusText(p.Status))
}

// passing reports whether the same request may succeed later.
func (p *Problem) passing() bool {
	return p.Status == http.StatusTooManyRequests || p.Status >= http.StatusInternalServerError
}

// lasting are the answers of a server whose store takes nothing until somebody mends it.
var lasting = []string{"urn:runhook:problem:store-full", "urn:runhook:problem:store-denied"}

// Away reports whether the server says that it cannot do so at the moment, as while a cluster looks for a leader.
func Away(err error) bool {
	problem, ok := errors.AsType[*Problem](err)
	return ok && problem.Status == http.StatusServiceUnavailable && !slices.Contains(lasting, problem.Type)
}

// Unreachable is the error of a request that got no whole answer. Whether the server has seen it
// is not known.
type Unreachable struct {
	Server string
	Cause  error
}

func (e *Unreachable) Error() string {
	return fmt.Sprintf("no answer from the server at %s (%v); start one with `runhook serve`, or pass --server URL", e.Server, e.Cause)
}

func (e *Unreachable) Unwrap() error { return e.Cause }

// answer is a whole answer of the server.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// do sends one request and reads the answer whole. wait is how long the server was asked to hold it.
func (c *Client) do(ctx context.Context, method, path string, header http.Header, body []byte, wait time.Duration) (answer, error) {
	limited, cancel := context.WithTimeout(ctx, requestTimeout+wait)
	defer cancel()
	response, err := c.send(limited, method, path, header, body)
	if err != nil {
		return answer{}, c.unreachable(ctx, err)
	}
	return c.whole(ctx, response)
}

// send sends one request with the admin token, if there is one.
func (c *Client) send(ctx context.Context, method, path string, header http.Header, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.URL(path), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	maps.Copy(request.Header, header)
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	return c.http.Do(request)
}

// whole reads an answer to its end.
func (c *Client) whole(ctx context.Context, response *http.Response) (answer, error) {
	defer func() { _ = response.Body.Close() }() // it is read whole, or the connection is dropped
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return answer{}, c.unreachable(ctx, err)
	}
	return answer{status: response.StatusCode, header: response.Header, body: body}, nil
}

// ask is do for requests of which every answer outside 2xx is an error.
func (c *Client) ask(ctx context.Context, method, path string, header http.Header, body []byte) (answer, error) {
	got, err := c.do(ctx, method, path, header, body, 0)
	if err == nil && (got.status < 200 || got.status > 299) {
		return answer{}, problemOf(got)
	}
	return got, err
}

// unreachable explains a request without an answer; the caller's own end of ctx stays what it is.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if fault, ok := errors.AsType[*url.Error](err); ok {
		err = fault.Err // without the URL, which may hold a signature
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("the server at %s is not trusted (%w); pass --ca-file FILE with the certificate of its authority, or correct --server", c.base, err)
	}
	return &Unreachable{Server: c.base, Cause: err}
}

// isJSON tells a status document from a problem: a failed run may be answered with a 4xx.
func (a answer) isJSON() bool {
	mediaType, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
	return strings.TrimSpace(mediaType) == "application/json"
}

func problemOf(a answer) *Problem {
	p := &Problem{}
	if json.Unmarshal(a.body, p) != nil { // a proxy's page: the status has to do
		p = &Problem{}
	}
	p.Status = a.status
	p.RetryAfter = wait.RetryAfter(a.header.Get("Retry-After"), time.Now())
	return p
}

// get asks for JSON and decodes it into value.
func (c *Client) get(ctx context.Context, path string, value any) error {
	got, err := c.ask(ctx, http.MethodGet, path, nil, nil)
	if err != nil {
		return err
	}
	return c.decode(got, value)
}

func (c *Client) decode(got answer, value any) error {
	if err := json.Unmarshal(got.body, value); err != nil {
		return fmt.Errorf("the answer of %s is not what a Runhook server sends: %w; is --server right?", c.base, err)
	}
	return nil
}

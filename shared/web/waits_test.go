package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"

	"runhook/shared/proctest"
)

// waiting is a server with a route that waits, and what happens at it.
type waiting struct {
	*Waits
	metrics *prometheus.Registry
	server  *Server
	stop    context.CancelFunc
	// begun and ended get a value for each wait, and a value in happened ends one.
	begun, ended, happened chan struct{}
	// read is how many bytes the server has read.
	read atomic.Int64
}

// reading counts what is read from the connections of a listener.
type reading struct {
	net.Listener
	total *atomic.Int64
}

func (r reading) Accept() (net.Conn, error) {
	conn, err := r.Listener.Accept()
	return readConn{conn, r.total}, err
}

type readConn struct {
	net.Conn
	total *atomic.Int64
}

func (c readConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.total.Add(int64(n))
	return n, err
}

func serveWaits(t *testing.T, most int) *waiting {
	t.Helper()
	w := &waiting{
		metrics: prometheus.NewRegistry(),
		begun:   make(chan struct{}, 100), ended: make(chan struct{}, 100), happened: make(chan struct{}),
	}
	w.Waits = NewWaits(most, w.metrics)
	var err error
	// A wait is no part of reading or writing a request, whatever that may take.
	w.server, err = New(Options{Listen: "127.0.0.1:0", ReadTimeout: 200 * time.Millisecond, WriteTimeout: 200 * time.Millisecond, StopGrace: time.Hour, Log: zerolog.Nop()},
		[]Route{{Method: "GET", Pattern: "/wait", Handler: w.answer}, echo}, Metrics(w.metrics))
	if err != nil {
		t.Fatal(err)
	}
	w.server.listener = reading{w.server.listener, &w.read}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- w.server.Run(ctx) }()
	w.stop = stop
	t.Cleanup(func() {
		stop()
		if err := await(t, served); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *waiting) answer(ctx context.Context, rc *fasthttp.RequestCtx) error {
	wait := w.Begin(ctx, rc)
	defer wait.End()
	if !wait.Waits() {
		rc.SetBodyString("did not wait")
		return nil
	}
	w.begun <- struct{}{}
	select {
	case <-wait.Done():
		rc.SetBodyString("waited in vain")
	case <-w.happened:
		rc.SetBodyString("happened")
	}
	wait.Applied(rc)
	w.ended <- struct{}{}
	return nil
}

// within waits for an event.
func within(t *testing.T, what string, event <-chan struct{}) {
	t.Helper()
	select {
	case <-event:
	case <-time.After(proctest.Limit):
		t.Fatal(what)
	}
}

// send begins a wait on a new connection.
func (w *waiting) send(t *testing.T) net.Conn {
	t.Helper()
	conn := dial(t, w.server.Addr().String())
	w.ask(t, conn, "wait=100")
	within(t, "the request does not wait", w.begun)
	return conn
}

func (w *waiting) ask(t *testing.T, conn net.Conn, prefer string) {
	t.Helper()
	if _, err := io.WriteString(conn, "GET /wait HTTP/1.1\r\nHost: a\r\nPrefer: "+prefer+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
}

// metric is the value of a series of the server's own metrics.
func (w *waiting) metric(t *testing.T, name string) string {
	t.Helper()
	_, body := talk(t, w.server.Addr().String(), "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	for line := range strings.Lines(body) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// until waits until so many requests wait, as the metric tells.
func (w *waiting) until(t *testing.T, number string) {
	t.Helper()
	proctest.Until(t, func() error {
		if now := w.metric(t, "runhook_requests_waiting"); now != number {
			return fmt.Errorf("%s requests wait, not %s", now, number)
		}
		return nil
	})
}

func TestWaitEndsWhenItsClientLeaves(t *testing.T) {
	for name, leave := range map[string]func(*testing.T, *net.TCPConn) error{
		"closes": func(_ *testing.T, c *net.TCPConn) error { return c.Close() },
		"breaks off": func(t *testing.T, c *net.TCPConn) error {
			if err := c.SetLinger(0); err != nil {
				t.Error(err)
			}
			return c.Close()
		},
		"closes behind another request": func(t *testing.T, c *net.TCPConn) error {
			if _, err := io.WriteString(c, "GET /wait HTTP/1.1\r\nHost: a\r\nX-Long: "+strings.Repeat("x", 1000)); err != nil {
				t.Error(err)
			}
			return c.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := serveWaits(t, 10)
			stays, leaves := w.send(t), w.send(t)
			w.until(t, "2")
			if err := leave(t, leaves.(*net.TCPConn)); err != nil {
				t.Fatal(err)
			}
			within(t, "the wait goes on", w.ended)
			w.until(t, "1")
			w.happened <- struct{}{}
			if response, body := hear(t, stays); body != "happened" || response.Header.Get("Preference-Applied") != "wait=100" {
				t.Errorf("%v %s", response.Header, body)
			}
			w.until(t, "0")
		})
	}
}

// A client that closes its own side only may still want an answer.
func TestWaitOfAHalfClosedConnectionIsAnswered(t *testing.T) {
	w := serveWaits(t, 10)
	conn := w.send(t)
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if response, body := hear(t, conn); response.StatusCode != 200 || body != "waited in vain" {
		t.Errorf("%s %s", response.Status, body)
	}
}

// What a client sends while it waits is the next request, byte for byte.
func TestPipelinedRequestFollowsAWait(t *testing.T) {
	for _, size := range []int{0, 1, 63, 64, 65, maxEarly - 1, maxEarly, maxEarly + 1, 3 * maxEarly} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			w := serveWaits(t, 10)
			conn := w.send(t)
			before := w.read.Load()
			next := fmt.Sprintf("POST /task/1 HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("x", size))
			if _, err := io.WriteString(conn, next); err != nil {
				t.Fatal(err)
			}
			w.ask(t, conn, "wait=0")
			proctest.Eventually(t, "the server does not read on", func() bool {
				return w.read.Load()-before >= int64(min(len(next), maxEarly))
			})
			w.happened <- struct{}{}
			answers := bufio.NewReader(conn)
			for _, want := range []string{"happened", fmt.Sprint(size), "did not wait"} {
				response, err := http.ReadResponse(answers, nil)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(response.Body)
				if err != nil || response.StatusCode != 200 || string(body) != want {
					t.Errorf("%s %q %v, want %q", response.Status, body, err, want)
				}
			}
			// And the connection is kept: another wait, and its end, are noticed.
			w.ask(t, conn, "wait=100")
			within(t, "the request does not wait", w.begun)
			<-w.ended
			if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
			within(t, "the wait goes on", w.ended)
		})
	}
}

// Who waits cannot have the server take in what comes meanwhile, however much that is.
func TestWhatComesDuringAWaitIsBounded(t *testing.T) {
	w := serveWaits(t, 10)
	conn := w.send(t)
	if err := conn.SetWriteDeadline(time.Now().Add(2 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Write(make([]byte, 64<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes are taken, %v", n, err)
	}
	if read := w.read.Load(); read > 2*maxEarly {
		t.Errorf("%d bytes are read", read)
	}
	w.happened <- struct{}{}
	<-w.ended
}

func TestWaitEndsWithItsTime(t *testing.T) {
	w := serveWaits(t, 10)
	conn := dial(t, w.server.Addr().String())
	for range 2 { // the connection is kept
		start := time.Now()
		w.ask(t, conn, "wait=1")
		response, body := hear(t, conn)
		if body != "waited in vain" || response.Header.Get("Preference-Applied") != "wait=1" || time.Since(start) < time.Second {
			t.Errorf("after %s: %v %s", time.Since(start), response.Header, body)
		}
	}
}

func TestNoMoreThanTheMostWait(t *testing.T) {
	w := serveWaits(t, 2)
	first, second := w.send(t), w.send(t)
	third := dial(t, w.server.Addr().String())
	w.ask(t, third, "wait=100")
	if response, body := hear(t, third); response.StatusCode != 200 || body != "did not wait" || response.Header.Get("Preference-Applied") != "" {
		t.Errorf("%s %v %s", response.Status, response.Header, body)
	}
	if n := w.metric(t, "runhook_waits_refused_total"); n != "1" {
		t.Errorf("%s waits were refused", n)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	within(t, "the wait goes on", w.ended)
	w.until(t, "1")
	w.ask(t, third, "wait=100")
	within(t, "the request does not wait, and there is room", w.begun)
	for range 2 {
		w.happened <- struct{}{}
	}
	for _, conn := range []net.Conn{second, third} {
		if response, body := hear(t, conn); body != "happened" || response.Header.Get("Preference-Applied") != "wait=100" {
			t.Errorf("%v %s", response.Header, body)
		}
	}
}

func TestStopEndsWaits(t *testing.T) {
	w := serveWaits(t, 10)
	conns := []net.Conn{w.send(t), w.send(t), w.send(t)}
	w.stop()
	for _, conn := range conns {
		if response, body := hear(t, conn); response.StatusCode != 200 || body != "waited in vain" {
			t.Errorf("%s %s", response.Status, body)
		}
	}
}

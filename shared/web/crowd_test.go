package web

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"

	"runhook/shared/proctest"
)

// setWaits changes how long a connection waits before it may be closed for another, and how many spare
// ones there are.
func setWaits(t *testing.T, least time.Duration, spare int) {
	t.Helper()
	before, spareBefore := leastWait, spareConns
	leastWait, spareConns = least, spare
	t.Cleanup(func() { leastWait, spareConns = before, spareBefore })
}

// held is a route whose requests do not end before release.
func held() (route Route, entered chan struct{}, release func()) {
	entered, released := make(chan struct{}, 100), make(chan struct{})
	return Route{
		Method: "GET", Pattern: "/held", CORS: AnyOrigin,
		Handler: func(_ context.Context, rc *fasthttp.RequestCtx) error {
			entered <- struct{}{}
			<-released
			rc.SetBodyString("released")
			return nil
		},
	}, entered, sync.OnceFunc(func() { close(released) })
}

const getHeld = "GET /held HTTP/1.1\r\nHost: a\r\n\r\n"

func say(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

// deadlines is a connection that keeps the read deadlines it was given.
type deadlines struct {
	net.Conn
	set []time.Time
}

func (d *deadlines) SetReadDeadline(by time.Time) error {
	d.set = append(d.set, by)
	return nil
}

// Thousands of clients that came in one moment and are slow do not all end in one moment: where there are many, each
// has a time of its own, a quarter less than the whole at most.
func TestManyDoNotEndTogether(t *testing.T) {
	t.Parallel()
	s, _, _ := started(t, Options{many: 3}, echo)
	given := &deadlines{}
	c := &conn{Conn: given, server: s}
	c.heard.Store(true) // so it is not a silent one
	set := func(by time.Time) time.Time {
		if err := c.SetReadDeadline(by); err != nil {
			t.Fatal(err)
		}
		return given.set[len(given.set)-1]
	}
	by := time.Now().Add(time.Hour)
	if got := set(by); !got.Equal(by) {
		t.Errorf("of few, one has until %s and not %s", got, by)
	}
	for range 3 {
		dial(t, s.Addr().String())
	}
	proctest.Eventually(t, "there are many", s.crowd.isMany)
	different := map[time.Time]bool{}
	for range 100 {
		got := set(by)
		if different[got] = true; got.After(by) || got.Before(by.Add(-15*time.Minute)) {
			t.Errorf("of many, one has until %s where all were given until %s", got, by)
		}
	}
	if len(different) < 50 {
		t.Errorf("100 of many have only %d times", len(different))
	}
	for _, exact := range []time.Time{{}, past} {
		if got := set(exact); !got.Equal(exact) {
			t.Errorf("a deadline of %s became %s", exact, got)
		}
	}
}

// Whoever opens connections and is silent keeps nobody out: the connection that waits longest goes, never
// one with a request under way.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	setWaits(t, 0, 16)
	route, entered, release := held()
	defer release()
	log := new(logBuffer)
	s, _, _ := started(t, Options{MaxConns: 4, MaxConnsOf: 20, Log: zerolog.New(log)}, route, echo)
	address := s.Addr().String()
	busy := dial(t, address)
	say(t, busy, getHeld)
	<-entered
	kept := dial(t, address)
	say(t, kept, "GET /none HTTP/1.1\r\nHost: a\r\n\r\n")
	hear(t, kept)
	proctest.Eventually(t, "the kept connection is idle", func() bool {
		s.crowd.mu.Lock()
		defer s.crowd.mu.Unlock()
		return s.crowd.waiting.Len() == 1
	})
	var silent []net.Conn
	for range 10 {
		silent = append(silent, dial(t, address))
	}
	if response, body := talk(t, address, "POST /task/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"); response.StatusCode != 200 {
		t.Errorf("a new caller got %s %s", response.Status, body)
	}
	for i, conn := range append([]net.Conn{kept}, silent[:8]...) {
		if n, err := conn.Read(make([]byte, 1)); err == nil || n > 0 {
			t.Errorf("idle connection %d gave %d bytes, %v", i, n, err)
		}
	}
	last := silent[9]
	say(t, last, "GET /none HTTP/1.1\r\nHost: a\r\n\r\n")
	if response, _ := hear(t, last); response.StatusCode != 404 {
		t.Errorf("the connection that waited shortest got %s", response.Status)
	}
	release()
	if response, body := hear(t, busy); body != "released" {
		t.Errorf("the request under way got %s %s", response.Status, body)
	}
	if said := strings.Count(log.String(), "as many HTTP connections are open as may be"); said != 1 {
		t.Errorf("it is said %d times:\n%s", said, log)
	}
}

// Where every connection has a request under way, a new caller is told so, and the health is told as always.
func TestTooManyRequestsAreToldSo(t *testing.T) {
	setWaits(t, time.Hour, 2)
	route, entered, release := held()
	defer release()
	routes := append(Health(func(context.Context) error { return nil }), route, echo)
	log := new(logBuffer)
	s, stop, served := started(t, Options{MaxConns: 2, MaxConnsOf: 20, Log: zerolog.New(log)}, routes...)
	address := s.Addr().String()
	first, second := dial(t, address), dial(t, address)
	for _, conn := range []net.Conn{first, second} {
		say(t, conn, getHeld)
		<-entered
	}
	response, body := talk(t, address, getHeld)
	wantProblem(t, response, body, 503)
	if response.Header.Get("Retry-After") != "5" || !response.Close || response.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("the refusal says %v", response.Header)
	}
	if response, body := talk(t, address, "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"); response.StatusCode != 200 || !response.Close {
		t.Errorf("the health is told as %s %s", response.Status, body)
	}
	spare := []net.Conn{dial(t, address), dial(t, address)}
	waits := dial(t, address) // not taken before one of the others has gone
	say(t, waits, getHeld)
	proctest.Eventually(t, "the spare connections are taken", func() bool {
		s.crowd.mu.Lock()
		defer s.crowd.mu.Unlock()
		return s.crowd.spare == len(spare)
	})
	ended, end := context.WithCancel(t.Context())
	end()
	if s.crowd.awaitSpare(ended) {
		t.Error("it takes more spare connections than it may")
	}
	say(t, spare[1], getHeld)
	if response, _ := hear(t, spare[1]); response.StatusCode != 503 {
		t.Errorf("a spare connection got %s", response.Status)
	}
	if response, _ := hear(t, waits); response.StatusCode != 503 {
		t.Errorf("the connection after it got %s", response.Status)
	}
	release()
	for _, conn := range []net.Conn{first, second} {
		if _, body := hear(t, conn); body != "released" {
			t.Errorf("a request under way got %s", body)
		}
	}
	if err := errors.Join(first.Close(), second.Close()); err != nil {
		t.Fatal(err)
	}
	proctest.Eventually(t, "there is room", func() bool {
		s.crowd.mu.Lock()
		defer s.crowd.mu.Unlock()
		return len(s.crowd.open) == 1
	})
	say(t, spare[0], getHeld)
	if response, body := hear(t, spare[0]); response.StatusCode != 200 {
		t.Errorf("where there is room again: %s %s", response.Status, body)
	}
	// A stop ends a listener that takes no connection.
	full := []net.Conn{dial(t, address), dial(t, address), dial(t, address), dial(t, address), dial(t, address)}
	say(t, full[0], getHeld)
	hear(t, full[0])
	stop()
	if err := await(t, served); err != nil {
		t.Error(err)
	}
	if said := strings.Count(log.String(), `"error":"The server has as many connections open`); said != 1 {
		t.Errorf("the refusals are logged %d times:\n%s", said, log)
	}
}

// failing is a listener of a process without descriptors, as often as it is told.
type failing struct {
	net.Listener
	faults chan error
}

func (f failing) Accept() (net.Conn, error) {
	select {
	case err := <-f.faults:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", err)}
	default:
		return f.Listener.Accept()
	}
}

// A fault of the system ends neither the server nor what it has.
func TestListenerGoesOn(t *testing.T) {
	setWaits(t, 0, 16)
	log := new(logBuffer)
	s, err := New(Options{Listen: "127.0.0.1:0", Log: zerolog.New(log)}, []Route{echo})
	if err != nil {
		t.Fatal(err)
	}
	faults := make(chan error, 4)
	for _, fault := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED, syscall.ENOBUFS} {
		faults <- fault
	}
	s.listener = failing{s.listener, faults}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Run(ctx) }()
	if response, body := talk(t, s.Addr().String(), "POST /task/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"); response.StatusCode != 200 {
		t.Errorf("%s %s", response.Status, body)
	}
	if len(faults) > 0 {
		t.Error("the faults were not met")
	}
	if said := strings.Count(log.String(), "too many open files"); said != 1 || strings.Contains(log.String(), "no buffer space") {
		t.Errorf("it is said %d times:\n%s", said, log)
	}
	stop()
	if err := await(t, served); err != nil {
		t.Error(err)
	}
}

package web

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"runhook/shared/proctest"

	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"
)

// started runs a server and returns it with its stop and the result of Run.
func started(t *testing.T, o Options, routes ...Route) (s *Server, stop context.CancelFunc, served <-chan error) {
	t.Helper()
	o.Listen = "127.0.0.1:0"
	s, err := New(o, routes)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	result := make(chan error, 1)
	go func() { result <- s.Run(ctx) }()
	return s, stop, result
}

func await(t *testing.T, served <-chan error) error {
	t.Helper()
	select {
	case err := <-served:
		return err
	case <-time.After(proctest.Limit):
		t.Fatal("Run has not returned")
		return nil
	}
}

func TestStopLetsRequestsEnd(t *testing.T) {
	entered := make(chan struct{})
	s, stop, served := started(t, Options{StopGrace: time.Hour}, Route{Method: "GET", Pattern: "/", Handler: func(ctx context.Context, rc *fasthttp.RequestCtx) error {
		close(entered)
		<-ctx.Done() // a wait ends with the stop, and still answers
		rc.SetBodyString("ended")
		return nil
	}})
	silent, part := dial(t, s.Addr().String()), dial(t, s.Addr().String())
	if _, err := io.WriteString(part, "GET / HT"); err != nil {
		t.Fatal(err)
	}
	conn := dial(t, s.Addr().String())
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-entered
	if err := part.Close(); err != nil {
		t.Fatal(err)
	}
	stop()
	if response, body := hear(t, conn); response.StatusCode != 200 || body != "ended" {
		t.Errorf("%s %s", response.Status, body)
	}
	if err := await(t, served); err != nil {
		t.Error(err)
	}
	if n, err := silent.Read(make([]byte, 1)); err == nil {
		t.Errorf("a silent connection got %d bytes", n)
	}
	if conn, err := net.Dial("tcp", s.Addr().String()); err == nil {
		_ = conn.Close()
		t.Error("the address still takes connections")
	}
}

// A connection that is kept and has no request under way ends with the server, at once.
func TestStopClosesConnectionsThatAreKept(t *testing.T) {
	s, stop, served := started(t, Options{StopGrace: time.Hour}, Route{Method: "GET", Pattern: "/", Handler: func(context.Context, *fasthttp.RequestCtx) error { return nil }})
	conn := dial(t, s.Addr().String())
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if response, _ := hear(t, conn); response.Close {
		t.Fatal("the connection is not kept")
	}
	stop()
	if err := await(t, served); err != nil {
		t.Error(err)
	}
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the connection gave %d bytes, %v", n, err)
	}
}

func TestStopIsBounded(t *testing.T) {
	release := make(chan struct{})
	entered := make(chan struct{})
	s, stop, served := started(t, Options{StopGrace: 200 * time.Millisecond}, Route{Method: "GET", Pattern: "/", Handler: func(context.Context, *fasthttp.RequestCtx) error {
		close(entered)
		<-release // a handler that does not listen
		return nil
	}}, echo)
	slow := dial(t, s.Addr().String())
	if _, err := io.WriteString(slow, "POST /task/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(dial(t, s.Addr().String()), "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-entered
	stop()
	if err := await(t, served); err == nil {
		t.Error("Run says nothing of a request that did not end")
	}
	close(release)
	s.open.Wait()
}

func TestStopCutsLingering(t *testing.T) {
	defer func(idle, total time.Duration) { lingerIdle, lingerTotal = idle, total }(lingerIdle, lingerTotal)
	lingerIdle, lingerTotal = time.Hour, time.Hour
	s, stop, served := started(t, Options{StopGrace: 200 * time.Millisecond}, echo)
	conn := dial(t, s.Addr().String())
	if _, err := io.WriteString(conn, "POST /task/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 10485760\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	response, body := hear(t, conn)
	wantProblem(t, response, body, 413) // and the client keeps its side open
	stop()
	if err := await(t, served); err != nil {
		t.Error(err)
	}
}

func TestStopBeforeTheStart(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	for range 20 {
		s, err := New(Options{Listen: "127.0.0.1:0", Log: zerolog.Nop()})
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- s.Run(ctx) }()
		if err := await(t, served); err != nil {
			t.Error(err)
		}
	}
}

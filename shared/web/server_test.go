package web

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"

	"runhook/shared/proctest"
	"runhook/shared/run"
)

// What the NATS user of this server may not do is nothing that a caller is told in detail.
func TestDeniedStoreIsAProblemWithoutNames(t *testing.T) {
	p := ProblemOf(fmt.Errorf("%w: publish to run.request.>: %w", run.ErrUnavailable, run.ErrDenied))
	if p.Status != 503 || p.Kind != "store-denied" || !strings.Contains(p.Detail, "started nothing") || strings.Contains(p.Detail, "run.request") || p.RetryAfter == 0 {
		t.Errorf("%+v", p)
	}
}

// The bounds are those of deploy/docs/bounds.md where nothing else is said.
func TestDefaults(t *testing.T) {
	var o Options
	o.setDefaults()
	for name, bound := range map[string][2]any{
		"a body": {o.MaxBody, 256 << 10}, "headers": {o.MaxHeader, 8 << 10}, "connections": {o.MaxConns, 65_536}, "those of an address": {o.MaxConnsOf, 16_384},
		"bodies under way": {o.MaxBodies, 64 << 20}, "silence in a crowd": {o.silence, 2 * time.Second}, "a crowd": {o.many, 1000},
		"a request": {o.ReadTimeout, 20 * time.Second}, "idleness": {o.IdleTimeout, 75 * time.Second}, "an answer": {o.WriteTimeout, 30 * time.Second},
	} {
		if bound[0] != bound[1] {
			t.Errorf("%s: %v, not %v", name, bound[0], bound[1])
		}
	}
	o = Options{MaxBody: 100 << 20, MaxConns: 2}
	if o.setDefaults(); o.MaxBodies != 800<<20 || o.MaxConnsOf != 1 {
		t.Errorf("%d bytes of bodies, %d connections of an address", o.MaxBodies, o.MaxConnsOf)
	}
}

func TestLimits(t *testing.T) {
	address := serve(t, Options{ReadTimeout: 300 * time.Millisecond}, echo)
	const head = "POST /task/1 HTTP/1.1\r\nHost: a\r\nOrigin: https://b.example.org\r\n"
	for _, c := range []struct {
		name, request string
		status        int
	}{
		{"the largest body", head + "Content-Length: 262144\r\n\r\n" + strings.Repeat("x", 262144), 200},
		{"a body of one byte more", head + "Content-Length: 262145\r\n\r\n" + strings.Repeat("x", 262145), 413},
		{"a declared body that is never sent", head + "Content-Length: 10485760\r\n\r\n", 413},
		{"one byte more that waits to continue", head + "Content-Length: 262145\r\nExpect: 100-continue\r\n\r\n", 413},
		{"a declared body that waits to continue", head + "Content-Length: 10485760\r\nExpect: 100-continue\r\n\r\n", 413},
		{"a chunked body that grows too large", head + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("10000\r\n"+strings.Repeat("x", 65536)+"\r\n", 5) + "0\r\n\r\n", 413},
		{"too many headers", head + strings.Repeat("X-Filler: "+strings.Repeat("y", 90)+"\r\n", 200) + "\r\n", 431},
		{"a long path", "POST /task/" + strings.Repeat("y", 20_000) + " HTTP/1.1\r\nHost: a\r\n\r\n", 431},
		{"a slow head", head, 408},
		{"a slow body", head + "Content-Length: 10\r\n\r\nxxx", 408},
		{"a slow chunked body", head + "Transfer-Encoding: chunked\r\n\r\n3\r\nxxx\r\n", 408},
		{"no HTTP", "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400},
		{"two lengths", head + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400},
		{"a length that is none", head + "Content-Length: -5\r\n\r\n", 400},
		{"a broken chunk", head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
		{"a bad header line", "POST /task/1 HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n", 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			response, body := talk(t, address, c.request)
			if c.status == 200 {
				if response.StatusCode != 200 || body != "262144" {
					t.Errorf("%s %s", response.Status, body)
				}
				return
			}
			wantProblem(t, response, body, c.status)
			if response.Header.Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("a page cannot read it: %v", response.Header)
			}
			if !response.Close {
				t.Error("the connection stays open")
			}
		})
	}
}

// TestTenMegabytes: a client that sends everything before it reads still gets the answer, not a reset.
// Each time that a client can take has a bound, and headers as large as they may be are read.
func TestTimes(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{}, 1)
	s, _, _ := started(t, Options{ReadTimeout: time.Hour, IdleTimeout: 100 * time.Millisecond, WriteTimeout: 100 * time.Millisecond}, echo, Route{
		Method: fasthttp.MethodGet, Pattern: "/much",
		Handler: func(_ context.Context, rc *fasthttp.RequestCtx) error {
			entered <- struct{}{}
			rc.SetBody(make([]byte, 64<<20))
			return nil
		},
	})
	address := s.Addr().String()
	idle := dial(t, address)
	say(t, idle, "POST /task/1 HTTP/1.1\r\nHost: a\r\nX-Filler: "+strings.Repeat("x", 7500)+"\r\nContent-Length: 0\r\n\r\n")
	if response, _ := hear(t, idle); response.StatusCode != 200 {
		t.Errorf("large headers: %s", response.Status)
	}
	if n, err := idle.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("an idle connection gave %d bytes, %v", n, err)
	}
	say(t, dial(t, address), "GET /much HTTP/1.1\r\nHost: a\r\n\r\n") // and reads nothing
	<-entered
	proctest.Eventually(t, "a client that does not read is left", func() bool {
		s.crowd.mu.Lock()
		defer s.crowd.mu.Unlock()
		return len(s.crowd.open) == 0
	})
}

// Who is refused and goes on sending is listened to for so long only, however steadily it sends.
func TestLingerIsBounded(t *testing.T) {
	before := lingerTotal
	lingerTotal = 300 * time.Millisecond
	t.Cleanup(func() { lingerTotal = before })
	conn := dial(t, serve(t, Options{}, echo))
	say(t, conn, "POST /task/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 10485760\r\n\r\n")
	if response, _ := hear(t, conn); response.StatusCode != 413 {
		t.Errorf("got %s", response.Status)
	}
	for {
		if _, err := conn.Write([]byte("x")); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("it is listened to for ever")
		} else if err != nil {
			return
		}
		time.Sleep(10 * time.Millisecond) // as a slow client does
	}
}

func TestTenMegabytes(t *testing.T) {
	address := serve(t, Options{}, echo)
	for range 5 {
		response, body := talk(t, address, "POST /task/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 10485760\r\n\r\n", strings.Repeat("x", 10<<20))
		wantProblem(t, response, body, 413)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/task/1", io.MultiReader(bytes.NewReader(make([]byte, 10<<20))))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != 413 {
		t.Errorf("net/http got %s", response.Status)
	}
}

// TestEndlessBody: a client that never stops sending is cut off.
func TestEndlessBody(t *testing.T) {
	address := serve(t, Options{}, echo)
	conn := dial(t, address)
	if _, err := io.WriteString(conn, "POST /task/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000000\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	sent, block := 0, make([]byte, 1<<20)
	for sent < 1<<30 {
		n, err := conn.Write(block)
		sent += n
		if err != nil {
			break
		}
	}
	if sent >= 1<<30 {
		t.Errorf("%d bytes were taken", sent)
	}
}

func TestTruncatedRequests(t *testing.T) {
	address := serve(t, Options{}, echo)
	whole := "POST /task/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
	for cut := range len(whole) {
		conn := dial(t, address)
		if _, err := io.WriteString(conn, whole[:cut]); err != nil {
			t.Fatal(err)
		}
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		if err != nil {
			t.Fatalf("after %d bytes: %v", cut, err)
		}
		if len(answer) > 0 && !bytes.HasPrefix(answer, []byte("HTTP/1.1 400 ")) {
			t.Errorf("after %d bytes: %s", cut, answer)
		}
	}
	if response, body := talk(t, address, whole); response.StatusCode != 200 || body != "5" {
		t.Errorf("the whole request: %s %s", response.Status, body)
	}
}

func TestFiveThousandIdleConnections(t *testing.T) {
	address := serve(t, Options{}, echo)
	const idle = 5000
	half := make([]net.Conn, 0, idle)
	for i := range idle {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatalf("this system gives no more than %d connections; raise its limit of open files (ulimit -n): %v", i, err)
		}
		defer conn.Close()
		if i%2 == 0 { // half of them have sent a part of a request
			if _, err := io.WriteString(conn, "POST /task/1 HTT"); err != nil {
				t.Fatal(err)
			}
		}
		half = append(half, conn)
	}
	for range 20 {
		response, body := talk(t, address, "POST /task/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
		if response.StatusCode != 200 || body != "2" {
			t.Fatalf("%s %s", response.Status, body)
		}
	}
	if len(half) != idle {
		t.Errorf("%d connections", len(half))
	}
}

func TestPanics(t *testing.T) {
	var log logBuffer
	address := serve(t, Options{Log: zerolog.New(&log).Level(zerolog.InfoLevel)}, Route{
		Method: fasthttp.MethodGet, Pattern: "/boom", CORS: AnyOrigin,
		Handler: func(_ context.Context, rc *fasthttp.RequestCtx) error {
			rc.SetBodyString("half an answer")
			rc.Response.Header.Set("Location", "/elsewhere")
			panic("secret words")
		},
	})
	conn := dial(t, address)
	for range 2 { // the connection and the server live on
		if _, err := io.WriteString(conn, "GET /boom?sig=hidden HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		response, body := hear(t, conn)
		wantProblem(t, response, body, 500)
		if strings.Contains(body, "secret") || strings.Contains(body, "half") || strings.Contains(body, ".go") ||
			response.Header.Get("Location") != "" || response.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%v %s", response.Header, body)
		}
	}
	text := log.String()
	if strings.Count(text, "\n") != 1 || strings.Contains(text, "secret words") || !strings.Contains(text, "panic with a string") || !strings.Contains(text, "server_test.go") || strings.Contains(text, "hidden") {
		t.Errorf("the log is %s", text)
	}
}

func TestErrorsBecomeProblems(t *testing.T) {
	failing := errors.New("the password is 1234")
	for _, c := range []struct {
		err     error
		status  int
		retries bool
	}{
		{fmt.Errorf("submit: %w", run.ErrUnavailable), 503, true},
		{fmt.Errorf("submit: %w: %w", run.ErrMaybeStored, context.DeadlineExceeded), 503, true},
		{run.ErrKeyReused, 422, false},
		{run.ErrNoRun, 404, false},
		{run.ErrRunGone, 410, false},
		{context.Canceled, 503, true},
		{context.DeadlineExceeded, 503, true},
		{Refuse(409, "because"), 409, false},
		{fmt.Errorf("open: %w", &Problem{Status: 429, Detail: "slowly", RetryAfter: 1500 * time.Millisecond, Cause: failing}), 429, true},
		{failing, 500, false},
	} {
		t.Run(c.err.Error(), func(t *testing.T) {
			var log logBuffer
			address := serve(t, Options{Log: zerolog.New(&log).Level(zerolog.InfoLevel)}, Route{
				Method: fasthttp.MethodGet, Pattern: "/",
				Handler: func(context.Context, *fasthttp.RequestCtx) error { return c.err },
			})
			response, body := talk(t, address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			wantProblem(t, response, body, c.status)
			if got := response.Header.Get("Retry-After"); (got != "") != c.retries {
				t.Errorf("Retry-After %q", got)
			}
			if strings.Contains(body, "1234") {
				t.Errorf("the client learns %s", body)
			}
			if logged := strings.Count(log.String(), "\n"); logged != c.status/500 {
				t.Errorf("%d lines are logged: %s", logged, log.String())
			}
		})
	}
}

// What the log is told of an error is nothing for a client.
func TestAnswersHideTheirCause(t *testing.T) {
	for _, known := range answers {
		rc := request(t, "127.0.0.1:1")
		ProblemOf(fmt.Errorf("publish to run.request.x at nats://10.0.0.1:4222: %w", known.err)).write(rc)
		if body := rc.Response.Body(); bytes.Contains(body, []byte("10.0.0.1")) || bytes.Contains(body, []byte("run.request")) {
			t.Errorf("%v: %s", known.err, body)
		}
	}
}

func TestRouting(t *testing.T) {
	answer := func(text string) Handler {
		return func(_ context.Context, rc *fasthttp.RequestCtx) error {
			rc.SetBodyString(text + PathValue(rc, "task"))
			return nil
		}
	}
	address := serve(t, Options{},
		Route{Method: "POST", Pattern: "/task/execute/{task}", CORS: AnyOrigin, Handler: answer("execute ")},
		Route{Method: "GET", Pattern: "/task/poll/{task}/{run}/status", CORS: AnyOrigin, Handler: answer("status ")},
		Route{Method: "GET", Pattern: "/api/tasks", Handler: answer("tasks")},
		Route{Method: "DELETE", Pattern: "/api/tasks", Handler: answer("gone")},
	)
	for _, c := range []struct {
		method, path string
		status       int
		body, allow  string
		cors         bool
	}{
		{"POST", "/task/execute/a%7Bb%7D", 200, "execute a{b}", "", true},
		{"POST", "/task/execute/a%2", 200, "execute a%2", "", true},
		{"GET", "/task/execute/a", 405, "", "OPTIONS, POST", true},
		{"BREW", "/task/execute/a", 405, "", "OPTIONS, POST", true},
		{"OPTIONS", "/task/execute/a", 204, "", "OPTIONS, POST", true},
		{"POST", "/task/execute/a/", 404, "", "", true},
		{"POST", "/task/execute/", 404, "", "", true},
		{"POST", "/TASK/execute/a", 404, "", "", false},
		{"POST", "//task/execute/a", 404, "", "", false},
		{"GET", "/task/poll/a/1/status", 200, "status a", "", true},
		{"HEAD", "/task/poll/a/1/status", 200, "", "", true},
		{"POST", "/task/poll/a/1/status", 405, "", "GET, HEAD, OPTIONS", true},
		{"GET", "/api/tasks", 200, "tasks", "", false},
		{"PUT", "/api/tasks", 405, "", "DELETE, GET, HEAD, OPTIONS", false},
		{"OPTIONS", "/api/tasks", 204, "", "DELETE, GET, HEAD, OPTIONS", false},
		{"GET", "/", 404, "", "", false},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			conn := dial(t, address)
			if _, err := io.WriteString(conn, c.method+" "+c.path+" HTTP/1.1\r\nHost: a\r\nOrigin: https://b.example.org\r\nAccess-Control-Request-Method: POST\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: c.method})
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != c.status || response.Header.Get("Allow") != c.allow || (response.Header.Get("Access-Control-Allow-Origin") == "*") != c.cors {
				t.Errorf("%s %v", response.Status, response.Header)
			}
			if c.status >= 400 {
				wantProblem(t, response, string(body), c.status)
			} else if string(body) != c.body {
				t.Errorf("body %s", body)
			}
			if response.Header.Get("Server") != "runhook" {
				t.Errorf("Server: %s", response.Header.Get("Server"))
			}
		})
	}
	for _, routes := range [][]Route{
		{echo, echo},
		{{Method: "GET", Pattern: "no slash", Handler: echo.Handler}},
	} {
		if s, err := New(Options{Listen: "127.0.0.1:0"}, routes); err == nil {
			t.Errorf("routes that contradict each other are taken: %v", s.Close())
		}
	}
}

func TestBind(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for listen, want := range map[string]string{
		taken.Addr().String(): "another program has this port",
		"203.0.113.1:0":       "this machine has no such address",
		"8080":                "--listen takes host:port",
		"127.0.0.1:99999":     "--listen takes host:port",
	} {
		s, err := New(Options{Listen: listen})
		if err == nil {
			t.Fatalf("%s: bound, close: %v", listen, s.Close())
		}
		if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "--listen") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", listen, err)
		}
	}
}

func TestAccessLog(t *testing.T) {
	var log logBuffer
	address := serve(t, Options{Log: zerolog.New(&log).Level(zerolog.DebugLevel)}, echo)
	talk(t, address, "POST /task/1?sig=hidden HTTP/1.1\r\nHost: a\r\n\r\n")
	talk(t, address, "GET /nothing?sig=hidden HTTP/1.1\r\nHost: a\r\n\r\n")
	text := log.String()
	for _, want := range []string{`"method":"POST","path":"/task/1","status":200`, `"method":"GET","path":"/nothing","status":404`, `"duration"`} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not in %s", want, text)
		}
	}
	if strings.Contains(text, "hidden") {
		t.Errorf("the query is logged: %s", text)
	}
}

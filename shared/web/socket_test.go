package web

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"runhook/shared/proctest"

	"github.com/valyala/fasthttp"
)

func TestMain(m *testing.M) { proctest.Main(m) }

// logBuffer is a log that a test reads while the server still writes.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// serve runs a server on a free port for the test and returns its host:port.
func serve(t testing.TB, o Options, routes ...Route) string {
	t.Helper()
	o.Listen = "127.0.0.1:0"
	s, err := New(o, routes)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return s.Addr().String()
}

// echo answers with the length of the body.
var echo = Route{
	Method: fasthttp.MethodPost, Pattern: "/task/{task}", CORS: AnyOrigin,
	Handler: func(_ context.Context, rc *fasthttp.RequestCtx) error {
		rc.SetBodyString(fmt.Sprint(len(rc.PostBody())))
		return nil
	},
}

// talk sends raw bytes and reads one answer. The answer's body is closed and read.
func talk(t testing.TB, address string, parts ...string) (*http.Response, string) {
	t.Helper()
	conn := dial(t, address)
	for _, part := range parts {
		if _, err := io.WriteString(conn, part); err != nil {
			t.Fatal(err)
		}
	}
	return hear(t, conn)
}

func dial(t testing.TB, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(proctest.Limit)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func hear(t testing.TB, conn net.Conn) (*http.Response, string) {
	t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

// wantProblem checks that an answer is a problem of a status, readable by any page.
func wantProblem(t testing.TB, response *http.Response, body string, status int) {
	t.Helper()
	var p struct {
		Type, Title, Detail string
		Status              int
	}
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Fatalf("%s %s: %v", response.Status, body, err)
	}
	if response.StatusCode != status || p.Status != status || p.Title == "" || p.Type == "" || p.Detail == "" ||
		response.Header.Get("Content-Type") != "application/problem+json" || response.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("want %d, got %s %v %s", status, response.Status, response.Header, body)
	}
}

package web

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"runhook/shared/proctest"
)

// localConn is a connection that came to an address.
type localConn struct {
	net.Conn
	local net.Addr
}

func (c localConn) LocalAddr() net.Addr  { return c.local }
func (c localConn) RemoteAddr() net.Addr { return c.local }

func TestHosts(t *testing.T) {
	const loopback, other = "127.0.0.1:8080", "0.0.0.0:8080"
	for _, c := range []struct {
		name, given, listen, public, host string
		listed                            bool
	}{
		{name: "a name of this machine", listen: loopback, host: "localhost:8080", listed: true},
		{name: "in other letters", listen: loopback, host: "LocalHost", listed: true},
		{name: "with its dot", listen: loopback, host: "localhost.:8080", listed: true},
		{name: "its address", listen: loopback, host: "127.0.0.1", listed: true},
		{name: "its IPv6 address", listen: loopback, host: "[::1]:8080", listed: true},
		{name: "a name that was made to point here", listen: loopback, host: "evil.example.org"},
		{name: "one that begins so", listen: loopback, host: "localhost.evil.example.org"},
		{name: "an address that is not its", listen: loopback, host: "192.0.2.7"},
		{name: "no Host", listen: loopback},
		{name: "no host name", listen: loopback, host: "localhost, evil"},
		{name: "that of --listen", listen: "inner.example.org:80", host: "inner.example.org", listed: true},
		{name: "that of --public-url", listen: loopback, public: "https://hooks.example.org/x", host: "hooks.example.org:443", listed: true},
		{name: "the address that it came to", listen: other, host: "192.0.2.7:8080", listed: true},
		{name: "on every address", listen: ":8080", host: "192.0.2.7:8080", listed: true},
		{name: "a name, on every address", listen: other, host: "evil.example.org"},
		{name: "another address, on every address", listen: other, host: "192.0.2.8"},
		{name: "one that is given", given: "hooks.example.org,10.0.0.1", listen: loopback, host: "hooks.example.org:8443", listed: true},
		{name: "another that is given", given: "hooks.example.org,10.0.0.1", listen: loopback, host: "10.0.0.1", listed: true},
		{name: "loopback where others are given", given: "hooks.example.org", listen: loopback, host: "localhost"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var given []string
			if c.given != "" {
				given = strings.Split(c.given, ",")
			}
			hosts, err := NewHosts(given, c.listen, c.public)
			if err != nil {
				t.Fatal(err)
			}
			var rc fasthttp.RequestCtx
			rc.Init2(localConn{local: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 8080}}, nil, false)
			rc.Request.Header.SetHost(c.host)
			if got := hosts.lists(&rc); got != c.listed {
				t.Errorf("%q is listed: %v", c.host, got)
			}
		})
	}
	for _, c := range []struct{ given, listen, public, want string }{
		{"", loopback, "", "http://127.0.0.1:8080"},
		{"", other, "", "http://127.0.0.1:8080"},
		{"", loopback, "https://hooks.example.org", "http://127.0.0.1:8080"},
		{"hooks.example.org", loopback, "https://hooks.example.org/x", "https://hooks.example.org/x"},
		{"hooks.example.org,10.0.0.1", loopback, "", "http://hooks.example.org:8080"},
		{"[2001:db8::1]", loopback, "", "http://[2001:db8::1]:8080"},
		{"localhost,127.0.0.1", loopback, "https://hooks.example.org", "http://127.0.0.1:8080"},
	} {
		var given []string
		if c.given != "" {
			given = strings.Split(c.given, ",")
		}
		hosts, err := NewHosts(given, c.listen, c.public)
		if err != nil {
			t.Fatal(err)
		}
		if got := hosts.InnerURL("http://127.0.0.1:8080", c.public); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
	if _, err := NewHosts([]string{"https://hooks.example.org"}, loopback, ""); err == nil || !strings.Contains(err.Error(), "--hosts") {
		t.Errorf("a URL is taken for a host: %v", err)
	}
}

// inner is a route for administrators, refusing one that refuses every body unread, and torn one that no longer
// refuses when it is asked.
var (
	inner    = Route{Method: "GET", Pattern: "/api/tasks", Inner: true, Handler: func(context.Context, *fasthttp.RequestCtx) error { return nil }}
	refusing = Route{
		Method: "POST", Pattern: "/refusing/{task}", CORS: AnyOrigin,
		Refuses: func(head Head) bool { return head.PathValue("task") == "no" && len(head.Peek("X-Let")) == 0 },
		Handler: func(_ context.Context, rc *fasthttp.RequestCtx) error {
			if PathValue(rc, "task") == "no" {
				return Refuse(fasthttp.StatusConflict, "It is refused.")
			}
			return echo.Handler(nil, rc)
		},
	}
	torn = Route{
		Method: "POST", Pattern: "/torn", CORS: AnyOrigin, Refuses: func(Head) bool { return true },
		Handler: func(_ context.Context, rc *fasthttp.RequestCtx) error {
			_, err := Body(rc)
			return err
		},
	}
)

// Requests that are refused anyway are refused before a byte of their bodies is there, nor asked for.
func TestRefusedUnread(t *testing.T) {
	address := serve(t, Options{ReadTimeout: time.Hour}, echo, inner, refusing, torn)
	for _, c := range []struct {
		name, line, want string
	}{
		{"a path that there is not", "POST /none", "404"},
		{"a method that it does not have", "PUT /task/1", "405"},
		{"what its route refuses", "POST /refusing/no", "409"},
		{"what is no longer refused", "POST /torn", "503"},
		{"a crooked path", "POST /task/..%2f1", "400"},
		{"a whole URL", "POST http://a/none", "404"},
	} {
		for _, body := range []string{"Content-Length: 262144\r\n\r\n", "Content-Length: 1\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n", "Expect: 100-continue\r\nContent-Length: 262144\r\n\r\n", "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"} {
			conn := dial(t, address)
			say(t, conn, c.line+" HTTP/1.1\r\nHost: a\r\n"+body)
			answer, err := io.ReadAll(conn)
			if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 "+c.want+" ") || !strings.Contains(string(answer), "problem+json") || !strings.Contains(string(answer), "Connection: close") {
				t.Errorf("%s, %q: %s %v", c.name, body, answer, err)
			}
		}
	}
	for _, line := range []string{"POST /refusing/yes", "POST /task/1"} {
		for _, body := range []string{"Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"} {
			if response, got := talk(t, address, line+" HTTP/1.1\r\nHost: a\r\n"+body); response.StatusCode != 200 || got != "5" {
				t.Errorf("%s, %q: %s %s", line, body, response.Status, got)
			}
		}
	}
	if response, _ := talk(t, address, "POST /refusing/no HTTP/1.1\r\nHost: a\r\n\r\n"); response.StatusCode != 409 || response.Close {
		t.Errorf("without a body: %s", response.Status)
	}
}

func TestCrookedPaths(t *testing.T) {
	for path, want := range map[string]bool{
		"/task/1": false, "/": false, "": false, "/a%20b": false, "/100%": false, "a.b": false, "/a..b/.well-known/...": false, "/a%252f": false,
		"/a/../b": true, "/a/..": true, "/./a": true, "/a/.": true, "/a%2fb": true, "/a%2Fb": true, "/%2e%2e/b": true, "/a/.%2E/b": true, "/a%5cb": true, `/a\b`: true, "/%41%2f": true, ".": true, "../api": true, "./api": true,
	} {
		if isCrooked([]byte(path)) != want {
			t.Errorf("%q is crooked: %v", path, !want)
		}
	}
	address := serve(t, Options{}, echo, inner)
	for _, path := range []string{"/task/../api/tasks", "/task/..%2fapi%2ftasks", "/api%2ftasks", "/%2e%2e/api/tasks"} {
		response, body := talk(t, address, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
		wantProblem(t, response, body, 400)
	}
	if response, body := talk(t, address, "POST /task/1?at=..%2f.. HTTP/1.1\r\nHost: a\r\n\r\n"); response.StatusCode != 200 {
		t.Errorf("in the query: %s %s", response.Status, body)
	}
}

// What is inside is shown under the server's own names and in no frame; no answer is taken for another type; and
// no page of the internet is let into this network.
func TestPagesOfOthers(t *testing.T) {
	address := serve(t, Options{}, echo, inner)
	ask := func(request string, headers ...string) *http.Response {
		t.Helper()
		response, body := talk(t, address, request+" HTTP/1.1\r\n"+strings.Join(append(headers, "", ""), "\r\n"))
		if got := response.Header.Get("X-Content-Type-Options"); got != "nosniff" {
			t.Errorf("%s %v: %s %s may be sniffed: %q", request, headers, response.Status, body, got)
		}
		return response
	}
	for _, c := range []struct {
		request string
		headers []string
		want    int
	}{
		{"GET /api/tasks", []string{"Host: localhost"}, 200},
		{"GET /api/tasks", []string{"Host: evil.example.org"}, 421},
		{"OPTIONS /api/tasks", []string{"Host: evil.example.org"}, 421},
		{"PUT /api/tasks", []string{"Host: evil.example.org"}, 421},
		{"GET /none", []string{"Host: evil.example.org"}, 404},
		{"GET /a%2fb", []string{"Host: evil.example.org"}, 400},
		{"POST /task/1", []string{"Host: hooks.example.org"}, 200},
		{"POST /task/1", []string{"Host: hooks.example.org", "Content-Length: 10000000"}, 413},
		{"POST /task/1", []string{"Host: hooks.example.org", "Content-Length: x"}, 400},
		{"OPTIONS /task/1", []string{"Host: a", "Origin: https://b.example.org", "Access-Control-Request-Method: POST"}, 204},
		{"OPTIONS /task/1", []string{"Host: a", "Origin: https://b.example.org", "Access-Control-Request-Method: POST", "Access-Control-Request-Private-Network: true"}, 403},
		{"OPTIONS /task/1", []string{"Host: a", "Origin: https://b.example.org", "Access-Control-Request-Method: POST", "Access-Control-Request-Local-Network: true"}, 403},
	} {
		response := ask(c.request, c.headers...)
		if response.StatusCode != c.want {
			t.Errorf("%s %v: %s", c.request, c.headers, response.Status)
		}
		if framed := response.Header.Get("X-Frame-Options") != "DENY" || !strings.Contains(response.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'"); strings.Contains(c.request, "/api/") && framed {
			t.Errorf("%s may be framed: %v", c.request, response.Header)
		}
		if c.want == 403 && response.Header.Get("Access-Control-Allow-Methods") != "" {
			t.Errorf("%s %v lets a page in: %v", c.request, c.headers, response.Header)
		}
	}

	hosts, err := NewHosts([]string{"hooks.example.org"}, "", "")
	if err != nil {
		t.Fatal(err)
	}
	address = serve(t, Options{Hosts: hosts}, append(Health(func(context.Context) error { return nil }), echo)...)
	for request, want := range map[string]int{
		"POST /task/1|hooks.example.org:1": 200, "POST /task/1|evil.example.org": 421, "POST /task/1|localhost": 421, "GET /livez|any": 200, "GET /readyz|any": 200,
	} {
		line, host, _ := strings.Cut(request, "|")
		if response := ask(line, "Host: "+host); response.StatusCode != want {
			t.Errorf("where hosts are given, %s: %s", request, response.Status)
		}
	}
	locator := new(Locator)
	locator.trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	locator.Under(hosts)
	for host, want := range map[string]string{"hooks.example.org": "http://hooks.example.org", "evil.example.org": ""} {
		base, err := locator.Base(request(t, "127.0.0.1:1", "Host: inner", "X-Forwarded-Host: "+host))
		if base != want || (err == nil) != (want != "") {
			t.Errorf("a proxy that passes %s on gets %q, %v", host, base, err)
		}
	}
}

// The bytes of bodies under way have a bound, which those that are not read whole, or in many chunks, meet too.
func TestBodiesUnderWay(t *testing.T) {
	s, _, _ := started(t, Options{MaxBodies: 246 << 10, ReadTimeout: time.Hour}, echo) // one of the largest, and some more
	address := s.Addr().String()
	const head = "POST /task/1 HTTP/1.1\r\nHost: a\r\n"
	slow := dial(t, address)
	say(t, slow, head+"Content-Length: 262144\r\n\r\n"+strings.Repeat("x", 20_000))
	proctest.Eventually(t, "its body counts", func() bool { return s.bodies.Load() > 200<<10 })
	for name, body := range map[string]string{
		"one more":       "Content-Length: 262144\r\n\r\n",
		"in many chunks": "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("400\r\n"+strings.Repeat("x", 1024)+"\r\n", 250) + "0\r\n\r\n",
	} {
		conn := dial(t, address)
		say(t, conn, head+body)
		response, said := hear(t, conn)
		wantProblem(t, response, said, 503)
		if !strings.Contains(said, "too-many-bodies") || response.Header.Get("Retry-After") != "5" {
			t.Errorf("%s: %v %s", name, response.Header, said)
		}
	}
	if response, body := talk(t, address, head+"Content-Length: 15000\r\n\r\n"+strings.Repeat("x", 15000)); body != "15000" {
		t.Errorf("a small one: %s %s", response.Status, body)
	}
	say(t, slow, strings.Repeat("x", 262144-20_000))
	if response, body := hear(t, slow); body != "262144" {
		t.Errorf("the slow one: %s %s", response.Status, body)
	}
	proctest.Eventually(t, "no body counts any more", func() bool { return s.bodies.Load() == 0 })
	if response, body := talk(t, address, head+"Content-Length: 262144\r\n\r\n"+strings.Repeat("x", 262144)); body != "262144" {
		t.Errorf("after them: %s %s", response.Status, body)
	}
}

// An address has a part of the connections only, unless it is a proxy's; many that are silent are cut soon; and
// memory is given back when they have gone.
func TestConnectionsOfAnAddress(t *testing.T) {
	isClosed := func(conn net.Conn) bool {
		_, err := conn.Read(make([]byte, 1))
		return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
	}
	s, _, _ := started(t, Options{MaxConns: 100, MaxConnsOf: 2, ReadTimeout: time.Hour}, echo)
	address := s.Addr().String()
	first, second := dial(t, address), dial(t, address)
	for _, conn := range []net.Conn{first, second} {
		say(t, conn, "GET /none HTTP/1.1\r\nHost: a\r\n\r\n")
		hear(t, conn)
	}
	if !isClosed(dial(t, address)) {
		t.Error("an address has more connections than it may")
	}
	_ = first.Close()
	proctest.Eventually(t, "there is room for another", func() bool {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "GET /none HTTP/1.1\r\nHost: a\r\n\r\n")
		_, err = http.ReadResponse(bufio.NewReader(conn), nil)
		return err == nil
	})
	for addr, want := range map[string]string{"192.0.2.1": "192.0.2.1/32", "2001:db8:1:2:3::4": "2001:db8:1:2::/64", "::ffff:192.0.2.1": "192.0.2.1/32"} {
		if got := addressOf(net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(addr), 1))); got.String() != want {
			t.Errorf("%s is %s", addr, got)
		}
	}

	s, _, _ = started(t, Options{
		MaxConns: 4, MaxConnsOf: 1, Proxies: netip.Addr.IsLoopback, ReadTimeout: time.Hour,
		silence: time.Millisecond, many: 3, calmAfter: time.Millisecond,
	}, echo)
	address = s.Addr().String()
	var open []net.Conn
	for range 2 {
		open = append(open, dial(t, address))
		say(t, open[len(open)-1], "GET /none HTTP/1.1\r\nHost: a\r\n\r\n")
		hear(t, open[len(open)-1])
	}
	open = append(open, dial(t, address), dial(t, address)) // by which it is crowded
	for _, silent := range open[2:] {
		if response, _ := hear(t, silent); response.StatusCode != 408 {
			t.Errorf("the silent one got %s", response.Status)
		}
	}
	buffer := make([]byte, pooled)
	pool.Put(&buffer) // as those of HTTP have buffers
	full := inUse()
	for _, conn := range open[1:] {
		_ = conn.Close()
	}
	proctest.Eventually(t, "most of the crowd has gone", func() bool {
		s.crowd.mu.Lock()
		defer s.crowd.mu.Unlock()
		return s.crowd.peak == 1 && s.crowd.calm == nil
	})
	proctest.Eventually(t, "memory is given back", func() bool { return inUse()+pooled/2 < full })
	_ = open[0].Close()
	proctest.Eventually(t, "no address counts any more", func() bool {
		s.crowd.mu.Lock()
		defer s.crowd.mu.Unlock()
		return len(s.crowd.of) == 0
	})
}

// In a crowd, a connection that says nothing at first is cut soon; one that came before the crowd, one that has begun
// to say something and one between two requests have their whole time.
func TestSilenceInACrowd(t *testing.T) {
	t.Parallel()
	s, _, _ := started(t, Options{MaxConns: 8, MaxConnsOf: 8, ReadTimeout: time.Hour, IdleTimeout: time.Hour, silence: 3 * time.Second}, echo)
	address := s.Addr().String()
	const get = "GET /none HTTP/1.1\r\nHost: a\r\n\r\n"
	early := dial(t, address)
	proctest.Eventually(t, "it is taken", func() bool {
		s.crowd.mu.Lock()
		defer s.crowd.mu.Unlock()
		return len(s.crowd.open) == 1
	})
	for range 4 { // a crowd by the last
		conn := dial(t, address)
		say(t, conn, get)
		hear(t, conn)
	}
	idle, begun := dial(t, address), dial(t, address)
	say(t, idle, get)
	hear(t, idle)
	say(t, begun, get[:1])
	if response, _ := hear(t, dial(t, address)); response.StatusCode != 408 {
		t.Errorf("the silent one got %s", response.Status)
	}
	for name, said := range map[string]struct {
		conn net.Conn
		text string
	}{"one that came before": {early, get}, "one that has begun": {begun, get[1:]}, "one between two requests": {idle, get}} {
		say(t, said.conn, said.text)
		if response, _ := hear(t, said.conn); response.StatusCode != 404 {
			t.Errorf("%s got %s", name, response.Status)
		}
	}
}

// pool is one whose content the first collection of garbage keeps.
var pool sync.Pool

const pooled = 256 << 20

// inUse is how many bytes of the heap are.
func inUse() uint64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

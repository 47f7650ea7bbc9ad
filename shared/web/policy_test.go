package web

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"

	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/seldom"
	"runhook/shared/task"
)

// shorten has a pause be another one until the end of the test, which runs alone.
func shorten(t testing.TB, pause *time.Duration, to time.Duration) {
	t.Helper()
	was := *pause
	*pause = to
	t.Cleanup(func() { *pause = was })
}

// request makes a request as a handler gets it, from a peer, with headers as "Name: value" lines.
func request(t testing.TB, peer string, headers ...string) *fasthttp.RequestCtx {
	t.Helper()
	var rc fasthttp.RequestCtx
	addr, err := net.ResolveTCPAddr("tcp", peer)
	if err != nil {
		t.Fatal(err)
	}
	rc.Init(&fasthttp.Request{}, addr, nil)
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		rc.Request.Header.Add(name, value)
	}
	return &rc
}

func TestBase(t *testing.T) {
	for _, c := range []struct {
		name, public, location string
		trusted                []string
		peer                   string
		headers                []string
		want                   string
		refused                bool
	}{
		{name: "the Host", headers: []string{"Host: a.example.org"}, want: "http://a.example.org"},
		{name: "with a port", headers: []string{"Host: a.example.org:8080"}, want: "http://a.example.org:8080"},
		{name: "IPv6", headers: []string{"Host: [::1]:8080"}, want: "http://[::1]:8080"},
		{name: "no Host", want: ""},
		{name: "a space", headers: []string{"Host: a b"}, refused: true},
		{name: "a path", headers: []string{"Host: a/b"}, refused: true},
		{name: "markup", headers: []string{`Host: "><script>`}, refused: true},
		{name: "credentials", headers: []string{"Host: u@a"}, refused: true},
		{name: "a port that is none", headers: []string{"Host: a:x"}, refused: true},
		{name: "an empty port", headers: []string{"Host: a:"}, refused: true},
		{name: "a broken IPv6", headers: []string{"Host: [::1"}, refused: true},
		{name: "an IPv6 zone", headers: []string{"Host: [fe80::1%25eth0]"}, refused: true},
		{name: "odd also where it is not used", public: "https://p", headers: []string{"Host: a b"}, refused: true},
		{name: "public", public: "https://p.example.org/hooks/", headers: []string{"Host: a"}, want: "https://p.example.org/hooks"},
		{name: "relative", location: "relative", headers: []string{"Host: a"}, want: ""},
		{name: "relative wins over public", public: "https://p", location: "relative", headers: []string{"Host: a"}, want: ""},
		{name: "forwarded by nobody we trust", trusted: []string{"10.0.0.0/8"}, peer: "192.0.2.1:1", headers: []string{"Host: a", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil"}, want: "http://a"},
		{name: "by a trusted proxy", trusted: []string{"10.0.0.0/8"}, headers: []string{"Host: a", "X-Forwarded-Proto: HTTPS", "X-Forwarded-Host: b:444"}, want: "https://b:444"},
		{name: "by one trusted address", trusted: []string{"10.0.0.1"}, headers: []string{"Host: a", "X-Forwarded-Proto: https"}, want: "https://a"},
		{name: "by a trusted IPv6 proxy", trusted: []string{"fd00::/8"}, peer: "[fd00::1]:1", headers: []string{"Host: a", "X-Forwarded-Proto: https"}, want: "https://a"},
		{name: "IPv4 in IPv6", trusted: []string{"10.0.0.0/8"}, peer: "[::ffff:10.0.0.1]:1", headers: []string{"Host: a", "X-Forwarded-Proto: https"}, want: "https://a"},
		{name: "odd forwarded words", trusted: []string{"10.0.0.0/8"}, headers: []string{"Host: a", "X-Forwarded-Proto: gopher", "X-Forwarded-Host: x y"}, want: "http://a"},
		{
			name: "the client's own words stand left", trusted: []string{"10.0.0.0/8"},
			headers: []string{"Host: a", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Host: evil, b", "X-Forwarded-Proto: http, https"}, want: "https://b",
		},
		{
			name: "two trusted proxies", trusted: []string{"10.0.0.0/8"},
			headers: []string{"Host: a", "X-Forwarded-For: 192.0.2.9, 192.0.2.1, 10.0.0.2", "X-Forwarded-Host: evil, b, inner", "X-Forwarded-Proto: ftp, https, http"}, want: "https://b",
		},
		{name: "Forwarded", trusted: []string{"10.0.0.0/8"}, headers: []string{"Host: a", `Forwarded: for=192.0.2.1;proto=https;host="b:8443"`}, want: "https://b:8443"},
		{
			name: "Forwarded through two", trusted: []string{"10.0.0.0/8"},
			headers: []string{"Host: a", `Forwarded: host=evil, for=192.0.2.1;host=b;proto=https`, `Forwarded: for="10.0.0.2:77";host=inner;proto=http`}, want: "https://b",
		},
		{name: "X-Forwarded wins", trusted: []string{"10.0.0.0/8"}, headers: []string{"Host: a", "Forwarded: host=evil", "X-Forwarded-Proto: https"}, want: "https://a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := NewLocator(c.public, c.trusted, c.location)
			if err != nil {
				t.Fatal(err)
			}
			peer := c.peer
			if peer == "" {
				peer = "10.0.0.1:1"
			}
			got, err := l.Base(request(t, peer, c.headers...))
			if (err != nil) != c.refused {
				t.Fatalf("error %v", err)
			}
			if p, ok := errors.AsType[*Problem](err); c.refused && (!ok || p.Status != 400) {
				t.Errorf("error %v", err)
			}
			if got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
	for _, wrong := range []struct{ public, trusted, location, flag string }{
		{public: "hooks.example.org", flag: "--public-url"},
		{public: "ftp://a", flag: "--public-url"},
		{public: "https://a?x=1", flag: "--public-url"},
		{public: "https://u:p@a", flag: "--public-url"},
		{trusted: "10.0.0.0/99", flag: "--trusted-proxies"},
		{trusted: "proxy", flag: "--trusted-proxies"},
		{location: "both", flag: "--location"},
	} {
		var trusted []string
		if wrong.trusted != "" {
			trusted = []string{wrong.trusted}
		}
		if _, err := NewLocator(wrong.public, trusted, wrong.location); err == nil || !strings.Contains(err.Error(), wrong.flag) {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
}

func TestSignatures(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.key")
	if err := CreateKeyFile(path); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if err := CreateKeyFile(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second key file: %v", err)
	}
	old, err := LoadKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	const id, store = task.ID("555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd"), "s1"
	later := time.Now().Add(time.Hour)
	sign := func(keys *Keys, scope Scope) string {
		t.Helper()
		sig, ok := strings.CutPrefix(keys.Query(scope, store, id, 7, later), "?sig=")
		if !ok {
			t.Errorf("the query begins with %s", sig)
		}
		return sig
	}
	read, rows, control := sign(old, ReadRun), sign(old, ReadRows), sign(old, ControlRun)
	over := strings.TrimPrefix(old.Query(ReadRun, store, id, 7, time.Now().Add(-time.Second)), "?sig=")
	// Of an expired one, with the time of another.
	prolonged := read[:10] + over[10:]
	for _, c := range []struct {
		name, sig string
		scope     Scope
		store     string
		id        task.ID
		n         run.Number
		want      error
	}{
		{"read", read, ReadRun, store, id, 7, nil},
		{"control", control, ControlRun, store, id, 7, nil},
		{"control reads", control, ReadRun, store, id, 7, nil},
		{"control reads no rows", control, ReadRows, store, id, 7, ErrWrongSignature},
		{"rows", rows, ReadRows, store, id, 7, nil},
		{"rows read", rows, ReadRun, store, id, 7, nil},
		{"rows do not control", rows, ControlRun, store, id, 7, ErrWrongSignature},
		{"read reads no rows", read, ReadRows, store, id, 7, ErrWrongSignature},
		{"expired", over, ReadRun, store, id, 7, ErrLinkExpired},
		{"expired, of another run", over, ReadRun, store, id, 8, ErrWrongSignature},
		{"prolonged", prolonged, ReadRun, store, id, 7, ErrWrongSignature},
		{"of before there was an expiry", read[11:], ReadRun, store, id, 7, ErrWrongSignature},
		{"read does not control", read, ReadRows, store, id, 7, ErrWrongSignature},
		{"another run", read, ReadRun, store, id, 8, ErrWrongSignature},
		{"another store", read, ReadRun, "s2", id, 7, ErrWrongSignature},
		{"another task", read, ReadRun, store, "555e1a89-5d7d-4daf-ae0e-7b9b2b7933de", 7, ErrWrongSignature},
		{"cut", read[:40], ReadRun, store, id, 7, ErrWrongSignature},
		{"none", "", ReadRun, store, id, 7, ErrWrongSignature},
		{"no base64", "ü", ReadRun, store, id, 7, ErrWrongSignature},
	} {
		until, err := old.Verify(c.sig, c.scope, c.store, c.id, c.n)
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || err == nil && until.Unix() != later.Unix() {
			t.Errorf("%s: %s, %v", c.name, until, err)
		}
	}
	if strings.ContainsAny(read, "+/=&?") || strings.ContainsAny(control, "+/=&?") {
		t.Errorf("%s and %s need escapes in a URL", read, control)
	}

	line, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "new.key")
	if err := CreateKeyFile(other); err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) string {
		if err := os.WriteFile(other, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return other
	}
	rotated, err := LoadKeys(write("# the new one\n" + string(first) + "\n" + string(line)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rotated.Verify(read, ReadRun, store, id, 7); err != nil {
		t.Errorf("the old key no longer verifies: %v", err)
	}
	fresh := sign(rotated, ReadRun)
	if _, err := old.Verify(fresh, ReadRun, store, id, 7); fresh == read || err == nil {
		t.Error("the first key does not sign")
	}

	if plain := (*Keys)(nil).Query(ReadRun, store, id, 7, later); plain != "" {
		t.Errorf("no keys sign with %s", plain)
	}

	for text, want := range map[string]string{
		"":                          "there is no key",
		string(line) + "not base64": other + ":2: this is not base64",
		"c2hvcnQ=\n":                other + ":1: this key has 5 bytes and must have 32",
	} {
		if _, err := LoadKeys(write(text)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), strings.TrimSpace(string(line))) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := LoadKeys(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "--run-key-file") {
		t.Errorf("no file: %v", err)
	}
}

func TestPreferredWait(t *testing.T) {
	for _, c := range []struct {
		headers []string
		want    time.Duration
	}{
		{nil, 0},
		{[]string{"Prefer: wait=10"}, 10 * time.Second},
		{[]string{"Prefer: respond-async, WAIT = 10"}, 10 * time.Second},
		{[]string{"Prefer: respond-async", `Prefer: wait="3"; x=y`}, 3 * time.Second},
		{[]string{"Prefer: wait=120"}, 100 * time.Second},
		{[]string{"Prefer: wait=4000000000"}, 100 * time.Second},
		{[]string{"Prefer: wait=99999999999999999999"}, 0},
		{[]string{"Prefer: wait=-1"}, 0},
		{[]string{"Prefer: wait=1.5"}, 0},
		{[]string{"Prefer: wait"}, 0},
		{[]string{"Prefer: waiting=5"}, 0},
		{[]string{"Prefer: wait=5, wait=9"}, 5 * time.Second},
	} {
		if got := PreferredWait(request(t, "127.0.0.1:1", c.headers...)); got != c.want {
			t.Errorf("%q: %v, want %v", c.headers, got, c.want)
		}
	}
}

func TestCorrelation(t *testing.T) {
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for _, c := range []struct {
		name    string
		headers []string
		want    Correlation
	}{
		{"nothing", nil, Correlation{}},
		{"all", []string{"X-Correlation-Id: order 7", "Traceparent: " + parent, "x-ms-workflow-run-id: 085"}, Correlation{"order 7", parent, "085"}},
		{"the workflow stands in", []string{"x-ms-workflow-run-id: 085"}, Correlation{"085", "", "085"}},
		{"the trace stands in", []string{"traceparent: " + parent}, Correlation{"4bf92f3577b34da6a3ce929d0e0e4736", parent, ""}},
		{"control characters", []string{"X-Correlation-Id: a\x01\tb\x7fc\u0085d\u2028e"}, Correlation{ID: "abcde"}},
		{"not UTF-8", []string{"X-Correlation-Id: a\xffb"}, Correlation{ID: "ab"}},
		{"letters of any script", []string{"X-Correlation-Id: Größe"}, Correlation{ID: "Größe"}},
		{"too long", []string{"X-Correlation-Id: " + strings.Repeat("x", 500)}, Correlation{ID: strings.Repeat("x", 128)}},
		{"cut between characters", []string{"X-Correlation-Id: " + strings.Repeat("x", 127) + "é"}, Correlation{ID: strings.Repeat("x", 127)}},
		{"a traceparent that is none", []string{"traceparent: 00-xyz"}, Correlation{}},
		{"one of zeros", []string{"traceparent: 00-00000000000000000000000000000000-00f067aa0ba902b7-01"}, Correlation{}},
		{"one in upper case", []string{"traceparent: " + strings.ToUpper(parent)}, Correlation{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := CorrelationOf(&request(t, "127.0.0.1:1", c.headers...).Request.Header); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

func TestAdmin(t *testing.T) {
	shorten(t, &wrongPause, time.Millisecond)
	const token, second, reading = "0123456789abcdef0123", "another-of-ann-s-tokens", "one-that-may-only-read"
	file := filepath.Join(t.TempDir(), "admin.token")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("ann: " + token + "\nann: " + second + "\ngrafana(read): " + reading + "\n")
	const bearer = "Authorization: Bearer "
	for _, c := range []struct {
		name, method, public string
		headers              []string
		status               int
		by                   string
	}{
		{name: "the token", headers: []string{"Host: a.example.org", bearer + token}, by: "ann"},
		{name: "her other one", headers: []string{"Host: a.example.org", bearer + second}, by: "ann"},
		{name: "through a proxy", public: "https://p", headers: []string{"Host: a", "Via: 1.1 p", "Authorization: bearer  " + token}, by: "ann"},
		{name: "a change", method: "POST", headers: []string{"Host: a", bearer + token}, by: "ann"},
		{name: "one that reads", headers: []string{"Host: a", bearer + reading}, by: "grafana"},
		{name: "a HEAD of one that reads", method: "HEAD", headers: []string{"Host: a", bearer + reading}, by: "grafana"},
		{name: "a change by one that reads", method: "DELETE", headers: []string{"Host: a", bearer + reading}, status: 403},
		{name: "a page of ours", headers: []string{"Host: localhost:8080", "Origin: http://localhost:8080", "Sec-Fetch-Site: same-origin", bearer + token}, by: "ann"},
		{name: "the public page", public: "https://p", headers: []string{"Host: inner:80", "Origin: https://p", bearer + token}, by: "ann"},
		{name: "a page of another site", headers: []string{"Host: localhost:8080", "Origin: https://evil.example.org", bearer + token}, status: 403},
		{name: "a page of another port", headers: []string{"Host: localhost:8080", "Origin: http://localhost:3000", bearer + token}, status: 403},
		{name: "a file on the disk", headers: []string{"Host: localhost:8080", "Origin: null", bearer + token}, status: 403},
		{name: "a form of another site", headers: []string{"Host: localhost:8080", "Sec-Fetch-Site: cross-site", bearer + token}, status: 403},
		{name: "a form of a neighbor", headers: []string{"Host: localhost:8080", "Sec-Fetch-Site: same-site", bearer + token}, status: 403},
		{name: "no token, on this machine", headers: []string{"Host: localhost"}, status: 401},
		{name: "no token, and no Host", status: 401},
		{name: "a wrong token", headers: []string{"Host: localhost", bearer + token + "x"}, status: 401},
		{name: "a part of it", headers: []string{"Host: localhost", bearer + token[:19]}, status: 401},
		{name: "with its name", headers: []string{"Host: localhost", bearer + "ann: " + token}, status: 401},
		{name: "an empty one", headers: []string{"Host: localhost", "Authorization: Bearer"}, status: 401},
		{name: "another scheme", headers: []string{"Host: localhost", "Authorization: Basic " + token}, status: 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			locator, err := NewLocator(c.public, nil, "")
			if err != nil {
				t.Fatal(err)
			}
			admin, err := NewAdmin(file, locator, zerolog.Nop())
			if err != nil {
				t.Fatal(err)
			}
			rc := request(t, "127.0.0.1:999", c.headers...)
			if c.method != "" {
				rc.Request.Header.SetMethod(c.method)
			}
			err = admin.Check(t.Context(), rc)
			p, _ := errors.AsType[*Problem](err)
			switch {
			case c.status == 0 && err != nil:
				t.Errorf("refused: %v", err)
			case c.status != 0 && (p == nil || p.Status != c.status):
				t.Errorf("let in, or %v", err)
			case c.status == 401 && string(rc.Response.Header.Peek("WWW-Authenticate")) != "Bearer":
				t.Error("401 without WWW-Authenticate")
			case Operator(rc) != c.by:
				t.Errorf("it was %q", Operator(rc))
			}
		})
	}
	if err := new(Admin).Check(t.Context(), request(t, "127.0.0.1:999", "Host: localhost", "Authorization: Bearer")); err == nil {
		t.Error("without tokens everybody is let in")
	}

	admin, err := NewAdmin(file, new(Locator), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	in := func(token string) bool {
		return admin.Check(t.Context(), request(t, "127.0.0.1:999", "Host: localhost", bearer+token)) == nil
	}
	write("short")
	if admin.Reload(); !in(token) {
		t.Error("a file that is wrong takes the tokens away")
	}
	write("ann: " + second)
	if admin.Reload(); in(token) || in(reading) || !in(second) {
		t.Error("the tokens are not those of the file")
	}
	for _, text := range []string{"", "short"} {
		write(text)
		if _, err := NewAdmin(file, new(Locator), zerolog.Nop()); err == nil || !strings.HasPrefix(err.Error(), "--admin-token-file: ") {
			t.Errorf("token %q: %v", text, err)
		}
	}
	if _, err := NewAdmin(file+".none", new(Locator), zerolog.Nop()); err == nil || !strings.Contains(err.Error(), "openssl rand -hex 32 > ") {
		t.Errorf("no file: %v", err)
	}
}

// Wrong tokens are logged and wait; the right one does not, and those that wait are bounded.
func TestWrongTokensAreSlowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "admin.token")
		if err := os.WriteFile(file, []byte("0123456789abcdef"), 0o600); err != nil {
			t.Fatal(err)
		}
		log := proctest.NewOutput()
		admin, err := NewAdmin(file, new(Locator), zerolog.New(log))
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		check := func(token string) (time.Duration, error) {
			err := admin.Check(t.Context(), request(t, "192.0.2.1:999", "Host: localhost", "Authorization: Bearer "+token))
			return time.Since(begun), err
		}
		var waiting sync.WaitGroup
		for range mostPaused {
			waiting.Go(func() {
				if after, err := check("wrong"); err == nil || after != wrongPause {
					t.Errorf("%v after %s", err, after)
				}
			})
		}
		synctest.Wait()
		if after, err := check("0123456789abcdef"); err != nil || after != 0 {
			t.Errorf("the right token: %v after %s", err, after)
		}
		if after, err := check("wrong"); err == nil || after != 0 {
			t.Errorf("one too many: %v after %s", err, after)
		}
		waiting.Wait()
		if after, _ := check("wrong"); after != 2*wrongPause {
			t.Errorf("after them one waited until %s", after)
		}
		time.Sleep(2 * seldom.Pause)
		if text := log.String(); strings.Count(text, "a wrong admin token was refused") != 1 || !strings.Contains(text, "192.0.2.1") || !strings.Contains(text, `"passed_over":257`) {
			t.Errorf("the log says %s", text)
		}
	})
}

func TestHealthAndMetrics(t *testing.T) {
	broken := errors.New("the stream RUNS is missing; run `runhook init`")
	var fault error
	registry := prometheus.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "seen_total", Help: "Seen."})
	registry.MustRegister(counter)
	counter.Add(3)
	address := serve(t, Options{}, append(Health(func(context.Context) error { return fault }, "Runs are held."), Metrics(registry)...)...)
	under := func(host, path string) (*http.Response, string) {
		return talk(t, address, "GET "+path+" HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
	}
	get := func(path string) (*http.Response, string) { return under("localhost:8080", path) }
	for path, want := range map[string]string{"/livez": "ok\n", "/readyz": "ok\nRuns are held.\n"} {
		if response, body := get(path); response.StatusCode != 200 || body != want {
			t.Errorf("%s: %s %s", path, response.Status, body)
		}
		if response, body := under("evil.example.org", path); response.StatusCode != 200 || body != "ok\n" {
			t.Errorf("%s under another Host: %s %s", path, response.Status, body)
		}
	}
	fault = broken
	response, body := get("/readyz")
	wantProblem(t, response, body, 503)
	if !strings.Contains(body, "runhook init") {
		t.Errorf("the reason is missing: %s", body)
	}
	response, body = under("evil.example.org", "/readyz")
	wantProblem(t, response, body, 503)
	if strings.Contains(body, "RUNS") {
		t.Errorf("the reason is told under another Host: %s", body)
	}
	response, body = under("evil.example.org", "/metrics")
	wantProblem(t, response, body, 421)
	if response, _ := get("/livez"); response.StatusCode != 200 {
		t.Errorf("/livez: %s", response.Status)
	}
	if response, body := get("/metrics"); response.StatusCode != 200 || !strings.Contains(body, "seen_total 3") || !strings.HasPrefix(response.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("%s %s %s", response.Status, response.Header.Get("Content-Type"), body)
	}
}

// A server that is starting says so to everybody, with what it is at; then it answers as any other.
func TestStarting(t *testing.T) {
	s, _, _ := started(t, Options{Starting: func() error { return errors.New("the store is being recovered") }}, Health(func(context.Context) error { return nil })...)
	address := s.Addr().String()
	const post = "POST /task/1 HTTP/1.1\r\nHost: a\r\nOrigin: https://b.example.org\r\nContent-Length: 5\r\n\r\nhello"
	response, body := talk(t, address, post)
	wantProblem(t, response, body, 503)
	if !strings.Contains(body, "the store is being recovered") || response.Header.Get("Retry-After") != "5" || response.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%v %s", response.Header, body)
	}
	response, body = talk(t, address, "OPTIONS /task/1 HTTP/1.1\r\nHost: a\r\nOrigin: https://b.example.org\r\nAccess-Control-Request-Method: POST\r\n\r\n")
	if response.StatusCode != 204 || !strings.Contains(response.Header.Get("Access-Control-Allow-Methods"), "POST") {
		t.Errorf("a preflight got %s %v %s", response.Status, response.Header, body)
	}
	if response, _ := talk(t, address, "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"); response.StatusCode != 200 {
		t.Errorf("/livez: %s", response.Status)
	}
	if err := s.Mount([]Route{echo}); err != nil {
		t.Fatal(err)
	}
	for request, status := range map[string]int{
		post: 200, "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n": 200, "GET /none HTTP/1.1\r\nHost: a\r\n\r\n": 404,
	} {
		if response, body := talk(t, address, request); response.StatusCode != status {
			t.Errorf("after the start %q got %s %s", request, response.Status, body)
		}
	}
}

func FuzzHost(f *testing.F) {
	for _, seed := range []string{"a", "a:1", "[::1]:2", "a b", "", "[", "]:", "a:99999999", "é"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, host string) {
		if isHost([]byte(host)) && strings.ContainsAny(host, " \t\r\n\"'<>/\\?#@%{}|^`") {
			t.Errorf("%q is taken for a host", host)
		}
	})
}

// Every run has an address that is signed.
func BenchmarkSign(b *testing.B) {
	path := filepath.Join(b.TempDir(), "key")
	if err := CreateKeyFile(path); err != nil {
		b.Fatal(err)
	}
	keys, err := LoadKeys(path)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		_ = keys.Query(ReadRows, "store", "7c9e6679-7425-40de-944b-e07fc1f90ae7", 12_345, time.Unix(1e9, 0))
	}
}

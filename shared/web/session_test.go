package web

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"

	"runhook/shared/proctest"
	"runhook/shared/session"
)

// recordInMemory is the record of sessions without a store.
type recordInMemory struct {
	mu     sync.Mutex
	stored session.Stored
	away   error
}

func (m *recordInMemory) Read(context.Context) (session.Stored, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stored, m.away
}

func (m *recordInMemory) Write(_ context.Context, data []byte, inPlaceOf uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stored.Revision != inPlaceOf {
		return session.ErrChanged
	}
	m.stored = session.Stored{Data: data, Revision: inPlaceOf + 1, Time: time.Now()}
	return m.away
}

func (m *recordInMemory) PassOver(session.Stored, error) {}

// guarded is a server with a route that shows, one that changes, and those to sign in and out.
type guarded struct {
	t       testing.TB
	address string
	admin   *Admin
	log     *proctest.Output
	record  *recordInMemory
	file    string
}

const annToken, viewToken, guardHost = "a-token-of-ann-s", "a-token-that-only-reads", "localhost:8080"

func guard(t testing.TB, locator *Locator, o Options) *guarded {
	t.Helper()
	g := &guarded{t: t, log: proctest.NewOutput(), record: new(recordInMemory), file: filepath.Join(t.TempDir(), "tokens")}
	g.tokens("ann: " + annToken + "\nviewer(read): " + viewToken + "\n")
	var err error
	if g.admin, err = NewAdmin(g.file, locator, zerolog.New(g.log)); err != nil {
		t.Fatal(err)
	}
	g.admin.Admit(session.New([][]byte{bytes.Repeat([]byte{7}, 32)}, "s1", g.record))
	guarded := func(method, pattern string) Route {
		return Route{
			Method: method, Pattern: pattern, Inner: true,
			Refuses: func(head Head) bool { return g.admin.Refuses(head.RequestHeader) },
			Handler: func(ctx context.Context, rc *fasthttp.RequestCtx) error {
				if err := g.admin.Check(ctx, rc); err != nil {
					return err
				}
				body, err := Body(rc)
				if err == nil {
					rc.SetBodyString(fmt.Sprintf("%s %t %d", Operator(rc), ViaPage(rc), len(body)))
				}
				return err
			},
		}
	}
	o.Log = zerolog.New(g.log)
	g.address = serve(t, o, guarded("GET", "/api/x"), guarded("POST", "/api/x"), guarded("PUT", "/api/x"), guarded("DELETE", "/api/x"), Route{
		Method: "POST", Pattern: "/signin", Inner: true,
		Handler: func(ctx context.Context, rc *fasthttp.RequestCtx) error {
			return g.admin.SignIn(ctx, rc, rc.PostBody())
		},
	}, Route{
		Method: "POST", Pattern: "/signout", Inner: true,
		Handler: func(ctx context.Context, rc *fasthttp.RequestCtx) error {
			return g.admin.SignOut(ctx, rc, rc.QueryArgs().Has("everywhere"))
		},
	}, Route{
		Method: "POST", Pattern: "/link", Inner: true, Refuses: func(head Head) bool { return g.admin.RefusesLink(head.RequestHeader) },
		Handler: func(ctx context.Context, rc *fasthttp.RequestCtx) error {
			link, err := g.admin.Link(ctx, rc)
			rc.SetBodyString(link.Code)
			return err
		},
	}, Route{
		Method: "GET", Pattern: "/page", Inner: true,
		Handler: func(ctx context.Context, rc *fasthttp.RequestCtx) error {
			arrived, err := g.admin.Arrived(rc)
			if err != nil {
				return err
			}
			visit, err := g.admin.Visitor(ctx, rc)
			rc.SetBodyString(fmt.Sprintf("%d %s", arrived, visit.FormToken()))
			return err
		},
	})
	return g
}

func (g *guarded) tokens(text string) {
	g.t.Helper()
	if err := os.WriteFile(g.file, []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
	if g.admin != nil {
		g.admin.Reload()
	}
}

// ask sends a request as a browser does on a page of the server's own, unless the headers say otherwise: later ones
// win, and one without a value is left out.
func (g *guarded) ask(line, body string, headers ...string) (*http.Response, string) {
	g.t.Helper()
	all := []string{"Host", "Origin", "Sec-Fetch-Site", "Content-Type", "Cookie", "Authorization", FormTokenHeader, "X-Forwarded-Proto", "X-Forwarded-Host", "Access-Control-Request-Private-Network", backgroundHeader, "Sec-Fetch-Mode", "Sec-Fetch-Dest"}
	values := map[string]string{"Host": guardHost, "Sec-Fetch-Site": "same-origin"}
	if !strings.HasPrefix(line, "GET ") {
		values["Origin"] = "http://" + guardHost
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		values[name] = value
	}
	request := line + " HTTP/1.1\r\n"
	for _, name := range all {
		if values[name] != "" {
			request += name + ": " + values[name] + "\r\n"
		}
	}
	return talk(g.t, g.address, request+fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body))
}

// signedIn is the cookie and the form token of a new session.
func (g *guarded) signedIn(secret string, headers ...string) (cookie, form string) {
	g.t.Helper()
	response, body := g.ask("POST /signin", secret, headers...)
	if response.StatusCode != 200 || len(response.Cookies()) != 1 {
		g.t.Fatalf("%s %v %s", response.Status, response.Cookies(), body)
	}
	cookie = response.Cookies()[0].Name + "=" + response.Cookies()[0].Value
	response, body = g.ask("GET /page", "", append(headers, "Cookie: "+cookie)...)
	_, form, _ = strings.Cut(body, " ")
	if response.StatusCode != 200 || form == "" {
		g.t.Fatalf("%s %s", response.Status, body)
	}
	return "Cookie: " + cookie, FormTokenHeader + ": " + form
}

// What the cookie of a session opens, and what it needs besides.
func TestSessionsOpenTheAdminRoutes(t *testing.T) {
	g := guard(t, new(Locator), Options{})
	ann, form := g.signedIn(annToken)
	viewer, viewerForm := g.signedIn(viewToken)
	_, otherForm := g.signedIn(annToken)
	const field = "Content-Type: application/x-www-form-urlencoded"
	formField := FormTokenField + "=" + strings.TrimPrefix(form, FormTokenHeader+": ")
	for _, c := range []struct {
		name, line, body string
		headers          []string
		want             int
		says             string
	}{
		{name: "reads", line: "GET /api/x", headers: []string{ann}, want: 200, says: "ann true 0"},
		{name: "reads where the browser tells nothing of the page", line: "GET /api/x", headers: []string{ann, "Sec-Fetch-Site"}, want: 200, says: "ann true 0"},
		{name: "reads with only a token that reads", line: "GET /api/x", headers: []string{viewer}, want: 200, says: "viewer true 0"},
		{name: "changes", line: "POST /api/x", headers: []string{ann, form}, want: 200, says: "ann true 0"},
		{name: "changes with a body", line: "PUT /api/x", body: "12345", headers: []string{ann, form}, want: 200, says: "ann true 5"},
		{name: "deletes", line: "DELETE /api/x", headers: []string{ann, form}, want: 200},
		{name: "changes by a form", line: "POST /api/x", body: formField, headers: []string{ann, field}, want: 200},
		{name: "a token needs no Origin", line: "POST /api/x", headers: []string{"Authorization: Bearer " + annToken, "Origin", "Sec-Fetch-Site"}, want: 200, says: "ann false 0"},
		{name: "a token wins", line: "GET /api/x", headers: []string{ann, "Authorization: Bearer " + viewToken}, want: 200, says: "viewer false 0"},

		{name: "nothing", line: "GET /api/x", want: 401},
		{name: "another cookie", line: "GET /api/x", headers: []string{"Cookie: runhook-8080=x"}, want: 401},
		{name: "under another port's name", line: "GET /api/x", headers: []string{strings.Replace(ann, "-8080", "-9090", 1)}, want: 401},
		{name: "as if by TLS", line: "GET /api/x", headers: []string{strings.Replace(ann, "runhook", "__Host-runhook", 1)}, want: 401},
		{name: "two sessions under one name", line: "GET /api/x", headers: []string{ann + "; " + strings.TrimPrefix(viewer, "Cookie: ")}, want: 401},
		{name: "with a wrong token", line: "GET /api/x", headers: []string{ann, "Authorization: Basic x"}, want: 401},
		{name: "a session that only reads changes", line: "POST /api/x", headers: []string{viewer, viewerForm}, want: 403, says: "only reads"},
		{name: "a change without a form token", line: "POST /api/x", headers: []string{ann}, want: 403, says: "form-token"},
		{name: "with one of another session", line: "POST /api/x", headers: []string{ann, otherForm}, want: 403, says: "form-token"},
		{name: "with one in the query", line: "POST /api/x?" + formField, headers: []string{ann, field}, want: 403, says: "form-token"},
		{name: "with one in a body of another kind", line: "POST /api/x", body: formField, headers: []string{ann, "Content-Type: text/plain"}, want: 403, says: "form-token"},
		{name: "a change without an Origin", line: "POST /api/x", headers: []string{ann, form, "Origin"}, want: 403, says: "other-page"},
		{name: "of no page", line: "POST /api/x", headers: []string{ann, form, "Origin: null"}, want: 403},
		{name: "of another site", line: "POST /api/x", headers: []string{ann, form, "Origin: https://evil.example.org", "Sec-Fetch-Site: cross-site"}, want: 403},
		{name: "of another site, where the browser does not say so", line: "POST /api/x", headers: []string{ann, form, "Origin: https://evil.example.org", "Sec-Fetch-Site"}, want: 403},
		{name: "of another port", line: "POST /api/x", headers: []string{ann, form, "Origin: http://localhost:9090", "Sec-Fetch-Site: same-site"}, want: 403},
		{name: "of another scheme", line: "POST /api/x", headers: []string{ann, form, "Origin: https://" + guardHost, "Sec-Fetch-Site"}, want: 403, says: "other-page"},
		{name: "another site reads", line: "GET /api/x", headers: []string{ann, "Sec-Fetch-Site: cross-site"}, want: 403},
		{name: "a neighbor reads", line: "GET /api/x", headers: []string{ann, "Sec-Fetch-Site: same-site"}, want: 403},
		{name: "another site reads, by its Origin", line: "GET /api/x", headers: []string{ann, "Sec-Fetch-Site", "Origin: http://evil.example.org"}, want: 403},
		{name: "a name that was pointed here", line: "GET /api/x", headers: []string{ann, "Host: evil.example.org:8080"}, want: 421},
		{name: "another site asks before", line: "OPTIONS /api/x", headers: []string{"Origin: https://evil.example.org"}, want: 204},
		{name: "for a private network", line: "OPTIONS /api/x", headers: []string{"Origin: https://evil.example.org", "Access-Control-Request-Private-Network: true"}, want: 403},

		{name: "a session makes a link", line: "POST /link", headers: []string{ann, form}, want: 401},
		{name: "a token that reads makes a link", line: "POST /link", headers: []string{"Authorization: Bearer " + viewToken}, want: 200},
		{name: "a wrong one does", line: "POST /link", headers: []string{"Authorization: Basic x"}, want: 401},
		{name: "another site does", line: "POST /link", headers: []string{"Authorization: Bearer " + annToken, "Origin: https://evil.example.org"}, want: 403},
	} {
		response, body := g.ask(c.line, c.body, c.headers...)
		if response.StatusCode != c.want || !strings.Contains(body, c.says) {
			t.Errorf("%s: %s %s", c.name, response.Status, body)
		}
		if allowed := response.Header.Get("Access-Control-Allow-Origin") + response.Header.Get("Access-Control-Allow-Credentials"); allowed != "" {
			t.Errorf("%s: another page may read it: %s", c.name, allowed)
		}
		if response.StatusCode != 401 && response.StatusCode != 421 && len(response.Cookies()) > 0 {
			t.Errorf("%s: %v", c.name, response.Cookies())
		}
	}
	// Bodies of those who will be refused are not read.
	for name, headers := range map[string]string{
		"nobody": "Content-Length: 262144", "who only reads": viewer + "\r\n" + viewerForm + "\r\nContent-Length: 262144",
	} {
		conn := dial(t, g.address)
		say(t, conn, "PUT /api/x HTTP/1.1\r\nHost: "+guardHost+"\r\nOrigin: http://"+guardHost+"\r\n"+headers+"\r\n\r\n")
		if answer, err := io.ReadAll(conn); err != nil || !regexp.MustCompile(`^HTTP/1.1 40[13] `).Match(answer) {
			t.Errorf("%s: %s %v", name, answer, err)
		}
	}
	// A token that is taken out of the file ends its sessions at once, and they come back with it.
	g.tokens("ann: another-token-of-ann-s\nviewer: " + viewToken + "\n")
	if response, _ := g.ask("GET /api/x", "", ann); response.StatusCode != 401 {
		t.Errorf("without its token: %s", response.Status)
	}
	if response, body := g.ask("POST /api/x", "", viewer, viewerForm); response.StatusCode != 200 {
		t.Errorf("with more rights: %s %s", response.Status, body)
	}
}

// A session begins by a page of the server's own alone, with a token or an unused code, and what is wrong is logged.
func TestSignIn(t *testing.T) {
	shorten(t, &wrongPause, time.Millisecond)
	g := guard(t, new(Locator), Options{})
	response, _ := g.ask("POST /signin", " "+annToken+"\n")
	cookie := response.Cookies()[0]
	if raw := response.Header.Get("Set-Cookie"); cookie.Name != "runhook-8080" || !cookie.HttpOnly || cookie.Secure || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "/" || cookie.Domain != "" ||
		cookie.MaxAge < int(session.Idle/time.Second)-60 || cookie.MaxAge > int(session.Idle/time.Second) {
		t.Errorf("the cookie is %s", raw)
	}
	for name, headers := range map[string][]string{
		"without an Origin":   {"Origin"},
		"of another site":     {"Origin: https://evil.example.org", "Sec-Fetch-Site: cross-site"},
		"of an old browser's": {"Origin: https://evil.example.org", "Sec-Fetch-Site"},
		"of another port":     {"Origin: http://localhost:9090", "Sec-Fetch-Site: same-site"},
		"of no page":          {"Origin: null"},
		"of another scheme":   {"Origin: https://" + guardHost},
		"by its word alone":   {"Sec-Fetch-Site: cross-site"},
	} {
		if response, body := g.ask("POST /signin", annToken, headers...); response.StatusCode != 403 || len(response.Cookies()) > 0 {
			t.Errorf("%s: %s %s", name, response.Status, body)
		}
	}
	_, code := g.ask("POST /link", "", "Authorization: Bearer "+viewToken)
	for _, wrong := range []string{"", "x", code[1:], annToken + "x", "ann: " + annToken} {
		if response, body := g.ask("POST /signin", wrong); response.StatusCode != 401 || len(response.Cookies()) > 0 || !strings.Contains(body, "wrong-code") {
			t.Errorf("%q: %s %s", wrong, response.Status, body)
		}
	}
	got, _ := g.signedIn(code)
	if response, body := g.ask("GET /api/x", "", got); response.StatusCode != 200 || body != "viewer true 0" {
		t.Errorf("%s %s", response.Status, body)
	}
	if response, _ := g.ask("POST /signin", code); response.StatusCode != 401 {
		t.Errorf("a second time: %s", response.Status)
	}
	_, code = g.ask("POST /link", "", "Authorization: Bearer "+viewToken)
	g.tokens("ann: " + annToken)
	if response, _ := g.ask("POST /signin", code); response.StatusCode != 401 {
		t.Errorf("a code of a token that was taken out: %s", response.Status)
	}
	log := g.log.String()
	for _, want := range []string{
		`"level":"info","by":"ann","via":"page","address":"127.0.0.1","with":"token","reads_only":false,"message":"an operator signed in"`,
		`"by":"viewer","via":"page","address":"127.0.0.1","with":"link","reads_only":true`,
		`"by":"viewer","address":"127.0.0.1","message":"a link was made`,
		`"level":"warn","address":"127.0.0.1","message":"a wrong code or token was refused`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not have %s:\n%s", want, log)
		}
	}
	for _, secret := range []string{code, annToken, viewToken, cookie.Value} {
		if strings.Contains(log, secret) {
			t.Errorf("the log has %s", secret)
		}
	}
	before := new(Admin)
	before.locator = new(Locator)
	if _, err := before.OwnLink(t.Context()); err == nil {
		t.Error("a link without a token")
	}
	if err := before.SignIn(t.Context(), request(t, "127.0.0.1:1", "Host: a", "Origin: http://a"), nil); ProblemOf(err).Status != 503 {
		t.Errorf("before there are sessions: %v", err)
	}
}

// Wrong codes wait as wrong tokens do.
func TestWrongCodesWait(t *testing.T) {
	shorten(t, &wrongPause, time.Hour)
	g := guard(t, new(Locator), Options{})
	ctx, cancel := context.WithCancel(t.Context())
	answered := make(chan error, 1)
	go func() {
		answered <- g.admin.SignIn(ctx, request(t, "127.0.0.1:1", "Host: a", "Origin: http://a"), []byte("wrong"))
	}()
	proctest.Eventually(t, "it waits", func() bool { return g.admin.paused.Load() == 1 })
	select {
	case err := <-answered:
		t.Errorf("it does not wait: %v", err)
	default:
	}
	cancel()
	if err := <-answered; ProblemOf(err).Status != 401 {
		t.Error(err)
	}
}

// Signing out ends the session, also for a copy of its cookie, and needs the page's form.
func TestSignOut(t *testing.T) {
	g := guard(t, new(Locator), Options{})
	one, form := g.signedIn(annToken)
	two, twoForm := g.signedIn(annToken)
	viewer, viewerForm := g.signedIn(viewToken)
	is := func(cookie string) bool {
		t.Helper()
		response, body := g.ask("GET /api/x", "", cookie)
		if response.StatusCode == 401 && !strings.Contains(body, "signed-out") {
			t.Errorf("%s", body)
		}
		return response.StatusCode == 200
	}
	for name, headers := range map[string][]string{
		"without a form token": {one}, "with another's": {one, viewerForm},
		"of another site": {one, form, "Origin: https://evil.example.org", "Sec-Fetch-Site"}, "without an Origin": {one, form, "Origin"},
		"of another site, by its word alone": {one, form, "Sec-Fetch-Site: cross-site"},
	} {
		if response, body := g.ask("POST /signout", "", headers...); response.StatusCode != 403 || !is(one) {
			t.Errorf("%s: %s %s", name, response.Status, body)
		}
	}
	response, body := g.ask("POST /signout", "", one, form)
	if response.StatusCode != 200 || len(response.Cookies()) != 1 || response.Cookies()[0].Value != "" || !response.Cookies()[0].Expires.Before(time.Now()) {
		t.Errorf("%s %v %s", response.Status, response.Cookies(), body)
	}
	if is(one) || !is(two) || !is(viewer) {
		t.Error("not this session alone has ended")
	}
	if response, _ := g.ask("GET /api/x", "", one); len(response.Cookies()) != 1 || response.Cookies()[0].Value != "" {
		t.Errorf("the browser keeps the cookie: %v", response.Cookies())
	}
	if response, body := g.ask("POST /signout", "", one, form); response.StatusCode != 200 {
		t.Errorf("again: %s %s", response.Status, body)
	}
	three, _ := g.signedIn(annToken)
	if response, body := g.ask("POST /signout?everywhere", "", two, twoForm); response.StatusCode != 200 {
		t.Errorf("%s %s", response.Status, body)
	}
	if is(two) || is(three) || !is(viewer) {
		t.Error("not all of ann's sessions have ended, or more")
	}
	if response, body := g.ask("POST /signout", "", viewer, viewerForm); response.StatusCode != 200 || is(viewer) {
		t.Errorf("who only reads: %s %s", response.Status, body)
	}
	if log := g.log.String(); !strings.Contains(log, `"by":"ann","via":"page","address":"127.0.0.1","everywhere":true,"message":"an operator signed out"`) {
		t.Errorf("the log: %s", log)
	}
}

// Behind TLS the cookie is for TLS and this host alone, by the program's own and by a proxy's; and only a page of
// the address that the browser shows may change anything.
func TestSessionsBehindTLS(t *testing.T) {
	certFile, keyFile := proctest.Certificate(t, t.TempDir())
	certificate, err := LoadCertificate(certFile, keyFile, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	own := guard(t, new(Locator), Options{TLS: certificate})
	client := trusting(t, certFile)
	send := func(method, path, body string, headers ...string) *http.Response {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, "https://"+own.address+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Origin", "https://"+own.address)
		for _, header := range headers {
			name, value, _ := strings.Cut(header, ": ")
			request.Header.Set(name, value)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		return response
	}
	port := own.address[strings.LastIndex(own.address, ":")+1:]
	response := send("POST", "/signin", annToken)
	if response.StatusCode != 200 || len(response.Cookies()) != 1 || !response.Cookies()[0].Secure || response.Cookies()[0].Name != "__Host-runhook-"+port {
		t.Fatalf("%s %v", response.Status, response.Cookies())
	}
	cookie := response.Cookies()[0]
	if response := send("GET", "/api/x", "", "Cookie: "+cookie.Name+"="+cookie.Value); response.StatusCode != 200 {
		t.Errorf("%s", response.Status)
	}
	if response := send("POST", "/signin", annToken, "Origin: http://"+own.address); response.StatusCode != 403 {
		t.Errorf("of a page without TLS: %s", response.Status)
	}
	// One that could have come without TLS does not count.
	plainGuard := guard(t, new(Locator), Options{})
	plain, _ := plainGuard.signedIn(annToken, "Host: localhost:"+port, "Origin: http://localhost:"+port)
	if response := send("GET", "/api/x", "", plain); response.StatusCode != 401 {
		t.Errorf("a cookie of before TLS: %s", response.Status)
	}

	for _, c := range []struct {
		name, public, trusted string
		headers               []string
		want                  string // the cookie's name; empty if it is refused
	}{
		{"by a trusted proxy", "", "127.0.0.1", []string{"X-Forwarded-Proto: https", "Origin: https://localhost", "Host: localhost"}, "__Host-runhook"},
		{"by one that names the host", "", "127.0.0.1", []string{"X-Forwarded-Proto: https", "X-Forwarded-Host: localhost:8443", "Origin: https://localhost:8443", "Host: 127.0.0.1"}, "__Host-runhook-8443"},
		{"by one that names a host of nobody's", "", "127.0.0.1", []string{"X-Forwarded-Proto: https", "X-Forwarded-Host: evil.example.org", "Origin: https://evil.example.org", "Host: localhost"}, ""},
		{"by one without TLS", "", "127.0.0.1", []string{"X-Forwarded-Proto: http", "Origin: http://localhost", "Host: localhost"}, "runhook"},
		{"by one that is not trusted", "", "", []string{"X-Forwarded-Proto: https", "Origin: https://localhost", "Host: localhost"}, ""},
		{"by the public URL", "https://hooks.example.org", "", []string{"Origin: https://hooks.example.org", "Host: hooks.example.org"}, "__Host-runhook"},
		{"by the public URL, with another Host", "https://hooks.example.org", "", []string{"Origin: https://hooks.example.org", "Host: 127.0.0.1:8080"}, "__Host-runhook-8080"},
		{"by the port that goes without saying", "https://hooks.example.org:443", "", []string{"Origin: https://hooks.example.org", "Host: hooks.example.org"}, "__Host-runhook"},
		{"another page than that of the public URL", "https://hooks.example.org", "", []string{"Origin: https://evil.example.org", "Host: hooks.example.org"}, ""},
	} {
		var trusted []string
		if c.trusted != "" {
			trusted = []string{c.trusted}
		}
		locator, err := NewLocator(c.public, trusted, "")
		if err != nil {
			t.Fatal(err)
		}
		hosts, err := NewHosts(nil, "127.0.0.1:8080", c.public)
		if err != nil {
			t.Fatal(err)
		}
		locator.Under(hosts)
		g := guard(t, locator, Options{Hosts: hosts})
		response, body := g.ask("POST /signin", annToken, c.headers...)
		name := ""
		if response.StatusCode == 200 {
			name = response.Cookies()[0].Name
			if response.Cookies()[0].Secure != strings.HasPrefix(name, "__Host-") {
				t.Errorf("%s: %s", c.name, response.Header.Get("Set-Cookie"))
			}
			got, form := g.signedIn(annToken, c.headers...)
			if response, body := g.ask("POST /api/x", "", append(c.headers, got, form)...); response.StatusCode != 200 {
				t.Errorf("%s, a change: %s %s", c.name, response.Status, body)
			}
		}
		if name != c.want {
			t.Errorf("%s: %s %q %s", c.name, response.Status, name, body)
		}
	}
}

// trusting is a client that trusts a certificate.
func trusting(t testing.TB, certFile string) *http.Client {
	t.Helper()
	pem, err := os.ReadFile(certFile)
	roots := x509.NewCertPool()
	if err != nil || !roots.AppendCertsFromPEM(pem) {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// A session that is used lasts, but not by what a page asks for by itself.
func TestSessionsAreRenewed(t *testing.T) {
	g := guard(t, new(Locator), Options{})
	keeper := g.admin.sessions.Load()
	made, err := keeper.Begin(t.Context(), g.admin.operators()[0], false)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		used    time.Duration
		header  string
		renewed bool
	}{
		{"just used", 0, backgroundHeader, false},
		{"used a while ago", renewAfter + time.Second, backgroundHeader, true},
		{"by the page itself", renewAfter + time.Second, backgroundHeader + ": 1", false},
	} {
		cookie := "Cookie: runhook-8080=" + made.Cookie(time.Now().Add(-c.used))
		response, body := g.ask("GET /api/x", "", cookie, c.header)
		if response.StatusCode != 200 || (len(response.Cookies()) == 1) != c.renewed {
			t.Errorf("%s: %s %v %s", c.name, response.Status, response.Cookies(), body)
		}
		if c.renewed {
			renewed, err := keeper.Open(response.Cookies()[0].Value, g.admin.operators())
			if err != nil || time.Since(renewed.Used) > time.Minute || !renewed.Same(made) || !renewed.Began.Equal(made.Began) {
				t.Errorf("%s: %+v, %v", c.name, renewed, err)
			}
		}
	}
}

// How a browser came to a page decides whether a link is followed by itself, and other sites only lead there.
func TestArrivals(t *testing.T) {
	g := guard(t, new(Locator), Options{})
	cookie, _ := g.signedIn(annToken)
	for _, c := range []struct {
		headers []string
		want    string
	}{
		{[]string{"Sec-Fetch-Site: none"}, "1"},
		{[]string{"Sec-Fetch-Site: same-origin"}, "1"},
		{[]string{"Sec-Fetch-Site"}, "0"},
		{[]string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}, "2"},
		{[]string{"Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}, "2"},
		{[]string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"}, "403"},
		{[]string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"}, "403"},
		{[]string{"Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"}, "403"},
		{[]string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: document"}, "403"},
		{[]string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Origin: https://evil.example.org"}, "403"},
		{[]string{"Sec-Fetch-Site", "Origin: https://evil.example.org"}, "403"},
	} {
		response, body := g.ask("GET /page", "", append(c.headers, cookie)...)
		arrived, _, _ := strings.Cut(body, " ")
		if response.StatusCode == 403 {
			arrived = "403"
		}
		if arrived != c.want {
			t.Errorf("%v: %s %s", c.headers, response.Status, body)
		}
	}
}

// While the store is away, those who are signed in read on, and nobody new comes in.
func TestSessionsWithoutTheStore(t *testing.T) {
	g := guard(t, new(Locator), Options{})
	cookie, form := g.signedIn(annToken)
	g.record.mu.Lock()
	g.record.away = context.DeadlineExceeded
	g.record.mu.Unlock()
	if response, body := g.ask("GET /api/x", "", cookie); response.StatusCode != 200 {
		t.Errorf("%s %s", response.Status, body)
	}
	if response, body := g.ask("POST /signin", annToken); response.StatusCode != 503 || len(response.Cookies()) > 0 {
		t.Errorf("%s %s", response.Status, body)
	}
	// The browser forgets the cookie all the same.
	if response, body := g.ask("POST /signout", "", cookie, form); response.StatusCode != 503 || len(response.Cookies()) != 1 || response.Cookies()[0].Value != "" {
		t.Errorf("%s %v %s", response.Status, response.Cookies(), body)
	}
}

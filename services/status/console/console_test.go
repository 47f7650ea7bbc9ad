package console_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"runhook/services/status"
	"runhook/services/status/console"
	"runhook/services/status/history"
	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/openapi"
	"runhook/shared/proctest"
	"runhook/shared/session"
	"runhook/shared/web"
)

func TestMain(m *testing.M) { proctest.Main(m) }

const (
	annToken  = "a-token-that-nobody-guesses"
	viewToken = "a-token-that-only-reads"
	tokens    = "ann: " + annToken + "\nviewer(read): " + viewToken + "\n"
)

// site is a status service with its page, on a socket.
type site struct {
	*bustest.Store
	t     testing.TB
	url   string
	log   *proctest.Output
	admin *web.Admin
	file  string
	// stop stops the service and waits until it has ended.
	stop func()
}

// open starts a service on a store.
func open(t testing.TB, store *bustest.Store) *site { return openAs(t, store, web.Options{}) }

// openAs is open of a server with settings of its own, and of a page that makes tasks if makers says how.
func openAs(t testing.TB, store *bustest.Store, o web.Options, makers ...func(*bus.Bus, *bus.TaskView) console.Maker) *site {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	opened := store.Open("status")
	view, viewDone, err := opened.Tasks.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{Store: store, t: t, log: proctest.NewOutput(), file: filepath.Join(t.TempDir(), "tokens")}
	s.tokens(tokens)
	log := zerolog.New(s.log)
	if s.admin, err = web.NewAdmin(s.file, new(web.Locator), log); err != nil {
		t.Fatal(err)
	}
	s.admin.Admit(session.New([][]byte{bytes.Repeat([]byte{7}, 32)}, opened.StoreID(), opened.Sessions))
	index := history.New(history.Options{Runs: opened.Runs, Dir: t.TempDir(), Log: zerolog.Nop()})
	kept := make(chan struct{})
	go func() { defer close(kept); index.Run(ctx) }()
	service := status.New(status.Options{
		Runs: opened.Runs, Store: opened.Tasks, Unheld: opened.Unheld, Tasks: view, History: index, Admin: s.admin, Locator: new(web.Locator), Log: log,
	})
	o.Listen, o.Log = cmp.Or(o.Listen, "127.0.0.1:0"), log
	shown := console.Options{Admin: s.admin, Service: service, Tasks: view, Start: starts(opened, view)}
	for _, maker := range makers {
		shown.Maker = maker(opened, view)
	}
	page := console.New(shown)
	server, err := web.New(o, service.Routes(), page.Routes(), openapi.Routes())
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	s.url = server.URL()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		<-viewDone
		<-kept
	})
	t.Cleanup(s.stop)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return s
}

func (s *site) tokens(text string) {
	s.t.Helper()
	if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if s.admin != nil {
		s.admin.Reload()
	}
}

// task is the id of a task that the service knows.
func (s *site) task() string {
	s.t.Helper()
	id := string(bustest.Applied(s.t, s.Bus).Task)
	proctest.Eventually(s.t, "the service knows the task", func() bool {
		response, _ := s.send(http.DefaultClient, "GET", "/api/tasks/"+id, "", "Authorization: Bearer "+annToken)
		return response.StatusCode == 200
	})
	return id
}

// link is the path of a link that signs a token's operator in.
func (s *site) link(token string) string {
	s.t.Helper()
	response, body := s.send(http.DefaultClient, "POST", "/api/console/links", "", "Authorization: Bearer "+token)
	var made struct{ Path string }
	if err := json.Unmarshal([]byte(body), &made); err != nil || response.StatusCode != 200 {
		s.t.Fatalf("%s %s", response.Status, body)
	}
	return made.Path
}

// code is that of a link.
func (s *site) code(token string) string {
	_, code, _ := strings.Cut(s.link(token), "#")
	return code
}

// visitor is a browser without a script: it keeps cookies, and does not follow where it is led.
func visitor(t testing.TB) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := new(http.Transport)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// send sends a request as a form of the page does, unless headers say otherwise.
func (s *site) send(client *http.Client, method, path, body string, headers ...string) (*http.Response, string) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if method != "GET" {
		request.Header.Set("Origin", s.url)
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		request.Header.Set(name, value)
		if name == "Host" {
			request.Host = value
		}
	}
	response, err := client.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response, string(read)
}

// signIn signs a visitor in and returns the form token of the page.
func (s *site) signIn(client *http.Client, secret string) (form string) {
	s.t.Helper()
	response, body := s.send(client, "POST", "/console/signin", url.Values{"code": {secret}}.Encode())
	if response.StatusCode != 303 || response.Header.Get("Location") != "./" {
		s.t.Fatalf("%s %v %s", response.Status, response.Header, body)
	}
	response, body = s.send(client, "GET", "/console/", "")
	if response.StatusCode != 200 {
		s.t.Fatalf("%s %s", response.Status, body)
	}
	return regexp.MustCompile(`name="form_token" value="([^"]+)"`).FindStringSubmatch(body)[1]
}

// Each answer of the page says what keeps other pages out, and leads to nothing that there is not.
func TestThePageIsSafe(t *testing.T) {
	t.Parallel()
	s := open(t, bustest.New(t, bus.Topology{}))
	id := s.task()
	ann := visitor(t)
	s.signIn(ann, annToken)
	pages := map[string]string{}
	for path, want := range map[string]int{
		"/console/": 200, "/console/signin": 200, "/console/session": 200, "/console/runs": 200, "/console/tasks/" + id: 200, "/console/style.css": 200, "/console/console.js": 200, "/console/icon.svg": 200,
	} {
		for who, client := range map[string]*http.Client{"ann": ann, "nobody": visitor(t)} {
			response, body := s.send(client, "GET", path, "")
			want := want
			if who == "nobody" && !strings.Contains(path, ".") {
				want = 401
			}
			if response.StatusCode != want {
				t.Errorf("%s, %s: %s", path, who, response.Status)
			}
			for name, value := range map[string]string{
				"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
				"X-Content-Type-Options":  "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin", "Cache-Control": "no-store",
				"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Access-Control-Allow-Origin": "",
			} {
				if got := response.Header.Get(name); got != value {
					t.Errorf("%s, %s: %s is %q", path, who, name, got)
				}
			}
			if strings.HasPrefix(response.Header.Get("Content-Type"), "text/html") {
				pages[path+who] = body
			}
		}
		if response, body := s.send(ann, "GET", path, "", "Host: evil.example"); response.StatusCode != 421 || strings.Contains(body, "ann") {
			t.Errorf("%s under another Host: %s %s", path, response.Status, body)
		}
	}
	_, pages["/console/signin"] = s.send(visitor(t), "POST", "/console/signin", "code=<b>wrong</b>")
	if len(pages) != 11 {
		t.Errorf("%d pages", len(pages))
	}
	for where, page := range pages {
		if len(page) > 20<<10 {
			t.Errorf("%s has %d bytes", where, len(page))
		}
		if inline := regexp.MustCompile(`(?i)<style|<script(?: defer)?>|\sstyle=|\son\w+=|javascript:|(?:src|href|action)="https?://`).FindString(page); inline != "" {
			t.Errorf("%s has %q in it", where, inline)
		}
		links := regexp.MustCompile(`(?:href|src|action)="([^"#][^"]*)"`).FindAllStringSubmatch(page, -1)
		if len(links) < 4 {
			t.Errorf("%s leads nowhere: %v", where, links)
		}
		for _, link := range links {
			to, err := url.Parse(s.url + strings.TrimSuffix(strings.TrimSuffix(where, "ann"), "nobody"))
			if err == nil {
				to, err = to.Parse(link[1])
			}
			if err != nil {
				t.Fatal(err)
			}
			if response, body := s.send(ann, "GET", to.Path, ""); response.StatusCode != 200 && !(response.StatusCode == 405 && strings.Contains(page, `action="`+link[1]+`" method="post"`)) {
				t.Errorf("%s leads to %s: %s %s", where, link[1], response.Status, body)
			}
		}
	}
	if response, _ := s.send(ann, "OPTIONS", "/console/", "", "Origin: https://evil.example", "Access-Control-Request-Private-Network: true"); response.StatusCode != 403 {
		t.Errorf("a page of the internet reaches into this network: %s", response.Status)
	}
	// Another site may lead here, and nothing else.
	if response, _ := s.send(ann, "GET", "/console/", "", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"); response.StatusCode != 403 {
		t.Errorf("in a frame: %s", response.Status)
	}
	_, body := s.send(visitor(t), "GET", "/console/", "", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
	if !strings.Contains(body, "Another site has led you here") || strings.Contains(body, "data-direct") {
		t.Errorf("%s", body)
	}
	for _, site := range []string{"none", "same-origin"} {
		if _, body := s.send(visitor(t), "GET", "/console/", "", "Sec-Fetch-Site: "+site); !strings.Contains(body, "data-direct") || strings.Contains(body, "Another site") {
			t.Errorf("%s: %s", site, body)
		}
	}
}

// The page works without a script: sign in, see as whom, sign out.
func TestWithoutAScript(t *testing.T) {
	t.Parallel()
	s := open(t, bustest.New(t, bus.Topology{}))
	for name, form := range map[string]struct {
		body, kind string
		want       int
	}{
		"no code":        {"", "application/x-www-form-urlencoded", 400},
		"an empty one":   {"code=", "application/x-www-form-urlencoded", 401},
		"a wrong one":    {"code=<i>wrong</i>", "application/x-www-form-urlencoded", 401},
		"no form":        {"code=" + annToken, "text/plain", 400},
		"one with parts": {"code=" + annToken, "multipart/form-data; boundary=x", 400},
		"a large one":    {"code=" + annToken + strings.Repeat("x", 4<<10), "application/x-www-form-urlencoded", 400},
	} {
		response, body := s.send(visitor(t), "POST", "/console/signin", form.body, "Content-Type: "+form.kind)
		if response.StatusCode != form.want || len(response.Cookies()) > 0 || !strings.Contains(body, `role="alert"><p>`) || !strings.Contains(body, "<h1>Sign in</h1>") || strings.Contains(body, "wrong") {
			t.Errorf("%s: %s %s", name, response.Status, body)
		}
	}
	if response, body := s.send(visitor(t), "POST", "/console/signin", "code="+annToken, "Origin: https://evil.example"); response.StatusCode != 403 || len(response.Cookies()) > 0 || !strings.Contains(body, "not this server") {
		t.Errorf("by another page: %s %s", response.Status, body)
	}

	ann, viewer := visitor(t), visitor(t)
	form := s.signIn(ann, annToken)
	viewerForm := s.signIn(viewer, s.code(viewToken))
	_, page := s.send(ann, "GET", "/console/session", "")
	for _, want := range []string{"<h1>Signed in as <bdi>ann</bdi></h1>", "Reads and changes", time.Now().UTC().Format("2 Jan 2006, "), "UTC</time>"} {
		if !strings.Contains(page, want) {
			t.Errorf("there is no %q: %s", want, page)
		}
	}
	if _, page := s.send(viewer, "GET", "/console/session", ""); !strings.Contains(page, "Only reads") || !strings.Contains(page, "<bdi>viewer</bdi>") {
		t.Errorf("who only reads sees %s", page)
	}
	// A form that is not of this session signs nobody out.
	for name, body := range map[string]string{"none": "x=", "another's": "form_token=" + viewerForm} {
		if response, body := s.send(ann, "POST", "/console/signout", body); response.StatusCode != 403 || !strings.Contains(body, "<h1>The form is not of this session</h1>") {
			t.Errorf("%s: %s %s", name, response.Status, body)
		}
	}
	if response, body := s.send(ann, "POST", "/console/signout", "form_token="+form+strings.Repeat("x", 4<<10)); response.StatusCode != 400 {
		t.Errorf("a large one: %s %s", response.Status, body)
	}
	if response, body := s.send(ann, "POST", "/console/signout", "form_token="+form); response.StatusCode != 303 {
		t.Errorf("%s %s", response.Status, body)
	}
	if response, page := s.send(ann, "GET", "/console/", ""); response.StatusCode != 401 || !strings.Contains(page, "<h1>Sign in</h1>") {
		t.Errorf("signed out: %s %s", response.Status, page)
	}
	if response, _ := s.send(viewer, "POST", "/console/signout", "everywhere=1&form_token="+viewerForm); response.StatusCode != 303 {
		t.Errorf("%s", response.Status)
	}
}

// A session is of every status service on a store, across restarts, until it is signed out on one of them or its token
// is taken out of the file.
func TestSeveralServices(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	one, two := open(t, store), open(t, store)
	at := func(s *site, client *http.Client, from *site) int {
		t.Helper()
		there, err := url.Parse(from.url)
		if err != nil {
			t.Fatal(err)
		}
		var cookies []string
		for _, cookie := range client.Jar.Cookies(there) {
			cookies = append(cookies, cookie.Name+"="+cookie.Value)
		}
		// As behind a balancer, under one name.
		response, _ := s.send(visitor(t), "GET", "/console/", "", "Cookie: "+strings.Join(cookies, "; "), "Host: "+there.Host)
		return response.StatusCode
	}
	ann, other := visitor(t), visitor(t)
	form := one.signIn(ann, one.code(annToken))
	one.signIn(other, two.code(annToken)) // a link of one, used at another
	if at(two, ann, one) != 200 || at(two, other, one) != 200 {
		t.Error("a session is not known on the other service")
	}
	again := open(t, store)
	if at(again, ann, one) != 200 {
		t.Error("a restart ends a session")
	}
	one.tokens("viewer: " + viewToken)
	if at(one, ann, one) != 401 {
		t.Error("a session outlives its token")
	}
	one.tokens(tokens)
	if response, body := one.send(ann, "POST", "/console/signout", "form_token="+form); response.StatusCode != 303 {
		t.Fatalf("%s %s", response.Status, body)
	}
	if at(one, ann, one) != 401 || at(two, ann, one) != 401 || at(again, ann, one) != 401 || at(two, other, one) != 200 {
		t.Error("not this session has ended, on each service")
	}
	// Of thirty at once, one gets in.
	code := two.code(viewToken)
	var in, out atomic.Int64
	var all sync.WaitGroup
	for i := range 30 {
		all.Go(func() {
			response, body := []*site{one, two, again}[i%3].send(visitor(t), "POST", "/console/signin", "code="+code)
			switch response.StatusCode {
			case 303:
				in.Add(1)
			case 401:
				out.Add(1)
			default:
				t.Errorf("%s %s", response.Status, body)
			}
		})
	}
	all.Wait()
	if in.Load() != 1 || out.Load() != 29 {
		t.Errorf("%d got in, %d did not", in.Load(), out.Load())
	}
}

// A change by a session stands in the log with its operator's name, and that it came from the page.
func TestChangesArePutDown(t *testing.T) {
	t.Parallel()
	s := open(t, bustest.New(t, bus.Topology{}))
	id := s.task()
	ann, viewer := visitor(t), visitor(t)
	form, viewerForm := s.signIn(ann, annToken), s.signIn(viewer, viewToken)
	path := "/api/tasks/" + id + "/disable"
	for name, try := range map[string]func() (*http.Response, string){
		"who only reads":       func() (*http.Response, string) { return s.send(viewer, "POST", path, "form_token="+viewerForm) },
		"without a form token": func() (*http.Response, string) { return s.send(ann, "POST", path, "") },
		"without an Origin":    func() (*http.Response, string) { return s.send(ann, "POST", path, "form_token="+form, "Origin: null") },
	} {
		if response, body := try(); response.StatusCode != 403 {
			t.Errorf("%s: %s %s", name, response.Status, body)
		}
	}
	if response, body := s.send(ann, "POST", path, "form_token="+form); response.StatusCode != 200 {
		t.Fatalf("%s %s", response.Status, body)
	}
	if log := s.log.String(); !strings.Contains(log, `"by":"ann","via":"page","address":"127.0.0.1","task":`) {
		t.Errorf("%s", log)
	}
	if response, body := s.send(http.DefaultClient, "POST", strings.Replace(path, "disable", "enable", 1), "", "Authorization: Bearer "+annToken); response.StatusCode != 200 {
		t.Errorf("%s %s", response.Status, body)
	}
	if log := s.log.String(); !strings.Contains(log, `"by":"ann","address":"127.0.0.1","task":`) {
		t.Errorf("a token's change: %s", log)
	}
}

// Without the store, the page says so, and who is signed in stays so.
func TestWithoutTheStore(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	s := open(t, store)
	ann := visitor(t)
	form := s.signIn(ann, annToken)
	store.Broker.Stop()
	if response, page := s.send(ann, "GET", "/console/", ""); response.StatusCode != 200 {
		t.Errorf("%s %s", response.Status, page)
	}
	if response, page := s.send(visitor(t), "POST", "/console/signin", "code="+annToken); response.StatusCode != 503 || !strings.Contains(page, "<h1>Sign in</h1>") || len(response.Cookies()) > 0 {
		t.Errorf("%s %s", response.Status, page)
	}
	if response, page := s.send(ann, "POST", "/console/signout", "form_token="+form); response.StatusCode != 503 || !strings.Contains(page, "<h1>The store is not available</h1>") || response.Header.Get("Retry-After") == "" {
		t.Errorf("%s %s", response.Status, page)
	}
	if !strings.Contains(s.log.String(), "request failed") {
		t.Errorf("%s", s.log)
	}
}

// A record of sessions that somebody has forged is told of once, and keeps nobody out for good.
func TestForgedRecord(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	s := open(t, store)
	ann := visitor(t)
	s.signIn(ann, annToken)
	if _, err := bustest.JetStream(t, store.Broker.URL()).Publish(t.Context(), "$KV.control.sessions", []byte("\x00\xff{")); err != nil {
		t.Fatal(err)
	}
	if response, page := s.send(ann, "GET", "/console/", ""); response.StatusCode != 401 || !strings.Contains(page, "Your session has ended") {
		t.Errorf("%s %s", response.Status, page)
	}
	s.signIn(ann, s.code(annToken))
}

// One browser does all that needs one, one after the other: a page that is behind another one takes no clicks.
func TestInABrowser(t *testing.T) {
	t.Parallel()
	b := browse(t)
	t.Run("signing in", func(t *testing.T) { testSigningIn(t, b.in(t)) })
	t.Run("elsewhere", func(t *testing.T) { testElsewhere(t, b.in(t)) })
	t.Run("pages", func(t *testing.T) { testPages(t, b.in(t)) })
	t.Run("changes", func(t *testing.T) { testChanges(t, b.in(t)) })
	t.Run("schedules", func(t *testing.T) { testSchedules(t, b.in(t)) })
	t.Run("chains", func(t *testing.T) { testChains(t, b.in(t)) })
	t.Run("correcting rows", func(t *testing.T) { testCorrecting(t, b.in(t)) })
	t.Run("making a task", func(t *testing.T) { testMaking(t, b.in(t)) })
}

// What a browser does by a link, and what other sites can and cannot do with somebody who is signed in.
func testSigningIn(t *testing.T, b *browser) {
	s := open(t, bustest.New(t, bus.Topology{}))
	id := s.task()
	p := b.profile()
	press := func(p *page, words string) {
		t.Helper()
		p.eval(fmt.Sprintf(`[...document.querySelectorAll('button, summary')].find(b => b.textContent === %q && b.checkVisibility()).click()`, words))
	}
	narrow := func(p *page, what string) {
		t.Helper()
		p.must(p.session, "Emulation.setDeviceMetricsOverride", map[string]any{"width": 360, "height": 800, "deviceScaleFactor": 1, "mobile": true})
		if wide := p.eval(`document.documentElement.scrollWidth`); wide != float64(360) {
			t.Errorf("%s is %v wide on 360", what, wide)
		}
		p.must(p.session, "Emulation.clearDeviceMetricsOverride", nil)
	}

	p.visit(s.url + "/console/")
	p.shows("Sign in")
	p.keep("sign in")
	narrow(p, "the sign-in page")
	p.eval(`document.querySelector('#code').value = 'wrong'`)
	press(p, "Sign in")
	p.until(`document.querySelector('.note.bad')?.checkVisibility() === true`)
	p.keep("wrong code")
	// The link signs in once, and its code stays in no address.
	link := s.link(annToken)
	p.visit(s.url + link)
	p.shows("Tasks")
	p.keep("signed in")
	narrow(p, "the page")
	if where := p.eval(`location.href`); where != s.url+"/console/" {
		t.Errorf("the address is %v", where)
	}
	var history struct{ Entries []struct{ URL string } }
	p.must(p.session, "Page.getNavigationHistory", nil, &history)
	for _, entry := range history.Entries {
		if strings.Contains(entry.URL, "#") {
			t.Errorf("the history has %s", entry.URL)
		}
	}
	if seen := p.eval(`document.cookie`); seen != "" {
		t.Errorf("a script sees %v", seen)
	}
	if text := p.text(); !strings.Contains(text, "Signed in as ann") || !strings.Contains(text, "Times in ") {
		t.Errorf("%s", text)
	}
	again := b.profile()
	again.visit(s.url + link)
	again.until(`document.querySelector('.note.bad')?.checkVisibility() === true`)
	if text := again.text(); !strings.Contains(text, "no code of a link that still signs in") {
		t.Errorf("a second time: %s", text)
	}
	// A link that is opened by who is signed in is not used.
	other := s.link(viewToken)
	p.visit(s.url + other)
	p.until(`document.querySelector('#unused')?.checkVisibility() === true && location.hash === ''`)
	p.keep("link not used")

	// Pages of another site, and of another port of this machine, which cookies do not tell apart.
	evil := elsewhere(t)
	neighbor := strings.Replace(evil, "evil.example", "127.0.0.1", 1)
	for _, from := range []string{evil, neighbor} {
		their := b.open(map[string]any{"url": "about:blank", "browserContextId": contextOf(p)})
		their.visit(from)
		for name, try := range map[string]string{
			"reads":                     `fetch(%q + '/api/tasks', {credentials: 'include'}).then(a => 'read ' + a.status, () => 'refused')`,
			"reads the page":            `fetch(%q + '/console/', {credentials: 'include'}).then(a => 'read ' + a.status, () => 'refused')`,
			"asks for a change":         `fetch(%q + '/api/tasks/` + id + `/disable', {method: 'POST', credentials: 'include', headers: {'X-Form-Token': 'x'}}).then(a => 'read ' + a.status, () => 'refused')`,
			"takes it as a script":      `new Promise(done => { const s = document.createElement('script'); s.src = %q + '/api/tasks'; s.onload = () => done('loaded'); s.onerror = () => done('refused'); document.head.append(s); })`,
			"takes the icon as its own": `new Promise(done => { const s = new Image(); s.src = %q + '/console/icon.svg'; s.onload = () => done('loaded'); s.onerror = () => done('refused'); })`,
		} {
			if got := their.eval(fmt.Sprintf(try, s.url)); got != "refused" {
				t.Errorf("%s %s: %v", from, name, got)
			}
		}
		// What is sent without asking changes nothing.
		their.eval(fmt.Sprintf(`fetch(%q + '/api/tasks/%s/disable', {method: 'POST', mode: 'no-cors', credentials: 'include'}).then(() => 1, () => 2)`, s.url, id))
		their.eval(fmt.Sprintf(`fetch(%q + '/console/signout', {method: 'POST', mode: 'no-cors', credentials: 'include', body: new URLSearchParams({everywhere: 1})}).then(() => 1, () => 2)`, s.url))
		// Nor is it shown in a frame.
		their.eval(fmt.Sprintf(`new Promise(done => { const f = document.createElement('iframe'); f.src = %q + '/console/'; f.onload = () => done(1); document.body.append(f); })`, s.url))
		var tree struct {
			FrameTree struct {
				ChildFrames []struct{ Frame struct{ URL string } }
			}
		}
		their.must(their.session, "Page.getFrameTree", nil, &tree)
		for _, child := range tree.FrameTree.ChildFrames {
			if !strings.HasPrefix(child.Frame.URL, "chrome-error:") {
				t.Errorf("%s frames %s", from, child.Frame.URL)
			}
		}
	}
	if response, body := s.send(http.DefaultClient, "GET", "/api/tasks/"+id, "", "Authorization: Bearer "+annToken); response.StatusCode != 200 || !strings.Contains(body, `"Enabled":true`) {
		t.Errorf("%s %s", response.Status, body)
	}
	p.visit(s.url + "/console/")
	p.shows("Tasks")

	// Nobody is signed in as somebody else: not by a form, nor by a link that another site opens.
	for _, from := range []string{evil, neighbor} {
		victim := b.profile()
		victim.visit(from)
		victim.eval(fmt.Sprintf(`(() => { const f = document.createElement('form'); f.method = 'post'; f.action = %q + '/console/signin'; f.innerHTML = '<input name=code value=%s>'; document.body.append(f); f.submit(); })()`, s.url, viewToken))
		victim.until(fmt.Sprintf(`location.href === %q && document.body.innerText.includes('not this server')`, s.url+"/console/signin"))
		victim.visit(s.url + "/console/")
		victim.shows("Sign in")
		victim.visit(from)
		victim.eval(fmt.Sprintf(`location.href = %q`, s.url+other))
		victim.shows("Sign in")
		victim.until(`document.querySelector('#led')?.checkVisibility() === true && location.hash === ''`)
		victim.keep("led by another site")
		if text := victim.text(); !strings.Contains(text, "Sign in only if you expected this link") {
			t.Errorf("%s", text)
		}
		victim.visit(s.url + "/console/")
		victim.shows("Sign in")
	}
	// A name that was pointed here is not the server's, for its page either.
	pointed := b.profile()
	pointed.visit(strings.Replace(s.url, "127.0.0.1", "pointed.example", 1) + "/console/")
	if text := pointed.text(); strings.Contains(text, "Sign in") || !strings.Contains(text, "421") {
		t.Errorf("under another name: %s", text)
	}

	// Whoever comes from another site is signed in still.
	from := b.open(map[string]any{"url": "about:blank", "browserContextId": contextOf(p)})
	from.visit(evil)
	from.eval(fmt.Sprintf(`location.href = %q`, s.url+"/console/"))
	from.shows("Tasks")

	// Sign out on this device, then everywhere.
	press(p, "Sign out")
	p.shows("Sign in")
	from.visit(s.url + "/console/")
	from.shows("Sign in") // its cookie is the same
	p.visit(s.url + s.link(annToken))
	p.shows("Tasks")
	p.visit(s.url + "/console/session")
	p.shows("Signed in as ann")
	press(p, "Sign out everywhere")
	p.until(`document.querySelector('details').open`)
	p.keep("sign out everywhere")
	p.eval(`document.querySelector('details .btn.bad').click()`)
	p.shows("Sign in")

	// Without a script, by pasting.
	quiet := b.profile()
	quiet.must(quiet.session, "Emulation.setScriptExecutionDisabled", map[string]any{"value": true})
	quiet.visit(s.url + s.link(viewToken))
	quiet.shows("Sign in")
	quiet.keep("without a script")
	quiet.eval(`document.querySelector('#code').value = ` + fmt.Sprintf("%q", s.code(viewToken)))
	quiet.eval(`document.querySelector('#signin .btn').click()`)
	quiet.shows("Tasks")
	quiet.visit(s.url + "/console/session")
	quiet.shows("Signed in as viewer")
	if text := quiet.text(); !strings.Contains(text, "Only reads") || !strings.Contains(text, " UTC") {
		t.Errorf("%s", text)
	}
	quiet.keep("only reads")
}

// Behind TLS the browser keeps a cookie that no other host can set. Without it, on another machine's name, it does not
// say how somebody came, so a link is followed by a press of the button.
func testElsewhere(t *testing.T, b *browser) {
	store := bustest.New(t, bus.Topology{})
	certFile, keyFile := proctest.Certificate(t, t.TempDir())
	certificate, err := web.LoadCertificate(certFile, keyFile, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	hosts, err := web.NewHosts([]string{"lan.example", "127.0.0.1"}, "", "")
	if err != nil {
		t.Fatal(err)
	}
	// Links are of the store: that without TLS makes those that are opened at the other.
	asked := openAs(t, store, web.Options{Hosts: hosts})
	secure := openAs(t, store, web.Options{TLS: certificate})

	p := b.profile()
	p.visit(secure.url + asked.link(annToken))
	p.shows("Tasks")
	var kept struct {
		Cookies []struct {
			Name, Path, SameSite string
			Secure, HTTPOnly     bool
		}
	}
	p.must(p.session, "Network.getCookies", nil, &kept)
	port := secure.url[strings.LastIndex(secure.url, ":")+1:]
	if len(kept.Cookies) != 1 || kept.Cookies[0].Name != "__Host-runhook-"+port || !kept.Cookies[0].Secure || !kept.Cookies[0].HTTPOnly || kept.Cookies[0].SameSite != "Strict" || kept.Cookies[0].Path != "/" {
		t.Errorf("the browser keeps %+v", kept.Cookies)
	}
	p.eval(`document.querySelector('form .btn').click()`)
	p.shows("Sign in")
	if p.must(p.session, "Network.getCookies", nil, &kept); len(kept.Cookies) > 0 {
		t.Errorf("after signing out it keeps %+v", kept.Cookies)
	}

	p = b.profile()
	lan := strings.Replace(asked.url, "127.0.0.1", "lan.example", 1)
	p.visit(lan + asked.link(viewToken))
	p.until(`document.querySelector('#led')?.checkVisibility() === true && location.hash === ''`)
	p.eval(`document.querySelector('#signin .btn').click()`)
	p.shows("Tasks")
	p.eval(`document.querySelector('form .btn').click()`)
	p.shows("Sign in")
}

package imis_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"runhook/services/runner/connection"
	"runhook/services/runner/connector/imis"
	"runhook/services/runner/connector/imis/imissite"
	"runhook/services/runner/connector/imis/imissite/sitetest"
	"runhook/shared/outward"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// What may pass is tried again, on any page.
func TestPassingFaults(t *testing.T) {
	imis.ShortenPauses(t)
	for name, faults := range map[string][]imissite.Fault{
		"throttled":               sitetest.Times(3, sitetest.Throttle("")),
		"told when to come back":  {sitetest.Throttle("0")},
		"503 with a date":         {sitetest.Throttle(time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))},
		"a 403 that is a limit":   {limited(403, "X-RateLimit-Remaining", "0"), limited(403, "Retry-After", "0"), limited(429, "RateLimit-Reset", "0")},
		"a 500 or two":            sitetest.Times(3, sitetest.Status(500)),
		"a gateway away":          sitetest.Times(7, sitetest.Status(502)),
		"busy":                    sitetest.Times(7, sitetest.Status(503)),
		"timed out":               {sitetest.Status(408), sitetest.Status(504)},
		"dropped":                 sitetest.Times(3, sitetest.Drop),
		"cut short":               sitetest.Times(3, sitetest.CutShort),
		"half a text":             {sitetest.Answer("application/json", `{"Items":{"$values":[{"ID":`)},
		"a token no longer taken": {sitetest.Status(401)},
		"all kinds":               {sitetest.Drop, sitetest.Status(500), sitetest.Status(401), sitetest.Throttle("")},
	} {
		t.Run(name, func(t *testing.T) {
			for _, offset := range []int{0, 500, 1000} {
				b := newBench(t, members(1234))
				b.site.FailPage(offset, faults...)
				b.expectRows(1234)
				if got, want := len(b.site.Requests()), 4+len(faults); got != want {
					t.Errorf("page at %d: %d requests, want %d", offset, got, want)
				}
			}
		})
	}
}

// A site with a private address is asked for nothing, not for a token either, unless the connection says that it may be.
func TestPrivateSite(t *testing.T) {
	b := newBench(t, members(3))
	// A connection that may does not let another to the same site in.
	fields := "url: '" + b.server.URL + "', username: runhook, password: '${RUNHOOK_TEST_PASSWORD}'}}\n"
	set, err := connection.Parse([]byte("inside: {imis: {private: true, "+fields+"prod: {imis: {"+fields), "connections.yaml")
	if err != nil {
		t.Fatal(err)
	}
	b.connections = set
	b.from().Connection = "inside"
	if s, err := imis.Open(t.Context(), b.job()); err == nil {
		defer s.Close()
	}
	before := len(b.site.Requests())
	b.from().Connection = "prod"
	_, _, err = b.read(t.Context())
	failure, ok := errors.AsType[*run.Failure](err)
	if !ok || failure.Passing || !strings.Contains(failure.Message, "the site of connection prod cannot be reached: its host has a private address; write private: true beside the url") {
		t.Errorf("got %v", err)
	}
	if asked := b.site.Requests(); before == 0 || len(asked) != before {
		t.Errorf("asked for %q, %d before", asked, before)
	}
}

// limited answers with a status and a header.
func limited(status int, name, value string) imissite.Fault {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(name, value)
		sitetest.Status(status)(w, r)
	}
}

// A page in part, as some proxies say, is a page; what is left of a limit makes no refusal one of it.
func TestPartsAndLimits(t *testing.T) {
	b := newBench(t, members(3))
	b.site.Fail(nil, func(w http.ResponseWriter, r *http.Request) {
		imissite.AnswerAsUsual(partial{w}, r)
	})
	b.expectRows(3)
	b.site.Fail(limited(403, "X-RateLimit-Remaining", "5"))
	b.fail("is not allowed to the account of the connection (status 403)")
}

// partial says 206.
type partial struct{ http.ResponseWriter }

func (p partial) Write(data []byte) (int, error) {
	p.WriteHeader(http.StatusPartialContent)
	return p.ResponseWriter.Write(data)
}

// What does not pass ends the run, after so many requests, with its reason.
func TestLastingFaults(t *testing.T) {
	imis.ShortenPauses(t)
	html := sitetest.Answer("text/html; charset=utf-8", "<!DOCTYPE html><html>SECRET</html>")
	for name, c := range map[string]struct {
		fault    imissite.Fault
		says     string
		requests int
	}{
		"throttled for ever":  {sitetest.Throttle(""), "the IQA $/Membership/Lapsed Members of connection prod answers with status 429, 8 times in a row", 8},
		"throttled for hours": {sitetest.Throttle("7200"), "the site asks to wait 2h", 1},
		"500":                 {sitetest.Status(500), "answers with status 500, 4 times in a row", 4},
		"503":                 {sitetest.Status(503), "answers with status 503, 8 times in a row", 8},
		"dropped":             {sitetest.Drop, "does not answer: the connection breaks off, 8 times in a row", 9}, // the first at once again: on a connection that had been used
		"no access":           {sitetest.Status(403), "is not allowed to the account", 1},
		"401 for ever":        {sitetest.Status(401), "signs the account of connection prod in, and then refuses the token", 2},
		"HTML":                {html, "answers with a page for people (HTML) instead of data; the url of connection prod may be wrong", 1},
		"HTML called JSON":    {sitetest.Answer("application/json", "\r\n <html>SECRET"), "answers with a page for people (HTML)", 1},
		"a login page":        {sitetest.Redirect("/iMIS/Login.aspx?ReturnUrl=SECRET"), "is answered by a redirect to a page to sign in, http://127.0.0.1", 1},
		"another host":        {sitetest.Redirect("https://SECRET:x@evil.example.org/api/query?SECRET"), "is answered by a redirect to https://evil.example.org/api/query, which is not followed", 1},
		"no JSON":             {sitetest.Answer("text/plain", "SECRET"), "answers with something that is not JSON, 4 times in a row", 4},
		"a list":              {sitetest.Answer("application/json", "[]"), "is not a page of rows", 1},
		"null":                {sitetest.Answer("application/json", "null"), "is not a page of rows", 1},
		"no items":            {sitetest.Answer("application/json", `{"Offset":0,"Limit":500}`), "is not a page of rows", 1},
		"items of no kind":    {sitetest.Answer("application/json", `{"Items":{"$type":"x"},"HasNext":false}`), "is not a page of rows", 1},
		"rows that are none":  {sitetest.Answer("application/json", `{"Items":{"$values":[1]}}`), "is not a page of rows", 1},
		"a column twice":      {sitetest.Answer("application/json", `{"Items":{"$values":[{"ID":1,"ID":2}]}}`), "gives two columns named ID", 1},
		"another page":        {sitetest.Answer("application/json", `{"Items":{"$values":[{"ID":1}]},"Offset":7}`), "gives the page that begins at row 7 where the one at row 0 was asked for", 1},
		"no end":              {sitetest.Answer("application/json", `{"Items":{"$values":[{"ID":1}]},"Offset":0,"HasNext":true,"NextOffset":0}`), "does not come to an end", 1},
		"no end of nothing":   {sitetest.Answer("application/json", `{"Items":{"$values":[]},"Offset":0,"HasNext":true,"NextOffset":500}`), "gives no row on the page that begins at row 0, and says that there are more behind it", 1},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, members(10))
			b.site.Fail(sitetest.Times(20, c.fault)...)
			failure := b.failure(c.says)
			// What was asked for again, or would be, may pass at another attempt too.
			throttled := strings.HasPrefix(name, "throttled for hours")
			again := c.requests > 2 || throttled
			if failure.Passing != again || throttled && failure.RetryAfter != 2*time.Hour {
				t.Errorf("passing: %v, after %s", failure.Passing, failure.RetryAfter)
			}
			if got := len(b.site.Requests()); got != c.requests {
				t.Errorf("%d requests, want %d", got, c.requests)
			}
		})
	}
}

// The rows before a page that fails have been given.
func TestPageFails(t *testing.T) {
	imis.ShortenPauses(t)
	b := newBench(t, members(1234))
	b.site.FailPage(1000, sitetest.Times(4, sitetest.Status(500))...)
	_, rows, err := b.read(t.Context())
	if err == nil || !strings.Contains(err.Error(), "answers with status 500, 4 times in a row") {
		t.Errorf("got %v", err)
	}
	b.inOrder(rows, 1000)
}

func TestRetryAfterIsHonoured(t *testing.T) {
	b := newBench(t, members(3))
	b.site.Fail(sitetest.Throttle("1"))
	began := time.Now()
	b.expectRows(3)
	if took := time.Since(began); took < 990*time.Millisecond {
		t.Errorf("asked again after %s", took)
	}
}

func TestQueriesThatCannotBeRun(t *testing.T) {
	hidden := members(3)
	hidden.Path, hidden.NoREST = "$/Hidden", true
	asking := members(3)
	asking.Path, asking.Prompts[0].Required = "$/Asking", true
	b := newBench(t, members(3), hidden, asking)
	b.from().Query = "$/Membership/Lapsd"
	b.fail("there is no IQA $/Membership/Lapsd on the site of connection prod, or its account cannot see it; correct source.imis.query")
	draft := members(3)
	draft.Path, draft.Working = "$/Drafts/New", true
	folder := members(3)
	folder.Path = "$/Events/Lapsed"
	b.site.SetQueries(draft, folder)
	b.from().Query = "$/drafts/New"
	b.fail("the IQA $/drafts/New on the site of connection prod is not published: there is a working copy of it alone, or its account may not see more; publish it in iMIS")
	if found := b.check(); len(found.Findings) != 1 || !strings.Contains(found.Findings[0].Text(), "source.imis.query: the IQA $/drafts/New on the site of connection prod is not published") {
		t.Errorf("check finds %v", found.Findings)
	}
	b.from().Query = "$/Membership/Lapsed"
	b.fail("there is no IQA $/Membership/Lapsed on the site of connection prod, or its account cannot see it; one of that name is $/Events/Lapsed")
	b.site.Fail(nil, nil, sitetest.Status(403)) // the list of documents, behind the page and the definition
	b.fail("there is no IQA $/Membership/Lapsed on the site of connection prod, or its account cannot see it; correct source.imis.query")
	b.from().Query = "$/Hidden"
	b.fail(`the IQA $/Hidden of connection prod is not available through the REST API; switch on "Available via the REST API"`)
	b.from().Query = "$/Asking"
	b.fail("the IQA $/Asking of connection prod is refused with status 400")
	b.from().Query = "$/membership/lapsed members" // letter case does not count
	b.expectRows(3)
	b.prompt("Sate", "CA")
	b.fail("the IQA $/membership/lapsed members of connection prod: it has no prompt Sate; did you mean State?")
	b.task.Parameters = nil
	b.prompt("Country", "SECRET")
	b.fail("it has no prompt Country; it has the prompts State, FullName")
	b.from().Connection = "other"
	if _, _, err := b.read(t.Context()); err == nil || !strings.Contains(err.Error(), "no connection other in connections.yaml") {
		t.Errorf("got %v", err)
	}
}

func TestTokenIsRenewed(t *testing.T) {
	b := newBench(t, members(100))
	b.from().PageSize = 10
	b.site.SetTokenLife(0, time.Hour) // as good as not said; a 401 tells
	b.expectRows(100)
	if logins := b.site.Logins(); logins != 1 {
		t.Errorf("%d logins", logins)
	}
	b.site.ExpireTokens()
	b.expectRows(100)
	if logins := b.site.Logins(); logins != 2 {
		t.Errorf("%d logins after the token had expired", logins)
	}
	b.expectRows(100)
	if logins := b.site.Logins(); logins != 2 {
		t.Errorf("%d logins: another run did not use the token", logins)
	}
}

// A token that tells its end is renewed before, so that no request meets a 401.
func TestTokenIsRenewedBeforeItsEnd(t *testing.T) {
	b := newBench(t, members(30))
	b.site.SetTokenLife(time.Second, time.Hour)
	b.expectRows(30)
	// It is time that passes here, and nothing that could be waited for.
	time.Sleep(time.Second)
	b.expectRows(30)
	if logins, requests := b.site.Logins(), len(b.site.Requests()); logins != 2 || requests != 4 {
		t.Errorf("%d logins, %d requests", logins, requests)
	}
}

// However many runs there are: one request at a time, and one login.
func TestRunsShareTheSite(t *testing.T) {
	b := newBench(t, members(100))
	b.from().PageSize = 10
	for range 2 {
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				_, rows, err := b.read(t.Context())
				if err != nil || len(rows) != 100 {
					t.Errorf("%d rows, %v", len(rows), err)
				}
			})
		}
		all.Wait()
		b.site.ExpireTokens()
	}
	if b.site.MostAtOnce() != 1 || b.site.Logins() != 2 {
		t.Errorf("%d requests at once, %d logins", b.site.MostAtOnce(), b.site.Logins())
	}
}

// One run that is throttled holds the others, for as long as the site says or as a back-off lasts.
func TestThrottlingHoldsAllRuns(t *testing.T) {
	for _, retryAfter := range []string{"1", ""} {
		b := newBench(t, members(3))
		b.expectRows(3)
		b.site.Fail(sitetest.Throttle(retryAfter))
		began := time.Now()
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				b.expectRows(3)
				if took := time.Since(began); took < 240*time.Millisecond {
					t.Errorf("Retry-After %q: a run was through after %s", retryAfter, took)
				}
			})
		}
		all.Wait()
		if requests := len(b.site.Requests()); requests != 9 {
			t.Errorf("Retry-After %q: %d requests", retryAfter, requests)
		}
	}
}

// Between runs no connection to the site is kept.
func TestConnectionsAreClosed(t *testing.T) {
	b := newBench(t, members(3))
	closed := make(chan struct{}, 100)
	server := httptest.NewUnstartedServer(b.site)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- struct{}{}
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	b.connect(server.URL, password)
	b.expectRows(3)
	select {
	case <-closed:
	case <-time.After(proctest.Limit):
		t.Error("the connection is still open")
	}
}

// A bad login is not tried twice, by any run: the account would be locked.
func TestBadLogin(t *testing.T) {
	b := newBench(t, members(3))
	b.connect(b.server.URL, "SECRET")
	b.fail("the site of connection prod refuses its username and password. Correct them before another run")
	for range 6 {
		b.fail("refuses its username and password, a while ago")
	}
	if b.site.Logins() != 1 || len(b.site.Requests()) != 0 {
		t.Errorf("%d logins, %d requests", b.site.Logins(), len(b.site.Requests()))
	}
	b.connect(b.server.URL, password)
	b.expectRows(3)
}

func TestSitesThatAreNone(t *testing.T) {
	imis.ShortenPauses(t)
	answer := func(status int, kind, text string) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Location", "/SignIn?SECRET")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(text))
		}))
		t.Cleanup(server.Close)
		return server.URL
	}
	unknown := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(unknown.Close)
	certificate, err := sitetest.Certificate("imis.example.org")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := httptest.NewUnstartedServer(http.NotFoundHandler())
	elsewhere.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	elsewhere.StartTLS()
	t.Cleanup(elsewhere.Close)
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	var asked atomic.Int64
	wordy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("X-Filler", strings.Repeat("x", outward.MaxHeader))
	}))
	t.Cleanup(wordy.Close)
	for url, says := range map[string]string{
		answer(404, "text/html", "<html>"):              "there is no /token below its url, so it is not that of an iMIS site",
		answer(200, "text/html", "<html>SECRET"):        "signing in to the site of connection prod answers with a page for people (HTML)",
		answer(200, "application/json", `{"token": 1}`): "brings no token; is its url that of an iMIS site?",
		answer(302, "text/html", ""):                    "redirect to a page to sign in",
		answer(500, "text/html", ""):                    "answers with status 500, 4 times in a row",
		wordy.URL:                                       "the site of connection prod answers with more than 256 KiB of headers",
		unknown.URL:                                     "has a certificate that no authority known to the runner has signed",
		elsewhere.URL:                                   "has a certificate that is not for 127.0.0.1 (it is for imis.example.org); correct the url",
		strings.Replace(plain.URL, "http", "https", 1):  "does not speak TLS where its url says https",
		"http://127.0.0.1:1":                            "nothing listens at its address, 8 times in a row",
	} {
		b := newBench(t, members(3))
		b.connect(url, password)
		b.fail(says)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("headers without a bound are asked for %d times", n)
	}
}

// An answer has a bound, and what is beyond it is not read.
func TestAnswerWithoutEnd(t *testing.T) {
	b := newBench(t, members(3))
	sent := 0
	done := make(chan struct{})
	b.site.FailPage(0, func(w http.ResponseWriter, _ *http.Request) {
		defer close(done)
		part := bytes.Repeat([]byte(" "), 1<<20)
		for ; sent < 256; sent++ {
			if _, err := w.Write(part); err != nil {
				return
			}
		}
	})
	b.fail("an answer of the site of connection prod is longer than 64 MiB; take a smaller page_size")
	if <-done; sent > 128 {
		t.Errorf("%d MiB were taken", sent)
	}
}

// The site is reached through the proxy that the environment names.
func TestProxy(t *testing.T) {
	b := newBench(t, members(3))
	b.connect("http://imis.example.org", password)
	before := len(proxied.Requests())
	b.expectRows(3)
	if len(proxied.Requests()) != before+2 || len(b.site.Requests()) != 0 {
		t.Error("the site was reached some other way")
	}
	imis.ShortenPauses(t)
	b.connect("http://other.example.org", password)
	b.fail("answers with status 502")
}

// A run that ends does not wait for its page.
func TestCancel(t *testing.T) {
	for _, offset := range []int{0, 10} {
		b := newBench(t, members(30))
		b.from().PageSize = 10
		ctx, cancel := context.WithCancel(t.Context())
		b.site.FailPage(offset, func(w http.ResponseWriter, r *http.Request) {
			cancel()
			sitetest.Stall(w, r)
		})
		if _, _, err := b.read(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		b.expectRows(30)
	}
}

// A folder in the url is kept.
func TestSiteInAFolder(t *testing.T) {
	b := newBench(t, members(3))
	below := httptest.NewServer(http.StripPrefix("/Asi.Scheduler_Prod", b.site))
	t.Cleanup(below.Close)
	b.connect(below.URL+"/Asi.Scheduler_Prod/", password)
	b.expectRows(3)
	b.from().Endpoint = task.IQAEndpoint
	b.expectRows(3)
}

package ingress

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/web"
)

func TestExecuteAnswersAtOnce(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	got := h.post(t, "/task/execute/"+membersID, `{"QueryParameters":{"firstname":"Ann","ID":[1,"2"]}}`, "X-Correlation-Id", "order 7")
	if got.Status != 200 || got.Get("Location") != "" || got.Get("Retry-After") != "" {
		t.Errorf("%d with %v", got.Status, got.Header)
	}
	if got.Get("Content-Type") != "application/json" || got.Get("Cache-Control") != "no-store" || got.Get("Server") != "runhook" {
		t.Errorf("headers %v", got.Header)
	}
	doc := got.document(t)
	if doc.Status != run.Queued || doc.ImportID == 0 || doc.CorrelationID != "order 7" || doc.ExecuteID != membersID || doc.Success != nil ||
		doc.RetryAfter != "00:00:07" || doc.PollingURL != h.URL+run.StatusPath(membersID, doc.ImportID) {
		t.Errorf("the document is %s", got.Body)
	}
	for name, from := range map[string]task.Origin{"FirstName": task.FromRequest, "LastName": task.FromSource, "Email": task.FromTask, "ID": task.FromRequest} {
		if doc.Parameters[name].From != from {
			t.Errorf("%s is from %q, not %q", name, doc.Parameters[name].From, from)
		}
	}
	stored, err := h.Runs.Lookup(t.Context(), membersID, doc.ImportID)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(stored.Bytes, got.Body) {
		t.Errorf("the POST answered %s\nand a poll would answer %s", got.Body, stored.Bytes)
	}
}

func TestPollingAnswersWithLocation(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	got := h.post(t, "/task/executepolling/"+membersID, "")
	doc := got.document(t)
	if got.Status != 202 || got.Get("Location") != h.URL+run.StatusPath(membersID, doc.ImportID) || got.Get("Retry-After") != "7" {
		t.Errorf("%d with %v", got.Status, got.Header)
	}
	if doc.PollingURL != got.Get("Location") {
		t.Errorf("PollingUrl %s, Location %s", doc.PollingURL, got.Get("Location"))
	}
}

// TestSamplesOfTheOriginal sends the requests of the original product's page as they are printed,
// but for the GUID.
func TestSamplesOfTheOriginal(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	host := strings.TrimPrefix(h.URL, "http://")
	jquery := `{"QueryParameters":{"ID":"23456"}}`
	samples := []struct{ name, request, status string }{
		{"curl", "POST /task/execute/" + membersID + " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n", "200 OK"},
		{"curl, polling", "POST /task/executepolling/" + membersID + " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n", "202 Accepted"},
		{"raw HTTP", "POST /task/execute/" + membersID + " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: example-documentation/1.0\r\nContent-Length: 0\r\n\r\n", "200 OK"},
		{"raw HTTP, polling", "POST /task/executepolling/" + membersID + " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: example-documentation/1.0\r\nContent-Length: 0\r\n\r\n", "202 Accepted"},
		{"jQuery", "POST /task/execute/" + membersID + " HTTP/1.1\r\nHost: " + host + "\r\nOrigin: https://members.example.org\r\nContent-type: application/json;\r\nContent-Length: " + fmt.Sprint(len(jquery)) + "\r\n\r\n" + jquery, "200 OK"},
		{"HTTP/1.0 without Host", "POST /task/executepolling/" + membersID + " HTTP/1.0\r\n\r\n", "202 Accepted"},
	}
	for _, sample := range samples {
		t.Run(sample.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", host)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, sample.request); err != nil {
				t.Fatal(err)
			}
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			if response.Status != sample.status {
				t.Errorf("status %s", response.Status)
			}
			doc := read(t, response).document(t)
			if doc.ImportID == 0 {
				t.Error("no run number")
			}
			if sample.name == "jQuery" && (response.Header.Get("Access-Control-Allow-Origin") != "*" || doc.Parameters["ID"].From != task.FromRequest) {
				t.Errorf("the page cannot use the answer %v %+v", response.Header, doc)
			}
			if want := run.StatusPath(membersID, doc.ImportID); sample.name == "HTTP/1.0 without Host" && response.Header.Get("Location") != want {
				t.Errorf("Location %q, want %q", response.Header.Get("Location"), want)
			}
		})
	}
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	first := h.post(t, "/task/executepolling/"+membersID, `{"QueryParameters":{"FirstName":"Ann"}}`, "Idempotency-Key", `"a-\"1\""`, "X-Correlation-Id", "one")
	if first.Status != 202 || first.Get("Idempotency-Replayed") != "" {
		t.Fatalf("%d %v", first.Status, first.Header)
	}
	again := h.post(t, "/task/executepolling/"+membersID, `{"QueryParameters":{"firstname":"Ann"}}`, "Idempotency-Key", `a-"1"`, "X-Correlation-Id", "two")
	if again.Status != 202 || again.Get("Idempotency-Replayed") != "true" || again.Get("Location") != first.Get("Location") ||
		again.Get("Retry-After") != first.Get("Retry-After") || !bytes.Equal(again.Body, first.Body) {
		t.Errorf("the replay is %d %v %s", again.Status, again.Header, again.Body)
	}
	other := h.post(t, "/task/executepolling/"+membersID, `{"QueryParameters":{"FirstName":"Bob"}}`, "Idempotency-Key", `a-"1"`)
	if p := other.problem(t); other.Status != 422 || p.Type != "urn:runhook:problem:idempotency-key-reused" {
		t.Errorf("%d %s", other.Status, other.Body)
	}
	elsewhere := h.post(t, "/task/executepolling/"+listedID, `{"QueryParameters":{"Region":"N"}}`, "Idempotency-Key", `a-"1"`)
	if elsewhere.Status != 202 || elsewhere.document(t).ImportID == first.document(t).ImportID {
		t.Errorf("the key of another task: %d %s", elsewhere.Status, elsewhere.Body)
	}
	if n := h.metric(t, `runhook_runs_replayed_total{task="Refresh lapsed members"}`); n != "1" {
		t.Errorf("%q replays counted", n)
	}
}

// A dry run is asked for on a path of its own, and nothing else makes one.
func TestDryRunIsSubmitted(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	body := `{"QueryParameters":{"FirstName":"Ann"}}`
	got := h.post(t, "/task/dryrun/"+membersID, body, "Idempotency-Key", "k")
	doc := got.document(t)
	if got.Status != 202 || doc.Trigger != run.DryRun || got.Get("Location") != h.URL+run.StatusPath(membersID, doc.ImportID) {
		t.Errorf("%d %v %s", got.Status, got.Header, got.Body)
	}
	again := h.post(t, "/task/dryrun/"+membersID, body, "Idempotency-Key", "k")
	if again.Get("Idempotency-Replayed") != "true" || again.document(t).ImportID != doc.ImportID {
		t.Errorf("the replay is %d %v", again.Status, again.Header)
	}
	for _, path := range []string{"/task/execute/", "/task/executepolling/"} {
		if real := h.post(t, path+membersID, body, "Idempotency-Key", "k"); real.Status != 422 {
			t.Errorf("%s under the key of a dry run: %d %s", path, real.Status, real.Body)
		}
		if real := h.post(t, path+membersID, body).document(t); real.Trigger != run.Webhook {
			t.Errorf("%s: %+v", path, real)
		}
	}
	queue, err := h.Work.Queue(t.Context(), membersID)
	if err != nil {
		t.Fatal(err)
	}
	defer queue.Close()
	delivery, err := bustest.Next(t.Context(), queue)
	if err != nil || !delivery.Request.DryRun || delivery.Number != doc.ImportID {
		t.Errorf("%+v %v", delivery, err)
	}
	if wrong := h.post(t, "/task/dryrun/"+membersID, `{"QueryParameters":{"Nmae":"Ann"}}`); wrong.Status != 400 {
		t.Errorf("%d %s", wrong.Status, wrong.Body)
	}
}

func TestPreferWait(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	for outcome, status := range map[run.Outcome]int{run.Success: 200, run.Canceled: 200, run.Failed: 422} {
		t.Run(string(outcome), func(t *testing.T) {
			queue, err := h.Work.Queue(t.Context(), membersID)
			if err != nil {
				t.Fatal(err)
			}
			answered := make(chan answer, 1)
			go func() {
				answered <- h.post(t, "/task/executepolling/"+membersID, "", "Prefer", "respond-async, wait=60")
			}()
			delivery, err := bustest.Next(t.Context(), queue)
			if err != nil {
				t.Fatal(err)
			}
			final := h.finish(t, run.QueuedDocument(delivery.Request, delivery.Number), outcome)
			delivery.Done()
			got := <-answered
			if got.Status != status || got.Get("Preference-Applied") != "wait=60" || got.Get("Location") != "" || got.Get("Retry-After") != "" ||
				got.Get("Cache-Control") != "no-cache" || !bytes.Equal(got.Body, final) {
				t.Errorf("%d %v %s", got.Status, got.Header, got.Body)
			}
		})
	}
	t.Run("too short", func(t *testing.T) {
		got := h.post(t, "/task/executepolling/"+membersID, "", "Prefer", "wait=1")
		if got.Status != 202 || got.Get("Location") == "" || got.Get("Retry-After") != "7" || got.Get("Preference-Applied") != "wait=1" || got.document(t).Status != run.Queued {
			t.Errorf("%d %v %s", got.Status, got.Header, got.Body)
		}
	})
	t.Run("not on execute", func(t *testing.T) {
		got := h.post(t, "/task/execute/"+membersID, "", "Prefer", "wait=60")
		if got.Status != 200 || got.Get("Preference-Applied") != "" {
			t.Errorf("%d %v", got.Status, got.Header)
		}
	})
}

func TestStopEndsAWaitWithItsRun(t *testing.T) {
	t.Parallel()
	h := bustest.New(t, bus.Topology{})
	if _, err := h.Bus.Tasks.Apply(t.Context(), parse(t, members), false); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	view, watched, err := h.Bus.Tasks.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	in := New(Options{Runs: h.Runs, Tasks: view, Log: zerolog.Nop()})
	server, err := web.New(web.Options{Listen: "127.0.0.1:0", Log: zerolog.Nop()}, in.Routes())
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Run(ctx) }()
	queue, err := h.Work.Queue(t.Context(), membersID)
	if err != nil {
		t.Fatal(err)
	}
	house := &house{Store: h, URL: server.URL()}
	answered := make(chan answer, 1)
	go func() { answered <- house.post(t, "/task/executepolling/"+membersID, "", "Prefer", "wait=120") }()
	if _, err := bustest.Next(t.Context(), queue); err != nil {
		t.Fatal(err)
	}
	stop()
	if got := <-answered; got.Status != 202 || got.Get("Location") == "" {
		t.Errorf("%d %v %s", got.Status, got.Header, got.Body)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	<-watched
	http.DefaultClient.CloseIdleConnections()
}

func TestLocations(t *testing.T) {
	t.Parallel()
	keys := runKeys(t)
	locator := func(public, location string, trusted ...string) *web.Locator {
		l, err := web.NewLocator(public, trusted, location)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	for _, c := range []struct {
		name    string
		options func(*Options)
		headers []string
		base    string
	}{
		{name: "the request's Host", headers: []string{"Host", "hooks.example.org:8443"}, base: "http://hooks.example.org:8443"},
		{name: "--public-url", options: func(o *Options) { o.Locator = locator("https://hooks.example.org/in/", "") }, base: "https://hooks.example.org/in"},
		{name: "--location relative", options: func(o *Options) { o.Locator = locator("https://hooks.example.org", "relative") }, base: ""},
		{name: "a forwarded header from anyone", headers: []string{"Host", "a.example.org", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "evil.example.org"}, base: "http://a.example.org"},
		{
			name: "from a trusted proxy", options: func(o *Options) { o.Locator = locator("", "", "127.0.0.0/8") },
			headers: []string{"Host", "10.0.0.1", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "a.example.org"}, base: "https://a.example.org",
		},
		{name: "--run-links signed", options: func(o *Options) { o.Keys, o.Links = keys, keys }, headers: []string{"Host", "a"}, base: "http://a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var signed bool
			h := open(t, func(o *Options) {
				if c.options != nil {
					c.options(o)
				}
				signed = o.Links != nil
			})
			got := h.post(t, "/task/executepolling/"+membersID, "", c.headers...)
			doc := got.document(t)
			want := c.base + run.StatusPath(membersID, doc.ImportID)
			if plain, _, found := strings.Cut(doc.PollingURL, "?sig="); plain != want || found != signed {
				t.Errorf("PollingUrl %q, want %q", doc.PollingURL, want)
			}
			location, sig, found := strings.Cut(got.Get("Location"), "?sig=")
			if location != want || found != signed {
				t.Errorf("Location %q, want %q", got.Get("Location"), want)
			}
			if _, err := keys.Verify(sig, web.ReadRun, h.StoreID(), membersID, doc.ImportID); signed && err != nil {
				t.Errorf("the signature %q does not verify: %v", sig, err)
			}
		})
	}
}

// problemType is the type of the problem that an answer is, "" for another answer.
func (a answer) problemType(t testing.TB) string {
	t.Helper()
	if a.Status < 400 {
		return ""
	}
	return a.problem(t).Type
}

func TestOriginsOfATask(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	for _, c := range []struct{ path, origin, allowed string }{
		{"/task/execute/" + membersID, "https://anyone.example.org", "*"},
		{"/task/execute/" + absentID, "https://anyone.example.org", "*"},
		{"/task/execute/" + listedID, "https://pages.example.org", "https://pages.example.org"},
		{"/task/execute/" + listedID, "HTTPS://pages.example.org", "HTTPS://pages.example.org"},
		{"/task/execute/" + listedID, "https://anyone.example.org", ""},
		{"/task/execute/" + listedID, "http://pages.example.org", ""},
		{"/task/execute/" + listedID, "https://pages.example.org:8443", ""},
		{"/task/execute/" + listedID, "null", ""}, // a file, a frame in a sandbox, a form without referrer
	} {
		for _, method := range []string{http.MethodPost, http.MethodOptions, http.MethodPut} {
			request, _ := http.NewRequestWithContext(t.Context(), method, h.URL+c.path, nil)
			request.Header.Set("Origin", c.origin)
			request.Header.Set("Access-Control-Request-Method", "POST")
			request.Header.Set("Access-Control-Request-Headers", "authorization, content-type, x-api-key, x-anything")
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			got := read(t, response)
			if got.Get("Access-Control-Allow-Origin") != c.allowed {
				t.Errorf("%s %s from %s: %d %v", method, c.path, c.origin, got.Status, got.Header)
			}
			if c.allowed != "" && method == http.MethodOptions && (got.Status != 204 || got.Get("Access-Control-Allow-Headers") != "authorization, content-type, x-api-key, x-anything" ||
				got.Get("Access-Control-Allow-Methods") != "OPTIONS, POST" || got.Get("Access-Control-Max-Age") == "") {
				t.Errorf("preflight of %s: %d %v", c.path, got.Status, got.Header)
			}
			if vary := got.Get("Vary"); (c.allowed != "*") != strings.Contains(vary, "Origin") {
				t.Errorf("Vary: %s", vary)
			}
			if refused := strings.HasSuffix(got.problemType(t), "other-origin"); refused != (c.allowed == "" && method != http.MethodOptions) {
				t.Errorf("%s %s from %s: %d %s", method, c.path, c.origin, got.Status, got.Body)
			}
			if method == http.MethodPut && c.allowed != "" && (got.Status != 405 || got.Get("Allow") != "OPTIONS, POST") {
				t.Errorf("PUT: %d %v", got.Status, got.Header)
			}
		}
	}
}

// A page that may not call starts nothing either, with a form or a POST that the browser asks nobody about.
func TestPagesOfOtherOriginsStartNothing(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	const body = `{"QueryParameters":{"Region":"North"}}`
	first := h.post(t, "/task/execute/"+listedID, body, "Idempotency-Key", "k")
	for _, origin := range []string{"https://anyone.example.org", "null"} {
		for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"} {
			for _, path := range []string{"/task/execute/", "/task/executepolling/", "/task/dryrun/"} {
				got := h.post(t, path+listedID, body, "Origin", origin, "Content-Type", kind, "Idempotency-Key", "k")
				if got.Status != 403 || got.Get("Access-Control-Allow-Origin") != "" || bytes.Contains(got.Body, []byte("ImportId")) {
					t.Errorf("%s of %s from %s: %d %v %s", path, kind, origin, got.Status, got.Header, got.Body)
				}
			}
		}
	}
	last := h.post(t, "/task/execute/"+listedID, body, "Origin", "https://pages.example.org")
	if last.Status != 200 || last.document(t).ImportID != first.document(t).ImportID+1 {
		t.Errorf("%d %s, after %s", last.Status, last.Body, first.Body)
	}
}

// TestNothingOfTheRequestIsKept would see the next request's bytes in an earlier run if a string
// pointed into the server's buffer.
func TestNothingOfTheRequestIsKept(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	queue, err := h.Work.Queue(t.Context(), membersID)
	if err != nil {
		t.Fatal(err)
	}
	const posts = 20
	for i := range posts {
		name := fmt.Sprintf("name-%02d", i)
		got := h.post(t, "/task/execute/"+strings.ToUpper(membersID), `{"QueryParameters":{"FirstName":"`+name+`"}}`,
			"X-Correlation-Id", name, "X-Ms-Workflow-Run-Id", "w"+name, "Host", name+".example.org")
		if got.Status != 200 {
			t.Fatalf("%d %s", got.Status, got.Body)
		}
	}
	for i := range posts {
		name := fmt.Sprintf("name-%02d", i)
		delivery, err := bustest.Next(t.Context(), queue)
		if err != nil {
			t.Fatal(err)
		}
		r := delivery.Request
		if r.Parameters["FirstName"].Values[0] != name || r.CorrelationID != name || r.WorkflowRunID != "w"+name || r.Base != "http://"+name+".example.org" {
			t.Errorf("request %d is %+v", i, r)
		}
		h.finish(t, run.QueuedDocument(r, delivery.Number), run.Success)
		delivery.Done()
	}
}

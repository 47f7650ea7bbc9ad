package client_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"runhook/shared/client"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
)

func TestMain(m *testing.M) { proctest.Main(m) }

const (
	someTask = task.ID("555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd")
	queued   = `{"ExecuteId":"555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd","ImportId":7,"Status":"Q","StatusDescription":"Queued"}`
	failed   = `{"ExecuteId":"555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd","ImportId":7,"Status":"D","StatusDescription":"Failed","Success":false}`
)

// answers is a server that gives one answer after the other, to break things: the real one is in
// the tests of the program.
type answers struct {
	mu     sync.Mutex
	script []http.HandlerFunc
	// seen are the requests that came.
	seen []*http.Request
}

func (a *answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.seen = append(a.seen, r.Clone(context.WithoutCancel(r.Context())))
	next := a.script[0]
	if len(a.script) > 1 {
		a.script = a.script[1:]
	}
	a.mu.Unlock()
	next(w, r)
}

func answer(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		if status == http.StatusAccepted {
			w.Header().Set("Location", "https://hooks.example.org/below/task/x/7/status?sig=abc")
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

func cut(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func serve(t *testing.T, script ...http.HandlerFunc) (*client.Client, *answers) {
	t.Helper()
	a := &answers{script: script}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	c, err := client.New(server.URL+"/below/", "", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, a
}

// A POST whose answer was lost is repeated under the same idempotency key.
func TestStartRepeatsWithTheSameKey(t *testing.T) {
	t.Parallel()
	problem := answer(http.StatusServiceUnavailable, "application/problem+json", `{"detail":"the run may have been stored"}`)
	c, a := serve(t, cut, problem, answer(http.StatusAccepted, "application/json", queued))
	started, err := c.Start(t.Context(), someTask, map[string][]string{"A": {"1"}, "B": {"1", "2"}})
	if err != nil || started.Number != 7 || started.Query != "?sig=abc" {
		t.Fatalf("%+v %v", started, err)
	}
	keys := map[string]int{}
	for _, r := range a.seen {
		keys[r.Header.Get("Idempotency-Key")]++
		if r.URL.Path != "/below/task/executepolling/"+string(someTask) {
			t.Errorf("POST to %s", r.URL)
		}
	}
	if len(a.seen) != 3 || len(keys) != 1 {
		t.Errorf("%d POSTs under %d keys", len(a.seen), len(keys))
	}
}

// While the server cannot reach its store a POST is repeated for as long as somebody has patience, under the same key. A
// store that is full is not waited for.
func TestStartWaitsForTheStore(t *testing.T) {
	t.Parallel()
	away := answer(http.StatusServiceUnavailable, "application/problem+json", `{"type":"urn:runhook:problem:store-unavailable"}`)
	full := answer(http.StatusServiceUnavailable, "application/problem+json", `{"type":"urn:runhook:problem:store-full","detail":"full"}`)
	for name, c := range map[string]struct {
		script   []http.HandlerFunc
		patience time.Duration
		posts    int
		starts   bool
	}{
		"patient":   {[]http.HandlerFunc{away, away, away, away, away, answer(http.StatusAccepted, "application/json", queued)}, proctest.Limit, 6, true},
		"impatient": {[]http.HandlerFunc{away}, 0, 4, false},
		"full":      {[]http.HandlerFunc{full}, proctest.Limit, 4, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, a := serve(t, c.script...)
			server.Patience = c.patience
			_, err := server.Start(t.Context(), someTask, nil)
			keys := map[string]bool{}
			for _, r := range a.seen {
				keys[r.Header.Get("Idempotency-Key")] = true
			}
			if (err == nil) != c.starts || len(a.seen) != c.posts || len(keys) != 1 {
				t.Errorf("%d POSTs under %d keys, %v", len(a.seen), len(keys), err)
			}
		})
	}
}

func TestStartGivesUp(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		posts  int
		says   string
	}{
		"refused":        {answer(http.StatusBadRequest, "application/problem+json", `{"title":"Wrong","detail":"no such parameter"}`), 1, "no such parameter"},
		"without detail": {answer(http.StatusConflict, "application/problem+json", `{"title":"Disabled"}`), 1, "Disabled"},
		"a proxy's page": {answer(http.StatusNotFound, "text/html", `<html>`), 1, "the server answered 404 Not Found"},
		"a redirect":     {answer(http.StatusFound, "text/html", ``), 1, "the server answered 302 Found"},
		"never better":   {answer(http.StatusBadGateway, "text/html", `<html>`), 4, "the server answered 502 Bad Gateway"},
		"not a document": {answer(http.StatusOK, "application/json", `{}`), 1, "names no run"},
		"not JSON":       {answer(http.StatusOK, "text/html", `<html>`), 1, "is --server right?"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, a := serve(t, c.answer)
			_, err := server.Start(t.Context(), someTask, nil)
			if err == nil || !strings.Contains(err.Error(), c.says) || len(a.seen) != c.posts {
				t.Errorf("%d POSTs, %v", len(a.seen), err)
			}
		})
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	waiting := answer(http.StatusAccepted, "application/json", queued)
	c, a := serve(t, waiting, cut, cut, answer(http.StatusBadGateway, "text/html", ""), waiting,
		// A task with failed_status: the answer is a document all the same.
		answer(http.StatusUnprocessableEntity, "application/json; charset=utf-8", failed))
	var updates, outages int
	doc, err := c.Wait(t.Context(), client.Started{Task: someTask, Number: 7, Query: "?sig=abc"}, time.Millisecond,
		func(run.Document) { updates++ }, func(error) { outages++ })
	if err != nil || doc.Outcome() != run.Failed || updates != 3 || outages != 1 {
		t.Errorf("%+v, %d updates, %d outages, %v", doc, updates, outages, err)
	}
	if got := a.seen[0].URL.String(); got != "/below"+run.StatusPath(someTask, 7)+"?sig=abc" {
		t.Errorf("GET %s", got)
	}
}

func TestWaitEnds(t *testing.T) {
	t.Parallel()
	c, a := serve(t, answer(http.StatusGone, "application/problem+json", `{"detail":"past its retention"}`))
	if _, err := c.Wait(t.Context(), client.Started{Task: someTask, Number: 7}, time.Second, nil, nil); err == nil || err.Error() != "past its retention" || len(a.seen) != 1 {
		t.Errorf("%d polls, %v", len(a.seen), err)
	}

	c, a = serve(t, answer(http.StatusAccepted, "application/json", queued))
	ctx, cancel := context.WithCancel(t.Context())
	_, err := c.Wait(ctx, client.Started{Task: someTask, Number: 7}, 90*time.Second, func(run.Document) { cancel() }, nil)
	if !errors.Is(err, context.Canceled) || a.seen[0].Header.Get("Prefer") != "wait=90" {
		t.Errorf("%q %v", a.seen[0].Header.Get("Prefer"), err)
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	list := `{"Tasks":[
		{"Id":"11111111-1111-4111-8111-111111111111","Name":"Members"},
		{"Id":"22222222-2222-4222-8222-222222222222","Name":"Lapsed members"},
		{"Id":"33333333-3333-4333-8333-333333333333","Name":"Événements"}]}`
	c, _ := serve(t, answer(http.StatusOK, "application/json", list))
	for typed, want := range map[string]string{
		"members":                                "11111111-1111-4111-8111-111111111111", // a whole name wins over a part
		"LAPSED":                                 "22222222-2222-4222-8222-222222222222",
		"évén":                                   "33333333-3333-4333-8333-333333333333",
		"{44444444-4444-4444-8444-444444444444}": "44444444-4444-4444-8444-444444444444", // the server decides
		"member":                                 "", "Memebrs": "", "none": "",
	} {
		id, err := c.Find(t.Context(), typed)
		if string(id) != want || (err == nil) != (want != "") {
			t.Errorf("%q is %q, %v", typed, id, err)
		}
	}
	for typed, says := range map[string]string{"member": "fits 2 tasks", "Memebrs": "did you mean Members?", "none": "`runhook task list`"} {
		if _, err := c.Find(t.Context(), typed); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", typed, err)
		}
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	for _, wrong := range []string{"127.0.0.1:8080", "ftp://example.org", "http://"} {
		if _, err := client.New(wrong, "", ""); err == nil || !strings.Contains(err.Error(), "--server") {
			t.Errorf("%s: %v", wrong, err)
		}
	}

	a := &answers{script: []http.HandlerFunc{answer(http.StatusOK, "application/json", `{"Runs":[]}`)}}
	server := httptest.NewServer(a)
	defer server.Close()
	c, err := client.New(server.URL, "secret", "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Runs(t.Context(), client.Filter{Task: someTask}, 5); err != nil {
		t.Fatal(err)
	}
	if got := a.seen[0]; got.Header.Get("Authorization") != "Bearer secret" || got.URL.RawQuery != "limit=5&task="+string(someTask) {
		t.Errorf("%s %v", got.URL, got.Header)
	}
}

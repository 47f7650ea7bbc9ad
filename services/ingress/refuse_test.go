package ingress

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/task"
)

func TestBodiesAreReadLiberally(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	template := `{"QueryParameters": {"FirstName": "Ann", "LastName": "", }}`
	for _, c := range []struct{ name, body, kind string }{
		{"JSON", template, "application/json"},
		{"a stray semicolon", template, "application/json;"},
		{"curl -d", template, "application/x-www-form-urlencoded"},
		{"text", template, "text/plain; charset=utf-8"},
		{"no type", template, ""},
		{"multipart by name only", template, "multipart/form-data; boundary=x"},
		{"a byte order mark", "\xef\xbb\xbf" + template, "application/json"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := h.post(t, "/task/execute/"+membersID, c.body, "Content-Type", c.kind)
			if got.Status != 200 {
				t.Fatalf("%d %s", got.Status, got.Body)
			}
			if from := got.document(t).Parameters["FirstName"].From; from != task.FromRequest {
				t.Errorf("FirstName is from %q", from)
			}
		})
	}
	t.Run("chunked", func(t *testing.T) {
		response, err := http.Post(h.URL+"/task/execute/"+membersID, "", io.MultiReader(strings.NewReader(template[:9]), strings.NewReader(template[9:])))
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, response); got.Status != 200 || got.document(t).Parameters["FirstName"].From != task.FromRequest {
			t.Errorf("%d %s", got.Status, got.Body)
		}
	})
	t.Run("Expect: 100-continue", func(t *testing.T) {
		if got := h.post(t, "/task/execute/"+membersID, template, "Expect", "100-continue"); got.Status != 200 {
			t.Errorf("%d %s", got.Status, got.Body)
		}
	})
	t.Run("ids as people paste them", func(t *testing.T) {
		for _, form := range []string{strings.ToUpper(membersID), "{" + membersID + "}", "%7B" + membersID + "%7D", strings.ReplaceAll(membersID, "-", "")} {
			got := h.post(t, "/task/executepolling/"+form, "")
			if got.Status != 202 || !strings.Contains(got.Get("Location"), "/"+membersID+"/") {
				t.Errorf("%s: %d %s", form, got.Status, got.Body)
			}
		}
	})
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	changed := h.Tasks.Changed()
	if _, err := h.Bus.Tasks.Apply(t.Context(), parse(t, strings.Replace(listed, listedID, absentID, 1)+"enabled: false\n"), false); err != nil {
		t.Fatal(err)
	}
	<-changed
	const template = `{"QueryParameters":{"FirstName":"","LastName":"","Email":"","ID":[]}}`
	long := strings.Repeat("k", 256)
	for _, c := range []struct {
		name, path, body string
		headers          []string
		status           int
		kind, detail     string
		template         string
	}{
		{name: "no such task", path: "/task/execute/12345678-0000-0000-0000-000000000000", status: 404, kind: "unknown-task"},
		{name: "no GUID", path: "/task/executepolling/members", status: 404, kind: "unknown-task"},
		{name: "a path below", path: "/task/execute/" + membersID + "/x", status: 404},
		{name: "disabled", path: "/task/execute/" + absentID, status: 409, kind: "task-disabled"},
		{name: "a wrong body", body: `{"QueryParameters":`, status: 400, kind: "malformed-body", detail: "line 1, column 20", template: template},
		{name: "an unknown parameter", body: `{"QueryParameters":{"FirstNam":"Ann"}}`, status: 400, kind: "wrong-parameters", detail: "did you mean FirstName?", template: template},
		{name: "an array for one value", body: `{"QueryParameters":{"FirstName":["Ann"]}}`, status: 400, kind: "wrong-parameters", detail: "FirstName", template: template},
		{name: "an object", body: `{"QueryParameters":{"ID":{"x":1}}}`, status: 400, kind: "wrong-parameters", detail: "ID", template: template},
		{name: "twice in two forms", body: `{"QueryParameters":{"LastName":"a","CsContact.LastName":"b"}}`, status: 400, kind: "wrong-parameters", detail: "LastName", template: template},
		{name: "a required prompt", path: "/task/execute/" + listedID, status: 400, kind: "wrong-parameters", detail: "Region is required", template: `{"QueryParameters":{"Region":""}}`},
		{name: "a parameter at the top", body: `{"firstname":"Ann"}`, status: 400, kind: "misplaced-parameter", detail: `the member "firstname" is the task's parameter FirstName`, template: template},
		{name: "a qualified one at the top", body: `{"CsContact.LastName":"Lee"}`, status: 400, kind: "misplaced-parameter", detail: "CsContact.LastName", template: template},
		{name: "a misspelled QueryParameters", body: `{"query_parameter":{"FirstName":"Ann"}}`, status: 400, kind: "misplaced-parameter", detail: "looks like QueryParameters", template: template},
		{name: "a parameter in the query string", path: "/task/execute/" + membersID + "?FirstName=Ann", status: 400, kind: "misplaced-parameter", detail: `the query-string name "FirstName"`, template: template},
		{name: "QueryParameters in the query string", path: "/task/execute/" + membersID + "?QueryParameters%5BFirstName%5D=Ann", status: 400, kind: "misplaced-parameter", detail: "looks like QueryParameters", template: template},
		{name: "compressed", headers: []string{"Content-Encoding", "gzip"}, body: "\x1f\x8b", status: 415, kind: "compressed-body"},
		{name: "two keys", headers: []string{"Idempotency-Key", "a", "Idempotency-Key", "b"}, status: 400, kind: "idempotency-key", detail: "2 times"},
		{name: "an empty key", headers: []string{"Idempotency-Key", `""`}, status: 400, kind: "idempotency-key"},
		{name: "a long key", headers: []string{"Idempotency-Key", long}, status: 400, kind: "idempotency-key", detail: "256"},
		{name: "a key with a space", headers: []string{"Idempotency-Key", "a b"}, status: 400, kind: "idempotency-key"},
		{name: "a key that is not closed", headers: []string{"Idempotency-Key", `"a`}, status: 400, kind: "idempotency-key"},
		{name: "an odd Host", headers: []string{"Host", "a.example.org/x?y"}, status: 400},
		{name: "a Host with credentials", headers: []string{"Host", "user@a.example.org"}, status: 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := c.path
			if path == "" {
				path = "/task/execute/" + membersID
			}
			got := h.post(t, path, c.body, c.headers...)
			if got.Status != c.status {
				t.Fatalf("%d %s", got.Status, got.Body)
			}
			p := got.problem(t)
			if c.kind != "" && p.Type != "urn:runhook:problem:"+c.kind {
				t.Errorf("type %s", p.Type)
			}
			if !strings.Contains(p.Detail, c.detail) {
				t.Errorf("detail %q should contain %q", p.Detail, c.detail)
			}
			if string(p.Template) != c.template {
				t.Errorf("template %s", p.Template)
			}
			if listsOrigins := strings.HasSuffix(path, listedID) || strings.HasSuffix(path, absentID); !listsOrigins && got.Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("a page cannot read this: %v", got.Header)
			}
		})
	}
	runs, err := h.Runs.List(t.Context(), 10)
	if err != nil || len(runs) != 0 {
		t.Errorf("%d runs were started (%v)", len(runs), err)
	}
}

func TestUnknownMembersAreIgnored(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	got := h.post(t, "/task/execute/"+membersID+"?code=abc&api-version=1", `{"data":{"FirstName":"x"},"id":null,"eventType":"Created","QueryParameters":{"FirstName":"Ann"}}`)
	// "id" is the parameter ID in another letter case.
	if got.Status != 400 {
		t.Errorf("a member that is a parameter: %d %s", got.Status, got.Body)
	}
	got = h.post(t, "/task/execute/"+membersID+"?code=abc&api-version=1", `{"data":{"FirstName":"x"},"eventType":"Created","QueryParameters":{"FirstName":"Ann"}}`)
	if got.Status != 200 {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

func TestStoreAway(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	h.Broker.Stop()
	got := h.post(t, "/task/executepolling/"+membersID, "", "Origin", "https://members.example.org")
	if got.Status != 503 || got.Get("Retry-After") == "" || got.Get("Location") != "" || got.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%d %v %s", got.Status, got.Header, got.Body)
	}
	got.problem(t)
	// What needs no store is still told.
	if got := h.post(t, "/task/execute/12345678-0000-0000-0000-000000000000", ""); got.Status != 404 {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

// A flood of POSTs leaves a line in the log for each cause, and every one of them in the metrics.
func TestAFloodLeavesALineForEachCause(t *testing.T) {
	t.Parallel()
	log := proctest.NewOutput()
	h := open(t, func(o *Options) { o.Log = zerolog.New(log) })
	accepted, err := h.Runs.Submit(t.Context(), bustest.Applied(t, h.Bus), "")
	if err != nil {
		t.Fatal(err)
	}
	h.Broker.Stop()
	const posts = 30
	refused := map[string]int{}
	for range posts {
		kind := h.post(t, "/task/execute/"+membersID, "").problem(t).Type
		refused[strings.TrimPrefix(kind, "urn:runhook:problem:")]++
	}
	for kind, times := range refused {
		if n := h.metric(t, `runhook_posts_refused_total{reason="`+kind+`",task="Refresh lapsed members"}`); n != strconv.Itoa(times) {
			t.Errorf("%s was refused %d times, and %s are counted", kind, times, n)
		}
	}
	if lines := strings.Count(log.String(), "request failed"); lines != len(refused) || lines > posts/2 {
		t.Errorf("%v is logged %d times:\n%s", refused, lines, log)
	}

	in := New(Options{Runs: h.Runs, Log: zerolog.New(log)})
	for range posts {
		var rc fasthttp.RequestCtx
		rc.Init(&fasthttp.Request{}, nil, nil)
		rc.Request.Header.Set("Prefer", "wait=1")
		if err := in.answerPolling(t.Context(), &rc, called{Task: bus.Task{Definition: parse(t, members)}}, accepted); err != nil || rc.Response.StatusCode() != 202 {
			t.Errorf("%d %v", rc.Response.StatusCode(), err)
		}
	}
	if lines := strings.Count(log.String(), "waiting for a run ended early"); lines != 1 {
		t.Errorf("waits that ended early are logged %d times:\n%s", lines, log)
	}
}

func TestTasksNeverLoaded(t *testing.T) {
	t.Parallel()
	h := open(t, func(o *Options) { o.Tasks = new(bus.TaskView) })
	got := h.post(t, "/task/execute/"+membersID, "")
	if got.Status != 503 || got.Get("Retry-After") != "5" || got.problem(t).Type != "urn:runhook:problem:tasks-not-loaded" {
		t.Errorf("%d %v %s", got.Status, got.Header, got.Body)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	h.post(t, "/task/execute/"+membersID, "")
	h.post(t, "/task/executepolling/"+membersID, "")
	h.post(t, "/task/execute/"+membersID, "{")
	h.post(t, "/task/execute/"+absentID, "")
	for series, want := range map[string]string{
		`runhook_runs_accepted_total{task="Refresh lapsed members"}`:                         "2",
		`runhook_posts_refused_total{reason="malformed-body",task="Refresh lapsed members"}`: "1",
		`runhook_posts_refused_total{reason="unknown-task",task=""}`:                         "1",
	} {
		if got := h.metric(t, series); got != want {
			t.Errorf("%s is %q, not %s", series, got, want)
		}
	}
}

func TestResemblesQueryParameters(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"QueryParameters": true, "queryparameters": true, "query_parameters": true, "Query-Parameters": true, "QueryParameter": true,
		"QueryParams": true, "QuerryParametrs": true, "QxeryBaxaMxters": true, "IQAParameters": true, "Parameters": true, "params": true, "query": true,
		"QueryParameters[ID]": true, "QueryParameters.ID": true,
		"": false, "id": false, "data": false, "type": false, "subject": false, "eventType": false, "code": false, "sig": false,
		"api-version": false, "metadata": false, "[QueryParameters]": true, strings.Repeat("q", 10_000): false,
	} {
		if got := (&search{}).resembles(datum{name: name, kind: '{'}); got != want {
			t.Errorf("%.40q: %v", name, got)
		}
	}
}

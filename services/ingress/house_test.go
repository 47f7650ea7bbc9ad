package ingress

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/taskfile"
	"runhook/shared/web"
)

func TestMain(m *testing.M) { proctest.Main(m) }

const (
	membersID = "555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd"
	listedID  = "00000000-0000-0000-0000-000000000001"
	absentID  = "99999999-0000-0000-0000-000000000000"

	members = `
id: ` + membersID + `
name: Refresh lapsed members
parameters:
  - name: FirstName
  - filter: CsContact.LastName
  - name: Email
    default: all
  - {name: ID, multiple: true}
source:
  csv: {connection: drop, path: in.csv}
mapping: {id: ID}
destination:
  csv: {connection: drop, path: out.csv, action: replace}
failed_status: 422
retry_after: 7s
max_queued: 1000000000
`
	listed = `
id: ` + listedID + `
name: Listed
parameters: [{name: Region, prompt: required}]
source:
  csv: {connection: drop, path: in.csv}
mapping: {id: ID}
destination:
  csv: {connection: drop, path: out.csv, action: replace}
allow_origins: ["https://pages.example.org"]
rejected_rows: {link: true, keep: 2h}
`
)

// house is an ingress on a real store behind a real socket.
type house struct {
	*bustest.Store
	URL     string
	Tasks   *bus.TaskView
	Metrics *prometheus.Registry
	// In is the service itself.
	In *Ingress
}

func open(t testing.TB, change func(*Options)) *house {
	t.Helper()
	store := bustest.New(t, bus.Topology{})
	for _, file := range []string{members, listed} {
		def, err := taskfile.Parse([]byte(file), "task.yaml")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Tasks.Apply(t.Context(), def, false); err != nil {
			t.Fatal(err)
		}
	}
	return openOn(t, store, change)
}

// openOn is another ingress on a store, with a connection of its own.
func openOn(t testing.TB, store *bustest.Store, change func(*Options)) *house {
	t.Helper()
	h := &house{Store: store, Metrics: prometheus.NewRegistry()}
	connected := h.Open("ingress")
	ctx, stop := context.WithCancel(t.Context())
	view, watched, err := connected.Tasks.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	holds := connected.Tasks.Holds()
	if err := holds.Load(ctx); err != nil {
		t.Fatal(err)
	}
	follows := make(chan struct{})
	go func() { defer close(follows); holds.Follow(ctx) }()
	o := Options{Runs: connected.Runs, Tasks: view, Holds: holds, Log: zerolog.Nop(), Metrics: h.Metrics}
	if change != nil {
		change(&o)
	}
	in := New(o)
	h.In = in
	server, err := web.New(web.Options{Listen: "127.0.0.1:0", Log: o.Log}, in.Routes(), web.Metrics(h.Metrics))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		<-watched
		<-follows
		http.DefaultClient.CloseIdleConnections()
	})
	h.URL, h.Tasks = server.URL(), view
	return h
}

// answer is a response with its body read.
type answer struct {
	Status int
	http.Header
	Body []byte
}

// post sends a POST; headers come in pairs of name and value.
func (h *house) post(t testing.TB, path, body string, headers ...string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
		if headers[i] == "Host" {
			request.Host = headers[i+1]
		}
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, response)
}

func read(t testing.TB, response *http.Response) answer {
	t.Helper()
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, body}
}

func (a answer) document(t testing.TB) run.Document {
	t.Helper()
	doc, err := run.DecodeDocument(a.Body)
	if err != nil {
		t.Fatalf("%v in %d %s", err, a.Status, a.Body)
	}
	return doc
}

// problem is what a client reads of an error.
type problem struct {
	Type, Title, Detail string
	Status              int
	Errors              []web.Fault
	Template            json.RawMessage
}

func (a answer) problem(t testing.TB) problem {
	t.Helper()
	var p problem
	if err := json.Unmarshal(a.Body, &p); err != nil {
		t.Fatalf("%v in %d %s", err, a.Status, a.Body)
	}
	if kind := a.Get("Content-Type"); kind != "application/problem+json" || p.Status != a.Status || p.Title == "" || p.Type == "" {
		t.Errorf("%d %s is no problem: %s", a.Status, kind, a.Body)
	}
	return p
}

func parse(t testing.TB, file string) *task.Definition {
	t.Helper()
	def, err := taskfile.Parse([]byte(file), "task.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return def
}

// metric returns the line of /metrics that begins with series, without it.
func (h *house) metric(t testing.TB, series string) string {
	t.Helper()
	response, err := http.Get(h.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(read(t, response).Body)) {
		if value, found := strings.CutPrefix(line, series+" "); found {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// finish ends the run that follows as a runner would, with outcome.
func (h *house) finish(t testing.TB, doc run.Document, outcome run.Outcome) []byte {
	t.Helper()
	now := time.Now()
	claim, err := h.Work.Claim(t.Context(), doc.ExecuteID, doc.ImportID, run.Claim{Owner: "test", Executions: 1, StartedOn: now})
	if err != nil {
		t.Fatal(err)
	}
	doc.Begin(now, now, 1)
	doc.CancelURL = "" // which only the answer has
	doc.End(outcome, "as the test wants", now)
	if err := claim.Finish(t.Context(), doc, run.RejectedSet{}); err != nil {
		t.Fatal(err)
	}
	data, err := doc.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

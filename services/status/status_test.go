package status_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"runhook/services/status"
	"runhook/services/status/history"
	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/openapi"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/taskfile"
	"runhook/shared/web"
)

func TestMain(m *testing.M) { proctest.Main(m) }

// site is a status service on a socket, with a store of its own behind it.
type site struct {
	*bustest.Store
	t    testing.TB
	url  string
	view *bus.TaskView
	// stop stops the server and waits until it has ended.
	stop func()
	// unkept: nobody keeps the history.
	unkept bool
}

// open starts a service on a new store; change may change its options.
func open(t testing.TB, change func(*status.Options)) *site {
	t.Helper()
	return openOn(t, bustest.New(t, bus.Topology{}), change)
}

func openOn(t testing.TB, store *bustest.Store, change func(*status.Options)) *site {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	opened := store.Open("status")
	view, viewDone, err := opened.Tasks.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	index := history.New(history.Options{Runs: opened.Runs, Dir: t.TempDir(), Log: zerolog.Nop()})
	kept := make(chan struct{})
	go func() { defer close(kept); index.Run(ctx) }()
	options := status.Options{
		History: index,
		Runs:    opened.Runs, Store: opened.Tasks, Unheld: opened.Unheld, Tasks: view, Admin: admin(t, zerolog.Nop()), Log: zerolog.Nop(),
	}
	if change != nil {
		change(&options)
	}
	var following sync.WaitGroup
	if options.Cancels != nil {
		following.Go(func() { options.Cancels.Follow(ctx) })
	}
	if options.Pauses != nil {
		following.Go(func() { options.Pauses.Follow(ctx) })
	}
	service := status.New(options)
	if options.Erasures != nil {
		following.Go(func() { options.Erasures.Follow(ctx) })
	}
	server, err := web.New(web.Options{Listen: "127.0.0.1:0", WriteTimeout: 500 * time.Millisecond, Log: zerolog.Nop()},
		service.Routes(), openapi.Routes())
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	s := &site{Store: store, t: t, url: server.URL(), view: view}
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		<-viewDone
		<-kept
		following.Wait()
	})
	t.Cleanup(s.stop)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return s
}

// startAgain starts the stopped NATS server again, makes what stood in its memory only, and waits
// until the test's own connection is back.
func (s *site) startAgain(listen string) {
	s.t.Helper()
	s.Start(listen)
	if err := s.Connect("init").Init(s.t.Context(), bus.Topology{}); err != nil {
		s.t.Fatal(err)
	}
	proctest.Until(s.t, func() error { return s.Ready(s.t.Context()) })
}

// answer is an HTTP answer whose body was read.
type answer struct {
	*http.Response
	body []byte
}

// do sends a request; headers are name, value pairs. Connections are kept.
func (s *site) do(method, path string, body []byte, headers ...string) answer {
	s.t.Helper()
	got, err := s.send(method, path, body, headers...)
	if err != nil {
		s.t.Fatal(err)
	}
	return got
}

// send is do for goroutines other than the test's. An answer that says how far the history is, as one does that was not
// fresh within half a second, is asked for again.
func (s *site) send(method, path string, body []byte, headers ...string) (got answer, err error) {
	for {
		got, err = s.sendOnce(method, path, body, headers...)
		if err != nil || s.unkept || method != http.MethodGet || got.StatusCode != http.StatusOK || !bytes.Contains(got.body, []byte(`"History":{`)) {
			return got, err
		}
	}
}

func (s *site) sendOnce(method, path string, body []byte, headers ...string) (answer, error) {
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if strings.HasPrefix(path, "/api/") || strings.Contains(path, "/cancel") {
		request.Header.Set("Authorization", "Bearer "+adminToken)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
		if headers[i] == "Host" {
			request.Host = headers[i+1]
		}
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	read, err := io.ReadAll(response.Body)
	return answer{response, read}, err
}

func (s *site) get(path string, headers ...string) answer {
	s.t.Helper()
	return s.do(http.MethodGet, path, nil, headers...)
}

// document reads a status document and holds it against its schema.
func (a answer) document(t testing.TB) run.Document {
	t.Helper()
	conforms(t, "StatusDocument", a.body)
	doc, err := run.DecodeDocument(a.body)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// expect fails the test unless the answer has the status.
func (a answer) expect(t testing.TB, code int) answer {
	t.Helper()
	if a.StatusCode != code {
		t.Fatalf("%s %s: status %d, want %d: %s", a.Request.Method, a.Request.URL, a.StatusCode, code, a.body)
	}
	return a
}

// problem checks that the answer is a problem of the status and returns its members.
func (a answer) problem(t testing.TB, code int) map[string]any {
	t.Helper()
	a.expect(t, code)
	if got := a.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type %q, want application/problem+json", got)
	}
	conforms(t, "Problem", a.body)
	var members map[string]any
	if err := json.Unmarshal(a.body, &members); err != nil {
		t.Fatal(err)
	}
	return members
}

// taskFile is a task's file; extra are further lines.
func taskFile(id task.ID, name string, extra ...string) []byte {
	return fmt.Appendf(nil, `id: %s
name: %s
source: {csv: {connection: drop, path: in.csv}}
mapping: {id: id}
destination: {csv: {connection: drop, path: out.csv, action: replace}}
%s
`, id, name, strings.Join(extra, "\n"))
}

// apply stores a task and waits until the service sees it.
func (s *site) apply(name string, extra ...string) *task.Definition {
	s.t.Helper()
	def, err := taskfile.Parse(taskFile(task.NewID(), name, extra...), "test.yaml")
	if err != nil {
		s.t.Fatal(err)
	}
	s.reapply(def)
	return def
}

func (s *site) reapply(def *task.Definition) {
	s.t.Helper()
	if _, err := s.Tasks.Apply(s.t.Context(), def, false); err != nil {
		s.t.Fatal(err)
	}
	s.awaitTask(def.ID, func(t bus.Task) bool { return t.Hash == def.Hash })
}

// awaitTask waits until the service sees the task as it should be.
func (s *site) awaitTask(id task.ID, right func(bus.Task) bool) {
	s.t.Helper()
	bustest.AwaitView(s.t, s.view, "the change of the task", func() bool { seen, ok := s.view.Get(id); return ok && right(seen) })
}

// started is a run as a test drives it through its phases.
type started struct {
	s        *site
	number   run.Number
	doc      run.Document
	claim    *bus.Claim
	progress *bus.Progress
}

// submit makes a run of the task durable.
func (s *site) submit(def *task.Definition) *started {
	s.t.Helper()
	return s.submitAs(def, func(*run.Request) {})
}

// submitAs is submit of a request that is changed first.
func (s *site) submitAs(def *task.Definition, change func(*run.Request)) *started {
	s.t.Helper()
	request := run.Request{
		Task: def.ID, TaskName: def.Name, Definition: def.Hash, Trigger: run.Webhook,
		RetryAfter: int(def.RetryAfter / time.Second), CreatedOn: time.Now().UTC(), Base: "https://hooks.example.org",
	}
	change(&request)
	accepted, err := s.Runs.Submit(s.t.Context(), request, "")
	if err != nil {
		s.t.Fatal(err)
	}
	return &started{s: s, number: accepted.Number, doc: run.QueuedDocument(request, accepted.Number)}
}

func (r *started) path() string { return run.StatusPath(r.doc.ExecuteID, r.number) }

// begin claims the run; percent is what its claim knows.
func (r *started) begin(percent float64) *started {
	r.s.t.Helper()
	now := time.Now().UTC()
	claim, err := r.s.Work.Claim(r.s.t.Context(), r.doc.ExecuteID, r.number, run.Claim{
		Owner: "test", Executions: 1, StartedOn: now, Checkpoint: run.Checkpoint{Percent: percent},
	})
	if err != nil {
		r.s.t.Fatal(err)
	}
	r.doc.Begin(now, now, 1)
	r.claim, r.progress = claim, r.s.Work.Progress(r.doc.ExecuteID, r.number)
	return r
}

// reach writes live progress.
func (r *started) reach(percent float64) *started {
	r.s.t.Helper()
	r.doc.PercentComplete, r.doc.UpdatedOn = percent, run.Time(time.Now())
	if err := r.progress.Write(r.s.t.Context(), r.doc); err != nil {
		r.s.t.Fatal(err)
	}
	return r
}

// end writes the final document.
func (r *started) end(outcome run.Outcome, message string) *started {
	r.s.t.Helper()
	r.doc.End(outcome, message, time.Now())
	if err := r.claim.Finish(r.s.t.Context(), r.doc, run.RejectedSet{}); err != nil {
		r.s.t.Fatal(err)
	}
	return r
}

package runner_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"runhook/services/runner"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// service is a web service that rows are read from.
type service struct {
	mu    sync.Mutex
	asked []time.Time
	// answer answers the n-th request, from 0; page, in its place, the one with a query.
	answer func(n int, w http.ResponseWriter)
	page   func(query string, w http.ResponseWriter)
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	n := len(s.asked)
	s.asked = append(s.asked, time.Now())
	s.mu.Unlock()
	if s.page != nil {
		s.page(r.URL.RawQuery, w)
		return
	}
	s.answer(n, w)
}

func (s *service) requests() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]time.Time(nil), s.asked...)
}

// fickle breaks its page off and then has another one, so that an attempt fails soon, by a fault that
// may pass, with its second request; after so many attempts it gives two rows.
func fickle(failing int) *service {
	return &service{answer: func(n int, w http.ResponseWriter) {
		switch {
		case n >= 2*failing:
			_, _ = io.WriteString(w, `[{"id":1,"name":"Ann"},{"id":2,"name":"Ben"}]`)
		case n%2 == 1:
			_, _ = io.WriteString(w, `[{"id":9,"name":"Zoe"},{"id":2,"name":"Ben"}]`)
		default:
			_, _ = io.WriteString(w, `[{"id":1,"name":"Ann"},`)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
	}}
}

func refusing(status int, after string) *service {
	return &service{answer: func(_ int, w http.ResponseWriter) {
		w.Header().Set("Retry-After", after)
		w.WriteHeader(status)
	}}
}

// reading makes the workshop's task read a web service into its table. more are further lines of the task.
func reading(t *testing.T, from *service, more string) *workshop {
	t.Helper()
	w := newWorkshop(t, "upsert", 0)
	server := httptest.NewServer(from)
	t.Cleanup(server.Close)
	write(t, filepath.Join(w.dir, "connections.yaml"), "drop: {files: .}\nwarehouse: {sqlite: ./warehouse.db}\npartner: {http: {private: true, url: \""+server.URL+"\"}}\n")
	def := parse(t, fmt.Sprintf(`id: %s
name: Reading
source: {http: {connection: partner, path: /people}}
mapping: {id: id, name: name}
destination: {sql: {connection: warehouse, table: people, key: [id], action: upsert, create: true}}
%s
`, w.request.Task, more))
	if _, err := w.store.Tasks.Apply(t.Context(), def, false); err != nil {
		t.Fatal(err)
	}
	w.request = request(def)
	return w
}

// awaitPause waits until the run waits for its next attempt.
func (w *workshop) awaitPause(t *testing.T, n run.Number) run.Claim {
	t.Helper()
	var state run.Claim
	proctest.Eventually(t, "the run waits for its next attempt", func() bool {
		seen, found, err := w.store.Work.FindClaim(t.Context(), w.request.Task, n)
		if err != nil {
			t.Fatal(err)
		}
		state = seen.State
		return found && state.Pause != nil
	})
	return state
}

func TestAFaultThatPassesIsTriedAgain(t *testing.T) {
	t.Parallel()
	from := fickle(1)
	w := reading(t, from, "retry: {attempts: 3, backoff: 2}")
	w.runHere(t, runner.Options{})
	n := w.submit(t)
	state := w.awaitPause(t, n)
	if state.Tried != 1 || state.Executions != 1 || state.Pause.Length < 2*time.Second || !strings.Contains(state.Pause.Why, "has other rows now") {
		t.Errorf("the run waits as %+v for %+v", state, state.Pause)
	}
	proctest.Eventually(t, "the live document says that the run waits", func() bool {
		status, err := w.store.Runs.Lookup(t.Context(), w.request.Task, n)
		if err != nil {
			t.Fatal(err)
		}
		says := status.Document.Message
		return status.Document.Status == run.InProgress && strings.HasPrefix(says, "Attempt 1 of 3 failed, and the next begins at ") &&
			strings.Contains(says, state.Pause.Until.UTC().Format("15:04:05 UTC")) && strings.Contains(says, "has other rows now") &&
			status.Document.WaitingFor == "attempt 2 at "+state.Pause.Until.UTC().Format("15:04:05Z") && status.Document.Waiting.Kind == run.ForAttempt
	})
	doc := w.await(t, n)
	if doc.Outcome() != run.Success || doc.ExecutionCount != 2 || doc.RowsInserted != 2 || w.rows(t) != 2 {
		t.Errorf("ended as %+v with %d rows", doc, w.rows(t))
	}
	asked := from.requests()
	if wait := asked[2].Sub(asked[1]); len(asked) != 3 || wait < 2*time.Second {
		t.Errorf("asked %d times, again after %s", len(asked), wait)
	}
	w.waitUntilQuiet(t)
}

func TestAttemptsHaveAnEnd(t *testing.T) {
	t.Parallel()
	w := reading(t, fickle(9), "retry: {attempts: 2, backoff: 1}")
	w.runHere(t, runner.Options{})
	doc := w.await(t, w.submit(t))
	if doc.Outcome() != run.Failed || doc.ExecutionCount != 2 || !strings.HasSuffix(doc.Message, "has other rows now; given up after 2 attempts") {
		t.Errorf("ended as %+v", doc)
	}
}

func TestAFaultThatLastsFailsAtOnce(t *testing.T) {
	t.Parallel()
	from := refusing(http.StatusUnauthorized, "")
	w := reading(t, from, "")
	w.runHere(t, runner.Options{})
	doc := w.await(t, w.submit(t))
	if doc.Outcome() != run.Failed || doc.ExecutionCount != 1 || strings.Contains(doc.Message, "attempt") || len(from.requests()) != 1 {
		t.Errorf("ended as %+v after %d requests", doc, len(from.requests()))
	}
}

func TestRetryAfterLengthensTheWait(t *testing.T) {
	t.Parallel()
	w := reading(t, refusing(http.StatusTooManyRequests, "90"), "")
	w.runHere(t, runner.Options{})
	state := w.awaitPause(t, w.submit(t))
	if state.Pause.Length != 90*time.Second {
		t.Errorf("waits %s", state.Pause.Length)
	}
}

// A wait that would outlast the run's time is not begun.
func TestAWaitBeyondTheTimeoutIsNotBegun(t *testing.T) {
	t.Parallel()
	w := reading(t, refusing(http.StatusServiceUnavailable, "7300"), "")
	w.runHere(t, runner.Options{})
	doc := w.await(t, w.submit(t))
	if doc.Outcome() != run.Failed || !strings.HasSuffix(doc.Message, "after the timeout of 2h") {
		t.Errorf("ended as %+v", doc)
	}
}

// The time for which a run stood still because a connection was paused is no part of its time there either.
func TestAWaitAfterAStandstillIsBegun(t *testing.T) {
	t.Parallel()
	w := reading(t, refusing(http.StatusTooManyRequests, "90"), "")
	n := w.submit(t)
	w.abandon(t, n, run.Claim{Owner: "gone", HandedBack: true, StartedOn: time.Now().Add(-2 * time.Hour), Stood: time.Hour})
	w.runHere(t, runner.Options{})
	if state := w.awaitPause(t, n); state.Pause.Length != 90*time.Second {
		t.Errorf("waits %s", state.Pause.Length)
	}
}

// A runner that is killed while a run waits leaves the wait and the count of attempts to the next.
func TestKilledBetweenTwoAttempts(t *testing.T) {
	t.Parallel()
	from := fickle(9)
	w := reading(t, from, "retry: {attempts: 2, backoff: 4}")
	n := w.submit(t)
	first := w.start(t, w.store.Broker.URL())
	before := w.awaitPause(t, n)
	first.Kill()
	w.runHere(t, runner.Options{})
	proctest.Eventually(t, "the run is taken over in its wait", func() bool {
		state := w.awaitPause(t, n)
		return state.Owner != before.Owner && state.Tried == 1 && state.Executions == 1 && state.Pause.Until.Equal(before.Pause.Until)
	})
	doc := w.await(t, n)
	if doc.Outcome() != run.Failed || doc.ExecutionCount != 2 || !strings.HasSuffix(doc.Message, "given up after 2 attempts") {
		t.Errorf("ended as %+v", doc)
	}
	asked := from.requests()
	if wait := asked[2].Sub(asked[1]); len(asked) != 4 || wait < 4*time.Second {
		t.Errorf("asked %d times, again after %s", len(asked), wait)
	}
}

// A runner that stops does not give its grace to a wait, and the next one waits the rest.
func TestStoppedBetweenTwoAttempts(t *testing.T) {
	t.Parallel()
	w := reading(t, fickle(1), "retry: {backoff: 3}")
	stop := w.runHere(t, runner.Options{Grace: time.Hour})
	n := w.submit(t)
	before := w.awaitPause(t, n)
	stop()
	after := w.awaitPause(t, n)
	if !after.HandedBack || !after.Pause.Until.Equal(before.Pause.Until) {
		t.Errorf("handed back as %+v", after)
	}
	w.runHere(t, runner.Options{})
	if doc := w.await(t, n); doc.Outcome() != run.Success || doc.ExecutionCount != 2 || time.Time(*doc.CompletedOn).Before(before.Pause.Until.Add(-time.Millisecond)) {
		t.Errorf("ended as %+v, and was to wait until %s", doc, before.Pause.Until)
	}
}

// While a run waits, no later run of its task begins.
func TestAWaitKeepsItsPlace(t *testing.T) {
	t.Parallel()
	w := reading(t, fickle(1), "retry: {backoff: 2}")
	w.runHere(t, runner.Options{})
	first, second := w.submit(t), w.submit(t)
	w.awaitPause(t, first)
	ended := time.Time(*w.await(t, first).CompletedOn)
	if doc := w.await(t, second); doc.Outcome() != run.Success || time.Time(*doc.StartedOn).Before(ended.Add(-time.Millisecond)) {
		t.Errorf("the later run started at %v, and the first ended at %v", doc.StartedOn, ended)
	}
}

// The next attempt continues behind what the one before had written, whether the database or the claim
// knows how far that was.
func TestTheNextAttemptContinues(t *testing.T) {
	t.Parallel()
	const rows = 1500
	var text strings.Builder
	for i := range rows {
		fmt.Fprintf(&text, `,{"id":%d,"name":"x"}`, i+1)
	}
	first := `{"data":[` + text.String()[1:] + `],"next":"?2"}`
	for name, destination := range map[string]string{
		"database": "sql: {connection: warehouse, table: people, key: [id], action: upsert, create: true}",
		"file":     "csv: {connection: drop, path: out.csv, action: append}",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := 0
			second := func(w http.ResponseWriter) {
				switch asked++; asked {
				case 1, 2: // broken off, and then another page
					_, _ = fmt.Fprintf(w, `{"data":[{"id":%d,"name":"y"},`, rows+asked)
					if asked == 1 {
						w.(http.Flusher).Flush()
						panic(http.ErrAbortHandler)
					}
					_, _ = io.WriteString(w, `{"id":0,"name":"y"}]}`)
				default:
					_, _ = fmt.Fprintf(w, `{"data":[{"id":%d,"name":"y"}]}`, rows+1)
				}
			}
			w := reading(t, &service{page: func(query string, w http.ResponseWriter) {
				if query == "" {
					_, _ = io.WriteString(w, first)
				} else {
					second(w)
				}
			}}, "retry: {backoff: 1}")
			w.retask(t, "path: /people}", "path: /people, items: data, next: {link: next}}")
			w.retask(t, "sql: {connection: warehouse, table: people, key: [id], action: upsert, create: true}", destination)
			w.runHere(t, runner.Options{})
			doc := w.await(t, w.submit(t))
			if doc.Outcome() != run.Success || doc.ExecutionCount != 2 || doc.RowsInserted != rows+1 || doc.RowsUnchanged != 0 || doc.RowsUpdated != 0 {
				t.Errorf("ended as %+v", doc)
			}
			if name == "database" && w.rows(t) != rows+1 {
				t.Errorf("%d rows in the table", w.rows(t))
			}
			if name == "file" {
				text, err := os.ReadFile(filepath.Join(w.dir, "out.csv"))
				if lines := strings.Count(string(text), "\n"); err != nil || lines != 1+rows+1 {
					t.Errorf("%d lines in the file, %v", lines, err)
				}
			}
		})
	}
}

// retask replaces a part of the workshop's task.
func (w *workshop) retask(t *testing.T, old, replacement string) {
	t.Helper()
	def, err := w.store.Work.Definition(t.Context(), w.request.Task, w.request.Definition)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(def.Text), old) {
		t.Fatalf("the task has no %s", old)
	}
	next := parse(t, strings.Replace(string(def.Text), old, replacement, 1))
	if _, err := w.store.Tasks.Apply(t.Context(), next, false); err != nil {
		t.Fatal(err)
	}
	w.request = request(next)
}

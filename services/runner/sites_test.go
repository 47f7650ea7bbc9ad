package runner_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"runhook/services/runner"
	"runhook/services/runner/connector/imis/imissite"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// imisSite is a stand-in site with an IQA for each of some tasks, that notes who asks for pages and how many ask at once.
type imisSite struct {
	*httptest.Server
	mu         sync.Mutex
	busy, most int
	pages      map[string]int
	// held is closed by the next request, which is answered once let is closed; nil where none is held.
	held, let chan struct{}
}

// pageTime is how long the site takes for an answer.
const pageTime = 20 * time.Millisecond

func newIMISSite(t *testing.T, rows int, queries ...string) *imisSite {
	t.Helper()
	var all []imissite.Query
	for _, name := range queries {
		all = append(all, imissite.Query{
			Path: "$/" + name, Count: rows, Columns: []imissite.Column{{Name: "ID", Type: "Int32"}},
			Row: func(i int) []any { return []any{i} },
		})
	}
	s := &imisSite{pages: map[string]int{}}
	site := imissite.New("ann", "secret", all...)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.busy++
		s.most = max(s.most, s.busy)
		s.pages[strings.TrimPrefix(r.URL.Query().Get("QueryName"), "$/")]++
		held, let := s.held, s.let
		s.held = nil
		s.mu.Unlock()
		if held != nil {
			close(held)
			<-let
		}
		time.Sleep(pageTime)
		site.ServeHTTP(w, r)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.busy--
	}))
	t.Cleanup(s.Close)
	return s
}

// hold waits until the next request has come, and does not answer it before answer is called, which waits until the
// answer is on its way.
func (s *imisSite) hold(t *testing.T) (answer func()) {
	t.Helper()
	held, let := make(chan struct{}), make(chan struct{})
	s.mu.Lock()
	s.held, s.let = held, let
	s.mu.Unlock()
	select {
	case <-held:
	case <-time.After(proctest.Limit):
		close(let)
		t.Fatal("no request comes")
	}
	return func() {
		close(let)
		proctest.Eventually(t, "the request is answered", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.busy == 0
		})
	}
}

func (s *imisSite) asked(query string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pages[query]
}

// oneAtATime fails the test if more requests were under way at once than a site gets.
func (s *imisSite) oneAtATime(t *testing.T, limit int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.most > limit {
		t.Errorf("%d requests were under way at once", s.most)
	}
}

// reading is a workshop on the same store whose task reads a query of the site.
func (w *workshop) reading(t *testing.T, query string) *workshop {
	t.Helper()
	def := parse(t, fmt.Sprintf(`id: %s
name: %s
source: {imis: {connection: crm, query: "$/%[2]s", page_size: 10}}
mapping: {id: ID}
destination: {csv: {connection: drop, path: %[2]s.csv, action: replace}}
`, taskID(), query))
	if _, err := w.store.Tasks.Apply(t.Context(), def, false); err != nil {
		t.Fatal(err)
	}
	return &workshop{store: w.store, dir: w.dir, request: request(def), log: w.log}
}

// connect has the runners of the workshop know the site.
func (w *workshop) connect(t *testing.T, s *imisSite, more string) {
	t.Helper()
	t.Setenv("IMIS_PASSWORD", "secret")
	write(t, filepath.Join(w.dir, "connections.yaml"), "drop: {files: .}\nwarehouse: {sqlite: ./warehouse.db}\n"+
		"crm: {imis: {private: true, url: '"+s.URL+"', username: ann, password: '${IMIS_PASSWORD}'"+more+"}}\n")
}

// elsewhere is the workshop with another connection to its store, for another runner.
func (w *workshop) elsewhere() *workshop {
	other, store := *w, *w.store
	store.Bus = w.store.Open("elsewhere")
	other.store = &store
	return &other
}

// A site gets one request at a time from all runners together, or as many as its connection says, and a run that waits
// for its turn says so.
func TestASiteGetsOneRequestAtATime(t *testing.T) {
	for _, limit := range []int{1, 2} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			queries := []string{"One", "Two", "Three", "Four"}
			s := newIMISSite(t, 300, queries...)
			w := newWorkshop(t, "upsert", 1)
			w.connect(t, s, fmt.Sprintf(", limit: %d", limit))
			var all []*workshop
			var numbers []run.Number
			for _, query := range queries {
				all = append(all, w.reading(t, query))
			}
			for range 2 {
				w.elsewhere().runHere(t, runner.Options{Slots: 2})
			}
			for _, one := range all {
				numbers = append(numbers, one.submit(t))
			}
			if limit == 1 {
				proctest.Eventually(t, "a run says that it waits for the site, and behind how many", func() bool {
					for i, one := range all {
						status, err := w.store.Runs.Lookup(t.Context(), one.request.Task, numbers[i])
						if err != nil {
							t.Fatal(err)
						}
						if doc := status.Document; strings.HasPrefix(doc.WaitingFor, "the site crm, ") && doc.Message == "Waiting for "+doc.WaitingFor &&
							doc.Waiting.Kind == run.ForSite && doc.Waiting.Connection == "crm" && doc.Waiting.Ahead > 0 && doc.Waiting.Since != nil {
							return true
						}
					}
					return false
				})
			}
			for i, one := range all {
				if doc := one.await(t, numbers[i]); doc.Outcome() != run.Success || doc.RowsInserted != 300 {
					t.Errorf("ended as %+v", doc)
				}
			}
			s.oneAtATime(t, limit)
			if s.most != limit {
				t.Errorf("%d requests were under way at once, at most, and %d may", s.most, limit)
			}
		})
	}
}

// A runner that is killed while it has the turn loses it to another.
func TestTheTurnOfAKilledRunner(t *testing.T) {
	s := newIMISSite(t, 100_000, "Killed", "Other")
	w := newWorkshopWith(t, "upsert", 1, time.Hour) // its run is nobody else's
	w.connect(t, s, "")
	first, other := w.reading(t, "Killed"), w.reading(t, "Other")
	process := w.start(t, w.store.Broker.URL())
	first.submit(t)
	proctest.Eventually(t, "pages are read", func() bool { return s.asked("Killed") > 5 })
	process.Kill()
	w.runHere(t, runner.Options{})
	n := other.submit(t)
	proctest.Eventually(t, "the other runner has the turn", func() bool { return s.asked("Other") > 5 })
	w.cancelOf(t, other, n)
}

// A runner that stands still for longer than its lease begins no page when it goes on, before it is its turn again.
func TestTheTurnOfAPausedRunner(t *testing.T) {
	s := newIMISSite(t, 100_000, "Paused", "Other")
	w := newWorkshopWith(t, "upsert", 1, time.Hour) // its run is nobody else's
	w.connect(t, s, "")
	first, other := w.reading(t, "Paused"), w.reading(t, "Other")
	other.retask(t, "name: Other\n", "name: Other\npool: other\n")
	process := w.start(t, w.store.Broker.URL())
	m := first.submit(t)
	proctest.Eventually(t, "pages are read", func() bool { return s.asked("Paused") > 5 })
	answer := s.hold(t) // paused where it has its turn, and just before a request, it would send that
	process.Pause()
	answer()
	w.runHere(t, runner.Options{Pool: "other"})
	n := other.submit(t)
	proctest.Eventually(t, "the other runner has the turn", func() bool { return s.asked("Other") > 5 })
	before := s.asked("Paused")
	process.Signal(syscall.SIGCONT)
	proctest.Eventually(t, "both read", func() bool { return s.asked("Paused") > before+5 })
	s.oneAtATime(t, 1)
	w.cancelOf(t, other, n)
	w.cancelOf(t, first, m)
	process.Kill()
}

// A run in the middle of an IQA asks for no page while its connection is paused, and then reads on.
func TestAPausedSiteIsNotAsked(t *testing.T) {
	s := newIMISSite(t, 2000, "Members")
	w := newWorkshop(t, "upsert", 1)
	w.connect(t, s, "")
	one := w.reading(t, "Members")
	w.runHere(t, runner.Options{})
	n := one.submit(t)
	proctest.Eventually(t, "pages are read", func() bool { return s.asked("Members") > 5 })
	w.pauseConnection(t, "crm")
	one.awaitMessage(t, n, "Waiting: connection crm is paused by ann: maintenance")
	before := s.asked("Members")
	proctest.Eventually(t, "its claim tells that it stands still", func() bool {
		state, _ := one.state(t, n)
		return state.Stood > 0
	})
	if now := s.asked("Members"); now != before {
		t.Errorf("%d pages were asked for meanwhile", now-before)
	}
	w.resumeConnection(t, "crm")
	if doc := one.await(t, n); doc.Outcome() != run.Success || doc.RowsInserted != 2000 {
		t.Errorf("ended as %+v", doc)
	}
}

// cancelOf cancels the run of another workshop's task, and waits for its end.
func (w *workshop) cancelOf(t *testing.T, of *workshop, n run.Number) {
	t.Helper()
	of.cancel(t, n)
	if doc := of.await(t, n); doc.Outcome() != run.Canceled {
		t.Errorf("ended as %+v", doc)
	}
}

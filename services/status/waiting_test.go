package status_test

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"runhook/services/status"
	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/taskfile"
)

// explains has a service know what runs wait for, as the program has it.
func explains(o *status.Options) {
	o.Pauses = o.Unheld.Pauses()
	o.Lines = o.Runs.Lines(o.Tasks, o.Pauses)
}

// serve answers as a runner of a pool does, although no run is taken.
func (s *site) serve(pool string) (gone func()) { return s.serveHeld(pool, false) }

func (s *site) serveHeld(pool string, isHeld bool) (gone func()) {
	s.t.Helper()
	gone, err := s.Connect("runner").Work.Serve(pool, isHeld)
	if err != nil {
		s.t.Fatal(err)
	}
	return gone
}

// take has a runner be given the next run of a task.
func (s *site) take(def *task.Definition) *bus.Delivery {
	s.t.Helper()
	queue, err := s.Work.Queue(s.t.Context(), def.ID)
	if err != nil {
		s.t.Fatal(err)
	}
	defer queue.Close()
	delivery, err := bustest.Next(s.t.Context(), queue)
	if err != nil {
		s.t.Fatal(err)
	}
	return delivery
}

// waitsFor waits until everybody who is asked about the run says what it waits for.
func (s *site) waitsFor(r *started, want string) run.Document {
	s.t.Helper()
	var last run.Document
	for _, path := range []string{r.path(), "/api/runs/" + r.number.String()} {
		proctest.Until(s.t, func() error {
			last = s.get(path).document(s.t)
			if last.WaitingFor != want || want != "" && !strings.Contains(last.Message, want) {
				return fmt.Errorf("%s: waits for %q, and says %q; want %q", path, last.WaitingFor, last.Message, want)
			}
			return nil
		})
	}
	return last
}

// Why a run waits is told for each reason, and true again soon after it has changed.
func TestAQueuedRunSaysWhyItWaits(t *testing.T) {
	t.Parallel()
	s := open(t, explains)
	def := s.apply("Refresh", "pool: onprem")
	first, second, third := s.submit(def), s.submit(def), s.submit(def)
	doc := s.waitsFor(first, "no runner of pool onprem")
	if doc.Message != "Waiting: no runner of pool onprem is up" || doc.Status != run.Queued || doc.Waiting.Kind != run.ForRunner || doc.Waiting.Since == nil {
		t.Errorf("the document is %+v", doc)
	}
	s.serve("default")
	s.waitsFor(first, "no runner of pool onprem")
	gone := s.serve("onprem")
	s.waitsFor(first, "a free slot in pool onprem")
	s.waitsFor(second, "a free slot in pool onprem, 1 run before it")
	s.waitsFor(third, "a free slot in pool onprem, 2 runs before it")

	delivery := s.take(def)
	first.begin(10).reach(20)
	s.waitsFor(first, "")
	s.waitsFor(second, "run "+first.number.String()+" of this task")
	doc = s.waitsFor(third, "run "+first.number.String()+" of this task, 1 run before it")
	if doc.Waiting.Run != first.number || doc.Waiting.Open != 1 || doc.Waiting.Ahead != 1 || doc.Message != "Waiting for "+doc.WaitingFor {
		t.Errorf("the document is %+v", doc)
	}
	for _, listed := range decode[struct{ Runs []run.Listed }](t, s.get("/api/runs?queued=true").expect(t, http.StatusOK).body).Runs {
		if want := "Waiting for run " + first.number.String() + " of this task"; listed.Message != want {
			t.Errorf("run %s is listed with %q", listed.ImportID, listed.Message)
		}
	}
	first.end(run.Success, "done")
	delivery.Done()
	s.waitsFor(second, "a free slot in pool onprem")
	gone()
	s.waitsFor(second, "no runner of pool onprem")
}

// A runner that is held is up, and its pool's runs wait for it, unless another one takes them.
func TestARunSaysThatItsRunnerIsHeld(t *testing.T) {
	t.Parallel()
	s := open(t, explains)
	queued := s.submit(s.apply("Refresh"))
	gone := s.serveHeld("default", true)
	const held = "pool default is held (--hold)"
	if doc := s.waitsFor(queued, held); doc.Waiting.Kind != run.ForRunner || !doc.Waiting.Held || doc.Message != "Waiting: "+held+", so its runners take no run" {
		t.Errorf("the document is %+v", doc)
	}
	begun := s.submit(s.apply("Another")).begin(10).reach(20)
	s.waitsFor(begun, held)
	other := s.serve("default")
	s.waitsFor(queued, "a free slot in pool default")
	s.waitsFor(begun, "")
	other()
	s.waitsFor(queued, held)
	gone()
	s.waitsFor(queued, "no runner of pool default")
}

// Of several runs at once the oldest is named, and those that wait behind each other keep their order.
func TestARunWaitsForOneOfSeveral(t *testing.T) {
	t.Parallel()
	s := open(t, explains)
	s.serve("default")
	def := s.apply("Refresh", "concurrency: 2")
	first, second, third := s.submit(def), s.submit(def), s.submit(def)
	s.take(def)
	first.begin(0)
	s.waitsFor(third, "a free slot in pool default, 1 run before it")
	s.take(def)
	second.begin(0)
	s.waitsFor(third, "run "+first.number.String()+" or another of the 2 runs of this task under way")
}

// The runs of an id that a task had before come first, and one of the task's id says that it waits for them.
func TestARunWaitsForThoseOfAFormerID(t *testing.T) {
	t.Parallel()
	s := open(t, explains)
	s.serve("default")
	old := s.apply("Old")
	first := s.submit(old)
	s.submit(old)
	s.take(old)
	first.begin(0)
	renamed, err := taskfile.Parse(bustest.Renamed(old.Text, old.ID, task.NewID(), time.Now().Add(time.Hour)), "renamed.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s.reapply(renamed)
	s.waitsFor(s.submit(renamed), "run "+first.number.String()+" of this task, 1 run before it")
}

// A paused connection comes before all else, whoever is asked, also by whoever waits for the run's end.
func TestARunSaysThatItsConnectionIsPaused(t *testing.T) {
	t.Parallel()
	s := open(t, explains)
	another := openOn(t, s.Store, explains)
	s.serve("default")
	queued := s.submit(s.apply("Refresh"))
	s.waitsFor(queued, "a free slot in pool default")
	s.do(http.MethodPost, "/api/connections/drop/pause?why=maintenance", nil).expect(t, http.StatusOK)
	doc := s.get(queued.path(), "Prefer", "wait=1").expect(t, http.StatusAccepted).document(t)
	if doc.WaitingFor != "connection drop is paused by ann: maintenance" || doc.Message != "Waiting: "+doc.WaitingFor || doc.Waiting.By != "ann" {
		t.Errorf("a long poll says %+v", doc)
	}
	another.waitsFor(queued, "connection drop is paused by ann: maintenance")
	begun := s.submit(s.apply("Left by its runner")).begin(10).reach(20)
	another.waitsFor(begun, "connection drop is paused by ann: maintenance")
	s.do(http.MethodPost, "/api/connections/drop/resume", nil).expect(t, http.StatusOK)
	another.waitsFor(queued, "a free slot in pool default")
}

// A run that a runner has handed back waits for another, and its document says so without going back to Queued.
func TestAHandedBackRunSaysWhyItWaits(t *testing.T) {
	t.Parallel()
	s := open(t, explains)
	r := s.submit(s.apply("Refresh")).handBack(10, nil)
	if doc := s.waitsFor(r, "no runner of pool default"); doc.Status != run.InProgress {
		t.Errorf("the document is %+v", doc)
	}
	s.serve("default")
	s.waitsFor(r, "a free slot in pool default")
}

// Who follows the events of a queued run hears of it, though nothing is written of the run.
func TestEventsSayWhatAQueuedRunWaitsFor(t *testing.T) {
	t.Parallel()
	s := open(t, explains)
	r := s.submit(s.apply("Refresh"))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+r.path(), nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "text/event-stream")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	lines := bufio.NewScanner(answer.Body)
	heard := func(want string) {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), `"WaitingFor":"`+want+`"`) {
				return
			}
		}
		t.Fatalf("the stream ends before it says %s: %v", want, lines.Err())
	}
	heard("no runner of pool default")
	s.serve("default")
	heard("a free slot in pool default")
}

// A run in progress whose runner is gone waits for another, if there is one, or says that there is none.
func TestARunWhoseRunnerIsGoneSaysSo(t *testing.T) {
	t.Parallel()
	s := open(t, explains)
	gone := s.serve("default")
	r := s.submit(s.apply("Refresh")).begin(10).reach(20)
	s.waitsFor(r, "")
	gone()
	if doc := s.waitsFor(r, "no runner of pool default"); doc.Status != run.InProgress || doc.PercentComplete != 20 {
		t.Errorf("the document is %+v", doc)
	}
	s.serve("default")
	if doc := s.waitsFor(r, ""); doc.Message != r.doc.Message {
		t.Errorf("the document is %+v", doc)
	}
}

// Without the store nobody knows what a run waits for.
func TestWhatARunWaitsForIsNotRemembered(t *testing.T) {
	t.Parallel()
	s := open(t, explains)
	r := s.submit(s.apply("Refresh"))
	s.waitsFor(r, "no runner of pool default")
	s.Broker.Stop()
	proctest.Until(t, func() error {
		doc := s.get(r.path()).expect(t, http.StatusAccepted).document(t)
		if doc.WaitingFor != "" || doc.Waiting != nil || !strings.HasPrefix(doc.Message, "The store cannot be reached") {
			return fmt.Errorf("it says %+v", doc)
		}
		return nil
	})
}

// A task whose pool nobody serves is applied, and the answer says so.
func TestAPoolThatNobodyServesIsSaid(t *testing.T) {
	t.Parallel()
	s := open(t, explains)
	id := task.NewID()
	warning := func(file []byte) string {
		got := s.do(http.MethodPut, "/api/tasks/"+string(id), file).expect(t, http.StatusOK)
		conforms(t, "Applied", got.body)
		return decode[struct{ Warning string }](t, got.body).Warning
	}
	if says := warning(taskFile(id, "Refresh")); says != "" {
		t.Errorf("without a pool: %s", says)
	}
	want := "no runner of pool onprem is up, so runs of this task wait until you start one: `runhook runner --pool onprem`"
	if says := warning(taskFile(id, "Refresh", "pool: onprem")); says != want {
		t.Errorf("it says %q", says)
	}
	s.serveHeld("onprem", true)
	proctest.Until(t, func() error {
		if says := warning(taskFile(id, "Refresh", "pool: onprem")); says != "all runners of pool onprem are held (--hold), so runs of this task wait until you start one without that" {
			return fmt.Errorf("it says %q", says)
		}
		return nil
	})
	s.serve("onprem")
	proctest.Until(t, func() error {
		if says := warning(taskFile(id, "Refresh", "pool: onprem")); says != "" {
			return fmt.Errorf("it says %q", says)
		}
		return nil
	})
}

// Connections are those that tasks use; who pauses one is logged, and what cannot be paused says what can.
func TestConnectionsArePausedAndResumed(t *testing.T) {
	t.Parallel()
	log := proctest.NewOutput()
	s := open(t, func(o *status.Options) { explains(o); o.Log = zerolog.New(log) })
	s.apply("Refresh")
	s.apply("Another")
	type connection struct {
		Name    string
		Tasks   []string
		Paused  bool
		By, Why string
		Since   *time.Time
	}
	list := func() []connection {
		got := s.get("/api/connections").expect(t, http.StatusOK)
		conforms(t, "ConnectionList", got.body)
		return decode[struct{ Connections []connection }](t, got.body).Connections
	}
	change := func(path string) (changed bool, now connection) {
		got := s.do(http.MethodPost, "/api/connections/"+path, nil).expect(t, http.StatusOK)
		conforms(t, "ConnectionChanged", got.body)
		answer := decode[struct {
			Changed    bool
			Connection connection
		}](t, got.body)
		return answer.Changed, answer.Connection
	}
	if all := list(); len(all) != 1 || all[0].Name != "drop" || strings.Join(all[0].Tasks, " ") != "Another Refresh" || all[0].Paused {
		t.Errorf("the list is %+v", all)
	}
	changed, now := change("drop/pause?why=disk%20swap")
	if !changed || !now.Paused || now.By != "ann" || now.Why != "disk swap" || now.Since == nil {
		t.Errorf("paused: %t, %+v", changed, now)
	}
	if all := list(); len(all) != 1 || !all[0].Paused || all[0].Why != "disk swap" {
		t.Errorf("the list is %+v", all)
	}
	since := *now.Since
	if changed, now = change("drop/pause?why=disk%20swap"); changed || !now.Since.Equal(since) {
		t.Errorf("paused again: %t, %+v", changed, now)
	}
	if changed, now = change("drop/pause?why=new%20disk"); !changed || now.Why != "new disk" || !now.Since.Equal(since) {
		t.Errorf("paused for another reason: %t, %+v", changed, now)
	}
	if changed, now = change("drop/resume"); !changed || now.Paused {
		t.Errorf("resumed: %t, %+v", changed, now)
	}
	if changed, now = change("drop/resume"); changed || now.Paused {
		t.Errorf("resumed again: %t, %+v", changed, now)
	}
	for _, says := range []string{
		`"by":"ann","address":"127.0.0.1","connection":"drop","paused_before":false,"why":"disk swap","message":"connection paused: the runs that use it wait"`,
		`"connection":"drop","paused_before":true,"why":"new disk","message":"connection resumed"`,
	} {
		if !strings.Contains(log.String(), says) {
			t.Errorf("the log has no %s:\n%s", says, log)
		}
	}
	if n := strings.Count(log.String(), `"connection":"drop"`); n != 3 {
		t.Errorf("%d lines for three changes:\n%s", n, log)
	}
	if detail := s.do(http.MethodPost, "/api/connections/drip/pause", nil).problem(t, http.StatusNotFound)["detail"]; detail != "No task uses a connection drip; did you mean drop?" {
		t.Errorf("an unknown connection: %v", detail)
	}
	s.do(http.MethodPost, "/api/connections/drop/pause?why="+strings.Repeat("x", 201), nil).problem(t, http.StatusBadRequest)
	s.do(http.MethodPost, "/api/connections/drop/pause?because=x", nil).problem(t, http.StatusBadRequest)
	if all := list(); all[0].Paused {
		t.Errorf("what was refused has paused it: %+v", all)
	}
}

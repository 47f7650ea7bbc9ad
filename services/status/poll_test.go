package status_test

import (
	"bytes"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"runhook/services/status"
	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/taskfile"
	"runhook/shared/web"
)

func TestPollFollowsARunToItsEnd(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	def := s.apply("Refresh", "retry_after: 7")
	r := s.submit(def)

	unfinished := func(phase run.Phase, percent float64) {
		t.Helper()
		got := s.get(r.path()).expect(t, http.StatusAccepted)
		doc := got.document(t)
		if doc.Status != phase || doc.PercentComplete != percent {
			t.Errorf("%s at %v%%, want %s at %v%%", doc.Status, doc.PercentComplete, phase, percent)
		}
		for name, want := range map[string]string{
			"Location": s.url + r.path(), "Retry-After": "7", "Cache-Control": "no-store",
			"Content-Type": "application/json", "ETag": "", "Access-Control-Allow-Origin": "*",
		} {
			if got := got.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
	}
	unfinished(run.Queued, 0)
	r.begin(1)
	unfinished(run.InProgress, 1)
	r.reach(42.5)
	unfinished(run.InProgress, 42.5)
	r.end(run.Success, "Copied <everything>")

	stored, err := s.Runs.Lookup(t.Context(), def.ID, r.number)
	if err != nil {
		t.Fatal(err)
	}
	for _, attempt := range []string{"from the store", "from memory"} {
		got := s.get(r.path()).expect(t, http.StatusOK)
		if doc := got.document(t); doc.Outcome() != run.Success || doc.RetryAfter != "00:00:00" {
			t.Errorf("%s: %s, RetryAfter %s", attempt, doc.StatusDescription, doc.RetryAfter)
		}
		if !bytes.Equal(got.body, stored.Bytes) {
			t.Errorf("%s: not the stored bytes: %s", attempt, got.body)
		}
		for name, want := range map[string]string{
			"Location": "", "Retry-After": "", "Cache-Control": "no-cache", "Content-Type": "application/json",
		} {
			if got := got.Header.Get(name); got != want {
				t.Errorf("%s: %s: %q, want %q", attempt, name, got, want)
			}
		}
		if tag := got.Header.Get("ETag"); len(tag) < 4 || strings.HasPrefix(tag, "W/") {
			t.Errorf("%s: ETag %q is not a strong one", attempt, tag)
		}
	}
}

func TestFinishedRunNeedsNoStore(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	r := s.submit(s.apply("Refresh")).begin(0).end(run.Failed, "no such file")
	first := s.get(r.path()).expect(t, http.StatusOK)
	before := s.messages()
	for range 50 {
		s.get(r.path()).expect(t, http.StatusOK)
	}
	if sent := s.messages() - before; sent >= 50 {
		t.Errorf("50 polls of a finished run sent NATS %d messages", sent)
	}

	listen := s.Broker.Addr().String()
	s.Broker.Stop()
	again := s.get(r.path()).expect(t, http.StatusOK)
	if !bytes.Equal(first.body, again.body) || first.Header.Get("ETag") != again.Header.Get("ETag") {
		t.Errorf("a finished run was answered differently: %s", again.body)
	}
	// The same document comes from a process that was started later.
	s.startAgain(listen)
	other := openOn(t, s.Store, nil)
	if later := other.get(r.path()).expect(t, http.StatusOK); !bytes.Equal(first.body, later.body) || first.Header.Get("ETag") != later.Header.Get("ETag") {
		t.Errorf("another process answered differently: %s", later.body)
	}
}

// messages is how many messages NATS has got from its clients.
func (s *site) messages() int64 {
	s.t.Helper()
	figures, err := s.Broker.Server().Varz(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return figures.InMsgs
}

func TestConditionalPoll(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	def := s.apply("Refresh")
	r := s.submit(def)
	// A run that has not ended is never "unchanged", not even for a client that takes anything.
	s.get(r.path(), "If-None-Match", "*").expect(t, http.StatusAccepted)
	r.begin(0).end(run.Failed, "no")
	tag := s.get(r.path()).expect(t, http.StatusOK).Header.Get("ETag")
	for condition, want := range map[string]int{
		tag: 304, `"other", ` + tag: 304, "W/" + tag: 304, "*": 304,
		`"other"`: 200, strings.Trim(tag, `"`): 200, "": 200,
	} {
		got := s.get(r.path(), "If-None-Match", condition).expect(t, want)
		if got.Header.Get("ETag") != tag || got.Header.Get("Cache-Control") != "no-cache" {
			t.Errorf("If-None-Match %s: headers %v", condition, got.Header)
		}
		if got.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("If-None-Match %s: no CORS headers", condition)
		}
		if want == 304 && len(got.body) > 0 {
			t.Errorf("If-None-Match %s: 304 with a body", condition)
		}
	}
	// A condition counts only where the answer would be a success.
	failing, err := taskfile.Parse(taskFile(def.ID, "Refresh", "failed_status: 422"), "test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s.reapply(failing)
	s.get(r.path(), "If-None-Match", tag).expect(t, 422)
}

func TestHeadAnswersLikeGet(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	r := s.submit(s.apply("Refresh"))
	compare := func(code int) {
		t.Helper()
		get, head := s.get(r.path()).expect(t, code), s.do(http.MethodHead, r.path(), nil).expect(t, code)
		if len(head.body) > 0 {
			t.Error("HEAD has a body")
		}
		for _, name := range []string{"Location", "Retry-After", "Cache-Control", "Content-Type", "Content-Length", "ETag", "Access-Control-Expose-Headers"} {
			if head.Header.Get(name) != get.Header.Get(name) {
				t.Errorf("%s: HEAD %q, GET %q", name, head.Header.Get(name), get.Header.Get(name))
			}
		}
	}
	compare(http.StatusAccepted)
	r.begin(0).end(run.Success, "done")
	compare(http.StatusOK)
}

func TestFailedStatus(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	def := s.apply("Refresh", "failed_status: 422")
	s.get(s.submit(def).begin(0).path()).expect(t, http.StatusAccepted)
	for outcome, want := range map[run.Outcome]int{run.Success: 200, run.Canceled: 200, run.Failed: 422} {
		r := s.submit(def).begin(0).end(outcome, "ended")
		if doc := s.get(r.path()).expect(t, want).document(t); doc.Outcome() != outcome {
			t.Errorf("%s, want %s", doc.Outcome(), outcome)
		}
	}
}

func TestAddressesThatNameNoRun(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	def, other := s.apply("Refresh"), s.apply("Other")
	r := s.submit(def)
	path := func(id, number string) string { return "/task/executepolling/" + id + "/" + number + "/status" }
	id, number := string(def.ID), r.number.String()
	for _, test := range []struct {
		name, path string
		want       int
	}{
		{"canonical", path(id, number), 202},
		{"upper case", path(strings.ToUpper(id), number), 202},
		{"braces", path("{"+id+"}", number), 202},
		{"no hyphens", path(strings.ReplaceAll(id, "-", ""), number), 202},
		{"another task's run", path(string(other.ID), number), 404},
		{"unknown task", path(string(task.NewID()), number), 404},
		{"unknown task, unknown run", path(string(task.NewID()), "999"), 404},
		{"run not yet there", path(id, "999"), 404},
		{"run 0", path(id, "00000"), 404},
		{"negative run", path(id, "-1"), 404},
		{"run with a sign", path(id, "%2B1"), 404},
		{"run beyond all", path(id, "18446744073709551616"), 404},
		{"no number", path(id, "latest"), 404},
		{"no GUID", path("lapsed", number), 404},
		{"subject wildcard", path("*", number), 404},
		{"no status", "/task/executepolling/" + id + "/" + number, 404},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := s.get(test.path).expect(t, test.want)
			if got.Header.Get("Access-Control-Allow-Origin") != "*" {
				t.Error("no CORS headers")
			}
			if test.want != 202 {
				got.problem(t, test.want)
			} else if got.Header.Get("Location") != s.url+r.path() {
				t.Errorf("Location %s is not the canonical one", got.Header.Get("Location"))
			}
		})
	}
	if allow := s.do(http.MethodPost, r.path(), nil).expect(t, 405).Header.Get("Allow"); allow != "DELETE, GET, HEAD, OPTIONS" {
		t.Errorf("Allow %q", allow)
	}
}

func TestRunPastItsRetentionIsGone(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{Retention: 500 * time.Millisecond})
	s := openOn(t, store, func(o *status.Options) { o.TrustFinal = time.Millisecond })
	def := s.apply("Refresh")
	queued, ended := s.submit(def), s.submit(def).begin(0).end(run.Success, "done")
	s.get(ended.path()).expect(t, http.StatusOK)
	deadline := time.Now().Add(15 * time.Second)
	for _, r := range []*started{queued, ended} {
		got := s.get(r.path())
		for got.StatusCode != http.StatusGone && time.Now().Before(deadline) {
			got = s.get(r.path())
		}
		got.problem(t, http.StatusGone)
	}
	// Of a task that is not there either, nothing is known to be gone.
	s.get(run.StatusPath(task.NewID(), queued.number)).problem(t, http.StatusNotFound)
	// What is gone is not remembered either.
	s.Broker.Stop()
	s.get(ended.path()).expect(t, http.StatusAccepted)
}

func TestRunsOfADisabledTaskAnswer(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	def := s.apply("Refresh")
	queued, ended := s.submit(def), s.submit(def).begin(0).end(run.Success, "done")
	if _, err := s.Tasks.Remove(t.Context(), def.ID); err != nil {
		t.Fatal(err)
	}
	s.awaitTask(def.ID, func(t bus.Task) bool { return !t.Enabled })
	s.get(queued.path()).expect(t, http.StatusAccepted)
	s.get(ended.path()).expect(t, http.StatusOK)
}

func TestLocationIsWhereTheCallerCame(t *testing.T) {
	t.Parallel()
	public, err := web.NewLocator("https://hooks.example.org/runhook/", nil, "")
	if err != nil {
		t.Fatal(err)
	}
	relative, err := web.NewLocator("", nil, "relative")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		locator *web.Locator
		want    string
	}{
		{"request's host", nil, "http://hooks.test:81"},
		{"public URL", public, "https://hooks.example.org/runhook"},
		{"relative", relative, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := open(t, func(o *status.Options) { o.Locator = test.locator })
			r := s.submit(s.apply("Refresh"))
			got := s.get(r.path(), "Host", "hooks.test:81").expect(t, http.StatusAccepted)
			if location := got.Header.Get("Location"); location != test.want+r.path() {
				t.Errorf("Location %s, want %s", location, test.want+r.path())
			}
			s.get(r.path(), "Host", `a"b`).problem(t, http.StatusBadRequest)
		})
	}
}

func TestPagesOfListedOriginsMayPoll(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	r := s.submit(s.apply("Refresh", `allow_origins: ["https://members.example.org"]`))
	for origin, want := range map[string]string{
		"https://members.example.org": "https://members.example.org", "https://elsewhere.example.org": "",
	} {
		got := s.get(r.path(), "Origin", origin).expect(t, http.StatusAccepted)
		if allowed := got.Header.Get("Access-Control-Allow-Origin"); allowed != want {
			t.Errorf("%s: allowed %q, want %q", origin, allowed, want)
		}
	}
	preflight := s.do(http.MethodOptions, r.path(), nil, "Origin", "https://members.example.org", "Access-Control-Request-Method", "GET").expect(t, 204)
	if methods := preflight.Header.Get("Access-Control-Allow-Methods"); methods != "DELETE, GET, HEAD, OPTIONS" {
		t.Errorf("allowed methods %q", methods)
	}
}

func TestNothingIsAnsweredBeforeTheTasksAreLoaded(t *testing.T) {
	t.Parallel()
	s := open(t, func(o *status.Options) { o.Tasks = new(bus.TaskView) })
	for _, path := range []string{run.StatusPath(task.NewID(), 1), "/api/tasks", "/api/tasks/" + string(task.NewID()), "/api/runs", "/api/runs/1"} {
		got := s.get(path)
		got.problem(t, http.StatusServiceUnavailable)
		if got.Header.Get("Retry-After") != "5" {
			t.Errorf("%s: Retry-After %q", path, got.Header.Get("Retry-After"))
		}
	}
}

func TestPollsAreCountedByTaskName(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	s := open(t, func(o *status.Options) { o.Metrics = registry })
	def := s.apply("Refresh")
	r := s.submit(def)
	s.get(r.path())
	r.begin(0)
	s.get(r.path())
	s.get(r.path())
	r.end(run.Failed, "no")
	tag := s.get(r.path()).Header.Get("ETag")
	s.get(r.path(), "If-None-Match", tag)
	s.get(run.StatusPath(def.ID, 999))
	s.get(run.StatusPath(task.NewID(), 999))
	want := map[string]float64{
		"queued of Refresh": 1, "running of Refresh": 2, "failed of Refresh": 1,
		"unchanged of Refresh": 1, "unknown of Refresh": 1, "unknown of ": 1,
	}
	if got := countPolls(t, registry); !maps.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
}

// countPolls returns the metric of polls by "outcome of task".
func countPolls(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]float64)
	for _, family := range families {
		if family.GetName() != "runhook_polls_total" {
			continue
		}
		for _, metric := range family.GetMetric() {
			label := make(map[string]string)
			for _, pair := range metric.GetLabel() {
				label[pair.GetName()] = pair.GetValue()
			}
			counts[label["outcome"]+" of "+label["task"]] = metric.GetCounter().GetValue()
		}
	}
	return counts
}

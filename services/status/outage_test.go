package status_test

import (
	"bytes"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"runhook/services/status"
	"runhook/shared/run"
	"runhook/shared/task"
)

// until polls until the answer is right: NATS's client comes back in its own time.
func (s *site) until(path, what string, right func(answer) bool) answer {
	s.t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for time.Now().Before(deadline) {
		if got := s.get(path); right(got) {
			return got
		}
	}
	s.t.Fatalf("no poll answered %s", what)
	return answer{}
}

func TestPollWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	def := s.apply("Refresh", "retry_after: 7")
	seen, unseen := s.submit(def).begin(1), s.submit(def).begin(3)
	seen.doc.SetCounts(run.Counts{Total: 1000, Retrieved: 425, Inserted: 425})
	seen.reach(42.5)
	finished := s.submit(def).begin(0).end(run.Success, "done")
	before := s.get(seen.path()).expect(t, http.StatusAccepted)
	ended := s.get(finished.path()).expect(t, http.StatusOK)

	listen := s.Broker.Addr().String()
	s.Broker.Stop()

	// The last document that was seen.
	got := s.get(seen.path()).expect(t, http.StatusAccepted)
	doc, want := got.document(t), before.document(t)
	if !strings.Contains(doc.Message, "cannot be reached") || !strings.Contains(doc.Message, "seen last") {
		t.Errorf("it does not say that it is from memory: %s", doc.Message)
	}
	if want.Message = doc.Message; !reflect.DeepEqual(doc, want) {
		t.Errorf("not the document that was seen: %s", got.body)
	}
	if got.Header.Get("Location") != s.url+seen.path() || got.Header.Get("Retry-After") != "7" {
		t.Errorf("headers %v", got.Header)
	}
	// A bare one, which says so.
	for _, path := range []string{unseen.path(), unseen.path() + "?again"} {
		got = s.get(path, "Prefer", "wait=60").expect(t, http.StatusAccepted)
		doc = got.document(t)
		if doc.Status != run.Queued || doc.TaskName != "Refresh" || !strings.Contains(doc.Message, "cannot be reached") {
			t.Errorf("%s %s: %s", doc.Status, doc.TaskName, doc.Message)
		}
		if got.Header.Get("Location") != s.url+unseen.path() || got.Header.Get("Retry-After") != "7" || got.Header.Get("Preference-Applied") != "" {
			t.Errorf("headers %v", got.Header)
		}
	}
	// Perhaps a task that was applied just now; to say 404 would end its caller's polling.
	s.get(run.StatusPath(task.NewID(), unseen.number)).expect(t, http.StatusAccepted).document(t)
	if again := s.get(finished.path()).expect(t, http.StatusOK); !bytes.Equal(again.body, ended.body) {
		t.Errorf("a finished run was answered differently: %s", again.body)
	}
	s.do(http.MethodPut, "/api/tasks/"+string(def.ID), taskFile(def.ID, "Other")).problem(t, http.StatusServiceUnavailable)
	s.get("/api/runs").problem(t, http.StatusServiceUnavailable)
	s.get("/api/runs/1").problem(t, http.StatusServiceUnavailable)
	s.get("/api/tasks").expect(t, http.StatusOK)

	s.startAgain(listen)

	s.until(unseen.path(), "what the store knows", func(a answer) bool {
		return a.document(t).Status == run.InProgress
	})
	// Live progress stood in NATS's memory; the claim that is left knows less.
	s.until(seen.path(), "anything", func(a answer) bool {
		if doc := a.document(t); doc.Status != run.InProgress || doc.PercentComplete != 42.5 || doc.RowsRetrieved != 425 {
			t.Fatalf("went back to %s at %v%%, %d rows", doc.Status, doc.PercentComplete, doc.RowsRetrieved)
		}
		return true
	})
	unseen.end(run.Success, "done")
	s.until(unseen.path(), "the end", func(a answer) bool { return a.StatusCode == http.StatusOK })
}

func TestLongPollOutlivesARestartOfTheStore(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	r := s.submit(s.apply("Refresh")).begin(0).reach(20)
	s.get(r.path()).expect(t, http.StatusAccepted)

	type result struct {
		answer
		err error
	}
	answers := make(chan result)
	go func() {
		defer close(answers)
		for code := http.StatusAccepted; code == http.StatusAccepted; {
			got, err := s.send(http.MethodGet, r.path(), nil, "Prefer", "wait=30")
			answers <- result{got, err}
			if err != nil {
				return
			}
			code = got.StatusCode
		}
	}()
	listen := s.Broker.Addr().String()
	s.Broker.Stop()
	s.startAgain(listen)
	r.end(run.Success, "done")
	for got := range answers {
		if got.err != nil {
			t.Fatal(got.err)
		}
		doc := got.document(t)
		if doc.PercentComplete < 20 || doc.Status == run.Queued {
			t.Errorf("went back to %s at %v%%", doc.Status, doc.PercentComplete)
		}
		if got.StatusCode != http.StatusAccepted {
			got.expect(t, http.StatusOK)
		}
	}
}

func TestForgottenRunIsAnsweredBare(t *testing.T) {
	t.Parallel()
	s := open(t, func(o *status.Options) { o.Remember = 1 })
	def := s.apply("Refresh")
	first, second := s.submit(def).begin(5), s.submit(def).begin(5)
	s.get(first.path())
	s.get(second.path())
	s.Broker.Stop()
	if doc := s.get(second.path()).expect(t, http.StatusAccepted).document(t); doc.PercentComplete != 5 {
		t.Errorf("the run polled last was forgotten: %v%%", doc.PercentComplete)
	}
	if doc := s.get(first.path()).expect(t, http.StatusAccepted).document(t); doc.PercentComplete != 0 {
		t.Errorf("more runs are remembered than allowed: %v%%", doc.PercentComplete)
	}
}

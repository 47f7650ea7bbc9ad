package status_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"runhook/shared/proctest"
	"runhook/shared/run"
)

const (
	// soon is shorter than the time after which a long poll would look by itself.
	soon = time.Second
	// unwaited is shorter than the wait of 100 s that these polls ask for.
	unwaited = 50 * time.Second
)

// startWaiting sends a long poll of a run and returns once it waits for the run's next document.
func (r *started) startWaiting(wait string) <-chan answer {
	r.s.t.Helper()
	answers := make(chan answer, 1)
	go func() {
		defer close(answers)
		got, err := r.s.send(http.MethodGet, r.path(), nil, "Prefer", wait)
		if err != nil {
			r.s.t.Error(err)
			return
		}
		answers <- got
	}()
	proctest.Until(r.s.t, func() error {
		n, err := r.s.Following(fmt.Sprintf("run.status.%s.%s", r.doc.ExecuteID, r.number))
		if err == nil && n == 0 {
			err = errors.New("the long poll does not follow the run")
		}
		return err
	})
	return answers
}

// within returns the answer, which must come within the limit.
func within(t *testing.T, limit time.Duration, answers <-chan answer) answer {
	t.Helper()
	select {
	case got, ok := <-answers:
		if !ok {
			t.Fatal("no answer")
		}
		return got
	case <-time.After(limit):
		t.Fatalf("no answer within %s", limit)
		return answer{}
	}
}

func TestLongPollAnswersWhenTheRunEnds(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	r := s.submit(s.apply("Refresh")).begin(0)
	answers := r.startWaiting("wait=100")
	r.reach(10).reach(20) // changes are not what it waits for
	select {
	case got := <-answers:
		t.Fatalf("answered before the end: %d %s", got.StatusCode, got.body)
	default:
	}
	r.end(run.Success, "done")
	got := within(t, unwaited, answers).expect(t, http.StatusOK)
	if doc := got.document(t); doc.Outcome() != run.Success {
		t.Errorf("%s", doc.StatusDescription)
	}
	if applied := got.Header.Get("Preference-Applied"); applied != "wait=100" {
		t.Errorf("Preference-Applied %q", applied)
	}
	if got.Header.Get("ETag") == "" || got.Header.Get("Location") != "" {
		t.Errorf("headers %v", got.Header)
	}
	// An ended run has nothing to wait for.
	start := time.Now()
	if again := s.get(r.path(), "Prefer", "wait=100").expect(t, http.StatusOK); string(again.body) != string(got.body) {
		t.Errorf("another document: %s", again.body)
	}
	if took := time.Since(start); took > unwaited {
		t.Errorf("a poll of an ended run waited %s", took)
	}
}

// The end of a run is an event: a poll does not find it only when it looks by itself.
func TestLongPollHearsOfTheEnd(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	def := s.apply("Refresh")
	for try := 1; ; try++ { // one try may meet a machine that is busy
		r := s.submit(def).begin(0)
		answers := r.startWaiting("wait=100")
		ended := time.Now()
		r.end(run.Success, "done")
		within(t, unwaited, answers).expect(t, http.StatusOK)
		if took := time.Since(ended); took < soon {
			return
		} else if try == 10 {
			t.Fatalf("the answer comes %s after the end", took)
		}
	}
}

func TestLongPollEndsWithItsWait(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	r := s.submit(s.apply("Refresh")).begin(0)
	start := time.Now()
	// Longer than the server's WriteTimeout, which must not count the wait.
	answers := r.startWaiting("respond-async, wait=1")
	r.reach(30)
	got := within(t, proctest.Limit, answers).expect(t, http.StatusAccepted)
	if took := time.Since(start); took < time.Second {
		t.Errorf("answered after %s, before the wait was over", took)
	}
	if doc := got.document(t); doc.PercentComplete != 30 {
		t.Errorf("not the latest document: %v%%", doc.PercentComplete)
	}
	if got.Header.Get("Preference-Applied") != "wait=1" || got.Header.Get("Location") == "" || got.Header.Get("Retry-After") != "30" {
		t.Errorf("headers %v", got.Header)
	}
}

func TestLongestWaitIsBounded(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	r := s.submit(s.apply("Refresh")).begin(0).end(run.Success, "done")
	for prefer, want := range map[string]string{
		"wait=9999": "wait=100", "wait=0": "", "wait=soon": "", "wait=-1": "", "respond-async": "", "": "",
	} {
		if got := s.get(r.path(), "Prefer", prefer).Header.Get("Preference-Applied"); got != want {
			t.Errorf("Prefer %q: applied %q, want %q", prefer, got, want)
		}
	}
}

func TestLongPollOfNoRunDoesNotWait(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	def := s.apply("Refresh")
	start := time.Now()
	got := s.get(run.StatusPath(def.ID, 999), "Prefer", "wait=100")
	got.problem(t, http.StatusNotFound)
	if took := time.Since(start); took > unwaited || got.Header.Get("Preference-Applied") != "" {
		t.Errorf("took %s, headers %v", took, got.Header)
	}
}

func TestStopAnswersLongPolls(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	r := s.submit(s.apply("Refresh")).begin(0)
	answers := r.startWaiting("wait=100")
	start := time.Now()
	s.stop()
	within(t, unwaited, answers).expect(t, http.StatusAccepted).document(t)
	if took := time.Since(start); took > unwaited {
		t.Errorf("the stop took %s", took)
	}
}

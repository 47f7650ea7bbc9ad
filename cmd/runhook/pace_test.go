package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bustest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// polled is an answer to a poller: how long it is to wait, 0 for no more, and the document.
type polled struct {
	after    time.Duration
	location string
	doc      run.Document
}

// flow sends a POST or a poll, as a flow does that reads only the status, Location and Retry-After. The header and the
// document must say the same.
func flow(t testing.TB, method, url string) (p polled) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil {
		err = json.Unmarshal(body, &p.doc)
	}
	if err != nil {
		t.Fatalf("%s %s: %s, %v: %s", method, url, answer.Status, err, body)
	}
	if answer.StatusCode != http.StatusAccepted {
		return p
	}
	seconds, err := strconv.Atoi(answer.Header.Get("Retry-After"))
	p.after, p.location = time.Duration(seconds)*time.Second, answer.Header.Get("Location")
	if said, ok := p.doc.PollAgain(); err != nil || seconds < 1 || !ok || said != p.after || p.location == "" {
		t.Fatalf("%s %s: the headers %v with the document %s", method, url, answer.Header, body)
	}
	return p
}

// starts202 starts a run and waits for its end; the answer is that to the POST.
func (i *instance) starts202(id task.ID) polled {
	i.t.Helper()
	started := flow(i.t, http.MethodPost, i.url+"/task/executepolling/"+string(id))
	if doc := i.end202(started); doc.Outcome() != run.Success {
		i.t.Fatalf("%+v", doc)
	}
	return started
}

// end202 waits for the end of a run, without a look at what its pollers are told.
func (i *instance) end202(started polled) (doc run.Document) {
	i.t.Helper()
	eventually(i.t, i, "the run ends", func() bool {
		now := flow(i.t, http.MethodGet, started.location)
		doc = now.doc
		return now.after == 0
	})
	return doc
}

// paced starts runs of a task until its callers are not asked to wait for 30 s any more.
func paced(t testing.TB, ingress *instance, s *site) (after time.Duration) {
	t.Helper()
	eventually(t, ingress, "the runs that have ended tell how long to wait", func() bool {
		after = flow(t, http.MethodPost, ingress.url+"/task/executepolling/"+string(s.copy)).after
		return after != run.PollAtFirst
	})
	return after
}

// A flow that waits as long as each answer says hears of a short run's end within moments, once one has ended before. A
// task that says how long to wait is not asked.
func TestFlowsHearSoonOfTheEnd(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	fixed := task.NewID()
	s.write("tasks/fixed.yaml", strings.Replace(strings.Replace(fmt.Sprintf(siteTask, fixed), "Copy people", "Fixed", 1), "table: people", "table: others", 1)+"retry_after: 30s\n")
	i := begin(t, s.args()...).listening()
	if first := i.starts202(s.copy); first.after != 30*time.Second {
		t.Errorf("the first caller of a task is asked to wait %s", first.after)
	}
	paced(t, i, s)

	answer := flow(t, http.MethodPost, i.url+"/task/executepolling/"+string(s.copy))
	var asked time.Duration
	for polls := 0; answer.after > 0; polls++ {
		asked += answer.after
		time.Sleep(answer.after) // as the flow does
		answer = flow(t, http.MethodGet, answer.location)
	}
	took := time.Time(*answer.doc.CompletedOn).Sub(time.Time(answer.doc.CreatedOn))
	if asked > took+took/4+2*time.Second {
		t.Errorf("the flow waited %s for a run that took %s", asked, took)
	}
	t.Logf("the flow waited %s for a run that took %s", asked, took)

	i.starts202(fixed)
	release := s.hold()
	defer release()
	running := flow(t, http.MethodPost, i.url+"/task/executepolling/"+string(fixed))
	for range 3 {
		if running.after != 30*time.Second {
			t.Errorf("retry_after: 30s: %s, of a run that is %s", running.after, running.doc.StatusDescription)
		}
		running = flow(t, http.MethodGet, running.location)
	}
}

// The estimate outlives a restart, and a task that is deleted leaves none.
func TestPacesAreStored(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	i := begin(t, s.args()...).listening()
	i.starts202(s.copy)
	paced(t, i, s)
	i.end()
	i = begin(t, s.args("--hold")...).listening()
	paced(t, i, s) // no run ends
	i.end()
	i = begin(t, s.args()...).listening()
	eventually(t, i, "the queued runs have ended", func() bool {
		return !strings.Contains(mustCall(t, "runs", "list", "--server", i.url), "Queued")
	})
	eventually(t, i, "the task is deleted", func() bool {
		code, _, _ := call(t, "task", "delete", "Copy people", "--yes", "--server", i.url)
		return code == exitSuccess
	})
	if left := subjects(t, i, "KV_control", "$KV.control.pace.>"); len(left) > 0 {
		t.Errorf("left is %v", left)
	}
}

// subjects are those of the messages of a stream that fit a filter.
func subjects(t testing.TB, i *instance, stream, filter string) (all []string) {
	t.Helper()
	of, err := bustest.JetStream(t, i.nats).Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	info, err := of.Info(t.Context(), jetstream.WithSubjectFilter(filter))
	if err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(info.State.Subjects))
}

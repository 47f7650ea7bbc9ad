//go:build !bench

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bustest"
	"runhook/shared/client"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/web"
)

// stored counts the messages of a stream.
func stored(t *testing.T, url, stream string) uint64 {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	found, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	return found.CachedInfo().State.Msgs
}

// hammer POSTs to a webhook over connections that are kept, until each of them is refused or cut. It
// collects the runs that were answered with 200; any other answer is an error.
type hammer struct {
	t        *testing.T
	posters  sync.WaitGroup
	mu       sync.Mutex
	accepted []run.Number
	// reached is closed when so many were accepted.
	enough  int
	reached chan struct{}
}

func post(t *testing.T, url string, id task.ID, posters, enough int) *hammer {
	h := &hammer{t: t, enough: enough, reached: make(chan struct{})}
	for range posters {
		h.posters.Go(func() {
			transport := &http.Transport{MaxIdleConnsPerHost: 1}
			defer transport.CloseIdleConnections()
			caller := http.Client{Transport: transport}
			for h.post(&caller, url+"/task/execute/"+string(id)) {
			}
		})
	}
	return h
}

func (h *hammer) post(caller *http.Client, url string) (more bool) {
	response, err := caller.Post(url, "application/json", strings.NewReader("{}"))
	if err != nil {
		return false
	}
	defer response.Body.Close()
	var doc run.Document
	if err := json.NewDecoder(response.Body).Decode(&doc); err != nil || response.StatusCode != http.StatusOK || doc.ImportID == 0 {
		h.t.Errorf("a POST during the stop is answered %s: %+v %v", response.Status, doc, err)
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.accepted = append(h.accepted, doc.ImportID); len(h.accepted) == h.enough {
		close(h.reached)
	}
	return true
}

// SIGTERM while callers POST: each is answered, or has its connection refused or cut and started
// nothing; and every run that was answered ends, once, after the next start.
func TestSIGTERMUnderLoad(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.write("tasks/copy.yaml", fmt.Sprintf(siteTask, s.copy)+"concurrency: 16\n")
	first := raced(t, s.args()...).listening()
	load := post(t, first.url, s.copy, 8, 80)
	<-load.reached
	first.end()
	load.posters.Wait()
	if response, err := http.Get(first.url + "/livez"); err == nil {
		_ = response.Body.Close()
		t.Error("the address still answers")
	}

	second := raced(t, s.args()...).listening()
	if requests := stored(t, second.nats, "RUNS"); requests != uint64(len(load.accepted)) {
		t.Errorf("%d runs are stored, and %d were answered", requests, len(load.accepted))
	}
	for _, n := range load.accepted {
		if doc := second.awaitEnd(client.Started{Task: s.copy, Number: n}); doc.Outcome() != run.Success || doc.RowsProcessed != 3 {
			t.Fatalf("run %s: %+v", n, doc)
		}
	}
	proctest.Eventually(t, "each run has its event", func() bool {
		events := stored(t, second.nats, "EVENTS")
		if events > uint64(len(load.accepted)) {
			t.Fatalf("%d events of %d runs", events, len(load.accepted))
		}
		return events == uint64(len(load.accepted))
	})
	second.end()
}

// A runner that is told to stop in the middle of a long run hands it to another one, which continues at
// once and behind what was written.
func TestARunMovesToAnotherRunner(t *testing.T) {
	t.Parallel()
	const rows = 1000
	s := newSite(t)
	var people strings.Builder
	people.WriteString("id,name,city\n")
	for i := range rows {
		fmt.Fprintf(&people, "%d,name %d,Oslo\n", i+1, i+1)
	}
	s.write("people.csv", people.String())
	s.write("tasks/copy.yaml", strings.Replace(fmt.Sprintf(siteTask, s.copy), "path: people.csv}}", "path: people.csv}, rate: 200/s}", 1))
	existing := bustest.Empty(t, false).Broker
	key := s.path("run.key")
	if err := web.CreateKeyFile(key); err != nil {
		t.Fatal(err)
	}
	nats := []string{"--nats", existing.URL(), "--listen", "127.0.0.1:0"}
	mustCall(t, "init", "--nats", existing.URL(), "--lease", "1h")
	ingress := begin(t, append([]string{"ingress", "--run-key-file", key}, nats...)...).listening()
	status := begin(t, append([]string{"status", "--run-key-file", key, "--admin-token-file", s.token()}, nats...)...).listening()
	mustCall(t, "task", "apply", s.path("tasks"), "--server", status.url)

	flags := append([]string{"runner", "--connections", s.path("connections.yaml"), "--grace", "300ms"}, nats...)
	from := raced(t, flags...).listening()
	release := s.hold() // until the other runner is there
	started := startWhenKnown(t, ingress, s)
	from.log.Await(t, `run started`, from.ended)
	to := raced(t, flags...).listening()
	release()
	for seen := int64(0); seen < rows/10; { // some are written
		doc, _, err := status.client.Status(t.Context(), started, 0)
		if err != nil {
			t.Fatal(err)
		}
		seen = doc.RowsProcessed
	}
	from.end()
	from.log.Await(t, `run handed back`, from.ended)
	to.log.Await(t, `run started`, to.ended) // long before the lease has run out
	doc := status.awaitEnd(started)
	if doc.Outcome() != run.Success || doc.ExecutionCount != 2 || doc.RowsInserted != rows || doc.RowsUnchanged != 0 || doc.RowsRetrieved != rows {
		t.Errorf("ended as %+v", doc)
	}
	to.end()
}

// A run that nobody took in time ends while the one in front of it goes on, and is not started after it.
func TestAQueuedRunEndsInTime(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.write("tasks/copy.yaml", fmt.Sprintf(siteTask, s.copy)+"start_within: 1s\n")
	i := spawn(t, s.args()...).listening()
	release := s.hold()
	first := i.start(s.copy, map[string][]string{"City": {"Oslo"}})
	i.awaitRunning(first)
	late := i.start(s.copy, map[string][]string{"City": {"Rome"}})
	if doc := i.awaitEnd(late); doc.Outcome() != run.Failed || doc.ExecutionCount != 0 || !strings.Contains(doc.Message, "start_within") {
		t.Errorf("the run that waited: %+v", doc)
	}
	release()
	if doc := i.awaitEnd(first); doc.Outcome() != run.Success {
		t.Errorf("the run in front: %+v", doc)
	}
	third := i.start(s.copy, map[string][]string{"City": {"Oslo"}})
	if doc := i.awaitEnd(third); doc.Outcome() != run.Success {
		t.Errorf("the run behind: %+v", doc)
	}
	if s.people() != "Ann,Cy" {
		t.Errorf("rows: %s", s.people())
	}
	if events := stored(t, i.nats, "EVENTS"); events != 3 {
		t.Errorf("%d events of 3 runs", events)
	}
	i.end()
}

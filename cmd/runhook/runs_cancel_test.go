package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"runhook/services/runner/connector/imis/imissite/sitetest"
	"runhook/shared/bus"
	"runhook/shared/client"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// A run that waits for a page of an iMIS site is canceled, and one that waits for its turn there, while the other has
// it. Then a later run has the site.
func TestCancelWhileASiteIsSilent(t *testing.T) {
	t.Parallel()
	s := newIMISSite(t)
	const first, second = task.ID("22222222-2222-4222-8222-222222222222"), task.ID("33333333-3333-4333-8333-333333333333")
	s.write("tasks/first.yaml", "id: "+string(first)+"\nname: First\nsource: {imis: {connection: prod, query: $/Members}}\n"+mapMembers+toMembers)
	s.write("tasks/second.yaml", "id: "+string(second)+"\nname: Second\nsource: {imis: {connection: prod, query: $/Members}}\n"+mapMembers+toMembers)
	i := begin(t, s.args()...).listening()
	defer i.end()
	reached := make(chan struct{})
	s.imis.FailPage(0, func(w http.ResponseWriter, r *http.Request) {
		close(reached)
		sitetest.Stall(w, r)
	})
	page := i.start(first, nil)
	<-reached
	turn := i.start(second, nil)
	i.awaitRunning(turn)

	var canceled []run.Document
	out := mustCall(t, "runs", "cancel", turn.Number.String(), "--json", "--why", "not now", "--server", i.url)
	if err := json.Unmarshal([]byte(out), &canceled); err != nil || len(canceled) != 1 || canceled[0].ImportID != turn.Number || canceled[0].Message != "Canceled by admin before its first row: not now" {
		t.Errorf("%v, the run that waits for its turn: %s", err, out)
	}
	if doc, err := i.client.Run(t.Context(), page.Number); err != nil || doc.Status != run.InProgress {
		t.Errorf("the run that has the turn: %+v, %v", doc, err)
	}
	if said := mustCall(t, "runs", "cancel", "--task", "First", "--server", i.url); said != fmt.Sprintf("Run %s of \"First\": Canceled by admin before its first row.\n", page.Number) {
		t.Errorf("cancel says: %s", said)
	}
	if doc := i.awaitEnd(i.start(second, nil)); doc.Outcome() != run.Success || doc.RowsProcessed != 3 {
		t.Errorf("a later run: %+v", doc)
	}
	if !strings.Contains(i.log.String(), `"by":"admin"`) || !strings.Contains(i.log.String(), `"run":"2","why":"not now","result":"requested"`) {
		t.Errorf("the log:\n%s", i.log)
	}
}

// CancelUrl of the POST's answer cancels, also where links are signed, and opens nothing else.
func TestCancelURLCancels(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	i := begin(t, s.args("--run-links", "signed")...).listening()
	release := s.hold()
	held := i.start(s.copy, nil)
	i.awaitRunning(held)
	queued := i.start(s.copy, nil)
	for _, started := range []run.Document{queued.Document, held.Document} {
		post := func(url string) (doc run.Document, status int) {
			answer, err := http.Post(url, "", nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = answer.Body.Close() }()
			if answer.StatusCode == http.StatusAccepted {
				if err := json.NewDecoder(answer.Body).Decode(&doc); err != nil {
					t.Fatal(err)
				}
			}
			return doc, answer.StatusCode
		}
		_, sig, _ := strings.Cut(started.PollingURL, "?")
		cancel, _, _ := strings.Cut(started.CancelURL, "?")
		if _, status := post(cancel + "?" + sig); status != http.StatusForbidden {
			t.Errorf("with the signature of the status: %d", status)
		}
		if doc, status := post(started.CancelURL); status != http.StatusAccepted || doc.CancelRequestedOn == nil {
			t.Errorf("%d %+v", status, doc)
		}
	}
	if doc := i.awaitEnd(queued); doc.Message != "Canceled by its CancelUrl before it was started" {
		t.Errorf("the queued one: %+v", doc)
	}
	if doc := i.awaitEnd(held); doc.Message != "Canceled by its CancelUrl before its first row" {
		t.Errorf("the one in progress: %+v", doc)
	}
	release()
	code, out, messages := call(t, "runs", "cancel", held.Number.String(), "999", "--server", i.url)
	if code != exitFailed || out != "Canceled 0 of 2 runs.\n" || !strings.Contains(messages, "Run 1 has ended already: Canceled.") || !strings.Contains(messages, "Run 999 does not exist") {
		t.Errorf("what cannot be canceled: %d %s%s", code, out, messages)
	}
	i.end()
}

// A run whose runner does not hear is said to be asked, and the document of a run that ends before its runner hears is
// what it is.
func TestCancelOfARunWhoseRunnerIsDeaf(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	i := begin(t, s.args("--hold")...).listening()
	defer i.end()
	deaf, quick := i.start(s.copy, nil), i.start(s.copy, nil)
	store, err := bus.Connect(t.Context(), bus.Config{URLs: i.nats, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := store.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	claims := map[run.Number]*bus.Claim{}
	for _, started := range []client.Started{deaf, quick} {
		if claims[started.Number], err = store.Work.Claim(t.Context(), s.copy, started.Number, run.Claim{Owner: "deaf", Executions: 1, StartedOn: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	asked := begin(t, "runs", "cancel", "--task", "Copy", "--server", i.url)
	proctest.Eventually(t, "both are asked to end", func() bool {
		_, first, firstErr := store.Work.FindCancel(t.Context(), s.copy, deaf.Number)
		_, second, secondErr := store.Work.FindCancel(t.Context(), s.copy, quick.Number)
		return first && second && firstErr == nil && secondErr == nil
	})
	doc := quick.Document
	doc.CancelURL = ""
	doc.Begin(time.Now(), time.Now(), 1)
	doc.End(run.Success, "done", time.Now())
	if err := claims[quick.Number].Finish(t.Context(), doc, nil); err != nil {
		t.Fatal(err)
	}
	code, out, messages := asked.said()
	if code != exitFailed || out != "Canceled 0 of 2 runs.\n" ||
		!strings.Contains(messages, "run 1 of \"Copy people\" was asked to end and has not within 10s, so its runner may be gone; it ends as soon as another takes it over: `runhook runs show 1` tells") ||
		!strings.Contains(messages, "run 2 of \"Copy people\" ended before its runner heard of the cancel: Success") {
		t.Errorf("cancel says: %d %s%s", code, out, messages)
	}
	if said := mustCall(t, "runs", "show", "1", "--json", "--server", i.url); !strings.Contains(said, `"CancelRequestedOn": "`) {
		t.Errorf("its document: %s", said)
	}
}

// Two who cancel the same runs at once are not told of the other's as of faults: each run is counted by one of them.
func TestTwoCancelTheSameRuns(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	defer s.hold()()
	i := begin(t, s.args()...).listening()
	const queued = 60
	for range queued + 1 {
		i.start(s.copy, nil)
	}
	var both sync.WaitGroup
	var canceled, missed atomic.Int64
	for range 2 {
		both.Go(func() {
			code, out, messages := call(t, "runs", "cancel", "--task", "Copy", "--queued", "--server", i.url)
			if code != exitSuccess || messages != "" {
				t.Errorf("exit code %d, %s%s", code, out, messages)
			}
			lines := strings.Split(strings.TrimSpace(out), "\n")
			var mine, of, ended int64
			sum := lines[len(lines)-1] // behind a line for each run where they are few
			if _, err := fmt.Sscanf(sum, "Canceled %d of %d runs.", &mine, &of); err != nil && sum != "There is no run to cancel." {
				t.Errorf("%v: %s", err, out)
			}
			if _, behind, found := strings.Cut(sum, "runs. "); found {
				_, _ = fmt.Sscanf(behind, "%d run", &ended)
			}
			if mine+ended < of {
				t.Errorf("not all of its runs are accounted for: %s", out)
			}
			canceled.Add(mine)
			missed.Add(ended)
		})
	}
	both.Wait()
	if canceled.Load() < queued {
		t.Errorf("%d were canceled, %d by the other", canceled.Load(), missed.Load())
	}
	if got := (missedRuns{taken: 1, ended: 2}).String(); got != " Runners took 1 run in between. 2 runs ended in between." {
		t.Error(got)
	}
}

// While a cluster looks for a leader its services answer 503. Whoever changes something then waits, and needs no second
// command. A store that is full is not waited for.
func TestCommandsWaitForTheStore(t *testing.T) {
	t.Parallel()
	const id = "555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd"
	for _, c := range []struct {
		command, answer, says string
	}{
		{"runs cancel 41", `{"ExecuteId":"` + id + `","ImportId":41,"TaskName":"Copy","Status":"D","StatusDescription":"Canceled","Success":false,"Message":"Canceled by ann"}`, "Run 41 of \"Copy\": Canceled by ann.\n"},
		{"runs delete 41", `{"Receipts":[{"Receipt":"r","ExecuteId":"` + id + `","TaskName":"Copy","First":41,"Last":41,"By":"ann","On":"2026-01-01T00:00:00Z","DoneOn":"2026-01-01T00:00:00Z","Removed":{}}]}`, "Run 41 of \"Copy\" is deleted"},
		{"connections pause drop", `{"Changed":true,"Connection":{"Name":"drop","Tasks":[]}}`, "Connection drop is paused"},
		{"connections resume drop", `{"Changed":true,"Connection":{"Name":"drop","Tasks":[]}}`, "Connection drop is resumed"},
		{"task enable " + id, `{"Changed":true,"Name":"Copy"}`, "enabled.\n"},
	} {
		for kind, most := range map[string]int{"store-unavailable": 2, "store-full": 1} {
			var mu sync.Mutex
			asked := map[string]int{}
			server := stranger(t, func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				w.Header().Set("Content-Type", "application/json")
				isFind := strings.HasPrefix(r.URL.Path, "/api/tasks/") && r.Method == http.MethodGet // which the server answers from memory
				if asked[r.Method+r.URL.Path]++; asked[r.Method+r.URL.Path] == 1 && !isFind {
					w.WriteHeader(http.StatusServiceUnavailable)
					_, _ = io.WriteString(w, `{"type":"urn:runhook:problem:`+kind+`","title":"Not available","status":503,"detail":"NATS cannot be reached"}`)
					return
				}
				if strings.HasSuffix(r.URL.Path, "/cancel") {
					w.WriteHeader(http.StatusAccepted)
				}
				_, _ = io.WriteString(w, c.answer)
			})
			code, out, messages := call(t, append(strings.Fields(c.command), "--server", server.URL)...)
			server.Close()
			if most == 2 && (code != exitSuccess || !strings.Contains(out, c.says)) || most == 1 && code == exitSuccess {
				t.Errorf("%s, %s: exit code %d, %s%s", c.command, kind, code, out, messages)
			}
			for what, times := range asked {
				if times > most {
					t.Errorf("%s, %s: %s was asked %d times", c.command, kind, what, times)
				}
			}
		}
	}
}

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/client"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/web"
)

// accepted is a run as the store has it: its request, its final document, and when each was stored.
type accepted struct {
	number         run.Number
	request        run.Request
	stored, ended  time.Time
	doc            run.Document
	finals, copied int
}

// started reports whether the run was ever started.
func (a accepted) started() bool { return a.doc.ExecutionCount > 0 }

// everyRun reads all runs of a task, in order.
func everyRun(ctx context.Context, store *bus.Bus, id task.ID) (all []*accepted, err error) {
	byNumber := map[run.Number]*accepted{}
	err = store.Jet().Runs.Scan(ctx, bus.Range{Subjects: []string{"run.request." + string(id)}}, func(r bus.Record) error {
		request, err := run.DecodeRequest(r.Data, id)
		a := &accepted{number: store.Jet().Numbers.Of(r.Sequence), request: request, stored: r.Time}
		all, byNumber[a.number] = append(all, a), a
		return err
	})
	if err != nil {
		return nil, err
	}
	open, err := store.Jet().OpenSlices(ctx)
	if err != nil {
		return nil, err
	}
	for _, slice := range open {
		err := slice.Scan(ctx, bus.Range{Subjects: []string{slice.Finals()}}, func(r bus.Record) error {
			of, n, ok := slice.EndedRun(r.Subject)
			a := byNumber[n]
			if !ok || of != id || a == nil {
				return nil
			}
			a.finals++
			a.ended = r.Time
			var err error
			a.doc, err = run.DecodeFinal(r.Data, id, n)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	counts, err := bustest.EventCounts(ctx, store)
	for _, a := range all {
		a.copied = counts[a.number]
	}
	return all, err
}

// Three ingresses, three runners and two status services under 200 POSTs a second of one task, of which an ingress and a
// runner are killed in the middle: of no task do two runs overlap, each accepted run ends once, and each overlap does
// what it says.
func TestOverlapIsExact(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	nats := bustest.Empty(t, false).Broker
	mustCall(t, "init", "--nats", nats.URL(), "--lease", "4s")
	store, err := bus.Connect(t.Context(), bus.Config{URLs: nats.URL(), Log: zerolog.Nop()})
	if err == nil {
		defer store.Close()
		err = store.Check(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	key := s.path("run.key")
	if err := web.CreateKeyFile(key); err != nil {
		t.Fatal(err)
	}
	at := []string{"--nats", nats.URL(), "--listen", "127.0.0.1:0"}
	ingress := append([]string{"ingress", "--run-key-file", key}, at...)
	status := append([]string{"status", "--run-key-file", key, "--admin-token-file", s.token(), "--cache", "off"}, at...)
	runner := append([]string{"runner", "--connections", s.path("connections.yaml")}, at...)
	ingresses := []string{begin(t, ingress...).listening().url, begin(t, ingress...).listening().url}
	operator := begin(t, status...).listening()
	begin(t, status...).listening()
	begin(t, runner...).listening()
	begin(t, runner...).listening()

	for _, overlap := range []task.Overlap{task.RejectOverlap, task.SkipOverlap, task.LatestOverlap, task.CancelRunningOverlap} {
		t.Run(string(overlap), func(t *testing.T) {
			id := task.NewID()
			s.write("tasks/copy.yaml", fmt.Sprintf(`id: %s
name: %s
overlap: %[2]s
retry: {attempts: 1}
source: {csv: {connection: here, path: people.csv}, rate: 20/s}
where: "false"
mapping: {id: id}
destination: {nats: {subject: nobody.listens}}
`, id, overlap))
			mustCall(t, "task", "apply", s.path("tasks"), "--server", operator.url)
			dyingIngress, dyingRunner := spawn(t, ingress...).listening(), spawn(t, runner...).listening()
			urls := append(slices.Clone(ingresses), dyingIngress.url)
			for _, url := range urls {
				proctest.Eventually(t, "the ingress knows the task", func() bool {
					response, err := http.Post(url+"/task/execute/"+string(id), "", strings.NewReader("{"))
					if err != nil {
						t.Fatal(err)
					}
					_ = response.Body.Close()
					return response.StatusCode == http.StatusBadRequest
				})
			}

			// answered are the runs that an answer has named, with when their POST was sent.
			var mu sync.Mutex
			answered, refused := map[run.Number]time.Time{}, 0
			const posts, every = 240, 5 * time.Millisecond
			var callers sync.WaitGroup
			ticker := time.NewTicker(every)
			defer ticker.Stop()
			for n := range posts {
				<-ticker.C
				if n == posts/2 {
					dyingIngress.kill()
					dyingRunner.kill()
				}
				callers.Go(func() {
					sent := time.Now()
					response, err := http.Post(urls[n%3]+"/task/executepolling/"+string(id), "", nil)
					if err != nil {
						if n%3 != 2 { // else it was under way when its ingress was killed, or came later
							t.Error(err)
						}
						return
					}
					defer func() { _ = response.Body.Close() }()
					mu.Lock()
					defer mu.Unlock()
					switch location := response.Header.Get("Location"); response.StatusCode {
					case http.StatusAccepted:
						number, err := run.ParseNumber(strings.Split(location, "/")[6])
						if err != nil {
							t.Error(location, err)
						}
						answered[number] = sent
					case http.StatusConflict:
						refused++
					case http.StatusServiceUnavailable: // the machine is too busy; it starts nothing, or says that it may have
					default:
						t.Errorf("a POST is answered %s", response.Status)
					}
				})
			}
			callers.Wait()
			var all []*accepted
			proctest.Until(t, func() (err error) {
				all, err = everyRun(t.Context(), store, id)
				for _, a := range all {
					if err == nil && (a.finals == 0 || a.copied == 0) {
						err = fmt.Errorf("run %s of %d has not ended", a.number, len(all))
					}
				}
				return err
			})
			started := overlapsNowhere(t, all, answered)
			t.Logf("%d POSTs: %d refused, %d accepted, of which %d were started", posts, refused, len(all), started)
			if (refused > 0) != (overlap == task.RejectOverlap) || started < 1 {
				t.Errorf("%d are refused, %d started", refused, started)
			}
			switch overlap {
			case task.RejectOverlap, task.SkipOverlap:
				alone(t, all, answered)
			default:
				superseded(t, all)
			}
		})
	}
}

// overlapsNowhere wants each run to have ended once, and no two to have been under way at once. It returns how many
// were started.
func overlapsNowhere(t *testing.T, all []*accepted, answered map[run.Number]time.Time) (started int) {
	t.Helper()
	known := map[run.Number]bool{}
	var before *accepted
	for _, a := range all {
		known[a.number] = true
		if a.finals != 1 || a.copied != 1 {
			t.Errorf("run %s has %d final documents and %d events", a.number, a.finals, a.copied)
		}
		if !a.started() {
			continue
		}
		started++
		if before != nil && time.Time(*a.doc.StartedOn).Before(time.Time(*before.doc.CompletedOn)) {
			t.Errorf("run %s began at %v, and run %s ended at %v", a.number, a.doc.StartedOn, before.number, before.doc.CompletedOn)
		}
		before = a
	}
	for n := range answered {
		if !known[n] {
			t.Errorf("run %s was accepted and is not there", n)
		}
	}
	return started
}

// alone wants each run that was let in to have been accepted when all before it had ended, and each other one to name
// a run that had not ended when its POST was sent.
func alone(t *testing.T, all []*accepted, answered map[run.Number]time.Time) {
	t.Helper()
	byNumber := map[run.Number]*accepted{}
	var last *accepted
	for _, a := range all {
		byNumber[a.number] = a
		if a.request.SkippedFor == 0 {
			if last != nil && !last.ended.Before(a.stored) {
				t.Errorf("run %s was let in at %v, and run %s ended at %v", a.number, a.stored, last.number, last.ended)
			}
			if last = a; !a.started() {
				t.Errorf("run %s was let in and not started: %s", a.number, a.doc.Message)
			}
			continue
		}
		open := byNumber[a.request.SkippedFor]
		switch sent, known := answered[a.number]; {
		case a.started(), a.doc.Outcome() != run.Canceled:
			t.Errorf("run %s is skipped and ended %+v", a.number, a.doc)
		case open == nil, open.request.SkippedFor > 0:
			t.Errorf("run %s was skipped for run %s, which was not let in", a.number, a.request.SkippedFor)
		case known && !open.ended.After(sent):
			t.Errorf("run %s was skipped for run %s, which had ended before its POST", a.number, open.number)
		}
	}
}

// superseded wants each run that was not started to have been canceled by a later one, which is the next one but where that
// was ended before it, and the last one to succeed.
func superseded(t *testing.T, all []*accepted) {
	t.Helper()
	for i, a := range all {
		canceled := a.doc.Outcome() == run.Canceled
		byLater := canceled && slices.ContainsFunc(all[i+1:], func(later *accepted) bool {
			return strings.HasPrefix(a.doc.Message, fmt.Sprintf("Canceled by run %s, a later one of the task,", later.number))
		})
		switch {
		case i == len(all)-1 && a.doc.Outcome() != run.Success:
			t.Errorf("the last run has ended %+v", a.doc)
		case !a.started() && !byLater:
			t.Errorf("run %s was not started: %s", a.number, a.doc.Message)
		case canceled && a.started() && a.request.Overlap == task.LatestOverlap:
			t.Errorf("run %s was canceled when it was under way: %s", a.number, a.doc.Message)
		}
	}
}

// What a caller and the command line are told of each overlap, on one server.
func TestOverlapsAnswer(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ids := map[task.Overlap]task.ID{}
	for _, overlap := range []task.Overlap{task.RejectOverlap, task.SkipOverlap, task.LatestOverlap, task.CancelRunningOverlap} {
		ids[overlap] = task.NewID()
		s.write("tasks/"+string(overlap)+".yaml", strings.Replace(fmt.Sprintf(siteTask, ids[overlap]), "Copy people", "Copy "+string(overlap), 1)+"overlap: "+string(overlap)+"\n")
	}
	i := begin(t, s.args()...).listening()
	// post POSTs and waits for the end of the run.
	post := func(id task.ID, key string) (status int, doc run.Document) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, i.url+"/task/executepolling/"+string(id), nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Prefer", "wait=60")
		request.Header.Set("Idempotency-Key", key)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode < 300 {
			if doc, err = run.DecodeDocument(body); err != nil {
				t.Fatal(err)
			}
		}
		return response.StatusCode, doc
	}
	// cli runs a command that starts a run and waits for its end.
	cli := func(want int, says string, args ...string) {
		t.Helper()
		if code, out, messages := call(t, append(args, "--server", i.url)...); code != want || !strings.Contains(out+messages, says) {
			t.Errorf("%v: %d, want %d\n%s%s", args, code, want, out, messages)
		}
	}

	release := s.hold()
	first := i.start(ids[task.RejectOverlap], nil)
	i.awaitRunning(first)
	open := "Run " + first.Number.String() + " has not ended, and the task takes no other one meanwhile (overlap: reject)"
	if status, _ := post(ids[task.RejectOverlap], "a"); status != http.StatusConflict {
		t.Errorf("reject: %d", status)
	}
	cli(exitNoStart, open, "run", "copy reject", "--wait")
	cli(exitNoStart, open, "run", "copy reject", "--dry-run")
	cli(exitNoStart, open, "runs", "again", first.Number.String())
	release()
	i.awaitEnd(first)
	status, doc := post(ids[task.RejectOverlap], "a")
	if status != http.StatusOK || doc.Outcome() != run.Success || doc.ImportID == first.Number {
		t.Errorf("when it has ended: %d %+v", status, doc)
	}
	cli(exitSuccess, "Success", "run", "copy reject", "--wait")

	release = s.hold()
	first = i.start(ids[task.SkipOverlap], nil)
	i.awaitRunning(first)
	skipped := "Skipped, because run " + first.Number.String() + " of the task had not ended when this one came"
	status, doc = post(ids[task.SkipOverlap], "a")
	if status != http.StatusOK || doc.Outcome() != run.Canceled || !strings.HasPrefix(doc.Message, skipped) {
		t.Errorf("skip: %d %+v", status, doc)
	}
	if again, same := post(ids[task.SkipOverlap], "a"); again != http.StatusOK || same.ImportID != doc.ImportID {
		t.Errorf("skip, repeated: %d %+v", again, same)
	}
	cli(exitCanceled, skipped, "run", "copy skip", "--wait")
	cli(exitCanceled, skipped, "runs", "again", first.Number.String(), "--wait")
	release()
	i.awaitEnd(first)
	if again, same := post(ids[task.SkipOverlap], "a"); again != http.StatusOK || same.ImportID != doc.ImportID { // which was accepted
		t.Errorf("skip, repeated afterwards: %d %+v", again, same)
	}
	if status, doc = post(ids[task.SkipOverlap], "b"); status != http.StatusOK || doc.Outcome() != run.Success {
		t.Errorf("skip, when it has ended: %d %+v", status, doc)
	}

	for _, overlap := range []task.Overlap{task.LatestOverlap, task.CancelRunningOverlap} {
		release = s.hold()
		first, second := i.start(ids[overlap], nil), i.start(ids[overlap], nil)
		if overlap == task.LatestOverlap {
			i.awaitRunning(first)
		}
		tried, err := i.client.Try(t.Context(), ids[overlap], nil) // which ends none of them
		if err != nil {
			t.Fatal(err)
		}
		third := i.start(ids[overlap], nil)
		canceled := i.awaitEnd(second)
		if canceled.Outcome() != run.Canceled || !strings.Contains(canceled.Message, "run "+third.Number.String()+",") {
			t.Errorf("%s: the second %+v", overlap, canceled)
		}
		if overlap == task.CancelRunningOverlap {
			i.awaitEnd(first) // the ask may come behind that of the second, and too late where the lock is free
		}
		release()
		if doc := i.awaitEnd(third); doc.Outcome() != run.Success {
			t.Errorf("%s: the third %+v", overlap, doc)
		}
		if doc := i.awaitEnd(first); (doc.Outcome() == run.Success) != (overlap == task.LatestOverlap) {
			t.Errorf("%s: the first %+v", overlap, doc)
		}
		if doc := i.awaitEnd(tried); doc.Outcome() != run.Success {
			t.Errorf("%s: the dry run %+v", overlap, doc)
		}
	}
	i.end()
}

// A run that waits for its next attempt holds its place, and ends at once when a later one cancels it.
func TestTheNewestRunCancelsOneBetweenAttempts(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.write("connections.yaml", siteConnections+"away: {http: {private: true, url: \"http://"+proctest.FreeAddress(t)+"\"}}\n")
	s.write("tasks/copy.yaml", fmt.Sprintf(`id: %s
name: Fetch
overlap: cancel_running
retry: {attempts: 3, backoff: 1h}
source: {http: {connection: away, path: /rows}}
mapping: {id: id}
destination: {sql: {connection: db, table: people, key: [id], action: upsert, create: true}}
`, s.copy))
	i := begin(t, s.args()...).listening()
	var before *client.Started
	for range 2 {
		started := i.start(s.copy, nil)
		if before != nil {
			want := "Canceled by run " + started.Number.String() + ", a later one of the task,"
			if doc := i.awaitEnd(*before); doc.Outcome() != run.Canceled || !strings.HasPrefix(doc.Message, want) || doc.ExecutionCount != 1 {
				t.Errorf("%+v", doc)
			}
		}
		eventually(t, i, "the run waits for its next attempt", func() bool {
			doc, _, err := i.client.Status(t.Context(), started, 0)
			return err == nil && strings.HasPrefix(doc.Message, "Attempt 1 of 3 failed")
		})
		before = &started
	}
	mustCall(t, "runs", "cancel", before.Number.String(), "--server", i.url)
	i.end()
}

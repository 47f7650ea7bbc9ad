package ingress

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// overlapping applies a task with more lines in its file, and returns the path that starts its runs.
func (h *house) overlapping(t testing.TB, lines string) (path string, def *task.Definition) {
	t.Helper()
	return h.reapply(t, task.NewID(), lines)
}

// reapply applies the task of an id with other lines.
func (h *house) reapply(t testing.TB, id task.ID, lines string) (path string, def *task.Definition) {
	t.Helper()
	def = parse(t, fmt.Sprintf(`id: %s
name: Overlapping
parameters: [{name: Region}]
source: {csv: {connection: drop, path: in.csv}}
mapping: {id: ID}
destination: {csv: {connection: drop, path: out.csv, action: replace}}
%s
`, id, lines))
	if _, err := h.Store.Tasks.Apply(t.Context(), def, false); err != nil {
		t.Fatal(err)
	}
	bustest.AwaitView(t, h.Tasks, "the task", func() bool { return h.Tasks.Shows(id, def.Hash) })
	return "/task/executepolling/" + string(id), def
}

// A task with overlap: reject has one open run, whoever asks, how often and where.
func TestRejectLetsOneRunIn(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	other := openOn(t, h.Store, nil)
	path, def := h.overlapping(t, "overlap: reject")
	bustest.AwaitView(t, other.Tasks, "the task", func() bool { return other.Tasks.Shows(def.ID, def.Hash) })
	for round := range 3 {
		var posts sync.WaitGroup
		answers := make(chan answer, 40)
		for i := range cap(answers) {
			posts.Go(func() { answers <- []*house{h, other}[i%2].post(t, path, "") })
		}
		posts.Wait()
		close(answers)
		var first run.Document
		var refused []answer
		for got := range answers {
			if got.Status != http.StatusAccepted {
				refused = append(refused, got)
				continue
			}
			if first.ImportID > 0 {
				t.Fatalf("runs %s and %s are open", first.ImportID, got.document(t).ImportID)
			}
			first = got.document(t)
		}
		for _, got := range refused {
			p := got.problem(t)
			if p.Status != http.StatusConflict || p.Type != "urn:runhook:problem:run-open" || !strings.HasPrefix(p.Detail, "Run "+first.ImportID.String()+" has not ended, ") {
				t.Fatalf("round %d: %+v", round, p)
			}
		}
		h.finish(t, first, run.Failed)
	}
	if refused := h.metric(t, `runhook_posts_refused_total{reason="run-open",task="Overlapping"}`); refused == "" {
		t.Error("no metric counts what was refused")
	}
}

// A repeated POST gets its run, whatever the overlap says of another one, and a key that was refused starts a run later.
func TestRejectedKeys(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	path, _ := h.overlapping(t, "overlap: reject")
	first := h.post(t, path, "", "Idempotency-Key", "a").document(t)
	again := h.post(t, path, "", "Idempotency-Key", "a")
	if doc := again.document(t); doc.ImportID != first.ImportID || again.Get("Idempotency-Replayed") != "true" {
		t.Errorf("repeated: %+v", doc)
	}
	if got := h.post(t, path, `{"QueryParameters":{"Region":"x"}}`, "Idempotency-Key", "a"); got.Status != http.StatusUnprocessableEntity {
		t.Errorf("the key with other parameters: %d %s", got.Status, got.Body)
	}
	if p := h.post(t, path, "", "Idempotency-Key", "b").problem(t); p.Status != http.StatusConflict {
		t.Errorf("another key: %+v", p)
	}
	h.finish(t, first, run.Success)
	later := h.post(t, path, "", "Idempotency-Key", "b")
	if doc := later.document(t); doc.ImportID == first.ImportID || later.Get("Idempotency-Replayed") != "" {
		t.Errorf("the key that was refused: %+v", doc)
	}
}

// Runs of before the overlap count, too, also if the last of them has ended.
func TestRejectSeesEarlierRuns(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	path, def := h.overlapping(t, "")
	var docs []run.Document
	for range 3 {
		docs = append(docs, h.post(t, path, "").document(t))
	}
	h.reapply(t, def.ID, "overlap: reject")
	for _, ends := range []int{2, 0} {
		h.finish(t, docs[ends], run.Canceled)
		if p := h.post(t, path, "").problem(t); p.Status != http.StatusConflict {
			t.Fatalf("%+v", p)
		}
	}
	h.finish(t, docs[1], run.Success)
	if got := h.post(t, path, ""); got.Status != http.StatusAccepted {
		t.Errorf("when all have ended: %d %s", got.Status, got.Body)
	}
	if got := h.post(t, strings.Replace(path, "executepolling", "dryrun", 1), ""); got.Status != http.StatusConflict {
		t.Errorf("a dry run beside an open run: %d %s", got.Status, got.Body)
	}
}

// With overlap: skip the runs beside an open one are accepted, and marked so that nobody ever starts them; the first
// POST after its end starts one again, however many were skipped before.
func TestSkippedRunsNameTheOpenOne(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	other := openOn(t, h.Store, nil)
	path, def := h.overlapping(t, "overlap: skip\nretry_after: 40s")
	bustest.AwaitView(t, other.Tasks, "the task", func() bool { return other.Tasks.Shows(def.ID, def.Hash) })
	for range 3 {
		open := h.post(t, path, "")
		first := open.document(t)
		if open.Status != http.StatusAccepted || open.Get("Retry-After") != "40" || strings.Contains(first.Message, "Canceled") {
			t.Fatalf("%d %s", open.Status, open.Body)
		}
		for i := range 6 {
			got := []*house{h, other}[i%2].post(t, path, "")
			doc := got.document(t)
			request, err := h.Runs.Request(t.Context(), def.ID, doc.ImportID)
			if got.Status != http.StatusAccepted || got.Get("Retry-After") != "1" || err != nil || request.SkippedFor != first.ImportID ||
				doc.Message != "Ends Canceled at once, because run "+first.ImportID.String()+" of the task has not ended (overlap: skip)" {
				t.Fatalf("%v %+v %d %s", err, request, got.Status, got.Body)
			}
		}
		h.finish(t, first, run.Success)
	}
}

// Runs that were let in under another definition are seen behind the skipped ones, however often it changes.
func TestSkipSeesRunsOfOtherDefinitions(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	other := openOn(t, h.Store, nil)
	path, def := h.overlapping(t, "overlap: skip")
	both := func(lines string) {
		_, def := h.reapply(t, def.ID, lines)
		bustest.AwaitView(t, other.Tasks, "the task", func() bool { return other.Tasks.Shows(def.ID, def.Hash) })
	}
	bustest.AwaitView(t, other.Tasks, "the task", func() bool { return other.Tasks.Shows(def.ID, def.Hash) })
	skippedFor := func(at *house, want run.Number) {
		t.Helper()
		doc := at.post(t, path, "").document(t)
		if request, err := h.Runs.Request(t.Context(), def.ID, doc.ImportID); err != nil || request.SkippedFor != want {
			t.Fatalf("run %s is skipped for run %s, want %s: %v", doc.ImportID, request.SkippedFor, want, err)
		}
	}
	for _, pause := range []time.Duration{0, 60 * time.Millisecond} { // before and after the requests that came are looked at
		first := h.post(t, path, "").document(t)
		skippedFor(other, first.ImportID)
		both("")
		second := other.post(t, path, "").document(t)
		both("overlap: skip")
		for range 4 {
			skippedFor(h, first.ImportID)
			skippedFor(other, first.ImportID)
			<-time.After(pause)
		}
		h.finish(t, first, run.Success)
		skippedFor(h, second.ImportID)
		skippedFor(other, second.ImportID)
		h.finish(t, second, run.Success)
		third := other.post(t, path, "").document(t)
		skippedFor(h, third.ImportID)
		h.finish(t, third, run.Success)
	}
}

// Above max_queued a POST gets 429, and a repeated one its run.
func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	path, _ := h.overlapping(t, "max_queued: 3")
	first := h.post(t, path, "", "Idempotency-Key", "a").document(t)
	var refused answer
	proctest.Eventually(t, "the queue is full", func() bool {
		refused = h.post(t, path, "")
		return refused.Status == http.StatusTooManyRequests
	})
	p := refused.problem(t)
	if p.Status != http.StatusTooManyRequests || p.Type != "urn:runhook:problem:queue-full" || refused.Get("Retry-After") != "30" || !strings.HasPrefix(p.Detail, "3 runs of this task wait") {
		t.Errorf("%+v %v", p, refused.Header)
	}
	if again := h.post(t, path, "", "Idempotency-Key", "a"); again.document(t).ImportID != first.ImportID {
		t.Errorf("repeated: %s", again.Body)
	}
	// What was canceled while it waited does not count.
	waits, err := h.Runs.Queued(t.Context(), first.ImportID, 1000, first.ExecuteID) // two, or more that came before they were counted
	if err != nil || len(waits) < 2 {
		t.Fatal(waits, err)
	}
	for _, status := range waits {
		if _, err := h.Unheld.Cancel(t.Context(), first.ExecuteID, status.Document.ImportID, run.Cancel{By: "ann", On: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		proctest.Eventually(t, "there is room for two", func() bool { return h.post(t, path, "").Status == http.StatusAccepted })
	}
	proctest.Eventually(t, "the queue is full again", func() bool { return h.post(t, path, "").Status == http.StatusTooManyRequests })
	queue, err := h.Work.Queue(t.Context(), first.ExecuteID)
	if err != nil {
		t.Fatal(err)
	}
	defer queue.Close()
	proctest.Eventually(t, "there is room again", func() bool {
		if _, err := queue, queue.Fetch(t.Context(), 1, func(d *bus.Delivery) { d.Done() }); err != nil {
			t.Log(err)
		}
		return h.post(t, path, "").Status == http.StatusAccepted
	})
}

// A held task takes no POST but a repeated one, and says why.
func TestHeldTask(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	if err := h.KeepSources(t.Context()); err != nil {
		t.Fatal(err)
	}
	path, def := h.overlapping(t, "disable_after_failures: 2")
	first := h.post(t, path, "", "Idempotency-Key", "a").document(t)
	h.finish(t, first, run.Failed)
	second := h.post(t, path, "").document(t)
	h.finish(t, second, run.Failed)
	failures := h.Unheld.Failures(def.ID)
	proctest.Eventually(t, "both failures are counted", func() bool {
		last, err := h.Unheld.Events(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		held, err := failures.Count(t.Context(), last, def.DisableAfterFailures)
		if err != nil {
			t.Fatal(err)
		}
		return held != nil
	})
	var p problem
	proctest.Eventually(t, "the ingress knows that the task is held", func() bool {
		got := h.post(t, path, "")
		if got.Status == http.StatusAccepted {
			return false
		}
		p = got.problem(t)
		return true
	})
	if want := "because its last 2 runs failed; run " + second.ImportID.String() + ": as the test wants. Nothing was started."; p.Status != http.StatusConflict || p.Type != "urn:runhook:problem:task-held" || !strings.Contains(p.Detail, want) {
		t.Errorf("%+v", p)
	}
	if again := h.post(t, path, "", "Idempotency-Key", "a"); again.document(t).ImportID != first.ImportID {
		t.Errorf("repeated: %s", again.Body)
	}
	if got := openOn(t, h.Store, nil).post(t, path, ""); got.Status != http.StatusConflict {
		t.Errorf("the first POST to another ingress: %d", got.Status)
	}
	if _, err := h.Store.Tasks.Release(t.Context(), def.ID); err != nil {
		t.Fatal(err)
	}
	proctest.Eventually(t, "the task is let go", func() bool { return h.post(t, path, "").Status == http.StatusAccepted })
}

// What may wait is counted about once a second, not at each POST.
func TestTheQueueIsCountedSeldom(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	path, _ := h.overlapping(t, "concurrency: 500")
	looks, err := h.Store.Jet().NC.SubscribeSync("$JS.API.CONSUMER.INFO.RUNS.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Store.Jet().NC.Flush(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for range 200 {
		if got := h.post(t, path, ""); got.Status != http.StatusAccepted {
			t.Fatalf("%d %s", got.Status, got.Body)
		}
	}
	took := time.Since(began)
	proctest.Eventually(t, "it was counted at all", func() bool { n, _, _ := looks.Pending(); return n > 0 })
	if err := h.Store.Jet().NC.Flush(); err != nil {
		t.Fatal(err)
	}
	if n, _, _ := looks.Pending(); n > 2+int(took/time.Second) {
		t.Errorf("counted %d times in %s of 200 POSTs", n, took)
	}
}

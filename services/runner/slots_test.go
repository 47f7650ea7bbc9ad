package runner_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"runhook/services/runner"
	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// crowd is a store with tasks that may have many runs at once, which all stand still while the database
// is locked.
func crowd(t *testing.T, concurrency, tasks int) []*workshop {
	t.Helper()
	store, dir := bustest.New(t, bus.Topology{Lease: time.Hour}), t.TempDir()
	write(t, filepath.Join(dir, "in.csv"), "id,name\n1,Ann\n")
	write(t, filepath.Join(dir, "connections.yaml"), "drop: {files: .}\nwarehouse: {sqlite: warehouse.db}\n")
	var crowd []*workshop
	for i := range tasks {
		def := parse(t, fmt.Sprintf(`id: %s
name: Task %d
concurrency: %d
source: {csv: {connection: drop, path: in.csv}}
mapping: {id: id, name: name}
destination: {sql: {connection: warehouse, table: people, key: [id], action: upsert, create: true}}
`, taskID(), i, concurrency))
		if _, err := store.Tasks.Apply(t.Context(), def, false); err != nil {
			t.Fatal(err)
		}
		crowd = append(crowd, &workshop{store: store, dir: dir, request: request(def)})
	}
	return crowd
}

// leased is how many of a task's requests are leased to somebody, and how many pulls are open.
func (w *workshop) leased(t *testing.T) (requests, pulls int) {
	t.Helper()
	consumer, err := jetStream(t, w.store).Consumer(t.Context(), "RUNS", string(w.request.Task))
	if err != nil {
		t.Fatal(err)
	}
	return consumer.CachedInfo().NumAckPending, consumer.CachedInfo().NumWaiting
}

// While a pull is open each request starts when it comes, up to the task's concurrency, and the rest
// follows when runs end.
func TestRequestsOfAnOpenPullStartAtOnce(t *testing.T) {
	t.Parallel()
	w := crowd(t, 4, 1)[0]
	release := w.lock(t)
	w.runHere(t, runner.Options{Slots: 8})
	var numbers []run.Number
	for range 4 {
		n := w.submit(t)
		w.awaitClaim(t, n)
		numbers = append(numbers, n)
	}
	for range 20 {
		numbers = append(numbers, w.submit(t))
	}
	if leased, _ := w.leased(t); leased != 4 || w.running(t) != 4 {
		t.Errorf("%d requests are leased and %v runs under way, want 4", leased, w.running(t))
	}
	release()
	for _, n := range numbers {
		if doc := w.await(t, n); doc.Outcome() != run.Success || doc.ExecutionCount != 1 {
			t.Errorf("run %s ended as %+v", n, doc)
		}
	}
	w.waitUntilQuiet(t)
}

// Open pulls of other tasks are given up when the last slot is taken, and what they brought for nothing
// goes back, so that another runner could start it.
func TestNoRequestIsLeasedWithoutASlot(t *testing.T) {
	t.Parallel()
	tasks := crowd(t, 8, 5)
	release := tasks[0].lock(t)
	numbers := map[*workshop][]run.Number{}
	for range 5 { // 20 requests for 6 slots
		for _, w := range tasks[1:] {
			numbers[w] = append(numbers[w], w.submit(t))
		}
	}
	tasks[0].runHere(t, runner.Options{Slots: 6})
	proctest.Eventually(t, "all slots are taken and no pull is open", func() bool {
		open := 0
		for _, w := range tasks {
			_, pulls := w.leased(t)
			open += pulls
		}
		return open == 0 && tasks[0].running(t) == 6
	})
	// Another runner is offered all the others, long before a lease could run out.
	ctx, cancel := context.WithTimeout(t.Context(), proctest.Limit)
	defer cancel()
	offered := make(chan *bus.Delivery)
	var others sync.WaitGroup
	for _, w := range tasks {
		queue, err := w.store.Work.Queue(ctx, w.request.Task)
		if err != nil {
			t.Fatal(err)
		}
		others.Go(func() {
			defer queue.Close()
			for queue.Pull(ctx, 5, func(d *bus.Delivery) { offered <- d }) == nil {
			}
		})
	}
	var back []*bus.Delivery
	for len(back) < 14 && ctx.Err() == nil {
		select {
		case d := <-offered:
			back = append(back, d)
		case <-ctx.Done():
			t.Errorf("%d requests were offered, want 14", len(back))
		}
	}
	cancel()
	others.Wait()
	for _, d := range back {
		if err := d.Retry(0); err != nil {
			t.Error(err)
		}
	}
	release()
	for _, w := range tasks {
		for _, n := range numbers[w] {
			if doc := w.await(t, n); doc.Outcome() != run.Success || doc.ExecutionCount != 1 {
				t.Errorf("run %s ended as %+v", n, doc)
			}
		}
		w.waitUntilQuiet(t)
	}
}

// A runner that has fewer slots than there are requests leases each once, but for what was on its way when
// the last slot was taken. A task's request does not wait for the backlog of another.
func TestFullRunnerLeasesWhatItStarts(t *testing.T) {
	t.Parallel()
	tasks := crowd(t, 8, 5)
	late := tasks[4]
	release := tasks[0].lock(t)
	numbers := map[*workshop][]run.Number{}
	tasks[0].runHere(t, runner.Options{Slots: 2})
	for range 20 {
		for _, w := range tasks[:4] {
			numbers[w] = append(numbers[w], w.submit(t))
		}
	}
	proctest.Eventually(t, "all slots are taken", func() bool { return tasks[0].running(t) == 2 })
	n := late.submit(t)
	release()
	ended := late.await(t, n)
	last := time.Time{}
	for _, w := range tasks[:4] {
		for _, n := range numbers[w] {
			doc := w.await(t, n)
			if doc.Outcome() != run.Success || doc.ExecutionCount != 1 {
				t.Errorf("run %s ended as %+v", n, doc)
			}
			if started := time.Time(*doc.StartedOn); started.After(last) {
				last = started
			}
		}
		consumer, err := jetStream(t, w.store).Consumer(t.Context(), "RUNS", string(w.request.Task))
		if err != nil {
			t.Fatal(err)
		}
		// Each task's first pull asks for as many as slots are free, and so may one after a moment without backlog.
		if leases := consumer.CachedInfo().Delivered.Consumer; leases > 20+15 {
			t.Errorf("20 requests were leased %d times", leases)
		}
		w.waitUntilQuiet(t)
	}
	if !time.Time(*ended.StartedOn).Before(last) {
		t.Error("the request of another task waited for the whole backlog")
	}
}

// Runs of a task that takes one at a time start in the order of their requests.
func TestOneAtATimeStaysInOrder(t *testing.T) {
	t.Parallel()
	w := crowd(t, 1, 1)[0]
	var numbers []run.Number
	for range 30 {
		numbers = append(numbers, w.submit(t))
	}
	w.runHere(t, runner.Options{Slots: 8})
	var formerEnd time.Time
	for _, n := range numbers {
		doc := w.await(t, n)
		if doc.Outcome() != run.Success {
			t.Errorf("run %s ended as %+v", n, doc)
		}
		if started := time.Time(*doc.StartedOn); started.Before(formerEnd.Add(-time.Millisecond)) {
			t.Errorf("run %s started at %v, before the one before it ended at %v", n, started, formerEnd)
		}
		formerEnd = time.Time(*doc.CompletedOn)
	}
}

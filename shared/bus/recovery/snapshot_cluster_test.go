package recovery_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"runhook/shared/bus"
	"runhook/shared/bus/recovery"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// kept is what a store held when it was backed up.
type kept struct {
	request run.Request
	finals  map[run.Number][]byte
	// rejected is a run that has rejected rows, queued one that nobody took, open one that is under way.
	rejected, queued, open run.Number
	token                  uint64
	parts                  []part
}

const (
	keptKey    = "the key of the queued run"
	keptColumn = "of the rejected rows"
)

// keep fills a store and backs it up.
func keep(t *testing.T, store *bus.Bus) kept {
	t.Helper()
	ctx := t.Context()
	def := bustest.Definition(t, "Kept", 2)
	if _, err := store.Tasks.Apply(ctx, def, false); err != nil {
		t.Fatal(err)
	}
	k := kept{finals: map[run.Number][]byte{}, request: run.Request{
		Task: def.ID, TaskName: def.Name, Definition: def.Hash, Trigger: run.Webhook, RetryAfter: 30,
		CreatedOn: time.Now().UTC().Truncate(time.Millisecond), ParameterHash: "h",
	}}
	queue, err := store.Work.Queue(ctx, def.ID)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		n := bustest.Submit(t, store, k.request)
		if d, err := bustest.Next(ctx, queue); err != nil || d.Number != n {
			t.Fatal(d, err)
		} else {
			k.rejected = n
			k.finals[n] = end(t, store, d, i == 19)
		}
	}
	k.open = bustest.Submit(t, store, k.request)
	if d, err := bustest.Next(ctx, queue); err != nil || d.Number != k.open {
		t.Fatal(d, err)
	}
	claim, err := store.Work.Claim(ctx, def.ID, k.open, run.Claim{Owner: "somebody", Executions: 1, StartedOn: time.Now(), Checkpoint: run.Checkpoint{Row: 7}})
	if err != nil {
		t.Fatal(err)
	}
	k.token = claim.Token
	accepted, err := store.Runs.Submit(ctx, k.request, keptKey)
	if err != nil {
		t.Fatal(err)
	}
	k.queued = accepted.Number
	queue.Close()
	proctest.Until(t, func() error {
		events, err := store.Jet().Events.Info(ctx)
		if err == nil && events.State.Msgs != uint64(len(k.finals)) {
			err = fmt.Errorf("%d events of %d runs", events.State.Msgs, len(k.finals))
		}
		return err
	})
	var m made
	if err := recovery.Backup(ctx, store, &m); err != nil {
		t.Fatal(err)
	}
	k.parts = m.parts
	return k
}

// end takes a delivered run to its end, and returns its final document as a poller gets it.
func end(t *testing.T, store *bus.Bus, d *bus.Delivery, reject bool) []byte {
	t.Helper()
	ctx := t.Context()
	claim, err := store.Work.Claim(ctx, d.Task, d.Number, run.Claim{Owner: "me", Executions: 1, StartedOn: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	var set run.RejectedSet
	if reject {
		chunk, err := run.RejectedChunk{Columns: []string{keptColumn}, Rows: []run.RejectedRow{{Row: 1, Cells: []string{"x"}}}}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if err := claim.StoreRejected(ctx, 1, chunk, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		set = run.RejectedSet{{Token: claim.Token, From: 1, To: 1}}
	}
	doc := run.QueuedDocument(d.Request, d.Number)
	doc.End(run.Success, "done", time.Now())
	if err := claim.Finish(ctx, doc, set); err != nil {
		t.Fatal(err)
	}
	d.Done()
	status, err := store.Runs.Lookup(ctx, d.Task, d.Number)
	if err != nil {
		t.Fatal(err)
	}
	return status.Bytes
}

// oneEventEach holds the events against the number of runs that have ended.
func oneEventEach(ctx context.Context, store *bus.Bus, want int) error {
	counts, err := bustest.EventCounts(ctx, store)
	if err != nil {
		return err
	}
	for n, count := range counts {
		if count != 1 {
			return fmt.Errorf("run %s has %d events: %s", n, count, sourcesOf(ctx, store, n))
		}
	}
	if len(counts) != want {
		return fmt.Errorf("%d runs have events, and %d have ended", len(counts), want)
	}
	return nil
}

// sourcesOf says of which messages the events of a run are copies.
func sourcesOf(ctx context.Context, store *bus.Bus, n run.Number) (all []string) {
	_ = store.Jet().Events.Scan(ctx, bus.Range{HeadersOnly: true}, func(event bus.Record) error {
		if event.Header.Get("ce-subject") == n.String() {
			all = append(all, fmt.Sprintf("%d at %s of %s", event.Sequence, event.Time.Format("15:04:05.000"), event.Header.Get("Nats-Stream-Source")))
		}
		return nil
	})
	return all
}

// restore makes a store of the backup.
func (k *kept) restore(ctx context.Context, store *bus.Bus, replicas int) error {
	return restore(ctx, store, replicas, k.parts, time.Now())
}

// compare holds a restored store against what was backed up, and takes what is left in it to its end.
func (k *kept) compare(t *testing.T, store *bus.Bus, urls string, replicas int) {
	t.Helper()
	ctx := t.Context()
	if err := store.Check(ctx); err != nil {
		t.Fatal(err)
	}
	js := bustest.JetStream(t, urls)
	for info := range js.ListStreams(ctx).Info() {
		if info.Config.Replicas != replicas {
			t.Errorf("stream %s has %d replicas", info.Config.Name, info.Config.Replicas)
		}
	}
	for n, final := range k.finals {
		if status, err := store.Runs.Lookup(ctx, k.request.Task, n); err != nil || !bytes.Equal(status.Bytes, final) {
			t.Errorf("run %s: %v\n%s\nwas\n%s", n, err, status.Bytes, final)
		}
	}
	rows, err := store.Runs.RejectedRows(ctx, k.request.Task, k.rejected)
	if err != nil {
		t.Fatal(err)
	}
	chunk, err := rows.Chunk(ctx, 1)
	if err != nil || rows.Chunks() != 1 || len(chunk.Columns) != 1 || chunk.Columns[0] != keptColumn {
		t.Errorf("the rejected rows are %+v, %v", chunk, err)
	}
	if found, ok, err := store.Runs.Keyed(ctx, k.request.Task, keptKey); err != nil || !ok || found.Number != k.queued {
		t.Errorf("the key of run %s finds %+v, %v %v", k.queued, found, ok, err)
	}
	if again, err := store.Runs.Submit(ctx, k.request, keptKey); err != nil || !again.Replayed || again.Number != k.queued {
		t.Errorf("the POST of run %s, repeated: %+v, %v", k.queued, again, err)
	}
	if _, err := store.Work.Definition(ctx, k.request.Task, k.request.Definition); err != nil {
		t.Error(err)
	}
	seen, ok, err := store.Work.FindClaim(ctx, k.request.Task, k.open)
	if err != nil || !ok || !seen.State.HandedBack || seen.State.Checkpoint.Row != 7 {
		t.Fatalf("the claim of the run under way is %+v, %v %v", seen.State, ok, err)
	}
	claim, err := store.Work.TakeOver(ctx, k.request.Task, k.open, seen, seen.State.Next("another"))
	if err != nil || claim.Token <= k.token {
		t.Fatalf("taken with token %d after %d, %v", claim.Token, k.token, err)
	}
	fresh := bustest.Submit(t, store, k.request)
	if fresh <= k.queued {
		t.Errorf("the next run is %s, and there was %s", fresh, k.queued)
	}
	queue, err := store.Work.Queue(ctx, k.request.Task)
	if err != nil {
		t.Fatal(err)
	}
	defer queue.Close()
	for ended := 0; ended < 3; {
		d, err := bustest.Next(ctx, queue)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case k.finals[d.Number] != nil:
			d.Done()
		case d.Number == k.open:
			doc := run.QueuedDocument(d.Request, d.Number)
			doc.End(run.Success, "", time.Now())
			if err = claim.Finish(ctx, doc, nil); err == nil {
				d.Done()
			}
			ended++
		default:
			end(t, store, d, false)
			ended++
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	proctest.Until(t, func() error { return oneEventEach(ctx, store, len(k.finals)+3) })
}

// What three servers hold can be restored into three others and into one, and what one holds into three.
func TestBackupOfACluster(t *testing.T) {
	t.Parallel()
	cluster := bustest.NewCluster(t, bus.Topology{Lease: 2 * time.Second})
	k := keep(t, cluster.Bus)
	t.Run("into a cluster", func(t *testing.T) {
		other := bustest.EmptyCluster(t)
		if err := k.restore(t.Context(), other.Bus, 0); err != nil {
			t.Fatal(err)
		}
		if behind := bustest.Lagging(t.Context(), bustest.JetStream(t, other.URLs)); behind != "" {
			t.Errorf("right after the restore %s", behind)
		}
		k.compare(t, other.Open(t, "any", 1), other.URLs, 3)
	})
	t.Run("into one server", func(t *testing.T) {
		other := bustest.Empty(t, false)
		if err := k.restore(t.Context(), other.Bus, 0); err == nil || !strings.Contains(err.Error(), "--replicas 1") {
			t.Errorf("without a word of replicas: %v", err)
		}
		if err := k.restore(t.Context(), other.Bus, 1); err != nil {
			t.Fatal(err)
		}
		k.compare(t, other.Bus, other.Broker.URL(), 1)
	})
	t.Run("of one server", func(t *testing.T) {
		single := bustest.New(t, bus.Topology{Lease: 2 * time.Second})
		k := keep(t, single.Bus)
		other := bustest.EmptyCluster(t)
		if err := k.restore(t.Context(), other.Bus, 0); err == nil || !strings.Contains(err.Error(), "--replicas 3") {
			t.Errorf("without a word of replicas: %v", err)
		}
		if err := k.restore(t.Context(), other.Bus, 3); err != nil {
			t.Fatal(err)
		}
		k.compare(t, other.Open(t, "any", 1), other.URLs, 3)
	})
}

// A consumer that goes while a cluster's server reads the stream, such as the one of a list, has that
// reading fail; the stream is read once more, and what is restored fits together.
func TestBackupWhileConsumersComeAndGo(t *testing.T) {
	t.Parallel()
	cluster := bustest.NewCluster(t, bus.Topology{Lease: 2 * time.Second})
	k := keep(t, cluster.Bus)
	looking, stop := context.WithCancel(t.Context())
	var lists sync.WaitGroup
	for place := range 3 {
		lister := cluster.Open(t, "lister", place)
		lists.Go(func() {
			for looking.Err() == nil {
				_, _ = lister.Runs.List(looking, 10) // which may be cut short
			}
		})
	}
	defer func() { stop(); lists.Wait() }()
	again := 0
	for limit := time.Now().Add(proctest.Limit); again == 0; {
		var m made
		if err := recovery.Backup(t.Context(), cluster.Bus, &m); err != nil {
			t.Fatal(err)
		}
		if again, k.parts = len(m.dropped), m.parts; time.Now().After(limit) {
			t.Fatal("no reading of a stream failed, so nothing was tried")
		}
	}
	t.Logf("%d streams were read once more", again)
	stop()
	lists.Wait()
	other := bustest.Empty(t, false)
	if err := k.restore(t.Context(), other.Bus, 1); err != nil {
		t.Fatal(err)
	}
	k.compare(t, other.Bus, other.Broker.URL(), 1)
}

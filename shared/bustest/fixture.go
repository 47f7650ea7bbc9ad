package bustest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/taskfile"
)

// Definition is a task that copies a CSV file to another, with an id of its own.
func Definition(t testing.TB, name string, concurrency int) *task.Definition {
	t.Helper()
	text := fmt.Sprintf(`id: %s
name: %s
concurrency: %d
source: {csv: {connection: drop, path: in.csv}}
mapping: {id: id}
destination: {csv: {connection: drop, path: out.csv, action: replace}}
`, task.NewID(), name, concurrency)
	def, err := taskfile.Parse([]byte(text), "test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return def
}

// Renamed is the text of a task's file under a new id, with its present one in former_ids until then, as earlier
// versions have rotated tasks.
func Renamed(text []byte, from, to task.ID, until time.Time) []byte {
	renamed := strings.Replace(string(text), string(from), string(to), 1)
	entry := fmt.Sprintf("{id: %s, until: %s}", from, until.UTC().Format(time.RFC3339))
	if list := "former_ids: ["; strings.Contains(renamed, list) {
		return []byte(strings.Replace(renamed, list, list+entry+", ", 1))
	}
	return []byte(renamed + "former_ids: [" + entry + "]\n")
}

// Applied stores a new task and returns a request for it.
func Applied(t testing.TB, store *bus.Bus) run.Request {
	t.Helper()
	def := Definition(t, "Test", 1)
	if _, err := store.Tasks.Apply(t.Context(), def, false); err != nil {
		t.Fatal(err)
	}
	return run.Request{
		Task: def.ID, TaskName: def.Name, Definition: def.Hash, Trigger: run.Webhook,
		RetryAfter: 30, CreatedOn: time.Now().UTC().Truncate(time.Millisecond),
		Base: "https://hooks.example.org", ParameterHash: "h1",
	}
}

// Submit stores a request without a key.
func Submit(t testing.TB, store *bus.Bus, request run.Request) run.Number {
	t.Helper()
	accepted, err := store.Runs.Submit(t.Context(), request, "")
	if err != nil {
		t.Fatal(err)
	}
	return accepted.Number
}

// Requests are the requests of a task that are in its queue, or were, in their order. It waits where the store is away.
func Requests(t testing.TB, store *bus.Bus, id task.ID) (all []bus.Waiting) {
	t.Helper()
	for place := run.Number(0); ; {
		var next bus.Waiting
		var ok bool
		proctest.Until(t, func() (err error) {
			next, ok, err = store.Unheld.Next(t.Context(), id, place)
			return err
		})
		if !ok {
			return all
		}
		place, all = next.Place, append(all, next)
	}
}

// JetStream is a plain client of the servers at urls, as somebody else's program has one.
func JetStream(t testing.TB, urls string) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(urls, nats.Timeout(proctest.Limit))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// EventCounts is how many completion events each run has. It has the events copy what a status service would.
func EventCounts(ctx context.Context, store *bus.Bus) (map[run.Number]int, error) {
	if err := store.KeepSources(ctx); err != nil {
		return nil, err
	}
	counts := map[run.Number]int{}
	err := store.Jet().Events.Scan(ctx, bus.Range{HeadersOnly: true}, func(event bus.Record) error {
		n, err := run.ParseNumber(event.Header.Get("ce-subject"))
		counts[n]++
		return err
	})
	return counts, err
}

// Lagging says which streams have a replica that lacks something; it is empty when none has.
func Lagging(ctx context.Context, js jetstream.JetStream) string {
	var behind []string
	streams := js.ListStreams(ctx)
	for info := range streams.Info() {
		if info.Cluster == nil || info.Cluster.Leader == "" || len(info.Cluster.Replicas) != info.Config.Replicas-1 {
			behind = append(behind, info.Config.Name+" has no leader, or too few replicas")
			continue
		}
		for _, peer := range info.Cluster.Replicas {
			if !peer.Current || peer.Lag > 0 {
				behind = append(behind, fmt.Sprintf("%s at %s lacks %d", info.Config.Name, peer.Name, peer.Lag))
			}
		}
	}
	if err := streams.Err(); err != nil {
		behind = append(behind, err.Error())
	}
	return strings.Join(behind, ", ")
}

// AwaitView waits until a view of the tasks is as it should be.
func AwaitView(t testing.TB, view *bus.TaskView, what string, right func() bool) {
	t.Helper()
	for over := time.After(proctest.Limit); ; {
		changed := view.Changed()
		if right() {
			return
		}
		select {
		case <-changed:
		case <-over:
			t.Fatalf("the view does not show within %s: %s", proctest.Limit, what)
		}
	}
}

// Next pulls one request of a queue.
func Next(ctx context.Context, queue *bus.Queue) (next *bus.Delivery, err error) {
	err = queue.Pull(ctx, 1, func(d *bus.Delivery) { next = d })
	if next != nil {
		return next, nil
	}
	return nil, err
}

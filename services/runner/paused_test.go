package runner_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/proctest"
	"runhook/shared/run"
)

// A runner is stopped for longer than the lease while its pull is open, and another hands its run back: the
// server delivers the run into that pull, and again when nothing comes back. When the runner goes on it has
// two deliveries of one run at once. It begins the run once, and each row is inserted once.
func TestTwoDeliveriesInTheSocketOfAPausedRunner(t *testing.T) {
	t.Parallel()
	const rows = 60
	w := newWorkshopWith(t, "insert", 0, 5*time.Second)
	var text strings.Builder
	text.WriteString("id,name\n")
	for i := range rows {
		fmt.Fprintf(&text, "%d,name %d\n", i, i)
	}
	write(t, filepath.Join(w.dir, "in.csv"), text.String())
	w.exec(t, `pragma journal_mode = wal; create table people (id integer, name text)`)
	def := parse(t, fmt.Sprintf(`id: %s
name: Paused
concurrency: 2
source: {csv: {connection: drop, path: in.csv}, rate: 10/s}
mapping: {id: int(id), name: name}
destination: {%s}
`, w.request.Task, toTable))
	if _, err := w.store.Tasks.Apply(t.Context(), def, false); err != nil {
		t.Fatal(err)
	}
	w.request = request(def)
	consumer := func() *jetstream.ConsumerInfo {
		t.Helper()
		found, err := jetStream(t, w.store).Consumer(t.Context(), "RUNS", string(w.request.Task))
		if err != nil {
			t.Fatal(err)
		}
		return found.CachedInfo()
	}

	leaving := w.start(t, w.store.Broker.URL())
	n := w.submit(t)
	proctest.Eventually(t, "the first runner has written rows", func() bool {
		state, _ := w.state(t, n)
		return state.Checkpoint.Row > 0
	})
	paused := w.start(t, w.store.Broker.URL())
	proctest.Eventually(t, "the second runner's pull is open", func() bool { return consumer().NumWaiting == 2 })
	paused.Pause()
	leaving.Signal(syscall.SIGTERM)
	if code := leaving.Wait(); code != 0 {
		t.Fatalf("the first runner ended with %d", code)
	}
	if state, _ := w.state(t, n); !state.HandedBack {
		t.Fatalf("the run was not handed back: %+v", state)
	}
	proctest.Eventually(t, "the run is delivered to the paused runner twice", func() bool { return consumer().Delivered.Consumer == 3 })
	paused.Signal(syscall.SIGCONT)

	doc := w.await(t, n)
	if doc.Outcome() != run.Success || doc.RowsInserted != rows {
		t.Errorf("ended as %+v", doc)
	}
	if got := w.rows(t); got != rows {
		t.Errorf("%d rows in the table, want %d", got, rows)
	}
	w.endedOnce(t, n, doc)
}

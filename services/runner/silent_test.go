package runner_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/wait"
)

// A runner whose wire is silent for less than a lease keeps its run: what it wrote meanwhile arrives late and is
// its own. Nothing is done twice, and nothing that cannot be continued fails.
func TestASilentWireCostsNoRun(t *testing.T) {
	t.Parallel()
	const rows = 200
	for name, destination := range map[string]string{
		"a table that is inserted to": toTable,
		"a file that is appended to":  toFile,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorkshopWith(t, "insert", 0, 30*time.Second)
			var values []string
			for i := range rows {
				values = append(values, fmt.Sprintf("(%d, 'name %d')", i, i))
			}
			w.exec(t, `pragma journal_mode = wal; create table people (id integer, name text); create table members (id integer, name text);
				insert into members values `+strings.Join(values, ", "))
			def := parse(t, fmt.Sprintf(`id: %s
name: Silent
source: {sql: {connection: warehouse, query: "select id, name from members"}, rate: 12/s}
mapping: {id: id, name: name}
destination: {%s}
`, w.request.Task, destination))
			if _, err := w.store.Tasks.Apply(t.Context(), def, false); err != nil {
				t.Fatal(err)
			}
			w.request = request(def)
			wire := bustest.NewWire(t, "127.0.0.1:0", w.store.Broker.Addr().String())
			runner := w.start(t, "nats://"+wire.Address())
			n := w.submit(t)
			proctest.Eventually(t, "rows are written", func() bool {
				state, _ := w.state(t, n)
				return state.Checkpoint.Row > 0
			})
			wire.Silence(true)
			wait.For(t.Context(), 12*time.Second) // long enough for a renewal to be given up, and not the run
			wire.Silence(false)
			doc := w.await(t, n)
			if doc.Outcome() != run.Success || doc.ExecutionCount != 1 || doc.RowsProcessed != rows {
				t.Errorf("ended as %+v", doc)
			}
			written := len(w.ids(t))
			if destination == toFile {
				data, err := os.ReadFile(filepath.Join(w.dir, "out.csv"))
				if err != nil {
					t.Fatal(err)
				}
				written = strings.Count(string(data), "\n") - 1
			}
			if written != rows {
				t.Errorf("%d rows were written, want %d", written, rows)
			}
			w.endedOnce(t, n, doc)
			runner.Kill()
		})
	}
}

package runner_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"runhook/services/runner"
	"runhook/services/runner/connection"
	"runhook/services/runner/connector/builtin"
	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// cancel asks for the end of a run, as a status service does of one that a runner holds.
func (w *workshop) cancel(t *testing.T, n run.Number) {
	t.Helper()
	cancelAt(t, w.store.Unheld, w.request, n)
}

func cancelAt(t *testing.T, store *bus.Unheld, request run.Request, n run.Number) {
	t.Helper()
	if _, err := store.AskCancel(t.Context(), request.Task, n, run.Cancel{By: "ann", On: time.Now(), Why: "wrong file"}); err != nil {
		t.Fatal(err)
	}
}

// awaitMessage waits until the run's live document says what it is doing.
func (w *workshop) awaitMessage(t *testing.T, n run.Number, begin string) {
	t.Helper()
	proctest.Eventually(t, "the run says "+begin, func() bool {
		status, err := w.store.Runs.Lookup(t.Context(), w.request.Task, n)
		if err != nil {
			t.Fatal(err)
		}
		return strings.HasPrefix(status.Document.Message, begin)
	})
}

// wantCanceled checks the final document of a canceled run: by whom, how far it came, and that its counts are those
// of the table.
func (w *workshop) wantCanceled(t *testing.T, n run.Number, far string) run.Document {
	t.Helper()
	doc := w.await(t, n)
	want := "Canceled by ann " + far + ": wrong file"
	if rows := w.rows(t); rows > 0 {
		want += ". The rows that it had written stay"
	}
	if doc.Outcome() != run.Canceled || doc.Message != want || doc.CancelRequestedOn == nil || doc.CompletedOn == nil || *doc.Success {
		t.Errorf("ended as %+v, want %q", doc, want)
	}
	if rows := w.rows(t); doc.RowsProcessed != int64(rows) {
		t.Errorf("%d rows processed, and %d are in the table", doc.RowsProcessed, rows)
	}
	return doc
}

// wantNothingLeft checks that the run's slot and its place in the queue are free, and that neither its claim nor its
// checkpoint is left.
func (w *workshop) wantNothingLeft(t *testing.T, n run.Number) {
	t.Helper()
	w.waitUntilQuiet(t)
	if running := w.running(t); running != 0 {
		t.Errorf("%g runs are under way", running)
	}
	if _, claimed, err := w.store.Work.FindClaim(t.Context(), w.request.Task, n); claimed || err != nil {
		t.Errorf("its claim is left, %v", err)
	}
	if left := w.count(t, "sqlite_master where name = 'runhook_checkpoint'"); left == 1 {
		proctest.Eventually(t, "its checkpoint is removed", func() bool { return w.count(t, "runhook_checkpoint") == 0 })
	}
}

// A destination that does not go on, because somebody else has its lock.
func TestCancelDoesNotWaitForALock(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "upsert", 10)
	release := w.lock(t)
	w.runHere(t, runner.Options{Slots: 1})
	n := w.submit(t)
	w.awaitMessage(t, n, "Opening the destination")
	w.cancel(t, n)
	if doc := w.await(t, n); doc.Outcome() != run.Canceled {
		t.Errorf("ended as %+v", doc)
	}
	release()
	w.wantCanceled(t, n, "before its first row")
	next := w.submit(t)
	if doc := w.await(t, next); doc.Outcome() != run.Success {
		t.Errorf("the next ended as %+v", doc)
	}
	w.wantNothingLeft(t, n)
}

// endless are tables whose product nobody sees the end of.
const endless = `create table numbers (n integer); insert into numbers with recursive c(n) as (select 1 union all select n + 1 from c where n < 5000) select n from c;`

const never = `(select count(*) from numbers a, numbers b, numbers c, numbers d)`

// A statement of the destination that does not end. The batches before it stay, and are counted.
func TestCancelInterruptsAStatementThatWrites(t *testing.T) {
	t.Parallel()
	for _, action := range []string{"upsert", "insert"} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			w := newWorkshop(t, action, 10_000)
			w.exec(t, endless+`pragma journal_mode = wal; create table people (id text primary key, name text);
				create table entered (n integer);
				create trigger slow before insert on people when new.id = '9000' begin select `+never+`; end`)
			w.runHere(t, runner.Options{Slots: 1})
			n := w.submit(t)
			proctest.Eventually(t, "the batches before it are written", func() bool { return w.rows(t) > 5000 })
			w.awaitMessage(t, n, "Writing to")
			w.cancel(t, n)
			doc := w.await(t, n)
			w.wantCanceled(t, n, fmt.Sprintf("after %d of 10000 rows", doc.RowsRetrieved))
			if doc.RowsInserted < 5000 || doc.RowsInserted >= 9000 {
				t.Errorf("%d rows", doc.RowsInserted)
			}
			w.wantNothingLeft(t, n)
		})
	}
}

// A query that does not come to its next row.
func TestCancelInterruptsAQuery(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "upsert", 0)
	def := parse(t, fmt.Sprintf(`id: %s
name: Querying
source: {sql: {connection: warehouse, query: "select n as id, 'x' as name from numbers union all select %s, 'y'"}}
mapping: {id: string(id), name: name}
destination: {sql: {connection: target, table: people, key: [id], action: upsert, create: true}}
`, w.request.Task, never))
	source := &workshop{dir: t.TempDir()}
	source.exec(t, endless+"pragma journal_mode = wal")
	write(t, filepath.Join(w.dir, "connections.yaml"), "drop: {files: .}\nwarehouse: {sqlite: "+filepath.Join(source.dir, "warehouse.db")+"}\ntarget: {sqlite: ./warehouse.db}\n")
	if _, err := w.store.Tasks.Apply(t.Context(), def, false); err != nil {
		t.Fatal(err)
	}
	w.request = request(def)
	w.runHere(t, runner.Options{Slots: 1})
	n := w.submit(t)
	proctest.Eventually(t, "the rows before it are written", func() bool { return w.rows(t) == 5000 })
	w.cancel(t, n)
	w.wantCanceled(t, n, "after 5000 rows")
	w.wantNothingLeft(t, n)
}

// A page that does not come. The rows of the page before are written, and those of them that failed are kept.
func TestCancelDoesNotWaitForAPage(t *testing.T) {
	t.Parallel()
	for name, destination := range map[string]string{
		"a database": "", // where the rejected rows are stored with each batch
		"a file":     "csv: {connection: drop, path: out.csv, action: append}",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			end := make(chan struct{})
			defer close(end)
			w := readingOnePage(t, end, "")
			if destination != "" {
				w.retask(t, "sql: {connection: warehouse, table: people, key: [id], action: upsert, create: true}", destination)
			}
			w.runHere(t, runner.Options{Slots: 1})
			n := w.submit(t)
			proctest.Eventually(t, "the rows of the first page are written", func() bool {
				status, err := w.store.Runs.Lookup(t.Context(), w.request.Task, n)
				return err == nil && status.Document.RowsRetrieved == 1002
			})
			w.cancel(t, n)
			doc := w.await(t, n)
			if doc.Outcome() != run.Canceled || doc.RowsRetrieved != 1002 || doc.RowsProcessed != 1001 || doc.RowsFailed != 1 || doc.RejectedURL == "" ||
				!strings.HasPrefix(doc.Message, "Canceled by ann after 1002 rows: wrong file. The rows that it had written stay") {
				t.Errorf("ended as %+v", doc)
			}
			if rows := w.rejected(t, n); len(rows) != 1 || rows[0].Row != 2 {
				t.Errorf("rejected %+v", rows)
			}
		})
	}
}

func TestCancelDoesNotWaitForABrake(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "upsert", 10)
	w.retask(t, "path: in.csv}", "path: in.csv}, rate: 1/h")
	w.runHere(t, runner.Options{Slots: 1})
	n := w.submit(t)
	proctest.Eventually(t, "the first row is written", func() bool { return w.rows(t) == 1 })
	w.cancel(t, n)
	w.wantCanceled(t, n, "after 1 row")
	w.wantNothingLeft(t, n)
}

// Expressions that take long, over a file that is at hand and over one that is not.
func TestCancelInterruptsExpressions(t *testing.T) {
	t.Parallel()
	for name, rows := range map[string]int{"at hand": 900, "read beside the writing": 10_000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorkshop(t, "upsert", rows)
			w.limited(t, "where: "+busy)
			w.runHere(t, runner.Options{Slots: 1})
			n := w.submit(t)
			w.awaitMessage(t, n, "Writing to")
			w.cancel(t, n)
			if doc := w.await(t, n); doc.Outcome() != run.Canceled || doc.RowsRetrieved >= int64(rows) || doc.RowsProcessed != int64(w.rows(t)) {
				t.Errorf("ended as %+v", doc)
			}
			w.wantNothingLeft(t, n)
		})
	}
}

// A run that waits for its next attempt ends at once.
func TestCancelEndsARunThatWaits(t *testing.T) {
	t.Parallel()
	w := reading(t, fickle(3), "retry: {attempts: 3, backoff: 3600}\ntimeout: 5h")
	w.runHere(t, runner.Options{Slots: 1})
	n := w.submit(t)
	w.awaitPause(t, n)
	w.cancel(t, n)
	w.wantCanceled(t, n, "before its first row")
	w.wantNothingLeft(t, n)
}

// Whoever asks while the run comes to its end gets one end: Success with all rows, or Canceled with those that are
// there.
func TestCancelAgainstSuccess(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, "insert", 300)
	w.exec(t, "pragma journal_mode = wal; create table people (id text, name text)")
	w.runHere(t, runner.Options{Slots: 4})
	ends := map[run.Outcome]int{}
	rows := 0
	const runs = 60
	for i := range runs {
		n := w.submit(t)
		if i%2 == 0 {
			proctest.Eventually(t, "the run is taken", func() bool {
				state, ended := w.state(t, n)
				return ended || state.Executions > 0
			})
		}
		w.cancel(t, n)
		doc := w.await(t, n)
		ends[doc.Outcome()]++
		rows += int(doc.RowsInserted)
		if now := w.rows(t); now != rows {
			t.Fatalf("run %s ended as %+v; there are %d rows, and %d are counted", n, doc, now, rows)
		}
	}
	w.waitUntilQuiet(t)
	proctest.Eventually(t, "each run has its event", func() bool { return w.events(t) == runs })
	t.Log(ends)
}

// A run that is canceled while its runner is paused ends by takeover: once, with the counts of what is in the
// database, although the claim is behind. The paused runner writes nothing more.
func TestCancelOfAPausedRunnersRun(t *testing.T) {
	t.Parallel()
	w, n, paused, before := pausedInTheMiddle(t, func(w *workshop) string { return w.store.Broker.URL() })
	w.cancel(t, n)
	other := w.start(t, w.store.Broker.URL())
	doc := w.await(t, n)
	if doc.Outcome() != run.Canceled || doc.RowsInserted != int64(before) || doc.RowsFailed != doc.RowsRetrieved/25 || doc.ExecutionCount != 2 ||
		!strings.HasPrefix(doc.Message, fmt.Sprintf("Canceled by ann after %d rows: wrong file", doc.RowsRetrieved)) {
		t.Errorf("ended as %+v, paused with %d rows", doc, before)
	}
	if rejected := w.rejected(t, n); len(rejected) != int(doc.RowsFailed) {
		t.Errorf("%d rejected rows are kept, and %d are counted", len(rejected), doc.RowsFailed)
	}
	w.endedOnce(t, n, doc)
	other.Kill()
	was := w.sequences(t)

	paused.Signal(syscall.SIGCONT)
	awaitGivenUp(t, paused)
	w.endedOnce(t, n, doc)
	if now := w.sequences(t); fmt.Sprint(now) != fmt.Sprint(was) {
		t.Errorf("the store was written to: %v, then %v", was, now)
	}
	if rows := len(w.ids(t)); rows != before {
		t.Errorf("%d rows, and there were %d", rows, before)
	}
	paused.Kill()
}

// awaitGivenUp waits until a runner has noticed that its run is another's.
func awaitGivenUp(t *testing.T, p *proctest.Process) {
	t.Helper()
	proctest.Eventually(t, "it gives the run up", func() bool {
		log := p.Log.String()
		return strings.Contains(log, "attempt abandoned") || strings.Contains(log, "this result is dropped")
	})
}

// A runner that is paused inside of a transaction cannot be overtaken before it has the lock no more. What it commits
// then is counted.
func TestCancelOfARunnerThatIsPausedInATransaction(t *testing.T) {
	t.Parallel()
	w := newLastingWorkshop(t, toTable)
	n := w.submit(t)
	paused := w.start(t, w.store.Broker.URL())
	proctest.Eventually(t, "a part is written", func() bool { return len(w.ids(t)) > 200 })
	paused.Pause() // wherever it is
	w.cancel(t, n)
	other := w.start(t, w.store.Broker.URL())
	proctest.Eventually(t, "another runner has taken the run over", func() bool {
		state, ended := w.state(t, n)
		return ended || state.Executions == 2
	})
	paused.Signal(syscall.SIGCONT)
	doc := w.await(t, n)
	awaitGivenUp(t, paused)
	if rows := len(w.ids(t)); doc.Outcome() != run.Canceled || doc.RowsInserted != int64(rows) {
		t.Errorf("%d rows, and it ended as %+v", rows, doc)
	}
	w.endedOnce(t, n, doc)
	other.Kill()
	paused.Kill()
}

// One watch tells a runner of all its runs, and goes on after the server was away.
func TestOneWatchForAllRuns(t *testing.T) {
	t.Parallel()
	w := newWorkshopWith(t, "upsert", 10, 10*time.Second)
	w.limited(t, "concurrency: 8")
	w.retask(t, "path: in.csv}", "path: in.csv}, rate: 1/h")
	w.runHere(t, runner.Options{Slots: 8})
	var numbers []run.Number
	for range 8 {
		numbers = append(numbers, w.submit(t))
	}
	for _, n := range numbers {
		w.awaitClaim(t, n)
	}
	looks, err := w.store.Jet().NC.SubscribeSync("$JS.API.DIRECT.GET.KV_control") // for cancels, and for paused connections
	if err == nil {
		err = w.store.Jet().NC.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	began, seen := time.Now(), 0
	for ; seen < 5; seen++ {
		if _, err := looks.NextMsg(proctest.Limit); err != nil {
			t.Fatal(err)
		}
	}
	for time.Since(began) < 2*time.Second { // what else has come meanwhile is what other watches read
		if _, err := looks.NextMsg(time.Until(began.Add(2 * time.Second))); err == nil {
			seen++
		}
	}
	if most := int(time.Since(began)/(200*time.Millisecond)+time.Since(began)/(400*time.Millisecond)) + 4; seen > most {
		t.Errorf("%d looks in %s for %d runs, at most %d are those of one watch of each", seen, time.Since(began), len(numbers), most)
	}
	w.cancel(t, numbers[0])
	if doc := w.await(t, numbers[0]); doc.Outcome() != run.Canceled {
		t.Errorf("ended as %+v", doc)
	}
	w.store.Restart()
	proctest.Until(t, func() error { return w.store.Ready(t.Context()) })
	for _, n := range numbers[1:] {
		w.cancel(t, n)
	}
	for _, n := range numbers[1:] {
		if doc := w.await(t, n); doc.Outcome() != run.Canceled {
			t.Errorf("ended as %+v", doc)
		}
	}
}

// In a cluster one status service asks for the end of a run whose runner is at another server, while the leaders
// change.
func TestCancelInACluster(t *testing.T) {
	t.Parallel()
	cluster := bustest.NewCluster(t, bus.Topology{Lease: 10 * time.Second})
	dir := t.TempDir()
	write(t, filepath.Join(dir, "in.csv"), "id\n1\n2\n")
	write(t, filepath.Join(dir, "connections.yaml"), "drop: {files: .}\n")
	set, err := connection.Load(filepath.Join(dir, "connections.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	def := parse(t, fmt.Sprintf("id: %s\nname: Far\nconcurrency: 8\nsource: {csv: {connection: drop, path: in.csv}, rate: 1/h}\nmapping: {id: id}\ndestination: {nats: {subject: rows.far}}\n", taskID()))
	if _, err := cluster.Tasks.Apply(t.Context(), def, false); err != nil {
		t.Fatal(err)
	}
	sink, err := jetstream.New(cluster.Jet().NC)
	if err == nil {
		_, err = sink.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ROWS_FAR", Subjects: []string{"rows.far"}})
	}
	if err != nil {
		t.Fatal(err)
	}
	far := cluster.Open(t, "runner", 0)
	watch, stopWatch := context.WithCancel(context.Background())
	view, watched, err := far.Tasks.Watch(watch)
	if err != nil {
		t.Fatal(err)
	}
	r, err := runner.New(runner.Options{Work: far.Work, Tasks: view, Kinds: builtin.Kinds(), Connections: set, Slots: 8, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		if err := r.Run(running); err != nil {
			t.Error(err)
		}
		stopWatch()
		<-watched
	})
	t.Cleanup(func() { stop(); all.Wait() })
	near := cluster.Open(t, "status", 2)
	for _, stream := range []string{"", "KV_control", "KV_runs_0", "RUNS"} {
		n := bustest.Submit(t, cluster.Bus, request(def))
		proctest.Eventually(t, "the runner has the run", func() bool {
			_, found, err := near.Work.FindClaim(t.Context(), def.ID, n)
			return found && err == nil
		})
		if stream != "" {
			cluster.StepDown(t, stream)
		}
		proctest.Until(t, func() error {
			_, err := near.Unheld.AskCancel(t.Context(), def.ID, n, run.Cancel{By: "ann", On: time.Now()})
			return err
		})
		var status bus.Status
		proctest.Until(t, func() (err error) {
			ctx, cancel := context.WithTimeout(t.Context(), proctest.Limit)
			defer cancel()
			if status, err = near.Runs.Await(ctx, def.ID, n); err == nil && !status.Final {
				err = fmt.Errorf("run %s has not ended: %+v", n, status.Document)
			}
			return err
		})
		if status.Document.Outcome() != run.Canceled || status.Document.ExecutionCount != 1 {
			t.Errorf("with the leader of %q changing: %+v", stream, status.Document)
		}
	}
}

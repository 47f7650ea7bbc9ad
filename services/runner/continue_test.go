package runner_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/services/runner"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// lastingRows is how many rows the source of newLastingWorkshop has, of which every 25th fails.
const lastingRows = 6000

// newLastingWorkshop has a task whose runs take a few seconds, batch after batch.
func newLastingWorkshop(t *testing.T, destination string) *workshop {
	t.Helper()
	w := newWorkshop(t, "upsert", 0)
	var text strings.Builder
	text.WriteString("id,name\n")
	for i := 1; i <= lastingRows; i++ {
		id := strconv.Itoa(i)
		if i%25 == 0 {
			id = "none"
		}
		fmt.Fprintf(&text, "%s,name %d\n", id, i)
	}
	write(t, filepath.Join(w.dir, "in.csv"), text.String())
	w.exec(t, `pragma journal_mode = delete; create table people (id integer, name text)`)
	def := parse(t, fmt.Sprintf(`id: %s
name: Lasting
source: {csv: {connection: drop, path: in.csv}, rate: 2000/s}
mapping: {id: int(id), name: name}
destination: {%s}
`, w.request.Task, destination))
	if _, err := w.store.Tasks.Apply(t.Context(), def, false); err != nil {
		t.Fatal(err)
	}
	w.request = request(def)
	return w
}

const (
	toTable = "sql: {connection: warehouse, table: people, action: insert}"
	toFile  = "csv: {connection: drop, path: out.csv, action: append}"
)

func (w *workshop) exec(t *testing.T, statements string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(w.dir, "warehouse.db")+"?_pragma=busy_timeout(30000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statements); err != nil {
		t.Fatal(err)
	}
}

// undisturbed checks that the run ended as one that nothing had happened to: every row once, every
// rejected row once, and the counts of both.
func (w *workshop) undisturbed(t *testing.T, n run.Number, doc run.Document) {
	t.Helper()
	const failed = lastingRows / 25
	if doc.Outcome() != run.Success || doc.RowsRetrieved != lastingRows || doc.RowsInserted != lastingRows-failed || doc.RowsFailed != failed ||
		doc.CurrentErrorCount != failed || doc.TotalErrorCount != failed || len(doc.Errors) != run.MaxListedErrors {
		t.Errorf("ended as %+v", doc)
	}
	rejected := w.rejected(t, n)
	if len(rejected) != failed {
		t.Errorf("%d rejected rows, want %d", len(rejected), failed)
	}
	for i, r := range rejected {
		if r.Row != int64(25*(i+1)) {
			t.Fatalf("rejected row %d is row %d", i+1, r.Row)
		}
	}
	var ids []string
	if strings.Contains(w.destination(t), "csv") {
		data, err := os.ReadFile(filepath.Join(w.dir, "out.csv"))
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(strings.TrimSpace(string(data)), "\n")[1:] {
			id, _, _ := strings.Cut(line, ",")
			ids = append(ids, id)
		}
	} else {
		ids = w.ids(t)
	}
	if len(ids) != lastingRows-failed {
		last := 0
		for i, id := range ids {
			number, err := strconv.Atoi(id)
			if err != nil || number <= last {
				t.Logf("line %d: %q comes after %d", i+1, id, last)
			}
			last = number
		}
		t.Errorf("%d rows are written, want %d", len(ids), lastingRows-failed)
	}
	slices.Sort(ids)
	if once := len(slices.Compact(ids)); once != lastingRows-failed {
		t.Errorf("%d different rows are written, want %d", once, lastingRows-failed)
	}
}

func (w *workshop) destination(t *testing.T) string {
	t.Helper()
	def, err := w.store.Work.Definition(t.Context(), w.request.Task, w.request.Definition)
	if err != nil {
		t.Fatal(err)
	}
	return string(def.Text[strings.Index(string(def.Text), "destination"):])
}

// ids are those in the table.
func (w *workshop) ids(t *testing.T) (ids []string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(w.dir, "warehouse.db")+"?_pragma=busy_timeout(30000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query("select id from people")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return ids
}

// state is the run's claim, or its zero value once it has ended.
func (w *workshop) state(t *testing.T, n run.Number) (state run.Claim, ended bool) {
	t.Helper()
	seen, found, err := w.store.Work.FindClaim(t.Context(), w.request.Task, n)
	if err != nil {
		t.Fatal(err)
	}
	if !found {
		ended, err = w.store.Work.Ended(t.Context(), w.request.Task, n)
		if err != nil {
			t.Fatal(err)
		}
	}
	return seen.State, ended
}

// Runners are killed at moments that nobody has chosen, one after the other. The run ends as if nothing
// had happened.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	for _, destination := range []string{toTable, toFile} {
		t.Run(destination[:3], func(t *testing.T) {
			t.Parallel()
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			random := rand.New(rand.NewPCG(seed, 0))
			w := newLastingWorkshop(t, destination)
			n := w.submit(t)
			for kills := 1; kills <= run.MaxIdle-1; kills++ {
				p := w.start(t, w.store.Broker.URL())
				var state run.Claim
				over := false
				proctest.Eventually(t, "the run is taken", func() bool {
					state, over = w.state(t, n)
					return state.Executions == kills || over
				})
				time.Sleep(time.Duration(random.Int64N(int64(1500 * time.Millisecond)))) // that is the moment, not a wait for something
				p.Kill()
				if over {
					break
				}
			}
			p := w.start(t, w.store.Broker.URL())
			doc := w.await(t, n)
			t.Logf("%d attempts", doc.ExecutionCount)
			w.undisturbed(t, n, doc)
			w.endedOnce(t, n, doc)
			p.Kill()
		})
	}
}

// A run is given up after runners were killed again and again. Its document counts what is in the table, although no
// runner lived long enough to write that into the claim.
func TestAGivenUpRunCountsItsRows(t *testing.T) {
	t.Parallel()
	w := newLastingWorkshop(t, toTable)
	n := w.submit(t)
	p := w.start(t, w.store.Broker.URL())
	proctest.Eventually(t, "a part is written", func() bool { return len(w.ids(t)) > 1000 })
	p.Kill()
	seen := w.awaitClaim(t, n)
	if _, err := w.store.Work.TakeOver(t.Context(), w.request.Task, n, seen, run.Claim{
		Owner: "killed", Executions: run.MaxIdle, Idle: run.MaxIdle - 1, StartedOn: seen.State.StartedOn,
	}); err != nil {
		t.Fatal(err)
	}
	w.runHere(t, runner.Options{})
	doc := w.await(t, n)
	if rows := int64(len(w.ids(t))); doc.Outcome() != run.Failed || !strings.HasPrefix(doc.Message, "Given up after 5 interrupted attempts") ||
		doc.RowsInserted != rows || rows <= 1000 || doc.RowsFailed != doc.RowsRetrieved/25 {
		t.Errorf("ended with %d rows as %+v", rows, doc)
	}
	w.endedOnce(t, n, doc)
}

// A runner that is stopped hands its run back, and another one goes on behind the last batch.
func TestHandedBackRunContinuesElsewhere(t *testing.T) {
	t.Parallel()
	w := newLastingWorkshop(t, toTable)
	stop := w.runHere(t, runner.Options{})
	n := w.submit(t)
	proctest.Eventually(t, "a part is written", func() bool { return len(w.ids(t)) > 1000 })
	stop()
	seen := w.awaitClaim(t, n)
	at := seen.State.Checkpoint
	if !seen.State.HandedBack || at.Row < 1000 || at.Counts.Inserted != int64(len(w.ids(t))) || at.Counts.Failed != at.Row/25 || at.Rejected.Chunks() == 0 {
		t.Fatalf("handed back as %+v, with %d rows in the table", seen.State, len(w.ids(t)))
	}
	w.runHere(t, runner.Options{})
	doc := w.await(t, n)
	if doc.ExecutionCount != 2 {
		t.Errorf("%d attempts", doc.ExecutionCount)
	}
	w.undisturbed(t, n, doc)
	w.await(t, w.submit(t)) // in a database without a write-ahead log the next run removes it
	if left := w.count(t, "runhook_checkpoint where run = "+n.String()); left > 0 {
		t.Error("the database's checkpoint is still there")
	}
}

func (w *workshop) count(t *testing.T, table string) (count int) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(w.dir, "warehouse.db")+"?_pragma=busy_timeout(30000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow("select count(*) from " + table).Scan(&count); err != nil {
		t.Fatal(err)
	}
	return count
}

// pausedInTheMiddle submits a run and pauses its runner, which is connected to the url that prepare returns, with
// the rows that it had written by then. One that was past the middle already, on a busy machine, is not used.
func pausedInTheMiddle(t *testing.T, prepare func(*workshop) (url string)) (w *workshop, n run.Number, paused *proctest.Process, rows int) {
	t.Helper()
	for range 20 {
		w = newLastingWorkshop(t, toTable)
		url := prepare(w)
		n = w.submit(t)
		paused = w.start(t, url)
		proctest.Eventually(t, "a part is written", func() bool { return len(w.ids(t)) > 500 })
		w.pause(t, paused)
		if rows = len(w.ids(t)); rows < lastingRows/2 {
			return w, n, paused, rows
		}
		paused.Kill()
	}
	t.Fatal("no run was paused in the middle")
	return nil, 0, nil, 0
}

// pause stops a process while it is not inside a transaction: there it would hold the database's lock, and
// nobody could get on.
func (w *workshop) pause(t *testing.T, p *proctest.Process) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(w.dir, "warehouse.db")+"?_pragma=busy_timeout(30000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("begin immediate"); err != nil {
		t.Fatal(err)
	}
	p.Pause()
	if _, err := db.Exec("rollback"); err != nil {
		t.Fatal(err)
	}
}

// sequences are the last sequences of what a runner writes to the store. A chunk of rejected rows is not
// among it: one that was on its way when its runner was paused may still come, and nothing names it.
func (w *workshop) sequences(t *testing.T) map[string]uint64 {
	t.Helper()
	all := map[string]uint64{}
	js := jetStream(t, w.store)
	for _, name := range []string{"RUNS", "KV_runs_0", "KV_progress", "EVENTS"} {
		stream, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = stream.CachedInfo().State.LastSeq
	}
	return all
}

// A runner is paused in the middle of a run until another has taken the run over and ended it. When it
// wakes up it writes nothing any more: no row, no progress, no claim, no final document, no event.
func TestPausedRunnerWritesNothingMore(t *testing.T) {
	t.Parallel()
	w, n, paused, before := pausedInTheMiddle(t, func(w *workshop) string { return w.store.Broker.URL() })

	other := w.start(t, w.store.Broker.URL())
	doc := w.await(t, n)
	if doc.ExecutionCount < 2 {
		t.Fatalf("%d attempts, paused with %d rows", doc.ExecutionCount, before)
	}
	w.undisturbed(t, n, doc)
	w.endedOnce(t, n, doc)
	other.Kill()
	was := w.sequences(t)

	paused.Signal(syscall.SIGCONT)
	proctest.Eventually(t, "it gives the run up", func() bool { return strings.Contains(paused.Log.String(), "attempt abandoned") })
	w.undisturbed(t, n, doc)
	w.endedOnce(t, n, doc)
	if now := w.sequences(t); fmt.Sprint(now) != fmt.Sprint(was) {
		t.Errorf("the store was written to: %v, then %v", was, now)
	}
	paused.Kill()
}

// line is a connection to the store that can be made silent without being cut.
type line struct {
	url    string
	silent sync.Mutex // held while nothing goes through
}

func (w *workshop) line(t *testing.T) *line {
	t.Helper()
	tap, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{url: "nats://" + tap.Addr().String()}
	var copying sync.WaitGroup
	copying.Go(func() {
		for {
			client, err := tap.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", w.store.Broker.Addr().String())
			if err != nil {
				client.Close()
				return
			}
			for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
				copying.Go(func() {
					defer client.Close()
					defer server.Close()
					_, _ = io.Copy(&gate{way[1], l}, way[0])
				})
			}
		}
	})
	t.Cleanup(func() { tap.Close(); copying.Wait() })
	return l
}

type gate struct {
	to   io.Writer
	line *line
}

func (g *gate) Write(p []byte) (int, error) {
	g.line.silent.Lock()
	defer g.line.silent.Unlock()
	return g.to.Write(p)
}

// A paused runner that cannot hear from the store that its run is another's is refused by the database. It
// may also notice first for how long it was out of touch, and give the run up; then it is asked once more.
func TestPausedRunnerIsRefusedByTheDatabase(t *testing.T) {
	t.Parallel()
	for range 20 {
		if pausedOutOfTouch(t) {
			return
		}
	}
	t.Error("the paused runner gave its run up each time before it wrote again")
}

// pausedOutOfTouch pauses a runner until another has ended its run, and wakes it up where it cannot hear of
// that. It reports whether the runner tried to write.
func pausedOutOfTouch(t *testing.T) (refused bool) {
	t.Helper()
	var line *line
	w, n, paused, _ := pausedInTheMiddle(t, func(w *workshop) string {
		var text strings.Builder // no row fails: what does would go to the store first
		text.WriteString("id,name\n")
		for i := range lastingRows {
			fmt.Fprintf(&text, "%d,x\n", i+1)
		}
		write(t, filepath.Join(w.dir, "in.csv"), text.String())
		line = w.line(t)
		return line.url
	})
	other := w.start(t, w.store.Broker.URL())
	if doc := w.await(t, n); doc.RowsInserted != lastingRows || doc.ExecutionCount < 2 {
		t.Errorf("ended as %+v", doc)
	}
	other.Kill()

	line.silent.Lock()
	defer line.silent.Unlock()
	paused.Signal(syscall.SIGCONT)
	proctest.Eventually(t, "it has noticed", func() bool {
		log := paused.Log.String()
		refused = strings.Contains(log, "taken the destination over")
		return refused || strings.Contains(log, "attempt abandoned")
	})
	if ids := w.ids(t); len(ids) != lastingRows {
		t.Errorf("%d rows, want %d", len(ids), lastingRows)
	}
	paused.Kill()
	return refused
}

// Where a destination cannot refuse, a runner that was paused looks at its claim before the next batch.
// A file that it appends to stays locked while it is paused, and nobody else writes there.
func TestPausedRunnerAppendsNothingMore(t *testing.T) {
	t.Parallel()
	w := newLastingWorkshop(t, toFile)
	n := w.submit(t)
	paused := w.start(t, w.store.Broker.URL())
	size := func() int64 {
		info, err := os.Stat(filepath.Join(w.dir, "out.csv"))
		if err != nil {
			return 0
		}
		return info.Size()
	}
	proctest.Eventually(t, "a part is written", func() bool { return size() > 5000 })
	paused.Pause()
	other := w.start(t, w.store.Broker.URL())
	proctest.Eventually(t, "the run is taken over", func() bool {
		state, _ := w.state(t, n)
		return state.Executions == 2
	})
	paused.Signal(syscall.SIGCONT)
	doc := w.await(t, n)
	w.undisturbed(t, n, doc)
	w.endedOnce(t, n, doc)
	other.Kill()
	paused.Kill()
}

// The same with messages: nothing is published any more. The runner is paused while it waits for a page,
// because a batch that it had begun to publish it would publish to its end.
func TestPausedRunnerPublishesNothingMore(t *testing.T) {
	t.Parallel()
	const pages, pageRows = 4, 1000
	var held atomic.Bool
	held.Store(true)
	release := make(chan struct{})
	pageServer := httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, asked *http.Request) {
		page, _ := strconv.Atoi(asked.URL.Query().Get("p"))
		if page > 1 && held.Load() {
			<-release
		}
		rows := []map[string]int{}
		for i := range pageRows {
			if page <= pages {
				rows = append(rows, map[string]int{"id": page*pageRows + i})
			}
		}
		_ = json.NewEncoder(answer).Encode(rows) // a client that is gone wants none
	}))
	t.Cleanup(pageServer.Close)
	w := newWorkshop(t, "upsert", 0)
	write(t, filepath.Join(w.dir, "connections.yaml"), "partner: {http: {private: true, url: "+pageServer.URL+"}}\n")
	def := parse(t, fmt.Sprintf(`id: %s
name: Lasting
source: {http: {connection: partner, path: "/rows?p=1", next: {page: p}}}
mapping: {id: id}
destination: {nats: {subject: members.changed}}
`, w.request.Task))
	if _, err := w.store.Tasks.Apply(t.Context(), def, false); err != nil {
		t.Fatal(err)
	}
	w.request = request(def)
	js := jetStream(t, w.store)
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "MEMBERS", Subjects: []string{"members.>"}, Duplicates: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	messages := func() uint64 {
		info, err := stream.Info(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return info.State.Msgs
	}
	n := w.submit(t)
	paused := w.start(t, w.store.Broker.URL())
	proctest.Eventually(t, "the first page is published", func() bool { return messages() == pageRows })
	paused.Pause()
	held.Store(false)
	close(release) // the page is there when it wakes up
	other := w.start(t, w.store.Broker.URL())
	doc := w.await(t, n)
	w.endedOnce(t, n, doc)
	other.Kill()
	was := messages()
	const all = pages * pageRows
	if doc.RowsInserted != all || was < all || was > all+pageRows {
		t.Errorf("%d messages, at least once each of %d, and counts %+v", was, all, doc)
	}
	paused.Signal(syscall.SIGCONT)
	proctest.Eventually(t, "it gives the run up", func() bool { return strings.Contains(paused.Log.String(), "attempt abandoned") })
	if now := messages(); now != was {
		t.Errorf("%d messages, and %d when the paused runner had woken up", was, now)
	}
	paused.Kill()
}

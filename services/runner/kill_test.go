package runner_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// A runner process is killed with SIGKILL between every two steps of one run. Another process then
// ends the run: once, with every row where it belongs.
func TestKillBetweenAnyTwoSteps(t *testing.T) {
	t.Parallel()
	const rows = 3_000
	for _, action := range []string{"upsert", "insert"} {
		for _, step := range []struct {
			name    string
			subject string // as runUntilKilled takes it
		}{
			{"claiming", "$KV.runs_0.claim."},
			{"ending", "$KV.runs_0.final."},
			{"acknowledging", "$JS.ACK."},
		} {
			for _, after := range []bool{false, true} {
				moment := "before"
				if after {
					moment = "after"
				}
				t.Run(action+"/"+moment+" "+step.name, func(t *testing.T) {
					t.Parallel()
					w := newWorkshop(t, action, rows)
					n := w.submit(t)
					w.runUntilKilled(t, step.subject, 1, after)

					successor := w.start(t, w.store.Broker.URL())
					doc := w.await(t, n)
					if doc.Outcome() != run.Success || doc.RowsProcessed != rows || doc.RowsInserted != rows {
						t.Errorf("ended %s with %d rows, %d inserted: %s; want Success with %d", doc.Outcome(), doc.RowsProcessed, doc.RowsInserted, doc.Message, rows)
					}
					if got := w.rows(t); got != rows {
						t.Errorf("%d rows in the table, want %d", got, rows)
					}
					w.endedOnce(t, n, doc)
					successor.Kill()
				})
			}
		}
	}
}

// endedOnce checks that an ended run comes to nobody again, has one event, and keeps its document.
func (w *workshop) endedOnce(t *testing.T, n run.Number, doc run.Document) {
	t.Helper()
	w.waitUntilQuiet(t)
	proctest.Eventually(t, "the completion event is stored", func() bool { return w.events(t) > 0 })
	if events := w.events(t); events != 1 {
		t.Errorf("%d completion events, want 1", events)
	}
	again, err := w.store.Runs.Lookup(t.Context(), w.request.Task, n)
	want, _ := doc.Encode()
	if err != nil || !bytes.Equal(again.Bytes, want) {
		t.Errorf("the final document changed: %v\n%s\n%s", err, want, again.Bytes)
	}
}

// workshop is a store, a task with its files, and runner processes that work on it.
type workshop struct {
	store   *bustest.Store
	dir     string
	request run.Request
	metrics *prometheus.Registry // of the runner in this process
	log     *proctest.Output     // where that one logs; nil for the test's own log
}

func newWorkshop(t *testing.T, action string, rows int) *workshop {
	t.Helper()
	return newWorkshopWith(t, action, rows, time.Second)
}

func newWorkshopWith(t *testing.T, action string, rows int, lease time.Duration) *workshop {
	t.Helper()
	w := &workshop{store: bustest.New(t, bus.Topology{Lease: lease}), dir: t.TempDir()}
	var csv strings.Builder
	csv.WriteString("id,name\n")
	for i := range rows {
		fmt.Fprintf(&csv, "%d,name %d\n", i, i)
	}
	write(t, filepath.Join(w.dir, "in.csv"), csv.String())
	write(t, filepath.Join(w.dir, "connections.yaml"), "drop: {files: .}\nwarehouse: {sqlite: ./warehouse.db}\n")
	def := parse(t, fmt.Sprintf(`id: %s
name: Killed
source: {csv: {connection: drop, path: in.csv}}
mapping: {id: id, name: name}
destination: {sql: {connection: warehouse, table: people, key: [id], action: %s, create: true}}
`, taskID(), action))
	if _, err := w.store.Tasks.Apply(t.Context(), def, false); err != nil {
		t.Fatal(err)
	}
	w.request = request(def)
	return w
}

func (w *workshop) submit(t *testing.T) run.Number {
	t.Helper()
	accepted, err := w.store.Runs.Submit(t.Context(), w.request, "")
	if err != nil {
		t.Fatal(err)
	}
	return accepted.Number
}

// rows counts the table's rows; a table that was never made has none.
func (w *workshop) rows(t *testing.T) (count int) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(w.dir, "warehouse.db")+"?_pragma=busy_timeout(30000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var tables int
	if err := db.QueryRow(`select count(*) from sqlite_master where name = 'people'`).Scan(&tables); err != nil {
		t.Fatal(err)
	}
	if tables == 0 {
		return 0
	}
	if err := db.QueryRow(`select count(*) from people`).Scan(&count); err != nil {
		t.Fatal(err)
	}
	return count
}

func (w *workshop) events(t *testing.T) uint64 {
	t.Helper()
	stream, err := jetStream(t, w.store).Stream(t.Context(), "EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().State.Msgs
}

// waitUntilQuiet waits until the task's queue holds nothing that could still be delivered.
func (w *workshop) waitUntilQuiet(t *testing.T) {
	t.Helper()
	js := jetStream(t, w.store)
	proctest.Eventually(t, "the queue is empty", func() bool {
		consumer, err := js.Consumer(t.Context(), "RUNS", string(w.request.Task))
		if err != nil {
			t.Fatal(err)
		}
		info := consumer.CachedInfo()
		return info.NumAckPending == 0 && info.NumPending == 0
	})
}

const natsVariable, connectionsVariable = "RUNHOOK_TEST_NATS", "RUNHOOK_TEST_CONNECTIONS"

// start starts a runner in a process of its own.
func (w *workshop) start(t *testing.T, url string) *proctest.Process {
	t.Helper()
	return proctest.Start(t, proctest.Self("runner", natsVariable+"="+url, connectionsVariable+"="+filepath.Join(w.dir, "connections.yaml")))
}

// runUntilKilled starts a runner behind a wire tap that kills it at the nth publish to a subject,
// before or after the server has it.
func (w *workshop) runUntilKilled(t *testing.T, subject string, nth int, after bool) {
	t.Helper()
	tap, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tap.Close()
	p := w.start(t, "nats://"+tap.Addr().String())
	client, err := tap.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := net.Dial("tcp", w.store.Broker.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	var answers sync.WaitGroup
	answers.Go(func() { _, _ = io.Copy(client, server) })
	defer answers.Wait()
	defer server.Close()

	lines := bufio.NewReaderSize(client, 1<<20)
	for seen := 0; ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("the runner ended before it published %s: %v", subject, err)
		}
		frame := []byte(line)
		fields := strings.Fields(line)
		hit := false
		if fields[0] == "PUB" || fields[0] == "HPUB" {
			size, err := strconv.Atoi(fields[len(fields)-1])
			if err != nil {
				t.Fatalf("not a NATS publish: %q", line)
			}
			body := make([]byte, size+2)
			if _, err := io.ReadFull(lines, body); err != nil {
				t.Fatal(err)
			}
			frame = append(frame, body...)
			begin, header, _ := strings.Cut(subject, " ")
			if strings.HasPrefix(fields[1], begin) && bytes.Contains(body, []byte(header)) && !bytes.HasPrefix(body, []byte("+WPI")) {
				seen++
				hit = seen == nth
			}
		}
		if hit && !after {
			p.Kill()
			return
		}
		if _, err := server.Write(frame); err != nil {
			t.Fatal(err)
		}
		if hit {
			p.Kill()
			return
		}
	}
}

// runAsRunner is what such a process does, until SIGTERM.
func runAsRunner() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return serve(ctx, os.Getenv(natsVariable), os.Getenv(connectionsVariable))
}

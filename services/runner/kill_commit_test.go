package runner_test

import (
	"bytes"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"runhook/shared/mariatest"
	"runhook/shared/pgtest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// A runner process is killed with SIGKILL when it commits a batch to a database over the network, before or after the
// database has heard of it. Another process then ends the run with every row in its place once.
func TestKillAtACommit(t *testing.T) {
	t.Parallel()
	const rows = 24_000 // more batches than commits until the kill
	for name, c := range map[string]struct {
		kind  string
		after bool
	}{"PostgreSQL, before": {"postgres", false}, "PostgreSQL, after": {"postgres", true}, "MariaDB, before": {"mysql", false}, "MariaDB, after": {"mysql", true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var address, url string
			var commit []byte
			var query func(string) string
			if c.kind == "postgres" {
				server := pgtest.New(t)
				schema := server.Schema(t)
				address, url, commit, query = server.Address(), schema.URL, []byte("COMMIT\x00"), schema.Query
			} else {
				server := mariatest.New(t)
				database := server.Database(t)
				address, url, commit, query = server.Address(), database.URL, []byte("\x03COMMIT"), database.Query
			}
			w := newWorkshop(t, "insert", rows)
			tap := tapCommits(t, address, commit, c.after)
			write(t, filepath.Join(w.dir, "connections.yaml"), "drop: {files: .}\nwarehouse: {"+c.kind+": '"+strings.Replace(url, address, tap.Addr().String(), 1)+"'}\n")
			n := w.submit(t)
			// The commits are that of the first checkpoint, and one for each batch.
			tap.kill(4, w.start(t, w.store.Broker.URL()))
			<-tap.killed

			successor := w.start(t, w.store.Broker.URL())
			doc := w.await(t, n)
			if doc.Outcome() != run.Success || doc.RowsProcessed != rows || doc.RowsInserted != rows || doc.ExecutionCount != 2 {
				t.Errorf("ended %s with %d rows, %d inserted, started %d times: %s", doc.Outcome(), doc.RowsProcessed, doc.RowsInserted, doc.ExecutionCount, doc.Message)
			}
			if got := query("SELECT count(*), count(DISTINCT id) FROM people"); got != "24000 24000" {
				t.Errorf("the table has %s", got)
			}
			w.endedOnce(t, n, doc)
			proctest.Eventually(t, "the checkpoint is removed", func() bool { return query("SELECT count(*) FROM runhook_checkpoint") == "0" })
			successor.Kill()
		})
	}
}

// commitTap is a way to a database that sees commits.
type commitTap struct {
	net.Listener
	commit []byte
	after  bool
	killed chan struct{}

	mu    sync.Mutex
	left  int
	kills *proctest.Process
}

func tapCommits(t *testing.T, to string, commit []byte, after bool) *commitTap {
	t.Helper()
	tap := &commitTap{commit: commit, after: after, killed: make(chan struct{})}
	tap.Listener = pgtest.Relay(t, to, tap.forward)
	return tap
}

// kill has the nth commit from now on kill a process.
func (c *commitTap) kill(nth int, p *proctest.Process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left, c.kills = nth, p
}

// commits reports whether this commit is the one that kills.
func (c *commitTap) commits() *proctest.Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kills == nil {
		return nil
	}
	if c.left--; c.left > 0 {
		return nil
	}
	p := c.kills
	c.kills = nil
	return p
}

func (c *commitTap) forward(client, server net.Conn) {
	var answers sync.WaitGroup
	answers.Go(func() {
		_, _ = io.Copy(client, server)
		client.Close()
	})
	defer answers.Wait()
	defer server.Close()
	buffer := make([]byte, 1<<16)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		var p *proctest.Process
		if bytes.Contains(buffer[:n], c.commit) {
			p = c.commits()
		}
		if p != nil && !c.after {
			p.Kill()
			close(c.killed)
			return
		}
		if _, err := server.Write(buffer[:n]); err != nil {
			return
		}
		if p != nil {
			p.Kill()
			close(c.killed)
			return
		}
	}
}

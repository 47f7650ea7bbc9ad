package sqldb_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"runhook/services/runner/connection"
	"runhook/services/runner/connector"
	"runhook/services/runner/connector/sqldb"
	"runhook/services/runner/pipeline"
	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/services/runner/row"
	"runhook/shared/mariatest"
	"runhook/shared/pgtest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// dbServer is a make of database servers, of which all the tests of this file hold.
type dbServer struct {
	bench   func(*testing.T) *pipelinetest.Bench
	address func(*testing.T) string
	// url is the address of the bench's connection, and at has it be another one.
	url func(*testing.T, *pipelinetest.Bench) string
	at  func(*testing.T, *pipelinetest.Bench, string)
	// key is the type of a short text that may be a key.
	key string
	// commit is how a client's message has a commit, and impatient what an address has so that locks are not waited for.
	commit, impatient string
}

// members makes a bench with an empty table members.
func (on dbServer) members(t *testing.T) *pipelinetest.Bench {
	b := on.bench(t)
	b.Exec("CREATE TABLE members (id " + on.key + " PRIMARY KEY, name " + on.key + ")")
	return b
}

// eachServer tests a promise of each make of servers.
func eachServer(t *testing.T, test func(*testing.T, dbServer)) {
	for name, on := range map[string]dbServer{
		"postgres": {
			bench: onPostgres, address: func(t *testing.T) string { return pgtest.New(t).Address() }, url: pgURL, at: at,
			key: "text", commit: "COMMIT\x00", impatient: "&lock_timeout=50",
		},
		"mysql": {
			bench: onMariaDB, address: func(t *testing.T) string { return mariatest.New(t).Address() }, url: mysqlURL, at: mysqlAt,
			key: "varchar(9)", commit: "\x03COMMIT", impatient: "&innodb_lock_wait_timeout=1",
		},
	} {
		t.Run(name, func(t *testing.T) { test(t, on) })
	}
}

func openMembers(t *testing.T, set *connection.Set, to *task.SQLDestination) *sqldb.Destination {
	t.Helper()
	d, err := sqldb.Open(t.Context(), set, to, []connector.Column{{Name: "id", Kind: reflect.String}, {Name: "name", Kind: reflect.String}})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// refuses wants a run to fail because of its connection, and its check to say so where it can know, without the secrets
// of the tests.
func refuses(t *testing.T, b *pipelinetest.Bench, want string, passing, known bool, address string) {
	t.Helper()
	_, err := b.Run(t.Context())
	failure, ok := errors.AsType[*run.Failure](err)
	if !ok || !strings.Contains(failure.Message, want) || failure.Passing != passing {
		t.Fatalf("got %+v, want %s, passing %v", err, want, passing)
	}
	found, err := pipeline.Check(t.Context(), b.Job.Kinds, b.Job.Job)
	if err != nil || known && len(found) == 0 {
		t.Errorf("the check says %v, %v", found, err)
	}
	for _, secret := range []string{"hunter2", "secret", address, "nowhere"} {
		if strings.Contains(fmt.Sprint(failure.Message, found), secret) {
			t.Errorf("%s is shown: %s, %v", secret, failure.Message, found)
		}
	}
}

// reads wants a run of the bench's query to write rows, and its check to find no fault.
func reads(t *testing.T, b *pipelinetest.Bench, want string, parameters ...string) {
	t.Helper()
	b.Parameters(parameters...)
	n := int64(strings.Count(want, "\n"))
	b.Succeed(run.Counts{Retrieved: n, Inserted: n})
	if got := b.Read("out.csv"); got != "id,name\n"+want {
		t.Errorf("got %q, want %q", got, want)
	}
	found, err := pipeline.Check(t.Context(), b.Job.Kinds, b.Job.Job)
	for _, f := range found {
		if err != nil || f.Severity == "error" {
			t.Errorf("the check says %s, %v", f.Text(), err)
		}
	}
}

// isNotRead wants a run of the bench's query to fail, without the value 4711 of it.
func isNotRead(t *testing.T, b *pipelinetest.Bench, want string) {
	t.Helper()
	s := b.Fail(want)
	_, err := b.Run(t.Context())
	if strings.Contains(fmt.Sprint(s, err), "4711") {
		t.Errorf("a value is shown: %v", err)
	}
}

// Two runs that write the same rows in another order come to an end, and their counts are what is in the table.
func TestServerRunsBesideEachOther(t *testing.T) {
	eachServer(t, func(t *testing.T, on dbServer) {
		b := on.members(t)
		var up, down strings.Builder
		up.WriteString("ID,Name\n")
		down.WriteString("ID,Name\n")
		const rows = 4000
		for i := range rows {
			fmt.Fprintf(&up, "%d,same\n", i)
			fmt.Fprintf(&down, "%d,same\n", rows-1-i)
		}
		b.Write("up.csv", up.String())
		b.Write("down.csv", down.String())
		var inserted, unchanged atomic.Int64
		var runs sync.WaitGroup
		for _, file := range []string{"up.csv", "down.csv"} {
			job := b.Job
			def := *b.Job.Task
			def.Source = &task.CSVSource{Connection: "drop", Path: file}
			job.Task = &def
			runs.Go(func() {
				var m pipeline.Meter
				if err := pipeline.Run(t.Context(), job, &m); err != nil {
					t.Error(err)
				}
				counts := m.Snapshot().Counts
				inserted.Add(counts.Inserted)
				unchanged.Add(counts.Unchanged)
			})
		}
		runs.Wait()
		if inserted.Load() != rows || unchanged.Load() != rows {
			t.Errorf("%d inserted, %d unchanged", inserted.Load(), unchanged.Load())
		}
	})
}

// severed is a way to the server that is cut when a commit goes over it.
type severed struct {
	net.Listener
	// before: the commit does not arrive. commit is how a client's message has it.
	before bool
	commit []byte
	cuts   atomic.Int32
}

func sever(t *testing.T, to string, before bool, commit string) *severed {
	t.Helper()
	s := &severed{before: before, commit: []byte(commit)}
	s.Listener = pgtest.Relay(t, to, s.forward)
	return s
}

// forward carries what both say, until the client's commit, if there are cuts left.
func (s *severed) forward(client, server net.Conn) {
	defer client.Close()
	defer server.Close()
	answers := make(chan struct{})
	committing := atomic.Bool{}
	go func() {
		defer close(answers)
		defer client.Close()
		buffer := make([]byte, 1<<16)
		for {
			n, err := server.Read(buffer)
			if err != nil || committing.Load() {
				return // the server has answered the commit: it was done
			}
			if _, err := client.Write(buffer[:n]); err != nil {
				return
			}
		}
	}()
	buffer := make([]byte, 1<<16)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			break
		}
		if bytes.Contains(buffer[:n], s.commit) && s.cuts.Add(-1) >= 0 {
			if s.before {
				break
			}
			committing.Store(true)
		}
		if _, err := server.Write(buffer[:n]); err != nil {
			break
		}
	}
	if committing.Load() {
		<-answers
	}
	server.Close()
	client.Close()
	<-answers
}

// A commit whose answer is lost is settled by the checkpoint that it has made: its rows count if they are there, and
// are written by the next attempt otherwise.
func TestServerCommitOfWhichNothingIsHeard(t *testing.T) {
	eachServer(t, func(t *testing.T, on dbServer) {
		for _, lost := range []bool{false, true} {
			b := on.members(t)
			way := sever(t, on.address(t), lost, on.commit)
			on.at(t, b, strings.Replace(on.url(t, b), on.address(t), way.Addr().String(), 1))
			d := openMembers(t, b.Job.Connections, b.Table())
			fence := &connector.Fence{Store: "s", Task: "t", Number: 1, Token: 1}
			if _, _, err := d.Raise(t.Context(), fence); err != nil {
				t.Fatal(err)
			}
			write := func(from int) error {
				batch := row.NewBatch(2)
				for n := from; n < from+3; n++ {
					r := batch.Add(int64(n))
					r.Values[0], r.Values[1] = fmt.Sprint(n), "Ann"
				}
				return d.Write(t.Context(), batch, func(last int64) error {
					return d.Record(t.Context(), run.Checkpoint{Row: last})
				})
			}
			if err := write(1); err != nil {
				t.Fatal(err)
			}
			way.cuts.Store(1)
			err := write(4)
			if failure, ok := errors.AsType[*run.Failure](err); lost && (!ok || !failure.Passing) || !lost && err != nil {
				t.Errorf("lost %v: %v", lost, err)
			}
			want := "6"
			if lost {
				want = "3"
			}
			if got := b.Query("SELECT count(*) FROM members"); got != want {
				t.Errorf("lost %v: there are %s rows, want %s", lost, got, want)
			}
			// The destination goes on over the connection that it has by then, and interrupts that one.
			if err := write(7); err != nil {
				t.Errorf("lost %v: the next batch: %v", lost, err)
			}
			d.Close()
			d = openMembers(t, b.Job.Connections, b.Table())
			fence.Token = 2
			if at, found, err := d.Raise(t.Context(), fence); err != nil || !found || at.Row != 9 {
				t.Errorf("lost %v: the checkpoint is %+v, %v, %v", lost, at, found, err)
			}
			fence.Token = 1
			if _, _, err := d.Raise(t.Context(), fence); !errors.Is(err, connector.ErrLost) {
				t.Errorf("an earlier attempt: %v", err)
			}
			d.Close()
		}
	})
}

// A takeover waits for the transaction of the attempt before, and what that has committed counts.
func TestServerRaiseWaitsForTheEarlierAttempt(t *testing.T) {
	eachServer(t, func(t *testing.T, on dbServer) {
		b := on.members(t)
		on.at(t, b, on.url(t, b)+on.impatient)
		earlier, later := openMembers(t, b.Job.Connections, b.Table()), openMembers(t, b.Job.Connections, b.Table())
		defer earlier.Close()
		defer later.Close()
		fence := &connector.Fence{Store: "s", Task: "t", Number: 1, Token: 1}
		if _, _, err := earlier.Raise(t.Context(), fence); err != nil {
			t.Fatal(err)
		}
		batch := row.NewBatch(2)
		r := batch.Add(1)
		r.Values[0], r.Values[1] = "1", "Ann"
		raised := make(chan error, 1)
		next := &connector.Fence{Store: "s", Task: "t", Number: 1, Token: 2}
		var found bool
		var at run.Checkpoint
		err := earlier.Write(t.Context(), batch, func(last int64) error {
			if err := earlier.Record(t.Context(), run.Checkpoint{Row: last}); err != nil {
				return err
			}
			if _, _, err := later.Raise(t.Context(), next); err == nil || !strings.Contains(err.Error(), "was locked by another writer") {
				t.Errorf("a first attempt: %v", err)
			}
			short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			next.Takeover = true
			if _, _, err := later.Raise(short, next); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a takeover whose time ends: %v", err)
			}
			go func() {
				var err error
				at, found, err = later.Raise(t.Context(), next)
				raised <- err
			}()
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := <-raised; err != nil || !found || at.Row != 1 {
			t.Errorf("the takeover: %+v, %v, %v", at, found, err)
		}
		if err := earlier.Write(t.Context(), batch, func(last int64) error { return earlier.Record(t.Context(), run.Checkpoint{Row: last}) }); !errors.Is(err, connector.ErrLost) {
			t.Errorf("the earlier attempt goes on: %v", err)
		}
	})
}

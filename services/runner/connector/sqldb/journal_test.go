package sqldb_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"modernc.org/sqlite"

	"runhook/services/runner/check"
	"runhook/services/runner/connector"
	"runhook/services/runner/connector/sqldb"
	"runhook/services/runner/pipeline"
	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/services/runner/row"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// beside is a connection of somebody else to the database.
func beside(t *testing.T, b *pipelinetest.Bench) *sql.Conn {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(b.Folder, "warehouse.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// A close has nothing left to write, which it would do while nobody can open the database: the log is empty before,
// as somebody sees who has the database open.
func TestTheLogIsEmptyBeforeTheClose(t *testing.T) {
	b := pipelinetest.New(t)
	b.Exec("pragma journal_mode = wal; create table others (id)")
	b.Write("members.csv", "ID,Name\n1,Ann\n2,Bob\n")
	do(t, beside(t, b), "select * from others")
	look := func(after string) {
		t.Helper()
		if info, err := os.Stat(filepath.Join(b.Folder, "warehouse.db-wal")); err != nil || info.Size() > 0 {
			t.Errorf("the log after %s: %v, %v", after, info, err)
		}
	}
	b.Job.Fence = &connector.Fence{Store: "s", Task: "t", Number: 1, Token: 1}
	b.Succeed(run.Counts{Retrieved: 2, Inserted: 2})
	look("a run")
	if err := (sqldb.DestinationKind{}).Forget(t.Context(), b.Job.Job); err != nil {
		t.Fatal(err)
	}
	look("a checkpoint's removal")
}

// A database in which writing keeps readers out is not written to after a run: whoever reads then finds it open.
func TestNothingIsWrittenAfterTheRun(t *testing.T) {
	for _, mode := range []string{"delete", "truncate", "persist"} {
		b := pipelinetest.New(t)
		b.Exec("pragma journal_mode = " + mode + "; create table others (id)")
		b.Write("members.csv", "ID,Name\n1,Ann\n")
		b.Job.Fence = &connector.Fence{Store: "s", Task: "t", Number: 1, Token: 1}
		b.Succeed(run.Counts{Retrieved: 1, Inserted: 1})
		before := b.Read("warehouse.db")
		reader := beside(t, b)
		do(t, reader, "begin; select * from members") // a writer would have to wait for it
		if err := (sqldb.DestinationKind{}).Forget(t.Context(), b.Job.Job); err != nil {
			t.Fatalf("%s: %v", mode, err)
		}
		if b.Read("warehouse.db") != before {
			t.Errorf("%s: the file was written to", mode)
		}
		do(t, reader, "commit")
		// A run that cannot begin leaves it to the one after it.
		do(t, reader, "update runhook_checkpoint set token = 9 where run = 1; insert into runhook_checkpoint values ('s', 't', 2, 9, '')")
		b.Job.Fence = &connector.Fence{Store: "s", Task: "t", Number: 2, Token: 1}
		if _, err := b.Run(t.Context()); !errors.Is(err, connector.ErrLost) {
			t.Errorf("%s: %v", mode, err)
		}
		do(t, reader, "update runhook_checkpoint set token = 1 where run = 1")
		b.Job.Fence = &connector.Fence{Store: "s", Task: "t", Number: 3, Token: 1}
		b.Succeed(run.Counts{Retrieved: 1, Unchanged: 1})
		if left := b.Query("select run from runhook_checkpoint order by run"); left != "2; 3" {
			t.Errorf("%s: the checkpoints of the runs %s are left", mode, left)
		}
	}
}

func do(t *testing.T, conn *sql.Conn, statement string) {
	t.Helper()
	if _, err := conn.ExecContext(context.Background(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// copied is what a query finds in a copy of the database's file alone.
func copied(t *testing.T, b *pipelinetest.Bench, query string) (found string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(b.Folder, "warehouse.db"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "copy.db")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow(query).Scan(&found); err != nil {
		t.Fatal(err)
	}
	return found
}

// A database that is there keeps its mode, whatever a run does to it; one that a run makes has a write-ahead
// log. After each run the file of the database is all there is, and has all rows.
func TestADatabaseKeepsItsMode(t *testing.T) {
	for name, made := range map[string]string{
		"made": "", "empty": "pragma user_version", "delete": "pragma journal_mode = delete; create table others (id)",
		"truncate": "pragma journal_mode = truncate; create table others (id)", "wal": "pragma journal_mode = wal; create table others (id)",
	} {
		t.Run(name, func(t *testing.T) {
			b := pipelinetest.New(t)
			want := "wal"
			if name == "delete" || name == "truncate" {
				want = "delete" // only a write-ahead log is a mode of the file
			}
			if made != "" {
				b.Exec(made)
			}
			b.Write("members.csv", "ID,Name\n1,Ann\n2,Bob\n")
			look := func(after string) {
				t.Helper()
				for _, beside := range []string{"-wal", "-shm", "-journal"} {
					if _, err := os.Stat(filepath.Join(b.Folder, "warehouse.db"+beside)); err == nil {
						t.Errorf("after %s there is a file that ends in %s", after, beside)
					}
				}
				if got := b.Query("pragma journal_mode"); got != want {
					t.Errorf("after %s the mode is %s, want %s", after, got, want)
				}
			}
			b.Job.Fence = &connector.Fence{Store: "s", Task: "t", Number: 1, Token: 1}
			b.Succeed(run.Counts{Retrieved: 2, Inserted: 2})
			look("a run")
			if got := copied(t, b, "select count(*) from members"); got != "2" {
				t.Errorf("a copy has %s rows", got)
			}
			b.Job.DryRun, b.Job.Fence = true, nil
			b.Succeed(run.Counts{Retrieved: 2, Unchanged: 2})
			look("a dry run")
			b.Job.DryRun = false
			b.FromQuery("select id, name from members", "id")
			b.Job.Task.Destination = &task.SQLDestination{
				Connection: "warehouse", Table: "people", Key: []string{"id"}, Action: task.Upsert, Create: true,
			}
			b.Succeed(run.Counts{Retrieved: 2, Inserted: 2})
			look("a run from table to table")
			if got := copied(t, b, "select count(*) from people"); got != "2" {
				t.Errorf("a copy has %s rows", got)
			}
			b.Job.Fence = &connector.Fence{Store: "s", Task: "t", Number: 1, Token: 1}
			if err := (sqldb.DestinationKind{}).Forget(t.Context(), b.Job.Job); err != nil {
				t.Fatal(err)
			}
			look("a checkpoint's removal")
			if left := copied(t, b, "select count(*) from runhook_checkpoint"); (left != "0") != (want != "wal") {
				t.Errorf("%s checkpoints are left", left)
			}
			b.Job.Fence = &connector.Fence{Store: "s", Task: "t", Number: 2, Token: 1}
			b.Succeed(run.Counts{Retrieved: 2, Unchanged: 2})
			if left := copied(t, b, "select group_concat(run) from runhook_checkpoint"); left != "2" {
				t.Errorf("after the next run the checkpoints of the runs %s are left", left)
			}
		})
	}
}

// Reading keeps nobody from writing, in whatever mode the database is, and gives the rows as they were
// when it began.
func TestASourceIsInNobodysWay(t *testing.T) {
	for _, mode := range []string{"delete", "wal"} {
		b := pipelinetest.New(t)
		b.Exec("pragma journal_mode = " + mode)
		b.Exec(someMembers)
		b.FromQuery("select id, name from members where id <> :None", "id")
		b.Parameters("None", "x")
		from, err := sqldb.SourceKind{}.Open(t.Context(), b.Job.Job)
		if err != nil {
			t.Fatal(err)
		}
		cells := make([]any, 2)
		if _, err := from.Next(t.Context(), cells); err != nil {
			t.Fatal(err)
		}
		b.Exec("insert into members (id, name) values (999, 'later')")
		count := 1
		for ; ; count++ {
			if _, err := from.Next(t.Context(), cells); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", mode, err)
			}
		}
		if count != 3 {
			t.Errorf("%s: %d rows", mode, count)
		}
		if err := from.Close(); err != nil {
			t.Error(err)
		}
	}
}

// open opens the job's destination under a fence.
func openFenced(t *testing.T, b *pipelinetest.Bench, token uint64) *sqldb.Destination {
	t.Helper()
	to, err := sqldb.DestinationKind{}.Open(t.Context(), b.Job.Job, []connector.Column{{Name: "id", Kind: reflect.String}, {Name: "name", Kind: reflect.String}})
	if err != nil {
		t.Fatal(err)
	}
	d := to.(*sqldb.Destination)
	if _, _, err := d.Raise(t.Context(), &connector.Fence{Store: "s", Task: "t", Number: 1, Token: token}); err != nil {
		t.Fatal(err)
	}
	return d
}

func batchOf(id string) *row.Batch {
	batch := row.NewBatch(2)
	r := batch.Add(1)
	r.Values[0], r.Values[1] = id, "Ann"
	return batch
}

// Without a write-ahead log a batch waits at its commit for those who read, and is written once when they
// have gone; a run that is ended meanwhile leaves nothing of it, at once. An attempt that has been overtaken
// writes nothing.
func TestACommitWaitsForReaders(t *testing.T) {
	b := pipelinetest.New(t)
	b.Exec("create table members (id text primary key, name text); insert into members values ('0', 'Zoe')")
	earlier := openFenced(t, b, 7)
	defer earlier.Close()
	reader := beside(t, b)
	read := func() {
		t.Helper()
		do(t, reader, "begin")
		do(t, reader, "select * from members")
	}
	read()

	ctx, cancel := context.WithCancel(t.Context())
	reached := make(chan struct{})
	ended := make(chan error, 1)
	write := func(ctx context.Context, d *sqldb.Destination, id string, row int64) {
		ended <- d.Write(ctx, batchOf(id), func(int64) error {
			defer close(reached)
			return d.Record(ctx, run.Checkpoint{Row: row})
		})
	}
	go write(ctx, earlier, "1", 1)
	<-reached
	select {
	case err := <-ended:
		t.Fatalf("it does not wait: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	cancel()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("a run that is ended: %v", err)
		}
	case <-time.After(sqldb.LockWait / 2):
		t.Fatal("the end of a run waits for readers")
	}
	do(t, reader, "commit")
	if got := b.Query("select id from members; "); got != "0" {
		t.Errorf("the table has %s", got)
	}

	read()
	reached = make(chan struct{})
	go write(t.Context(), earlier, "1", 1)
	<-reached
	do(t, reader, "commit")
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if got := b.Query("select id from members order by id"); got != "0; 1" {
		t.Errorf("the table has %s", got)
	}

	later := openFenced(t, b, 8)
	defer later.Close()
	reached = make(chan struct{})
	go write(t.Context(), earlier, "2", 2)
	if err := <-ended; !errors.Is(err, connector.ErrLost) {
		t.Errorf("an attempt that was overtaken: %v", err)
	}
	if got := b.Query("select id from members order by id"); got != "0; 1" {
		t.Errorf("the table has %s", got)
	}
	if got := b.Query("pragma journal_mode"); got != "delete" {
		t.Errorf("the mode is %s", got)
	}
	proctest.Eventually(t, "nothing is locked", func() bool {
		_, err := reader.ExecContext(t.Context(), "begin immediate; rollback")
		return err == nil
	})
}

// A batch that is larger than what SQLite keeps in memory is in nobody's way either, until its commit.
func TestALargeBatchKeepsNobodyFromReading(t *testing.T) {
	b := pipelinetest.New(t)
	b.Exec("create table members (id text primary key, name text); insert into members values ('0', 'Zoe')")
	d := openFenced(t, b, 7)
	defer d.Close()
	reader := beside(t, b) // which does not wait
	batch := row.NewBatch(2)
	for i := range row.MaxRows {
		r := batch.Add(int64(i + 1))
		r.Values[0], r.Values[1] = strconv.Itoa(i+1), strings.Repeat("x", 4000)
	}
	err := d.Write(t.Context(), batch, func(int64) error {
		do(t, reader, "select * from members")
		return d.Record(t.Context(), run.Checkpoint{Row: batch.Last()})
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := b.Query("select count(*) from members"); got != strconv.Itoa(row.MaxRows+1) {
		t.Errorf("the table has %s rows", got)
	}
}

// A run that is ended anywhere between a batch's first row and its commit has either written the batch, and
// knows it, or nothing of it.
func TestARunThatIsEndedBeforeTheCommit(t *testing.T) {
	for _, mode := range []string{"delete", "wal"} {
		b := pipelinetest.New(t)
		b.Exec("pragma journal_mode = " + mode + `; create table members (id text primary key, name text);
			create trigger ending after insert on members when new.name = 'end' begin select sqldb_test_end(); end`)
		d := openFenced(t, b, 7)
		defer d.Close()

		ctx, cancel := context.WithCancel(t.Context())
		endRun.Store(&cancel)
		batch := batchOf("1")
		batch.Pending()(func(r *row.Row) bool { r.Values[1] = "end"; return false })
		err := d.Write(ctx, batch, func(int64) error { t.Errorf("%s: a run that has ended goes on to its commit", mode); return nil })
		if got := b.Query("select id from members"); !errors.Is(err, context.Canceled) || got != "" {
			t.Errorf("%s: ended between two rows: %v, and there is %q", mode, err, got)
		}

		for name, before := range map[string]error{"agreed": nil, "did not agree": context.Canceled} {
			ctx, cancel := context.WithCancel(t.Context())
			err := d.Write(ctx, batchOf(name), func(int64) error { cancel(); return before })
			got := b.Query("select id from members where id = '" + name + "'")
			if (err == nil) != (got == name) || err != nil && !errors.Is(err, context.Canceled) || err == nil && before != nil {
				t.Errorf("%s: ended in before, which %s: %v, and there is %q", mode, name, err, got)
			}
		}
		if err := d.Write(t.Context(), batchOf("after"), func(int64) error { return nil }); err != nil {
			t.Errorf("%s: the connection is of no use any more: %v", mode, err)
		}
	}
}

// endRun is what the SQL function of the name calls.
var endRun atomic.Pointer[context.CancelFunc]

func init() {
	sqlite.MustRegisterScalarFunction("sqldb_test_end", 0, func(*sqlite.FunctionContext, []driver.Value) (driver.Value, error) {
		(*endRun.Load())()
		return int64(0), nil
	})
}

// A look at the first rows of a query does not go through all of them.
func TestALookReadsNoFurther(t *testing.T) {
	b := pipelinetest.New(t)
	b.Exec(someMembers)
	b.FromQuery("with recursive n(i) as (select 1 union all select i + 1 from n) select i as id, '' as name from n")
	ctx, cancel := context.WithTimeout(t.Context(), proctest.Limit)
	defer cancel()
	sample, err := pipeline.Preview(ctx, b.Job.Kinds, b.Job.Job, 3)
	if err != nil || len(sample.Rows) != 3 {
		t.Errorf("a preview: %+v, %v", sample, err)
	}
	var found check.Report
	seen, err := sqldb.SourceKind{}.Check(ctx, b.Job.Job, &found)
	if err != nil || len(seen.First) != check.Looked {
		t.Errorf("a check: %d rows, %v", len(seen.First), err)
	}
}

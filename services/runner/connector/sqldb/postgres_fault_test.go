package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"runhook/services/runner/connection"
	"runhook/services/runner/connector"
	"runhook/services/runner/connector/sqldb"
	"runhook/services/runner/pipeline"
	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/services/runner/row"
	"runhook/shared/pgtest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// at has the bench's connection be another address.
func at(t *testing.T, b *pipelinetest.Bench, address string) {
	t.Helper()
	set, err := connection.Parse([]byte("drop: {files: .}\nwarehouse: {postgres: '"+address+"'}\n"), filepath.Join(b.Folder, "connections.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	b.Job.Connections = set
}

// What is wrong with a connection is said, without what is secret, and whether another attempt may go well.
func TestPostgresConnectionFaults(t *testing.T) {
	b := onPostgres(t)
	server := pgtest.New(t)
	ours := pgURL(t, b)
	b.Write("members.csv", "ID,Name\n1,Ann\n")
	nowhere, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nowhere.Close()
	server.Exec(t, "DROP ROLE IF EXISTS reader", "CREATE ROLE reader LOGIN PASSWORD 'hunter2'", "GRANT USAGE ON SCHEMA public TO reader",
		"DROP ROLE IF EXISTS late", "CREATE ROLE late LOGIN PASSWORD 'hunter2' VALID UNTIL '2020-01-01'")
	other := t.TempDir()
	stranger, _ := proctest.Certificate(t, other)
	authority := server.TLS(t)
	local := strings.Replace(strings.Replace(ours, "127.0.0.1", "localhost", 1), "sslmode=disable", "sslmode=verify-full&sslrootcert=", 1)
	for name, c := range map[string]struct {
		address, want string
		passing       bool
	}{
		"no server":                 {"postgres://app:hunter2@" + nowhere.Addr().String() + "/crm", "The server of connection warehouse does not answer", true},
		"another password":          {"postgres://app:hunter2@" + server.Address() + "/crm", "refuses the user, the password", false},
		"an expired password":       {"postgres://late:hunter2@" + server.Address() + "/crm", "refuses the user, the password or the kind of connection; correct them (SQLSTATE 28P01)", false},
		"another host":              {strings.Replace(local, "localhost", "0.0.0.0", 1) + authority, "does not answer, or not as its address says", true},
		"another user":              {"postgres://hunter2@" + server.Address() + "/crm", "refuses the user, the password", false},
		"another database":          {strings.Replace(ours, "/crm", "/hunter2", 1), "The database of connection warehouse does not exist", false},
		"no file of authorities":    {local + "/nowhere/hunter2.pem", "The address of connection warehouse cannot be used; correct it, the files that its sslrootcert", false},
		"another authority":         {local + stranger, "does not answer, or not as its address says", true},
		"an account without rights": {"postgres://reader:hunter2@" + server.Address() + "/crm?sslmode=disable&search_path=public", "The account of connection warehouse may not do this; grant it", false},
		"a setting of nobody's":     {ours + "&hunter2=1", "a type or a function in connection warehouse", false},
	} {
		t.Run(name, func(t *testing.T) {
			b.T = t
			at(t, b, c.address)
			refuses(t, b, c.want, c.passing, name != "an account without rights", server.Address())
		})
	}
	b.T = t
	at(t, b, local+authority)
	b.Succeed(run.Counts{Retrieved: 1, Inserted: 1})
	at(t, b, strings.Replace(local, "localhost", "127.0.0.1", 1)+authority)
	b.Succeed(run.Counts{Retrieved: 1, Unchanged: 1})
	// Of the other host nothing but the certificate was wrong.
	at(t, b, strings.Replace(ours, "127.0.0.1", "0.0.0.0", 1))
	b.Succeed(run.Counts{Retrieved: 1, Unchanged: 1})
	_ = os.Remove(stranger)
}

// An account that lacks a right on the table is told which, before the first row.
func TestPostgresRights(t *testing.T) {
	b := onPostgres(t)
	server := pgtest.New(t)
	server.Exec(t, "DROP ROLE IF EXISTS clerk", "CREATE ROLE clerk LOGIN PASSWORD 'x'")
	b.Exec("CREATE TABLE members (id text PRIMARY KEY, name text); GRANT SELECT, INSERT ON members TO clerk; CREATE TABLE runhook_checkpoint (store text NOT NULL, task text NOT NULL, run bigint NOT NULL, token bigint NOT NULL, state text NOT NULL, PRIMARY KEY (store, task, run)); GRANT ALL ON runhook_checkpoint TO clerk")
	b.Exec("DO $$ BEGIN EXECUTE 'GRANT USAGE ON SCHEMA ' || current_schema() || ' TO clerk'; END $$")
	at(t, b, strings.Replace(strings.Replace(pgURL(t, b), "app:", "clerk:", 1), "clerk:"+strings.SplitN(strings.SplitN(pgURL(t, b), "app:", 2)[1], "@", 2)[0]+"@", "clerk:x@", 1))
	b.Write("members.csv", "ID,Name\n1,Ann\n")
	b.Fail("The account of connection warehouse has no right to UPDATE on the table members, which upsert needs; grant it")
	b.Table().Action = task.Insert
	b.Succeed(run.Counts{Retrieved: 1, Inserted: 1})
	// The table of checkpoints is there, and to use it takes no right to make one.
	d := openMembers(t, b.Job.Connections, b.Table())
	defer d.Close()
	if _, _, err := d.Raise(t.Context(), &connector.Fence{Store: "s", Task: "t", Number: 1, Token: 1}); err != nil {
		t.Error(err)
	}
}

// A batch that the database gives up because of other writers is written again, all of it, with its checkpoint.
func TestPostgresWritesAgain(t *testing.T) {
	for _, code := range []string{"40001", "40P01"} {
		b := onPostgres(t)
		b.Exec(`CREATE TABLE members (id text PRIMARY KEY, name text); CREATE SEQUENCE tries;
			CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF new.id = '3' AND nextval('tries') < 4 THEN RAISE 'not now' USING ERRCODE = '` + code + `'; END IF; RETURN new; END $$;
			CREATE TRIGGER t BEFORE INSERT ON members FOR EACH ROW EXECUTE FUNCTION f()`)
		b.Write("members.csv", "ID,Name\n1,Ann\n2,Bob\n3,Cy\n")
		b.Succeed(run.Counts{Retrieved: 3, Inserted: 3})
		if got := b.Query("SELECT last_value FROM tries"); got != "4" {
			t.Errorf("%s: it was tried %s times", code, got)
		}
	}
}

// Who holds a lock for too long, or a statement that takes too long, ends the attempt, and another may go well.
func TestPostgresTimeLimits(t *testing.T) {
	b := onPostgres(t)
	b.Exec("CREATE TABLE members (id text PRIMARY KEY, name text); INSERT INTO members VALUES ('1', 'Al')")
	b.Write("members.csv", "ID,Name\n1,Ann\n")
	ours := pgURL(t, b)
	db := b.Open()
	defer db.Close()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.Exec("UPDATE members SET name = 'Bo'"); err != nil {
		t.Fatal(err)
	}
	for setting, want := range map[string]string{
		"lock_timeout=50":       "was locked by another writer for longer than lock_timeout",
		"statement_timeout=200": "took longer than the statement_timeout of connection warehouse",
	} {
		at(t, b, ours+"&"+setting)
		_, err := b.Run(t.Context())
		if failure, ok := errors.AsType[*run.Failure](err); !ok || !failure.Passing || !strings.Contains(failure.Message, want) {
			t.Errorf("%s: %v", setting, err)
		}
	}
}

// A statement that takes long ends with its run, and nothing of it stays.
func TestPostgresStatementIsCanceled(t *testing.T) {
	b := onPostgres(t)
	b.Exec(`CREATE TABLE members (id text PRIMARY KEY, name text); CREATE TABLE reached (n int);
		CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(3600); RETURN new; END $$;
		CREATE TRIGGER t BEFORE INSERT ON members FOR EACH ROW EXECUTE FUNCTION f()`)
	b.Write("members.csv", "ID,Name\n1,Ann\n")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := b.Run(ctx)
		ended <- err
	}()
	sleeping := "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND application_name = 'runhook' AND query LIKE 'INSERT INTO " + `"` + schemaOf(b) + `"%'`
	proctest.Until(t, func() error {
		if got := b.Query(sleeping); got != "1" {
			return fmt.Errorf("%s statements sleep", got)
		}
		return nil
	})
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if got := b.Query(sleeping); got != "0" {
		t.Errorf("%s statements sleep behind the run's end", got)
	}
}

func schemaOf(b *pipelinetest.Bench) string { return b.Query("SELECT current_schema()") }

// A query that computes for ever is ended with its run.
func TestPostgresQueryIsCanceled(t *testing.T) {
	b := onPostgres(t)
	s, err := sqldb.OpenSource(t.Context(), b.Job.Connections, &task.SQLSource{Connection: "warehouse", Query: "select i as id, case when i > 1 then pg_sleep(3600)::text end as name from generate_series(1, 3) i"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go cancel()
	for err == nil {
		_, err = s.Next(ctx, make([]any, 2))
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A query only reads, whatever functions it calls.
func TestPostgresQueryOnlyReads(t *testing.T) {
	b := onPostgres(t)
	b.Exec("CREATE TABLE members (id text); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ INSERT INTO members VALUES ('x') RETURNING 1 $$; CREATE SEQUENCE s")
	for _, query := range []string{
		"select f() as id, '' as name", "select nextval('s') as id, '' as name", "select id, name from (values (f(), 'x')) as v (id, name)",
		"select set_config('transaction_read_only', 'off', false) as id, f() as name",
	} {
		b.FromQuery(query)
		_, err := b.Run(t.Context())
		if failure, ok := errors.AsType[*run.Failure](err); !ok || !strings.Contains(failure.Message, "SQLSTATE 25") {
			t.Errorf("%s: %v", query, err)
		}
		if got := b.Query("SELECT count(*) FROM members"); got != "0" {
			t.Errorf("%s: it has written", query)
		}
	}
}

func TestPostgresQueries(t *testing.T) {
	const table = "CREATE TABLE members (id int, name text, state text, joined date, tags jsonb); INSERT INTO members VALUES (1, 'Ann', 'CA', '2026-01-31', '[1]'), (2, 'Bob', 'NV', NULL, '[2]'), (3, NULL, 'CA', NULL, NULL)"
	for name, c := range map[string]struct {
		query   string
		orderBy []string
		params  []string
		want    string
	}{
		"a parameter":          {"select * from members where state = :State order by id", nil, []string{"State", "CA"}, "1,Ann\n3,\n"},
		"one that may be null": {"select * from members where (:State is null or state = :State) and id > :Least", []string{"id"}, []string{"State", "", "Least", "1"}, "2,Bob\n3,\n"},
		"one with a cast":      {"select id, name from members where joined = :Day::date", nil, []string{"Day", "2026-01-31"}, "1,Ann\n"},
		"an operator":          {"select id, name from members where tags @> :Tags::jsonb", nil, []string{"Tags", "[2]"}, "2,Bob\n"},
		"a quoted text":        {"select 1 as id, $x$:nothing '$$$x$ as name", nil, nil, "1,:nothing '$$\n"},
		"nulls in the order":   {"select id, name from members", []string{"name", "id"}, nil, "1,Ann\n2,Bob\n3,\n"},
		"with":                 {"with m as (select * from members) select id, name from m order by id desc limit 1;", nil, nil, "3,\n"},
		"a comment":            {"select id, name from members where id = 1 -- the first", nil, nil, "1,Ann\n"},
	} {
		t.Run(name, func(t *testing.T) {
			b := onPostgres(t)
			b.Exec(table)
			b.FromQuery(c.query, c.orderBy...)
			reads(t, b, c.want, c.params...)
		})
	}
	for query, want := range map[string]string{
		"select * from member":                                    `is refused by the database of connection warehouse: relation "member" does not exist (SQLSTATE 42P01)`,
		"select nme from members":                                 `column "nme" does not exist`,
		"select id, name, id from members":                        "gives two columns named id",
		"select 1 / 0 as id, name from members":                   "has a value that does not fit where it is used (SQLSTATE 22012)",
		"select id, repeat('4711', 5000000) as name from members": "gives a row of more than 16 MiB",
		"select 'secret4711'::int as id, name from members":       "SQLSTATE 22P02",
	} {
		b := onPostgres(t)
		b.Exec(table)
		b.FromQuery(query)
		isNotRead(t, b, want)
	}
}

// A run that is ended without a destination keeps an earlier attempt from writing, and leaves what that has written.
func TestPostgresOvertake(t *testing.T) {
	b := onPostgres(t)
	b.Exec("CREATE TABLE members (id text PRIMARY KEY, name text)")
	job := b.Job.Job
	job.Fence = &connector.Fence{Store: "s", Task: "t", Number: 1, Token: 1}
	if at, found, err := (sqldb.DestinationKind{}).Overtake(t.Context(), job); err != nil || found || at.Row != 0 {
		t.Errorf("before any attempt: %+v, %v, %v", at, found, err)
	}
	d := openMembers(t, b.Job.Connections, b.Table())
	defer d.Close()
	if _, _, err := d.Raise(t.Context(), &connector.Fence{Store: "s", Task: "t", Number: 1, Token: 2}); err != nil {
		t.Fatal(err)
	}
	write := func(id string, number int64) error {
		batch := row.NewBatch(2)
		r := batch.Add(number)
		r.Values[0], r.Values[1] = id, "Ann"
		return d.Write(t.Context(), batch, func(last int64) error { return d.Record(t.Context(), run.Checkpoint{Row: last}) })
	}
	if err := write("1", 1); err != nil {
		t.Fatal(err)
	}
	job.Fence = &connector.Fence{Store: "s", Task: "t", Number: 1, Token: 3, Takeover: true}
	if at, found, err := (sqldb.DestinationKind{}).Overtake(t.Context(), job); err != nil || !found || at.Row != 1 {
		t.Errorf("behind a batch: %+v, %v, %v", at, found, err)
	}
	if err := write("2", 2); !errors.Is(err, connector.ErrLost) {
		t.Errorf("the earlier attempt goes on: %v", err)
	}
	if got := b.Query("SELECT id FROM members"); got != "1" {
		t.Errorf("the table has %s", got)
	}
}

// A check says what a run would, and changes nothing.
func TestPostgresCheck(t *testing.T) {
	b := onPostgres(t)
	b.Exec("CREATE TABLE members (id int PRIMARY KEY, name varchar(5), paid numeric(5,2), joined date)")
	b.Mapping("id", "ID", "name", "Name", "paid", "Paid", "joined", "Joined", "extra", "Name")
	b.Write("members.csv", "ID,Name,Paid,Joined\n1,Ann,1.25,2026-01-31\nx,Margaret,1.255,31.01.2026\n")
	found, err := pipeline.Check(t.Context(), b.Job.Kinds, b.Job.Job)
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	for _, f := range found {
		said.WriteString(f.Text() + "\n")
	}
	if want := "has no column extra"; !strings.Contains(said.String(), want) {
		t.Errorf("the check says\n%s, and not %s", &said, want)
	}
	b.Mapping("id", "ID", "name", "Name", "paid", "Paid", "joined", "Joined")
	for column, c := range map[string]struct{ rows, want string }{
		"id":     {"x,Ann,1,2026-01-31", "is not a whole number"},
		"name":   {"1,Margaret,1,2026-01-31", "has more than 5 letters"},
		"paid":   {"1,Ann,1.255,2026-01-31", "has more digits than the column keeps"},
		"joined": {"1,Ann,1,31.01.2026", "is not a date"},
	} {
		b.Write("members.csv", "ID,Name,Paid,Joined\n"+c.rows+"\n")
		found, err := pipeline.Check(t.Context(), b.Job.Kinds, b.Job.Job)
		if err != nil || len(found) == 0 || !strings.Contains(found[0].Text(), column) || !strings.Contains(found[0].Text(), c.want) {
			t.Errorf("%s: the check says %v, %v", column, found, err)
		}
	}
	if got := b.Query("SELECT count(*), to_regclass('runhook_checkpoint') IS NULL FROM members"); got != "0 true" {
		t.Errorf("the check has changed the database: %s", got)
	}
}

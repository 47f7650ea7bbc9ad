package sqldb_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"runhook/services/runner/connection"
	"runhook/services/runner/connector"
	"runhook/services/runner/connector/sqldb"
	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/services/runner/row"
	"runhook/shared/mariatest"
	"runhook/shared/pgtest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// mysqlAt has the bench's connection be another address.
func mysqlAt(t *testing.T, b *pipelinetest.Bench, address string) {
	t.Helper()
	set, err := connection.Parse([]byte("drop: {files: .}\nwarehouse: {mysql: '"+strings.ReplaceAll(address, "'", "''")+"'}\n"), filepath.Join(b.Folder, "connections.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	b.Job.Connections = set
}

// as is an address with another account.
func as(address, account string) string {
	return "mysql://" + account + address[strings.LastIndex(address, "@"):]
}

// What is wrong with a connection is said, without what is secret, and whether another attempt may go well.
func TestMySQLConnectionFaults(t *testing.T) {
	b := onMariaDB(t)
	server := mariatest.New(t)
	ours := mysqlURL(t, b)
	b.Write("members.csv", "ID,Name\n1,Ann\n")
	nowhere, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nowhere.Close()
	database := b.Query("SELECT DATABASE()")
	server.Exec(t, "CREATE OR REPLACE USER reader@'%' IDENTIFIED BY 'hunter2'", "GRANT SELECT, CREATE TEMPORARY TABLES ON "+database+".* TO reader@'%'",
		"CREATE OR REPLACE USER late@'%' IDENTIFIED BY 'hunter2' PASSWORD EXPIRE", "GRANT ALL ON "+database+".* TO late@'%'", "CREATE OR REPLACE USER locked@'%' IDENTIFIED BY 'hunter2' ACCOUNT LOCK",
		"CREATE OR REPLACE USER stranger@'192.0.2.1' IDENTIFIED BY 'hunter2'", "CREATE OR REPLACE USER few@'%' IDENTIFIED BY 'hunter2' WITH MAX_USER_CONNECTIONS 1", "GRANT ALL ON "+database+".* TO few@'%'")
	few, err := connection.Parse([]byte("warehouse: {mysql: '"+as(ours, "few:hunter2")+"'}\n"), "c.yaml")
	if err != nil {
		t.Fatal(err)
	}
	only, err := sqldb.OpenSource(t.Context(), few, &task.SQLSource{Connection: "warehouse", Query: "select 1 as id"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer only.Close()
	other := t.TempDir()
	stranger, _ := proctest.Certificate(t, other)
	local := strings.Replace(strings.Replace(ours, "127.0.0.1", "localhost", 1), "ssl-mode=DISABLED", "ssl-ca=", 1)
	for name, c := range map[string]struct {
		address, want string
		passing       bool
	}{
		"no server":                 {"mysql://app:hunter2@" + nowhere.Addr().String() + "/crm", "The server of connection warehouse does not answer", true},
		"another password":          {as(ours, "app:hunter2"), "refuses the user, the password", false},
		"another user":              {as(ours, "hunter2"), "refuses the user, the password", false},
		"an expired password":       {as(ours, "late:hunter2"), "The password of the account of connection warehouse has expired", false},
		"a locked account":          {as(ours, "locked:hunter2"), "is locked; unlock it", false},
		"an account of elsewhere":   {as(ours, "stranger:hunter2"), "refuses the user, the password", false},
		"too many connections":      {as(ours, "few:hunter2"), "takes no more connections", true},
		"another database":          {strings.Replace(ours, database, "test_hunter2", 1), "The database of connection warehouse does not exist", false},
		"no file of authorities":    {local + "/nowhere/hunter2.pem", "the file that its ssl-ca names cannot be read", false},
		"no file of a password":     {as(ours, "app") + "&password-file=/nowhere/hunter2", "its password-file cannot be read", false},
		"another authority":         {local + stranger, "does not answer, or not as its address says", true},
		"another host":              {strings.Replace(local, "localhost", "ip6-localhost", 1) + server.Authority(), "does not answer, or not as its address says", true},
		"an account without rights": {as(ours, "reader:hunter2"), "The account of connection warehouse may not do this; grant it", false},
		"a variable of nobody's":    {ours + "&hunter_two=1", "sets a variable that the server does not have", false},
		"a value of nobody's":       {ours + "&max_statement_time=hunter2", "sets a variable that the server does not have, or not to this value", false},
	} {
		t.Run(name, func(t *testing.T) {
			b.T = t
			mysqlAt(t, b, c.address)
			refuses(t, b, c.want, c.passing, name != "an account without rights", server.Address())
		})
	}
	b.T = t
	file := filepath.Join(other, "password")
	if err := os.WriteFile(file, []byte(mariatest.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.Exec("CREATE TABLE members (id varchar(9) PRIMARY KEY, name text)")
	for _, address := range []string{
		local + server.Authority(), strings.Replace(local, "localhost", "127.0.0.1", 1) + server.Authority(), local + server.Authority() + "&ssl-mode=VERIFY_CA",
		strings.Replace(ours, "DISABLED", "REQUIRED", 1), strings.Replace(ours, "DISABLED", "PREFERRED", 1), strings.Replace(ours, "?ssl-mode=DISABLED", "", 1),
		as(ours, "app") + "&password-file=" + file, strings.Replace(ours, server.Address(), "", 1) + "&socket=" + server.Socket(),
		ours + "&max_statement_time=60&connect_timeout=5",
	} {
		mysqlAt(t, b, address)
		b.Table().Table = "members"
		b.Exec("DELETE FROM members")
		b.Succeed(run.Counts{Retrieved: 1, Inserted: 1})
	}
}

// What is encrypted is, and what may not be is not.
func TestMySQLConnectionIsEncrypted(t *testing.T) {
	b := onMariaDB(t)
	ours := mysqlURL(t, b)
	for mode, want := range map[string]bool{"DISABLED": false, "PREFERRED": true, "REQUIRED": true} {
		mysqlAt(t, b, strings.Replace(ours, "DISABLED", mode, 1))
		b.FromQuery("select variable_value as id, '' as name from information_schema.session_status where variable_name = 'Ssl_cipher'")
		b.Succeed(run.Counts{Retrieved: 1, Inserted: 1})
		if got := b.Read("out.csv"); (got != "id,name\n,\n") != want {
			t.Errorf("%s: the cipher is %q", mode, got)
		}
	}
}

// An account that lacks a right on the table is told which, before the first row.
func TestMySQLRights(t *testing.T) {
	b := onMariaDB(t)
	server := mariatest.New(t)
	database := b.Query("SELECT DATABASE()")
	b.Exec("CREATE TABLE members (id varchar(9) PRIMARY KEY, name text)")
	server.Exec(t, "CREATE OR REPLACE USER clerk@'%' IDENTIFIED BY 'x'", "GRANT SELECT, INSERT ON "+database+".members TO clerk@'%'")
	d := openMembers(t, b.Job.Connections, b.Table()) // which makes the table of checkpoints
	if _, _, err := d.Raise(t.Context(), &connector.Fence{Store: "s", Task: "t", Number: 1, Token: 1}); err != nil {
		t.Fatal(err)
	}
	d.Close()
	server.Exec(t, "GRANT SELECT, INSERT, UPDATE, DELETE ON "+database+".runhook_checkpoint TO clerk@'%'")
	mysqlAt(t, b, as(mysqlURL(t, b), "clerk:x"))
	b.Write("members.csv", "ID,Name\n1,Ann\n")
	b.Fail("The account of connection warehouse has no right to UPDATE on the table members, which upsert needs; grant it")
	server.Exec(t, "GRANT UPDATE ON "+database+".members TO clerk@'%'")
	b.Fail("The account of connection warehouse has no right to CREATE TEMPORARY TABLES in its database, which the rows of members go through; grant it")
	server.Exec(t, "GRANT CREATE TEMPORARY TABLES ON "+database+".* TO clerk@'%'")
	b.Succeed(run.Counts{Retrieved: 1, Inserted: 1})
	b.Table().Action = task.Delete
	b.Fail("DELETE command denied to user")
	b.Table().Action = task.Insert
	b.Write("members.csv", "ID,Name\n2,Ann\n")
	b.Succeed(run.Counts{Retrieved: 1, Inserted: 1})
	// The table of checkpoints is there, and to use it takes no right to make one.
	d = openMembers(t, b.Job.Connections, b.Table())
	defer d.Close()
	if _, _, err := d.Raise(t.Context(), &connector.Fence{Store: "s", Task: "t", Number: 1, Token: 2}); err != nil {
		t.Error(err)
	}
}

// A table whose engine has no transactions is refused, and so is one of checkpoints.
func TestMySQLTablesWithoutTransactions(t *testing.T) {
	b := onMariaDB(t)
	b.Write("members.csv", "ID,Name\n1,Ann\n")
	for _, engine := range []string{"MyISAM", "Aria", "MEMORY"} {
		b.Exec("CREATE OR REPLACE TABLE members (id varchar(9) PRIMARY KEY, name varchar(9)) ENGINE=" + engine)
		b.Fail("has no transactions, because its engine is " + engine)
	}
	b.Exec("CREATE OR REPLACE TABLE members (id varchar(9) PRIMARY KEY, name varchar(9)); CREATE TABLE runhook_checkpoint (store varchar(99) NOT NULL, task varchar(99) NOT NULL, run bigint NOT NULL, token bigint NOT NULL, state longtext NOT NULL, PRIMARY KEY (store, task, run)) ENGINE=MyISAM")
	d := openMembers(t, b.Job.Connections, b.Table())
	defer d.Close()
	if _, _, err := d.Raise(t.Context(), &connector.Fence{Store: "s", Task: "t", Number: 1, Token: 1}); err == nil || !strings.Contains(err.Error(), "has no transactions") {
		t.Errorf("got %v", err)
	}
}

// A batch that the database gives up because of other writers is written again, all of it, with its checkpoint.
func TestMySQLWritesAgain(t *testing.T) {
	b := onMariaDB(t)
	b.Exec(`CREATE TABLE members (id varchar(9) PRIMARY KEY, name text); CREATE SEQUENCE tries;
		CREATE TRIGGER t BEFORE INSERT ON members FOR EACH ROW IF new.id = '3' AND NEXTVAL(tries) < 4 THEN SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213; END IF`)
	b.Write("members.csv", "ID,Name\n1,Ann\n2,Bob\n3,Cy\n")
	b.Succeed(run.Counts{Retrieved: 3, Inserted: 3})
	if got := b.Query("SELECT NEXTVAL(tries)"); got != "5" {
		t.Errorf("it was tried %s times", got)
	}
}

// A deadlock takes all of the transaction back. It is written again, and what was written before it is not there twice.
func TestMySQLDeadlock(t *testing.T) {
	b := onMariaDB(t)
	server := mariatest.New(t)
	b.Exec("CREATE TABLE members (id int PRIMARY KEY, name varchar(9)); INSERT INTO members VALUES (1, 'a'), (2, 'b'), (3, 'c')")
	d := openMembers(t, b.Job.Connections, b.Table())
	defer d.Close()
	if _, _, err := d.Raise(t.Context(), &connector.Fence{Store: "s", Task: "t", Number: 1, Token: 1}); err != nil {
		t.Fatal(err)
	}
	db := b.Open()
	defer db.Close()
	other, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for _, statement := range []string{"BEGIN", "UPDATE members SET name = 'x' WHERE id = 3", "UPDATE members SET name = name WHERE id IN (SELECT seq FROM seq_100_to_200)"} {
		if _, err := other.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	batch := row.NewBatch(2)
	for i, name := range []string{"A", "B", "C"} {
		r := batch.Add(int64(i + 1))
		r.Values[0], r.Values[1] = fmt.Sprint(i+1), name
	}
	written := make(chan error, 1)
	go func() {
		written <- d.Write(t.Context(), batch, func(last int64) error { return d.Record(t.Context(), run.Checkpoint{Row: last}) })
	}()
	// It has the rows 1 and 2, and waits for 3.
	proctest.Until(t, func() error {
		if got := server.Query(t, "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"); got != "1" {
			return fmt.Errorf("%s wait", got)
		}
		return nil
	})
	_, crossed := other.ExecContext(t.Context(), "UPDATE members SET name = 'y' WHERE id = 1")
	if _, err := other.ExecContext(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	if err := <-written; err != nil {
		t.Fatalf("%v; the other writer: %v", err, crossed)
	}
	if got := b.Query("SELECT name FROM members ORDER BY id"); got != "A; B; C" {
		t.Errorf("the table has %s", got)
	}
	for i, r := range batch.Reached() {
		if r.Outcome != row.Updated {
			t.Errorf("row %d: %v", i+1, r.Outcome)
		}
	}
}

// Who holds a lock for too long, or a statement that takes too long, ends the attempt, and another may go well. Nothing
// of the batch stays, though the server takes back but the statement.
func TestMySQLTimeLimits(t *testing.T) {
	b := onMariaDB(t)
	b.Exec("CREATE TABLE members (id varchar(9) PRIMARY KEY, name varchar(9)); INSERT INTO members VALUES ('1', 'Al'), ('2', 'Bo'); CREATE TABLE log (id varchar(9)); CREATE TRIGGER t AFTER UPDATE ON members FOR EACH ROW INSERT INTO log VALUES (new.id)")
	b.Write("members.csv", "ID,Name\n1,Ann\n2,Bob\n")
	ours := mysqlURL(t, b)
	db := b.Open()
	defer db.Close()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.Exec("UPDATE members SET name = 'Bo' WHERE id = '2'; INSERT INTO log VALUES ('x')"); err != nil {
		t.Fatal(err)
	}
	for setting, want := range map[string]string{
		"innodb_lock_wait_timeout=1": "was locked by another writer for longer than innodb_lock_wait_timeout",
		"max_statement_time=0.5":     "took longer than the max_statement_time of connection warehouse",
	} {
		mysqlAt(t, b, ours+"&"+setting)
		_, err := b.Run(t.Context())
		if failure, ok := errors.AsType[*run.Failure](err); !ok || !failure.Passing || !strings.Contains(failure.Message, want) {
			t.Errorf("%s: %v", setting, err)
		}
	}
	if got := b.Query("SELECT id, name FROM members ORDER BY id"); got != "1 Al; 2 Bo" {
		t.Errorf("the table has %s", got)
	}
}

// A statement that takes long ends with its run, at the server too, and nothing of it stays.
func TestMySQLStatementIsCanceled(t *testing.T) {
	b := onMariaDB(t)
	b.Exec("CREATE TABLE members (id varchar(9) PRIMARY KEY, name text); CREATE TRIGGER t BEFORE INSERT ON members FOR EACH ROW SET new.name = SLEEP(3600)")
	b.Write("members.csv", "ID,Name\n1,Ann\n")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := b.Run(ctx)
		ended <- err
	}()
	awaitSleeping(t, b, "1")
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	awaitSleeping(t, b, "0")
	if got := b.Query("SELECT count(*) FROM members"); got != "0" {
		t.Errorf("there are %s rows", got)
	}
}

// awaitSleeping waits until so many statements of the bench's database sleep.
func awaitSleeping(t *testing.T, b *pipelinetest.Bench, count string) {
	t.Helper()
	proctest.Until(t, func() error {
		if got := b.Query("SELECT count(*) FROM information_schema.processlist WHERE state = 'User sleep' AND db = DATABASE()"); got != count {
			return fmt.Errorf("%s statements sleep, want %s", got, count)
		}
		return nil
	})
}

// A query that computes for ever is ended with its run, at the server too, before its first row and behind it.
func TestMySQLQueryIsCanceled(t *testing.T) {
	for _, query := range []string{
		"select sleep(3600) as id, '' as name",
		"select seq as id, case when seq > 90000 then sleep(3600) else repeat('x', 100) end as name from seq_1_to_100000",
	} {
		b := onMariaDB(t)
		s, err := sqldb.OpenSource(t.Context(), b.Job.Connections, &task.SQLSource{Connection: "warehouse", Query: query}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan error, 1)
		go func() {
			var err error
			for err == nil {
				_, err = s.Next(ctx, make([]any, 2))
			}
			ended <- err
		}()
		awaitSleeping(t, b, "1")
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v", query, err)
		}
		s.Close()
		awaitSleeping(t, b, "0")
	}
}

// A query only reads, whatever functions it calls.
func TestMySQLQueryOnlyReads(t *testing.T) {
	b := onMariaDB(t)
	server := mariatest.New(t)
	database := b.Query("SELECT DATABASE()")
	server.Exec(t, "CREATE OR REPLACE USER writer@'%' IDENTIFIED BY 'x'", "GRANT ALL ON *.* TO writer@'%'",
		"CREATE TABLE "+database+".members (id varchar(9))", "CREATE SEQUENCE "+database+".s",
		"SET GLOBAL log_bin_trust_function_creators = 1", "CREATE FUNCTION "+database+".f() RETURNS int BEGIN INSERT INTO "+database+".members VALUES ('x'); RETURN 1; END")
	mysqlAt(t, b, as(mysqlURL(t, b), "writer:x"))
	file := filepath.Join(server.Folder, "out")
	for _, query := range []string{
		"select f() as id, '' as name", "select nextval(s) as id, '' as name", "select id, name from (select f() as id, '' as name) as v",
		"select 1 as id, '' as name into outfile '" + file + "'", "select 1 as id, '' as name /*! into outfile '" + file + "' */",
		"select 1 as id, '' as name) as q, (select f() as x", "select 'a\\' as id, f() as name -- '",
	} {
		b.FromQuery(query)
		_, err := b.Run(t.Context())
		if _, ok := errors.AsType[*run.Failure](err); !ok {
			t.Errorf("%s: %v", query, err)
		}
		if got := b.Query("SELECT count(*) FROM members"); got != "0" {
			t.Errorf("%s: it has written", query)
		}
		if _, err := os.Stat(file); err == nil {
			t.Errorf("%s: it has written a file", query)
		}
	}
}

func TestMySQLQueries(t *testing.T) {
	const table = "CREATE TABLE members (id int, name text, state varchar(2), joined date); INSERT INTO members VALUES (1, 'Ann', 'CA', '2026-01-31'), (2, 'Bob', 'NV', NULL), (3, NULL, 'CA', NULL)"
	for name, c := range map[string]struct {
		query   string
		orderBy []string
		params  []string
		want    string
	}{
		"a parameter":          {"select * from members where state = :State order by id desc", nil, []string{"State", "CA"}, "3,\n1,Ann\n"},
		"one that may be null": {"select * from members where (:State is null or state = :State) and id > :Least", []string{"id"}, []string{"State", "", "Least", "1"}, "2,Bob\n3,\n"},
		"a quoted text":        {"select 1 as id, ':nothing ''\"?' as name", nil, nil, "1,\":nothing '\"\"?\"\n"},
		"and a parameter":      {"select 1 as id, concat('?', :A, \"?\") as name", nil, []string{"A", "it's \\ ?"}, "1,?it's \\ ??\n"},
		"nulls in the order":   {"select id, name from members", []string{"name", "id"}, nil, "3,\n1,Ann\n2,Bob\n"},
		"with":                 {"with m as (select * from members) select id, name from m order by id desc limit 1;", nil, nil, "3,\n"},
		"a comment":            {"select id, name from members where id = 1 -- the first", nil, nil, "1,Ann\n"},
		"a time":               {"select 1 as id, date_format(from_unixtime(0), '%H:%i') as name", nil, nil, "1,00:00\n"},
	} {
		t.Run(name, func(t *testing.T) {
			b := onMariaDB(t)
			b.Exec(table)
			b.FromQuery(c.query, c.orderBy...)
			reads(t, b, c.want, c.params...)
		})
	}
	for query, want := range map[string]string{
		"select * from member":                   `is refused by the database of connection warehouse: Table`,
		"select nme from members":                `Unknown column 'nme'`,
		"select id, name, id from members":       "Duplicate column name 'id' (error 1060)",
		"select 1 as id, 'x\\'4711' as name":     "a backslash in it is in front of a quote",
		"select 1 as id, 2 as name # x":          "a comment in it begins with #",
		"select 5--4711 as id, 2 as name":        "a comment in it begins with #",
		"select id, name from members; select 1": "more than one statement",
	} {
		b := onMariaDB(t)
		b.Exec(table)
		b.FromQuery(query)
		isNotRead(t, b, want)
	}
}

// rolledBack is a way to the server on which a transaction is gone before its commit, as a server may give it up: in
// place of the first statement behind a mark, the server is told to roll back.
func rolledBack(t *testing.T, to, mark string) (net.Listener, *atomic.Int32) {
	t.Helper()
	var left atomic.Int32
	return pgtest.Relay(t, to, func(client, server net.Conn) {
		var answers sync.WaitGroup
		answers.Go(func() { _, _ = io.Copy(client, server); client.Close() })
		defer answers.Wait()
		defer server.Close()
		for {
			head := make([]byte, 4)
			if _, err := io.ReadFull(client, head); err != nil {
				return
			}
			body := make([]byte, int(binary.LittleEndian.Uint32(append(bytes.Clone(head[:3]), 0))))
			if _, err := io.ReadFull(client, body); err != nil {
				return
			}
			if bytes.Contains(body, []byte(mark)) && left.Add(-1) >= 0 {
				body = []byte("\x03ROLLBACK")
				head[0], head[1], head[2] = byte(len(body)), 0, 0
			}
			if _, err := server.Write(append(head, body...)); err != nil {
				return
			}
		}
	}), &left
}

// Nothing goes on in a transaction that the server has given up: all of the batch is written again.
func TestMySQLTransactionThatIsGone(t *testing.T) {
	for _, mark := range []string{"SAVEPOINT runhook_batch", "DELETE FROM `runhook_rows`", "INSERT INTO `runhook_rows`"} {
		b := onMariaDB(t)
		b.Exec("CREATE TABLE members (id varchar(9) PRIMARY KEY, name text)")
		server := mariatest.New(t)
		way, left := rolledBack(t, server.Address(), mark)
		mysqlAt(t, b, strings.Replace(mysqlURL(t, b), server.Address(), way.Addr().String(), 1))
		b.Write("members.csv", "ID,Name\n1,Ann\n2,Bob\n")
		left.Store(1)
		b.Succeed(run.Counts{Retrieved: 2, Inserted: 2})
		if left.Load() >= 0 {
			t.Errorf("%s was not said", mark)
		}
	}
}

// A row that is larger than the server takes fails alone.
func TestMySQLRowsThatAreTooLarge(t *testing.T) {
	b := onMariaDB(t)
	b.Exec("CREATE TABLE members (id int PRIMARY KEY, name longtext)")
	for _, b.Table().Action = range []task.Action{task.Insert, task.Upsert} {
		b.Exec("DELETE FROM members")
		b.Write("members.csv", "ID,Name\n1,Ann\n2,"+strings.Repeat("x", 5<<20)+"\n3,"+strings.Repeat("'", 1<<20)+"\n4,"+strings.Repeat("y", 2<<20)+"\n")
		s := b.Succeed(run.Counts{Total: 4, Retrieved: 4, Inserted: 3, Failed: 1})
		b.RowErrors(s, run.RowError{Row: 2, Message: "is larger than the max_allowed_packet of the server"})
		if got := b.Query("SELECT id, length(name) FROM members ORDER BY id"); got != "1 3; 3 1048576; 4 2097152" {
			t.Errorf("the table has %s", got)
		}
	}
}

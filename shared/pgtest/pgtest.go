// Package pgtest runs a PostgreSQL server for the tests of a process: it is made when the first test needs it, and
// goes with the process.
package pgtest

import (
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"runhook/shared/proctest"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver of Open
)

// Server is a server of this process's tests.
type Server struct{ *proctest.Service }

// Password is that of the account app, which owns the database crm.
const Password = "a secret/of @pp:?"

// server is that of the process, once a test has needed it.
var server = sync.OnceValues(start)

// New returns the process's server. It fails the test if there is none.
func New(t testing.TB) *Server {
	t.Helper()
	s, err := server()
	if err != nil {
		t.Fatalf("PostgreSQL is needed (`make needs` installs it): %v", err)
	}
	return s
}

// start makes a server, whose settings are not those that values need. It does not wait for its disk: it is gone with
// this process.
func start() (*Server, error) {
	programs := programs()
	if programs == "" {
		return nil, fmt.Errorf("there is no postgres and no initdb")
	}
	service, err := proctest.NewService("postgres")
	if err != nil {
		return nil, err
	}
	s := &Server{service}
	db, err := sql.Open("pgx", "postgres://postgres@"+s.Address()+"/postgres?sslmode=disable")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // for what is set
	err = s.Start(
		`"$3/initdb" -D data -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync --no-instructions &&
printf 'local all all trust\nhost all postgres 127.0.0.1/32 trust\nhost all app 127.0.0.1/32 md5\nhost all all 127.0.0.1/32 scram-sha-256\n' >data/pg_hba.conf`,
		`"$3/postgres" -D data -p "$2" -k "$1" -h 127.0.0.1 -F -c autovacuum=off -c shared_buffers=16MB -c max_connections=100 -c deadlock_timeout=50ms -c timezone=Asia/Kolkata -c datestyle=SQL,DMY -c bytea_output=escape -c log_min_messages=fatal -c log_min_error_statement=panic`,
		`kill -QUIT $(head -1 data/postmaster.pid)`, db.Ping, programs)
	if err != nil {
		return nil, err
	}
	for _, statement := range []string{
		"SET password_encryption = 'md5'", // a salted one takes long, and each run connects
		"CREATE ROLE app LOGIN PASSWORD '" + Password + "'", "CREATE DATABASE crm OWNER app",
	} {
		if _, err := db.Exec(statement); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// NewFresh makes a server as Debian has one that was just installed, for one test: without a database, and over a socket in
// its Folder alone, whose clients are who they are to the system. Its administrator is postgres.
func NewFresh(t testing.TB) *Server {
	t.Helper()
	programs := programs()
	if programs == "" {
		t.Fatal("PostgreSQL is needed (`make needs` installs it): there is no postgres and no initdb")
	}
	service, err := proctest.NewService("postgres")
	if err != nil {
		t.Fatal(err)
	}
	administrator := "peer"
	if service.Owner == nil { // nobody here can be another one
		administrator = "trust"
	}
	ready := func() error {
		socket, err := net.Dial("unix", filepath.Join(service.Folder, ".s.PGSQL.5432"))
		if err == nil {
			err = socket.Close()
		}
		return err
	}
	err = service.Start(
		`"$3/initdb" -D data -U postgres -A peer -E UTF8 --locale=C.UTF-8 --no-sync --no-instructions &&
printf 'local all postgres '"$4"'\nlocal all all peer\n' >data/pg_hba.conf && chmod 755 .`,
		`"$3/postgres" -D data -p 5432 -k "$1" -h '' -F -c shared_buffers=16MB -c log_min_messages=fatal`,
		`kill -QUIT $(head -1 data/postmaster.pid)`, ready, programs, administrator)
	if err != nil {
		t.Fatal(err)
	}
	return &Server{service}
}

// programs is the folder of the newest server of this machine, empty if it has none.
func programs() string {
	newest, folder := 0, ""
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // Debian's, which are in nobody's PATH
	for _, path := range found {
		version, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		if version > newest {
			newest, folder = version, filepath.Dir(path)
		}
	}
	if folder != "" {
		return folder
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path)
	}
	return ""
}

// Schema is a schema of the database crm that one test has for itself.
type Schema struct {
	// Name is the schema's, and URL the address that a connection has whose tables are in it: of the account app, with
	// ${PGTEST_PASSWORD} in place of its password.
	Name, URL string
	// Own is the URL with the password.
	Own string

	t  testing.TB
	db *sql.DB
}

var schemas atomic.Int64

// Schema makes a schema, of which URL is for a connections file of the test, and sets the variable of the environment
// with the password.
func (s *Server) Schema(t testing.TB) *Schema {
	t.Helper()
	name := fmt.Sprintf("test_%d", schemas.Add(1))
	address := "postgres://app:%s@" + s.Address() + "/crm?sslmode=disable&search_path=" + name
	m := &Schema{Name: name, t: t, URL: fmt.Sprintf(address, "${PGTEST_PASSWORD}"), Own: strings.Replace(fmt.Sprintf(address, escaped), "%%", "%", 1)}
	if err := os.Setenv("PGTEST_PASSWORD", Password); err != nil { // the same for all tests
		t.Fatal(err)
	}
	db, err := sql.Open("pgx", m.Own+"&default_query_exec_mode=simple_protocol")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	db.SetMaxIdleConns(1)
	m.db = db
	m.Exec("CREATE SCHEMA " + name)
	return m
}

// Crash kills the server, which comes again by itself. What it has committed is kept.
func (s *Server) Crash() error {
	return proctest.KillBy(filepath.Join(s.Folder, "data", "postmaster.pid"))
}

// Exec executes statements in the database crm as the server's administrator.
func (s *Server) Exec(t testing.TB, statements ...string) {
	t.Helper()
	db, err := sql.Open("pgx", "postgres://postgres@"+s.Address()+"/crm?sslmode=disable&default_query_exec_mode=simple_protocol")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
}

// TLS has the server take connections that are encrypted, and returns the file of the authority of its certificate,
// which is for the host localhost.
func (s *Server) TLS(t testing.TB) (authority string) {
	t.Helper()
	dir := t.TempDir()
	authority, key := proctest.Certificate(t, dir)
	for name, file := range map[string]string{"server.crt": authority, "server.key": key} {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(s.Folder, "data", name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.Own(path); err != nil {
			t.Fatal(err)
		}
	}
	s.Exec(t, "ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()")
	return authority
}

// escaped is Password as it stands in a URL.
const escaped = "a%20secret%2Fof%20%40pp%3A%3F"

// DB is a pool of connections to the schema, which is closed at the end of the test.
func (m *Schema) DB() *sql.DB { return m.db }

// Exec executes statements.
func (m *Schema) Exec(statements string) {
	m.t.Helper()
	if _, err := m.db.Exec(statements); err != nil {
		m.t.Fatal(err)
	}
}

// Query returns the rows of a query: values as the server writes them, with spaces between, rows with semicolons.
func (m *Schema) Query(query string) string {
	m.t.Helper()
	rows, err := m.db.Query(`SELECT coalesce((SELECT string_agg(coalesce(value, '<nil>'), ' ' ORDER BY n) FROM json_each_text(row_to_json(q)) WITH ORDINALITY AS e(key, value, n)), '') FROM (` + query + `) AS q`)
	if err != nil {
		m.t.Fatal(err)
	}
	defer rows.Close()
	var lines []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			m.t.Fatal(err)
		}
		lines = append(lines, line)
	}
	if err := rows.Err(); err != nil {
		m.t.Fatal(err)
	}
	return strings.Join(lines, "; ")
}

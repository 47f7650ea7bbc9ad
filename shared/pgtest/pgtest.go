// Package pgtest runs a PostgreSQL server for the tests of a process: it is made when the first test needs it, and
// goes with the process.
package pgtest

import (
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"runhook/shared/proctest"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver of Open
)

// Server is a server of this process's tests, in a folder of its own and on a free port of the loopback address.
type Server struct {
	folder, port string
	programs     string
	owner        *user.User
}

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
	s := &Server{programs: programs()}
	if s.programs == "" {
		return nil, fmt.Errorf("there is no postgres and no initdb")
	}
	var err error
	if s.owner, err = proctest.Unprivileged("postgres"); err != nil {
		return nil, err
	}
	if s.folder, err = os.MkdirTemp("", "runhook-postgres-"); err != nil {
		return nil, err
	}
	if err := proctest.Own(s.folder, s.owner); err != nil {
		return nil, err
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	_, s.port, _ = net.SplitHostPort(free.Addr().String())
	_ = free.Close()
	// The shell ends the server when this process is gone, which closes its input, and takes the folder away.
	script := `set -e
cd "$1"
trap '' INT TERM HUP
"$2/initdb" -D data -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync --no-instructions >initdb.log 2>&1 || { cat initdb.log; exit 1; }
printf 'local all all trust\nhost all postgres 127.0.0.1/32 trust\nhost all app 127.0.0.1/32 md5\nhost all all 127.0.0.1/32 scram-sha-256\n' >data/pg_hba.conf
serve() {
	"$2/postgres" -D data -p "$3" -k "$1" -h 127.0.0.1 -F -c autovacuum=off -c shared_buffers=16MB -c max_connections=100 -c deadlock_timeout=50ms -c timezone=Asia/Kolkata -c datestyle=SQL,DMY -c bytea_output=escape -c log_min_messages=fatal -c log_min_error_statement=panic >>server.log 2>&1
}
while [ ! -e stopped ]; do serve "$@" || sleep 0.1; done & # it is there again after Crash
server=$!
echo started
cat >/dev/null
touch stopped
kill -QUIT $(head -1 data/postmaster.pid) || true
wait $server || true
cd /
rm -rf "$1"
`
	command := exec.Command("/bin/sh", "-c", script, "postgres", s.folder, s.programs, s.port)
	command.Dir = s.folder
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8"}
	if err := proctest.As(command, s.owner); err != nil {
		return nil, err
	}
	input, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	log := filepath.Join(s.folder, "shell.log")
	output, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer output.Close()
	command.Stdout, command.Stderr = output, output
	if err := command.Start(); err != nil {
		return nil, err
	}
	lasting = append(lasting, input) // as long as this process
	if err := s.await(log); err != nil {
		return nil, err
	}
	return s, nil
}

// lasting is what the server lives by.
var lasting []any

// await waits until the server answers, and makes the account app and its database.
func (s *Server) await(log string) error {
	db, err := sql.Open("pgx", "postgres://postgres@127.0.0.1:"+s.port+"/postgres?sslmode=disable")
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // for what is set
	for limit := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if err = db.Ping(); err == nil {
			break
		}
		said, _ := os.ReadFile(log)
		if text := strings.TrimSpace(string(said)); text != "" && text != "started" {
			return fmt.Errorf("initdb says: %s", text)
		}
		if time.Now().After(limit) {
			said, _ := os.ReadFile(filepath.Join(s.folder, "server.log"))
			return fmt.Errorf("it does not answer: %w\n%s", err, said)
		}
	}
	for _, statement := range []string{
		"SET password_encryption = 'md5'", // a salted one takes long, and each run connects
		"CREATE ROLE app LOGIN PASSWORD '" + Password + "'", "CREATE DATABASE crm OWNER app",
	} {
		if _, err := db.Exec(statement); err != nil {
			return err
		}
	}
	return nil
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
	address := "postgres://app:%s@127.0.0.1:" + s.port + "/crm?sslmode=disable&search_path=" + name
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
	return proctest.KillBy(filepath.Join(s.folder, "data", "postmaster.pid"))
}

// Address is the server's host and port.
func (s *Server) Address() string { return "127.0.0.1:" + s.port }

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
		path := filepath.Join(s.folder, "data", name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := proctest.Own(path, s.owner); err != nil {
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

// Package mariatest runs a MariaDB server for the tests of a process: it is made when the first test needs it, and
// goes with the process.
package mariatest

import (
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-sql-driver/mysql"

	"runhook/shared/proctest"
)

// Server is a server of this process's tests.
type Server struct {
	*proctest.Service
	// authority is the file of the authority of its certificate.
	authority string
}

// Password is that of the account app, which may do everything in the databases of tests.
const Password = "a secret/of @pp:?'\\"

// escaped is Password as it stands in a URL.
const escaped = "a%20secret%2Fof%20%40pp%3A%3F%27%5C"

var (
	making sync.Once
	made   *Server
	failed error
)

// New returns the process's server. It fails the test if there is none.
func New(t testing.TB) *Server {
	t.Helper()
	making.Do(func() { made, failed = start(t) })
	if failed != nil {
		t.Fatalf("MariaDB is needed (`make needs` installs it): %v", failed)
	}
	return made
}

// program is where a program of the server is: Debian's mariadbd is not in everybody's PATH.
func program(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	path := "/usr/sbin/" + name
	_, err := os.Stat(path)
	return path, err
}

// start makes a server, whose settings are not those that values need. It does not wait for its disk: it is gone with
// this process.
func start(t testing.TB) (*Server, error) {
	server, err := program("mariadbd")
	if err != nil {
		return nil, err
	}
	install, err := program("mariadb-install-db")
	if err != nil {
		return nil, err
	}
	service, err := proctest.NewService("mysql")
	if err != nil {
		return nil, err
	}
	authority, key := proctest.Certificate(t, service.Folder)
	s := &Server{service, authority}
	for _, path := range []string{authority, key} {
		if err := s.Own(path); err != nil {
			return nil, err
		}
	}
	db, err := s.open("root", "", "mysql")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	const common = `--no-defaults --datadir="$1/data" --innodb-flush-method=nosync --innodb-log-file-size=32M --innodb-buffer-pool-size=32M `
	err = s.Start(
		`"$4" `+common+`--auth-root-authentication-method=normal --skip-test-db --skip-name-resolve`,
		`"$3" `+common+`--bind-address=127.0.0.1 --port="$2" --socket="$1/s" --pid-file="$1/pid" --skip-name-resolve --innodb-flush-log-at-trx-commit=2 --innodb-fast-shutdown=2 \
	--ssl-cert="$1/tls.crt" --ssl-key="$1/tls.key" --max-allowed-packet=4M --max-connections=100 --key-buffer-size=64K --aria-pagecache-buffer-size=256K \
	--sql-mode= --default-time-zone=+05:30 --character-set-server=latin1 --collation-server=latin1_swedish_ci --lc-messages=de_DE --default-storage-engine=MyISAM --log-warnings=0`,
		`kill -KILL $(cat pid)`, db.Ping, server, install)
	if err != nil {
		return nil, err
	}
	_, err = db.Exec("CREATE USER app@'%' IDENTIFIED BY ?; GRANT ALL ON `test\\_%`.* TO app@'%'", Password)
	return s, err
}

// open opens a database of the server as an account. Several statements in one are taken.
func (s *Server) open(account, password, database string) (*sql.DB, error) {
	config := mysql.NewConfig()
	config.User, config.Passwd, config.DBName = account, password, database
	config.Net, config.Addr = "tcp", s.Address()
	config.MultiStatements, config.InterpolateParams, config.Logger = true, true, &mysql.NopLogger{}
	config.Params = map[string]string{"sql_mode": "'STRICT_ALL_TABLES,ANSI_QUOTES'", "time_zone": "'+00:00'", "lc_messages": "'en_US'", "default_storage_engine": "'InnoDB'"}
	config.Collation = "utf8mb4_general_ci"
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// Database is a database of the server that one test has for itself.
type Database struct {
	// Name is the database's, and URL the address that a connection has: of the account app, with ${MARIATEST_PASSWORD}
	// in place of its password. Own is the URL with the password.
	Name, URL, Own string

	t      testing.TB
	server *Server
	db     *sql.DB
}

var databases atomic.Int64

// Database makes a database, of which URL is for a connections file of the test, and sets the variable of the
// environment with the password.
func (s *Server) Database(t testing.TB) *Database {
	t.Helper()
	name := fmt.Sprintf("test_%d", databases.Add(1))
	address := "mysql://app:%s@" + s.Address() + "/" + name + "?ssl-mode=DISABLED"
	d := &Database{Name: name, t: t, server: s, URL: fmt.Sprintf(address, "${MARIATEST_PASSWORD}"), Own: fmt.Sprintf(address, escaped)}
	if err := os.Setenv("MARIATEST_PASSWORD", Password); err != nil { // the same for all tests
		t.Fatal(err)
	}
	s.Exec(t, "CREATE DATABASE "+name+" CHARACTER SET utf8mb4")
	db, err := s.open("app", Password, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(1)
	if err := db.Ping(); err != nil { // its connection has a goroutine, which is there from now on
		t.Fatal(err)
	}
	d.db = db
	return d
}

// Crash kills the server, which comes again by itself. What it has committed is kept.
func (s *Server) Crash() error { return proctest.KillBy(filepath.Join(s.Folder, "pid")) }

// Socket is the server's Unix socket.
func (s *Server) Socket() string { return filepath.Join(s.Folder, "s") }

// Authority is the file of the authority of the server's certificate, which is for the host localhost.
func (s *Server) Authority() string { return s.authority }

// Exec executes statements as the server's administrator.
func (s *Server) Exec(t testing.TB, statements ...string) {
	t.Helper()
	db, err := s.open("root", "", "mysql")
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

// DB is a pool of connections to the database, which is closed at the end of the test.
func (d *Database) DB() *sql.DB { return d.db }

// Open opens the database, for the caller to close.
func (d *Database) Open() (*sql.DB, error) { return d.server.open("app", Password, d.Name) }

// Exec executes statements.
func (d *Database) Exec(statements string) {
	d.t.Helper()
	if _, err := d.db.Exec(statements); err != nil {
		d.t.Fatal(err)
	}
}

// Query returns the rows of a query: values as the server writes them, with spaces between, rows with semicolons.
func (d *Database) Query(query string) string {
	d.t.Helper()
	return asked(d.t, d.db, query)
}

// Query is that of a database, as the server's administrator.
func (s *Server) Query(t testing.TB, query string) string {
	t.Helper()
	db, err := s.open("root", "", "mysql")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	return asked(t, db, query)
}

func asked(t testing.TB, db *sql.DB, query string) string {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for rows.Next() {
		values := make([]sql.NullString, len(columns))
		into := make([]any, len(columns))
		for i := range into {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		words := make([]string, len(values))
		for i, value := range values {
			if words[i] = value.String; !value.Valid {
				words[i] = "<nil>"
			}
		}
		lines = append(lines, strings.Join(words, " "))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "; ")
}

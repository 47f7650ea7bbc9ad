// Package sqldb writes rows to a table of a database through database/sql.
package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"runhook/services/runner/connection"
	"runhook/services/runner/row"
	"runhook/shared/run"
)

// lockWaitTime is how long a transaction waits for other writers of the database; lockWait is the
// same in milliseconds.
const (
	lockWaitTime = time.Minute
	lockWait     = "60000"
)

// openSQLite opens the database of a connection, and makes its file when create is set. The journal
// is a write-ahead log, so that readers are not in the way.
func openSQLite(ctx context.Context, to connection.SQLite, create bool) (*sql.DB, *sql.Conn, error) {
	if _, err := findFile(to, create); err != nil {
		return nil, nil, err
	}
	mode := "rw"
	if create {
		mode = "rwc"
	}
	db, conn, err := connect(ctx, writing(to, mode), to.Name)
	if err != nil {
		return nil, nil, err
	}
	if err := useWAL(ctx, conn); err != nil {
		conn.Close()
		db.Close()
		return nil, nil, explain(ctx, err, to.Name)
	}
	return db, conn, nil
}

// findFile says whether the database's file is there, and fails where it cannot be used or, if create
// is set, be made.
func findFile(to connection.SQLite, create bool) (found bool, err error) {
	info, err := os.Stat(to.Path)
	missing := errors.Is(err, os.ErrNotExist)
	switch {
	case err == nil && info.IsDir():
		return false, run.Failf("the database of connection %s is a folder, not a file", to.Name)
	case missing && !create:
		return false, run.Failf("the database of connection %s does not exist; correct the connection, or set create: true in the task", to.Name)
	case missing:
		if _, err := os.Stat(filepath.Dir(to.Path)); errors.Is(err, os.ErrNotExist) {
			return false, run.Failf("the folder of the database of connection %s does not exist; make it", to.Name)
		}
	}
	return !missing, nil
}

// writing is the address of a database that is written to.
func writing(to connection.SQLite, mode string) string {
	return address(to.Path) + "?mode=" + mode + "&_busy_timeout=" + lockWait + "&_foreign_keys=1"
}

// connect opens a database with one connection. name is what messages call it.
func connect(ctx context.Context, address, name string) (*sql.DB, *sql.Conn, error) {
	db, err := sql.Open("sqlite", address)
	if err != nil {
		return nil, nil, explain(ctx, err, name)
	}
	db.SetMaxOpenConns(1)
	conn, err := db.Conn(ctx)
	if err != nil {
		db.Close()
		return nil, nil, explain(ctx, err, name)
	}
	return db, conn, nil
}

// openToRead opens the database of a connection so that nothing can be written to it.
func openToRead(ctx context.Context, from connection.SQLite) (*sql.DB, error) {
	if info, err := os.Stat(from.Path); errors.Is(err, os.ErrNotExist) {
		return nil, run.Failf("the database of connection %s does not exist; correct the connection", from.Name)
	} else if err == nil && info.IsDir() {
		return nil, run.Failf("the database of connection %s is a folder, not a file", from.Name)
	}
	db, err := sql.Open("sqlite", address(from.Path)+"?mode=ro&_busy_timeout="+lockWait+"&_query_only=1")
	if err != nil {
		return nil, explain(ctx, err, from.Name)
	}
	db.SetMaxOpenConns(1)
	if err := db.PingContext(ctx); err != nil {
		db.Close()
		return nil, explain(ctx, err, from.Name)
	}
	return db, nil
}

// address is a database file as a URI. Its path begins with a slash, on Windows too.
func address(path string) string {
	name := url.URL{Path: "/" + strings.TrimPrefix(filepath.ToSlash(path), "/")}
	return "file:" + name.EscapedPath()
}

// useWAL switches a database to a write-ahead log. Only the first user of a new database really
// switches; SQLite does not wait for another one's lock there, so this does.
func useWAL(ctx context.Context, conn *sql.Conn) error {
	limit := time.Now().Add(lockWaitTime)
	for {
		_, err := conn.ExecContext(ctx, "PRAGMA journal_mode = WAL")
		known, ok := errors.AsType[*sqlite.Error](err)
		if !ok || known.Code()&0xff != lib.SQLITE_BUSY || time.Now().After(limit) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// explain turns an error of the driver into one that ends the run and holds none of its words, for
// they may quote a row. A failure stays what it is.
func explain(ctx context.Context, err error, connection string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if failure, ok := errors.AsType[*run.Failure](err); ok {
		return failure
	}
	known, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return run.Failf("the database of connection %s cannot be used; the driver refused", connection)
	}
	switch known.Code() & 0xff {
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED:
		return run.Passingf("the database of connection %s was locked by another writer for longer than a minute; end that one", connection)
	case lib.SQLITE_READONLY, lib.SQLITE_PERM:
		return run.Failf("the database of connection %s may not be written by the runner; correct the permissions of its file and folder", connection)
	case lib.SQLITE_CANTOPEN:
		return run.Failf("the database of connection %s cannot be opened; correct its path, or the permissions of its file and folder", connection)
	case lib.SQLITE_NOTADB:
		return run.Failf("the database of connection %s is not a SQLite database", connection)
	case lib.SQLITE_FULL:
		return run.Failf("the disk of the database of connection %s is full", connection)
	case lib.SQLITE_CORRUPT, lib.SQLITE_IOERR:
		return run.Failf("the database of connection %s is damaged or its disk fails (SQLite result code %d)", connection, known.Code())
	case lib.SQLITE_SCHEMA:
		return run.Passingf("a table in connection %s was changed during the run", connection)
	}
	return run.Failf("the database of connection %s refused (SQLite result code %d)", connection, known.Code())
}

// refused returns what is wrong with the row when the database refused it for the row's own sake,
// and nil when the error is another.
func (t *table) refused(err error) *row.Fault {
	known, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return nil
	}
	if fault := t.rule(known); fault != nil {
		return fault.Saying(known.Error())
	}
	return nil
}

// rule says which kind of rule of the table a row broke, nil for any other error.
func (t *table) rule(known *sqlite.Error) *row.Fault {
	switch known.Code() {
	case lib.SQLITE_CONSTRAINT_PRIMARYKEY, lib.SQLITE_CONSTRAINT_ROWID:
		return row.Faultf(strings.Join(t.primaryKey(), ", "), "breaks a uniqueness rule")
	case lib.SQLITE_CONSTRAINT_UNIQUE:
		return row.Faultf(t.onlyUnique(), "breaks a uniqueness rule")
	case lib.SQLITE_CONSTRAINT_NOTNULL:
		return row.Faultf("", "must not be empty in every column that needs a value")
	case lib.SQLITE_CONSTRAINT_FOREIGNKEY:
		return row.Faultf("", "refers to a row of another table that does not exist, or is referred to by one")
	case lib.SQLITE_CONSTRAINT_CHECK:
		return row.Faultf("", "breaks a check rule of the table")
	case lib.SQLITE_CONSTRAINT_TRIGGER:
		return row.Faultf("", "is refused by a trigger of the table")
	case lib.SQLITE_CONSTRAINT_DATATYPE, lib.SQLITE_MISMATCH:
		return row.Faultf("", "has a value of the wrong type")
	case lib.SQLITE_TOOBIG:
		return row.Faultf("", "is too long")
	}
	if known.Code()&0xff == lib.SQLITE_CONSTRAINT {
		return row.Faultf("", "breaks a rule of the table")
	}
	return nil
}

// quoteName writes a name so that SQL takes it as one, whatever is in it.
func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"reflect"
	"slices"
	"strings"

	"modernc.org/libc"
	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// reading connects to a SQLite database of which queries may read all, and nothing else: whatever a query, or a view of
// a database that came from elsewhere, has in it.
type reading struct{ driver.Connector }

func (r reading) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := r.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	guarded, ok := conn.(sqlite.AuthorizerRegisterer)
	if !ok {
		return nil, errors.Join(errDriver, conn.Close())
	}
	if err := guarded.RegisterAuthorizer(mayRead); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

var errDriver = errors.New("the driver of SQLite is not the one that is known")

// copyTable is where aside puts a query's rows, in the connection's temporary database.
const copyTable = "runhook_rows"

// The settings that may be asked for: of a table or an index, and without a value. query_only, which aside changes, lets
// nothing through that is not allowed here.
var (
	tableSettings = []string{"table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "foreign_key_list"}
	bareSettings  = []string{
		"application_id", "collation_list", "compile_options", "data_version", "database_list", "encoding", "foreign_keys", "freelist_count",
		"function_list", "journal_mode", "module_list", "page_count", "page_size", "pragma_list", "schema_version", "user_version",
	}
)

// mayRead decides what a statement may do before it is executed.
func mayRead(action sqlite.AuthorizerActionCode, first, second, database, _ string) sqlite.AuthorizerReturnCode {
	allowed := false
	switch action {
	case sqlite.AuthSelect, sqlite.AuthRead, sqlite.AuthRecursive:
		allowed = true
	case sqlite.AuthFunction:
		allowed = !slices.Contains([]string{"load_extension", "fts3_tokenizer"}, strings.ToLower(second))
	case sqlite.AuthPragma:
		name := strings.ToLower(first)
		allowed = name == "query_only" || slices.Contains(tableSettings, name) || second == "" && slices.Contains(bareSettings, name)
	case sqlite.AuthCreateTempTable:
		allowed = first == copyTable
	case sqlite.AuthInsert, sqlite.AuthUpdate:
		allowed = database == "temp" && slices.Contains([]string{copyTable, "sqlite_temp_master", "sqlite_temp_schema"}, first)
	}
	if !allowed {
		return sqlite.AuthorizerDeny
	}
	return sqlite.AuthorizerOK
}

// limit bounds a value, before it is in memory, and attaches no further database.
func limit(ctx context.Context, db *sql.DB) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	for id, most := range map[int]int{lib.SQLITE_LIMIT_LENGTH: maxCell, lib.SQLITE_LIMIT_ATTACHED: 0} {
		if _, err := sqlite.Limit(conn, id, most); err != nil {
			return err
		}
	}
	return nil
}

func (sqliteDialect) interrupter(ctx context.Context, db *sql.DB) (func(), error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	var handle uintptr
	err = conn.Raw(func(conn any) error {
		// The driver has no way to it.
		field := reflect.Indirect(reflect.ValueOf(conn)).FieldByName("db")
		if !field.IsValid() || field.Kind() != reflect.Uintptr {
			return errDriver
		}
		handle = uintptr(field.Uint())
		return nil
	})
	return func() {
		thread := libc.NewTLS()
		defer thread.Close()
		lib.Xsqlite3_interrupt(thread, handle)
	}, err
}

package sqldb

import (
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	"runhook/shared/run"
)

// What another user of the database causes may pass; what is wrong with the query may not.
func TestWhatMayPass(t *testing.T) {
	address := address(filepath.Join(t.TempDir(), "a.db")) + "?_busy_timeout=0"
	open := func() *sql.Conn {
		db, err := sql.Open("sqlite", address)
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
	holder, other := open(), open()
	for _, statement := range []string{"create table a (id)", "begin immediate"} {
		if _, err := holder.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	for statement, passing := range map[string]bool{"begin immediate": true, "selec 1": false, "select * from nowhere": false} {
		_, err := other.ExecContext(t.Context(), statement)
		if err == nil {
			t.Fatalf("%s is taken", statement)
		}
		failure, ok := errors.AsType[*run.Failure](explain(t.Context(), err, "warehouse"))
		if !ok || failure.Passing != passing {
			t.Errorf("%s: %+v, want one that passes: %v", statement, failure, passing)
		}
	}
}

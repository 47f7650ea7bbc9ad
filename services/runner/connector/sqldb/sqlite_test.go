package sqldb

import (
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	"runhook/services/runner/check"
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
		failure, ok := errors.AsType[*run.Failure](explain(t.Context(), sqliteDialect{}, err))
		if !ok || failure.Passing != passing {
			t.Errorf("%s: %+v, want one that passes: %v", statement, failure, passing)
		}
	}
}

func TestDeclaredColumn(t *testing.T) {
	for declared, want := range map[string]check.Column{
		"":                   {},
		"INTEGER":            {Kind: check.Whole},
		"BOOLEAN":            {Kind: check.Boolean},
		"REAL":               {Kind: check.Number},
		"TEXT":               {},
		"VARCHAR(20)":        {Length: 20},
		"nvarchar ( 300 )":   {Length: 300},
		"CHARACTER(7)":       {Length: 7},
		"DECIMAL(10,2)":      {},
		"VARYING CHAR X (9)": {Length: 9},
	} {
		if got := declaredColumn("", declared); got != want {
			t.Errorf("%q: %+v, want %+v", declared, got, want)
		}
	}
}

func TestKindOf(t *testing.T) {
	for declared, want := range map[string]kind{
		"": anyKind, "BLOB": anyKind, "JSON": anyKind, "UUID": anyKind,
		"text": textKind, "VARCHAR(20)": textKind, "nvarchar(20)": textKind, "CLOB": textKind,
		"INTEGER": integerKind, "bigint": integerKind, "UNSIGNED INT": integerKind,
		"REAL": realKind, "double precision": realKind, "FLOAT": realKind,
		"NUMERIC(10,2)": numericKind, "decimal(5)": numericKind, "NUMBER": numericKind,
		"BOOL": booleanKind, "boolean": booleanKind, "ENUM('a','b')": anyKind, "STRING": anyKind, "POINT": anyKind, "interval": anyKind,
		"tinyint(1)": integerKind, "INT8": integerKind, "uint64": integerKind, "INTEGER UNSIGNED": integerKind, "FLOATING POINT": realKind,
		"smallmoney": numericKind, "Currency": numericKind, "UPDATED": anyKind, "TIMESPAN": anyKind, "UNIQUEIDENTIFIER": anyKind,
		"DATE": dateKind, "DATETIME": dateTimeKind, "timestamp with time zone": dateTimeKind, "TIME": timeKind,
	} {
		if got := kindOf(declared); got != want {
			t.Errorf("%q: kind %d, want %d", declared, got, want)
		}
	}
}

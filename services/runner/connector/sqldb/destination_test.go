package sqldb_test

import (
	"fmt"
	"strings"
	"testing"

	"runhook/services/runner/connection"
	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// A path may have what a URI gives a meaning.
func TestOddDatabasePath(t *testing.T) {
	b := pipelinetest.New(t)
	set, err := connection.Parse([]byte("drop: {files: .}\nwarehouse: {sqlite: './a %20?mode=memory#&ü.db'}"), b.Folder+"/connections.yaml")
	if err != nil {
		t.Fatal(err)
	}
	b.Job.Connections = set
	b.Write("members.csv", "ID,Name\n1,Ann\n")
	b.Succeed(run.Counts{Total: 1, Retrieved: 1, Inserted: 1})
	if b.Read("a %20?mode=memory#&ü.db") == "(no file)" {
		t.Error("the database is not where the connection says")
	}
}

func TestCreateMakesTypedColumns(t *testing.T) {
	b := pipelinetest.New(t)
	b.Table().Table = `odd "table"; --`
	b.Mapping("id", "ID", `odd "column"`, "Name", "length", "len(Name)", "long", "len(Name) > 2", "half", "len(Name) / 2")
	b.Write("members.csv", "ID,Name\n1,Ann\n")
	b.Succeed(run.Counts{Total: 1, Retrieved: 1, Inserted: 1})
	if got, want := b.Query(`SELECT name, type, "notnull", pk FROM pragma_table_info('odd "table"; --')`),
		`id TEXT 1 1; odd "column" TEXT 0 0; length INTEGER 0 0; long BOOLEAN 0 0; half REAL 0 0`; got != want {
		t.Errorf("the columns are %s, want %s", got, want)
	}
	if got, want := b.Query(`SELECT typeof(length), typeof(half), half FROM "odd ""table""; --"`), "integer real 1.5"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	b.Succeed(run.Counts{Total: 1, Retrieved: 1, Unchanged: 1})
}

func TestTextIsConvertedByTheColumnsType(t *testing.T) {
	const columns = "id TEXT PRIMARY KEY, i INTEGER, r REAL, n NUMERIC(10,2), b BOOLEAN, d DATE, dt DATETIME, t TIME, v VARCHAR(5), x"
	for _, c := range []struct {
		column, text string
		// stored is typeof and value; fault what is said instead.
		stored, fault string
	}{
		{"i", "42", "integer 42", ""},
		{"i", " -7 ", "integer -7", ""},
		{"i", "9223372036854775807", "integer 9223372036854775807", ""},
		{"i", "9223372036854775808", "", "is too large"},
		{"i", "", "null <nil>", ""},
		{"i", "12.5", "", "is not a whole number"},
		{"i", "4711secret", "", "is not a whole number"},
		{"i", "0x10", "", "is not a whole number"},
		{"r", "1.5e3", "real 1500", ""},
		{"r", "1e999", "", "is too large"},
		{"r", "NaN", "", "is not a number"},
		{"r", "0x1p4", "", "is not a number"},
		{"r", "1_000", "", "is not a number"},
		{"n", "12.50", "real 12.5", ""},
		{"n", "9007199254740993", "integer 9007199254740993", ""},
		{"n", "Infinity", "", "is not a number"},
		{"b", "Yes", "integer 1", ""},
		{"b", "T", "integer 1", ""},
		{"b", "n", "integer 0", ""},
		{"b", "false", "integer 0", ""},
		{"b", "2", "", "is not true or false"},
		{"b", "", "null <nil>", ""},
		{"d", "2026-01-31", "text 2026-01-31", ""},
		{"d", "2026-01-31T00:00:00Z", "text 2026-01-31", ""},
		{"d", "2026-01-31T10:00:00Z", "", "is not a date"},
		{"d", "31.01.2026", "", "is not a date"},
		{"d", "20260131", "", "is not a date"},
		{"d", "2026-02-30", "", "is not a date"},
		{"dt", "2026-01-31 18:30", "text 2026-01-31 18:30", ""},
		{"dt", "2026-01-31T18:30:00.123+02:00", "text 2026-01-31T18:30:00.123+02:00", ""},
		{"dt", "yesterday", "", "is not a date and time"},
		{"t", "18:30", "text 18:30", ""},
		{"t", "25:00", "", "is not a time"},
		{"v", "longer than five", "text longer than five", ""},
		{"v", "", "text ", ""},
		{"v", "007", "text 007", ""},
		{"x", "007", "text 007", ""},
		{"x", "", "text ", ""},
	} {
		t.Run(c.column+"="+c.text, func(t *testing.T) {
			t.Parallel()
			b := pipelinetest.New(t)
			b.Exec("CREATE TABLE members (" + columns + ")")
			b.Mapping("id", "ID", c.column, "V")
			b.Write("members.csv", "ID,V\n1,"+c.text+"\n")
			if c.fault != "" {
				s := b.Fail(c.column + " " + c.fault)
				b.RowErrors(s, run.RowError{Row: 1, Column: c.column, Message: c.fault})
				if strings.Contains(fmt.Sprint(s.Errors), "4711") {
					t.Errorf("the snapshot shows a value: %v", s)
				}
				return
			}
			b.Succeed(run.Counts{Total: 1, Retrieved: 1, Inserted: 1})
			if got := b.Query("SELECT typeof(" + c.column + "), CAST(" + c.column + " AS TEXT) FROM members"); got != strings.Replace(c.stored, "1500", "1500.0", 1) {
				t.Errorf("stored %q, want %q", got, c.stored)
			}
			// What was stored must compare as what was given.
			b.Succeed(run.Counts{Total: 1, Retrieved: 1, Unchanged: 1})
		})
	}
}

// A trigger that ends the whole transaction must not leave the rest of the batch committed row by row.
func TestTriggerThatRollsBack(t *testing.T) {
	b := pipelinetest.New(t)
	b.Exec(`CREATE TABLE members (id TEXT PRIMARY KEY, name TEXT);
		CREATE TRIGGER no_bob BEFORE INSERT ON members WHEN new.name = 'Bob' BEGIN SELECT RAISE(ROLLBACK, 'no'); END`)
	b.Table().Action = task.Insert
	b.Write("members.csv", "ID,Name\n1,Ann\n2,Bob\n3,Cy\n")
	s := b.Fail("ends the whole transaction when it refuses a row")
	b.Counts(s, run.Counts{})
	if got := b.Query("SELECT * FROM members"); got != "" {
		t.Errorf("the table has %s", got)
	}
}

func TestSQLiteFailsBeforeTheFirstRow(t *testing.T) {
	for _, c := range []struct {
		name    string
		change  func(b *pipelinetest.Bench)
		message string
	}{
		{"missing column, which was not there when the table was made", func(b *pipelinetest.Bench) { b.Mapping("id", "ID", "joined", "Name") }, `has no column joined
The table is there, and create: true changes none that is. Change it, as with ALTER TABLE "members" ADD COLUMN "joined" TEXT, or drop it`},
		{"another key than when the table was made", func(b *pipelinetest.Bench) { b.Table().Key = []string{"name", "id"} }, `CREATE UNIQUE INDEX "members_key" ON "members" ("name", "id"), or drop it`},
		{"missing column of a table of others", func(b *pipelinetest.Bench) { b.Table().Create = false; b.Mapping("id", "ID", "joined", "Name") }, "The table members in connection warehouse has no column joined"},
		{"not a database", func(b *pipelinetest.Bench) { b.Write("warehouse.db", strings.Repeat("this is no database ", 100)) }, "The database of connection warehouse is not a SQLite database"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := pipelinetest.New(t)
			b.Exec(`CREATE TABLE members (id TEXT PRIMARY KEY, name TEXT, upper TEXT AS (upper(name)));
				CREATE TABLE strictly (id TEXT PRIMARY KEY, name TEXT, must TEXT NOT NULL, fine TEXT NOT NULL DEFAULT '');
				CREATE VIEW v AS SELECT * FROM members`)
			b.Write("members.csv", "ID,Name\n1,Ann\n")
			c.change(b)
			b.Counts(b.Fail(c.message), run.Counts{})
		})
	}
}

func TestMissingDatabase(t *testing.T) {
	b := pipelinetest.New(t)
	b.Write("members.csv", "ID,Name\n1,Ann\n")
	b.Table().Create = false
	b.Fail("The database of connection warehouse does not exist")
	if got := b.Read("warehouse.db"); got != "(no file)" {
		t.Error("the database was made")
	}
}

// A table is made only when nothing else is wrong with the task.
func TestNoTableForATaskThatCannotRun(t *testing.T) {
	b := pipelinetest.New(t)
	b.Write("members.csv", "ID,Name\n1,Ann\n")
	b.Mapping("id", "ID", "name", "Nmae")
	b.Fail("unknown column Nmae")
	if got := b.Read("warehouse.db"); got != "(no file)" {
		t.Error("the database was made")
	}
}

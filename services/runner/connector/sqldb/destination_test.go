package sqldb_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"runhook/services/runner/connection"
	"runhook/services/runner/pipeline"
	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/shared/run"
	"runhook/shared/task"
)

func TestUpsertTellsInsertedUpdatedAndUnchanged(t *testing.T) {
	b := pipelinetest.New(t)
	b.Write("members.csv", "ID,Name\n1,Ann\n2,Bob\n3,Cy\n")
	b.Succeed(run.Counts{Total: 3, Retrieved: 3, Inserted: 3})
	b.Succeed(run.Counts{Total: 3, Retrieved: 3, Unchanged: 3})
	b.Write("members.csv", "ID,Name\n4,Dee\n2,bob\n3,Cy\n4,Dee\n4,Di\n5,Eve\n1,Ann\n")
	b.Succeed(run.Counts{Total: 7, Retrieved: 7, Inserted: 2, Updated: 2, Unchanged: 3})
	if got, want := b.Query("SELECT id, name FROM members ORDER BY id"), "1 Ann; 2 bob; 3 Cy; 4 Di; 5 Eve"; got != want {
		t.Errorf("the table has %s, want %s", got, want)
	}
}

// Letter case is a change, also where the column does not tell it apart.
func TestUpsertSeesLetterCase(t *testing.T) {
	b := pipelinetest.New(t)
	b.Exec(`CREATE TABLE members (id TEXT PRIMARY KEY COLLATE NOCASE, name TEXT COLLATE NOCASE); INSERT INTO members VALUES ('a', 'ann')`)
	b.Write("members.csv", "ID,Name\nA,Ann\n")
	b.Succeed(run.Counts{Total: 1, Retrieved: 1, Updated: 1})
	if got := b.Query("SELECT * FROM members"); got != "a Ann" {
		t.Errorf("the table has %s", got)
	}
}

func TestUpsertOfKeysOnly(t *testing.T) {
	b := pipelinetest.New(t)
	b.Mapping("id", "ID")
	b.Write("members.csv", "ID,Name\n1,Ann\n2,Bob\n1,Cy\n")
	b.Succeed(run.Counts{Total: 3, Retrieved: 3, Inserted: 2, Unchanged: 1})
}

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

// The rows of a first load go together; duplicates and rows that were there must still be told apart.
func TestUpsertOfManyRowsWithSomeThere(t *testing.T) {
	b := pipelinetest.New(t)
	var first, all strings.Builder
	first.WriteString("ID,Name\n")
	all.WriteString("ID,Name\n")
	for i := range 5000 {
		if i%700 == 699 {
			fmt.Fprintf(&first, "%d,old\n", i)
		}
		fmt.Fprintf(&all, "%d,new\n", i)
		if i%900 == 0 {
			fmt.Fprintf(&all, "%d,new\n", i)
		}
	}
	b.Write("members.csv", first.String())
	b.Succeed(run.Counts{Total: 7, Retrieved: 7, Inserted: 7})
	b.Write("members.csv", all.String())
	b.Succeed(run.Counts{Total: 5006, Retrieved: 5006, Inserted: 4993, Updated: 7, Unchanged: 6})
	if got := b.Query("SELECT count(*), sum(name = 'new') FROM members"); got != "5000 5000" {
		t.Errorf("the table has %s", got)
	}
}

func TestUpdate(t *testing.T) {
	b := pipelinetest.New(t)
	b.Exec(`CREATE TABLE members (id TEXT PRIMARY KEY, name TEXT, other TEXT DEFAULT 'kept'); INSERT INTO members (id, name) VALUES ('1', 'Ann'), ('2', 'Bob')`)
	b.Table().Action = task.Update
	b.Write("members.csv", "ID,Name\n1,Anna\n2,Bob\n3,Cy\n")
	b.Succeed(run.Counts{Total: 3, Retrieved: 3, Updated: 1, Unchanged: 1, Skipped: 1})
	if got, want := b.Query("SELECT * FROM members ORDER BY id"), "1 Anna kept; 2 Bob kept"; got != want {
		t.Errorf("the table has %s, want %s", got, want)
	}
}

func TestDelete(t *testing.T) {
	b := pipelinetest.New(t)
	b.Exec(`CREATE TABLE members (name TEXT, id TEXT, "group" TEXT, PRIMARY KEY (id, "group")); INSERT INTO members VALUES ('Ann', '1', 'a'), ('Bob', '2', 'a'), ('Cy', '2', 'b')`)
	b.Table().Action, b.Table().Key = task.Delete, []string{"group", "id"}
	b.Mapping("name", "Name", "id", "ID", "group", "Group")
	b.Write("members.csv", "ID,Name,Group\n1,?,a\n2,?,b\n9,?,a\n1,?,a\n")
	b.Succeed(run.Counts{Total: 4, Retrieved: 4, Deleted: 2, Skipped: 2})
	if got := b.Query("SELECT name FROM members"); got != "Bob" {
		t.Errorf("the table has %s, want Bob", got)
	}
}

func TestInsert(t *testing.T) {
	b := pipelinetest.New(t)
	b.Table().Action, b.Table().Key = task.Insert, nil
	b.Write("members.csv", "ID,Name\n1,Ann\n1,Ann\n,Bob\n")
	b.Succeed(run.Counts{Total: 3, Retrieved: 3, Inserted: 3})
	if got, want := b.Query("SELECT id, name FROM members"), "1 Ann; 1 Ann;  Bob"; got != want {
		t.Errorf("the table has %q, want %q", got, want)
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

func TestEmptyKeyIsARowError(t *testing.T) {
	for _, action := range []task.Action{task.Upsert, task.Update, task.Delete} {
		for _, declared := range []string{"INTEGER", "TEXT"} {
			b := pipelinetest.New(t)
			b.Exec("CREATE TABLE members (id " + declared + " PRIMARY KEY, name TEXT); INSERT INTO members VALUES (1, 'x')")
			b.Table().Action = action
			b.Write("members.csv", "ID,Name\n,Ann\n1,Ann\n")
			s, err := b.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			b.RowErrors(s, run.RowError{Row: 1, Column: "id", Message: "must not be empty"})
		}
	}
}

// A row that the database refuses fails alone, whatever refuses it.
func TestRefusedRowsFailAlone(t *testing.T) {
	b := pipelinetest.New(t)
	b.Exec(`CREATE TABLE groups (name TEXT PRIMARY KEY); INSERT INTO groups VALUES ('a');
		CREATE TABLE members (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT UNIQUE, age INTEGER CHECK (age < 150), grp TEXT REFERENCES groups (name)) STRICT;
		CREATE TRIGGER no_bob BEFORE INSERT ON members WHEN new.name = 'Bob' BEGIN SELECT RAISE(ABORT, 'no Bob 4711secret'); END`)
	b.Table().Action, b.Table().Key = task.Insert, nil
	b.Mapping("id", "ID", "name", `Name == "" ? nil : Name`, "email", "Email", "age", "Age", "grp", "Group")
	b.Write("members.csv", "ID,Name,Email,Age,Group\n"+
		"1,Ann,a@x,20,a\n"+
		"1,Again,b@x,20,a\n"+ // 2: primary key
		"3,Cy,a@x,20,a\n"+ // 3: unique
		"4,,d@x,20,a\n"+ // 4: not null
		"5,Old,e@x,200,a\n"+ // 5: check
		"6,Lost,f@x,20,b\n"+ // 6: foreign key
		"7,Bob,g@x,20,a\n"+ // 7: trigger
		"x,Word,h@x,20,a\n"+ // 8: not a number
		"9,Last,i@x,20,a\n")
	s := b.Succeed(run.Counts{Total: 9, Retrieved: 9, Inserted: 2, Failed: 7})
	b.RowErrors(s,
		run.RowError{Row: 2, Column: "id", Message: "breaks a uniqueness rule"},
		run.RowError{Row: 3, Column: "email", Message: "breaks a uniqueness rule"},
		run.RowError{Row: 4, Column: "name", Message: "must not be empty"},
		run.RowError{Row: 5, Message: "breaks a check rule"},
		run.RowError{Row: 6, Message: "refers to a row of another table"},
		run.RowError{Row: 7, Message: "is refused by a trigger"},
		run.RowError{Row: 8, Column: "id", Message: "is not a whole number"},
	)
	if got := b.Query("SELECT id, name FROM members"); got != "1 Ann; 9 Last" {
		t.Errorf("the table has %s", got)
	}
	if strings.Contains(fmt.Sprint(s.Errors), "4711") {
		t.Errorf("the snapshot shows the driver's words: %v", s)
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

func TestForeignKeyCheckedAtCommit(t *testing.T) {
	b := pipelinetest.New(t)
	b.Exec(`CREATE TABLE groups (name TEXT PRIMARY KEY);
		CREATE TABLE members (id TEXT PRIMARY KEY, name TEXT REFERENCES groups (name) DEFERRABLE INITIALLY DEFERRED)`)
	b.Write("members.csv", "ID,Name\n1,Ann\n")
	s := b.Fail("break a rule of the table members that is checked when they are committed together")
	b.Counts(s, run.Counts{})
}

func TestSQLFailsBeforeTheFirstRow(t *testing.T) {
	for _, c := range []struct {
		name    string
		change  func(b *pipelinetest.Bench)
		message string
	}{
		{"missing table", func(b *pipelinetest.Bench) { b.Table().Create = false; b.Table().Table = "membres" }, "There is no table membres in connection warehouse; did you mean members? Set create: true"},
		{"missing column", func(b *pipelinetest.Bench) { b.Mapping("id", "ID", "nmae", "Name") }, "The table members in connection warehouse has no column nmae; did you mean name?"},
		{"missing source column", func(b *pipelinetest.Bench) { b.Mapping("id", "ID", "name", "Nmae") }, "mapping.name: unknown column Nmae"},
		{"missing column, which was not there when the table was made", func(b *pipelinetest.Bench) { b.Mapping("id", "ID", "joined", "Name") }, `has no column joined
The table is there, and create: true changes none that is. Change it, as with ALTER TABLE "members" ADD COLUMN "joined" TEXT, or drop it`},
		{"another key than when the table was made", func(b *pipelinetest.Bench) { b.Table().Key = []string{"name", "id"} }, `CREATE UNIQUE INDEX "members_key" ON "members" ("name", "id"), or drop it`},
		{"missing column of a table of others", func(b *pipelinetest.Bench) { b.Table().Create = false; b.Mapping("id", "ID", "joined", "Name") }, "The table members in connection warehouse has no column joined"},
		{"view", func(b *pipelinetest.Bench) { b.Table().Table = "v" }, "is a view"},
		{"computed", func(b *pipelinetest.Bench) { b.Mapping("id", "ID", "upper", "Name") }, "is computed by the database"},
		{"not null", func(b *pipelinetest.Bench) { b.Table().Table = "strictly" }, "The column must of the table strictly must not be empty and has no default"},
		{"no unique", func(b *pipelinetest.Bench) { b.Table().Key = []string{"name"} }, "Upsert needs a primary key or a unique index of the table members on exactly name"},
		{"no key", func(b *pipelinetest.Bench) { b.Table().Key = nil }, "destination.sql.key is missing"},
		{"foreign key column", func(b *pipelinetest.Bench) { b.Table().Key = []string{"other"} }, "destination.sql.key: the mapping has no column other"},
		{"twice", func(b *pipelinetest.Bench) { b.Mapping("id", "ID", "name", "Name", "NAME", "Name") }, "writes the column NAME of the table members twice"},
		{"no connection", func(b *pipelinetest.Bench) { b.Table().Connection = "warehose" }, "There is no connection warehose in connections.yaml; did you mean warehouse?"},
		{"wrong connection", func(b *pipelinetest.Bench) { b.Table().Connection = "drop" }, "The connection drop in connections.yaml is of kind files"},
		{"not a database", func(b *pipelinetest.Bench) { b.Write("warehouse.db", strings.Repeat("this is no database ", 100)) }, "The database of connection warehouse is not a SQLite database"},
		{"where", func(b *pipelinetest.Bench) { b.Job.Task.Where = "Name" }, "where: must give true or false"},
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

func TestTwoRunsWriteOneDatabase(t *testing.T) {
	b := pipelinetest.New(t)
	pipelinetest.MemberFile(t, b.Folder+"/members.csv", 20_000)
	var runs sync.WaitGroup
	for i := range 3 {
		job := b.Job
		def := *b.Job.Task
		def.Mapping = []task.Column{{Name: "id", Expression: "ID"}, {Name: "name", Expression: "FirstName"}}
		to := *def.Destination.(*task.SQLDestination)
		to.Table = fmt.Sprintf("members_%d", i%2)
		def.Destination = &to
		job.Task = &def
		runs.Go(func() {
			var m pipeline.Meter
			if err := pipeline.Run(t.Context(), job, &m); err != nil {
				t.Error(err)
			}
			if c := m.Snapshot().Counts; c.Processed() != 20_000 {
				t.Errorf("counts %+v", c)
			}
		})
	}
	runs.Wait()
	if got := b.Query("SELECT (SELECT count(*) FROM members_0), (SELECT count(*) FROM members_1)"); got != "20000 20000" {
		t.Errorf("the tables have %s", got)
	}
}

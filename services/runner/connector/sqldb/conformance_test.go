package sqldb_test

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"runhook/services/runner/connector"
	"runhook/services/runner/connector/sqldb"
	"runhook/services/runner/pipeline"
	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/services/runner/row"
	"runhook/shared/run"
	"runhook/shared/task"
)

// What is here holds for every make of database.

func TestUpsertTellsInsertedUpdatedAndUnchanged(t *testing.T) {
	pipelinetest.EachMake(t, func(t *testing.T, _ pipelinetest.Make, b *pipelinetest.Bench) {
		b.Write("members.csv", "ID,Name\n1,Ann\n2,Bob\n3,Cy\n")
		b.Succeed(run.Counts{Total: 3, Retrieved: 3, Inserted: 3})
		b.Succeed(run.Counts{Total: 3, Retrieved: 3, Unchanged: 3})
		b.Write("members.csv", "ID,Name\n4,Dee\n2,bob\n3,Cy\n4,Dee\n4,Di\n5,Eve\n1,Ann\n")
		b.Succeed(run.Counts{Total: 7, Retrieved: 7, Inserted: 2, Updated: 2, Unchanged: 3})
		if got, want := b.Query("SELECT id, name FROM members ORDER BY id"), "1 Ann; 2 bob; 3 Cy; 4 Di; 5 Eve"; got != want {
			t.Errorf("the table has %s, want %s", got, want)
		}
	})
}

func TestUpsertOfKeysOnly(t *testing.T) {
	pipelinetest.EachMake(t, func(_ *testing.T, _ pipelinetest.Make, b *pipelinetest.Bench) {
		b.Mapping("id", "ID")
		b.Write("members.csv", "ID,Name\n1,Ann\n2,Bob\n1,Cy\n")
		b.Succeed(run.Counts{Total: 3, Retrieved: 3, Inserted: 2, Unchanged: 1})
	})
}

// Letter case is a change, also where the column does not tell it apart.
func TestUpsertSeesLetterCase(t *testing.T) {
	pipelinetest.EachMake(t, func(t *testing.T, of pipelinetest.Make, b *pipelinetest.Bench) {
		b.Exec(map[pipelinetest.Make]string{
			pipelinetest.SQLite: `CREATE TABLE members (id TEXT PRIMARY KEY COLLATE NOCASE, name TEXT COLLATE NOCASE)`,
			pipelinetest.Postgres: `CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
				CREATE TABLE members (id text PRIMARY KEY COLLATE nocase, name text COLLATE nocase)`,
			pipelinetest.MariaDB: `CREATE TABLE members (id VARCHAR(9) PRIMARY KEY, name VARCHAR(9)) COLLATE utf8mb4_general_ci`,
		}[of])
		b.Exec(`INSERT INTO members VALUES ('a', 'ann')`)
		b.Write("members.csv", "ID,Name\nA,Ann\nb,Bob\nB,Bob\n")
		b.Succeed(run.Counts{Total: 3, Retrieved: 3, Updated: 1, Inserted: 1, Unchanged: 1})
		if got := b.Query("SELECT * FROM members ORDER BY id"); got != "a Ann; b Bob" {
			t.Errorf("the table has %s", got)
		}
	})
}

// The rows of a first load go together; duplicates and rows that were there must still be told apart.
func TestUpsertOfManyRowsWithSomeThere(t *testing.T) {
	pipelinetest.EachMake(t, func(t *testing.T, _ pipelinetest.Make, b *pipelinetest.Bench) {
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
		if got := b.Query("SELECT count(*), sum(CASE WHEN name = 'new' THEN 1 ELSE 0 END) FROM members"); got != "5000 5000" {
			t.Errorf("the table has %s", got)
		}
	})
}

// Rows of one key come in their order, however many there are.
func TestUpsertOfOneKeyAgainAndAgain(t *testing.T) {
	pipelinetest.EachMake(t, func(t *testing.T, _ pipelinetest.Make, b *pipelinetest.Bench) {
		var rows strings.Builder
		rows.WriteString("ID,Name\n")
		for i := range 600 {
			fmt.Fprintf(&rows, "%d,%d\n", i/3, i%3/2)
		}
		b.Write("members.csv", rows.String())
		b.Succeed(run.Counts{Total: 600, Retrieved: 600, Inserted: 200, Updated: 200, Unchanged: 200})
		if got := b.Query("SELECT count(*), min(name) FROM members"); got != "200 1" {
			t.Errorf("the table has %s", got)
		}
		// What the last row says was there already, and was not in between.
		b.Write("members.csv", "ID,Name\n0,new\n1,1\n0,1\n")
		b.Succeed(run.Counts{Total: 3, Retrieved: 3, Updated: 2, Unchanged: 1})
		if got := b.Query("SELECT name FROM members WHERE id IN ('0', '1')"); got != "1; 1" {
			t.Errorf("the table has %s", got)
		}
	})
}

// Rows of one key are told apart by those who know how the key compares, whatever its type.
func TestRowsOfOneNumberInOneBatch(t *testing.T) {
	pipelinetest.EachMake(t, func(t *testing.T, _ pipelinetest.Make, b *pipelinetest.Bench) {
		b.Exec("CREATE TABLE members (id INTEGER PRIMARY KEY, name VARCHAR(9)); INSERT INTO members VALUES (1, 'Ann'), (2, 'Bob'), (3, 'Cy')")
		for _, step := range []struct {
			action     task.Action
			rows, want string
			counts     run.Counts
		}{
			{task.Upsert, "9,Ida\n1,Ann\n2,Bo\n4,Di\n", "1 Ann; 2 Bo; 3 Cy; 4 Di; 9 Ida", run.Counts{Inserted: 2, Updated: 1, Unchanged: 1}},
			{task.Upsert, "1,Anna\n5,Ed\n1,Ann\n5,Ed\n1,Ann\n", "1 Ann; 2 Bo; 3 Cy; 4 Di; 5 Ed; 9 Ida", run.Counts{Inserted: 1, Updated: 2, Unchanged: 2}},
			{task.Update, "3,C\n7,Guy\n3,Cy\n4,Di\n", "1 Ann; 2 Bo; 3 Cy; 4 Di; 5 Ed; 9 Ida", run.Counts{Updated: 2, Unchanged: 1, Skipped: 1}},
			{task.Update, "4,D\n5,Ed\n6,F\n", "1 Ann; 2 Bo; 3 Cy; 4 D; 5 Ed; 9 Ida", run.Counts{Updated: 1, Unchanged: 1, Skipped: 1}},
			{task.Delete, "4,x\n8,x\n4,x\n", "1 Ann; 2 Bo; 3 Cy; 5 Ed; 9 Ida", run.Counts{Deleted: 1, Skipped: 2}},
			{task.Delete, "5,x\n8,x\n2,x\n", "1 Ann; 3 Cy; 9 Ida", run.Counts{Deleted: 2, Skipped: 1}},
		} {
			b.Table().Action = step.action
			b.Write("members.csv", "ID,Name\n"+step.rows)
			step.counts.Retrieved = int64(strings.Count(step.rows, "\n"))
			step.counts.Total = step.counts.Retrieved
			b.Succeed(step.counts)
			if got := b.Query("SELECT id, name FROM members ORDER BY id"); got != step.want {
				t.Errorf("after %s of %q the table has %s, want %s", step.action, step.rows, got, step.want)
			}
		}
	})
}

// However many rows are inserted at once, each text comes as it is.
func TestInsertOfOddTexts(t *testing.T) {
	pipelinetest.EachMake(t, func(t *testing.T, of pipelinetest.Make, b *pipelinetest.Bench) {
		const odd = `\N\.\t\\ é` + "\t\r\n\\\n"
		long := strings.Repeat(odd, 5000)
		text := "TEXT"
		if of == pipelinetest.MariaDB {
			text = "MEDIUMTEXT"
		}
		b.Exec("CREATE TABLE members (id INTEGER PRIMARY KEY, name " + text + ")")
		b.Table().Action = task.Insert
		b.Mapping("id", "ID", "name", `Name == "none" ? nil : Name + ID`)
		var rows strings.Builder
		rows.WriteString("ID,Name\n")
		for i := range 6000 {
			name := odd
			switch {
			case i%1000 == 999:
				name = long
			case i%7 == 0:
				name = "none"
			}
			fmt.Fprintf(&rows, "%d,\"%s\"\n", i, name)
		}
		b.Write("members.csv", rows.String())
		b.Succeed(run.Counts{Total: 6000, Retrieved: 6000, Inserted: 6000})
		for i, want := range map[int]string{1: odd + "1", 5998: odd + "5998", 999: long + "999", 7: "<nil>"} {
			if got := b.Query(fmt.Sprintf("SELECT name FROM members WHERE id = %d", i)); got != want {
				t.Errorf("row %d has %.60q (%d), want %.60q (%d)", i, got, len(got), want, len(want))
			}
		}
		if got := b.Query("SELECT count(*), count(name), max(id) FROM members WHERE name IS NULL OR length(name) > 15"); got != "6000 5143 5999" {
			t.Errorf("the table has %s", got)
		}
	})
}

// A batch is larger where a few statements write it, unless its rows are wide.
func TestRowsOfABatch(t *testing.T) {
	pipelinetest.EachMake(t, func(t *testing.T, of pipelinetest.Make, b *pipelinetest.Bench) {
		for _, c := range []struct{ columns, want int }{{2, 4000}, {16, 2500}, {60, row.MaxRows}} {
			var declared []string
			var columns []connector.Column
			for i := range c.columns {
				name := fmt.Sprintf("c%d", i)
				declared = append(declared, name+" INTEGER")
				columns = append(columns, connector.Column{Name: name, Kind: reflect.Int64})
			}
			table := fmt.Sprintf("wide_%d", c.columns)
			b.Exec("CREATE TABLE " + table + " (" + strings.Join(declared, ", ") + ", PRIMARY KEY (c0))")
			d, err := sqldb.Open(t.Context(), b.Job.Connections, &task.SQLDestination{Connection: "warehouse", Table: table, Key: []string{"c0"}, Action: task.Upsert}, columns)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			want := c.want
			if of == pipelinetest.SQLite {
				want = row.MaxRows
			}
			if got := d.BatchRows(); got != want {
				t.Errorf("%d columns: batches of %d rows, want %d", c.columns, got, want)
			}
		}
	})
}

func TestUpdate(t *testing.T) {
	pipelinetest.EachMake(t, func(t *testing.T, _ pipelinetest.Make, b *pipelinetest.Bench) {
		b.Exec(`CREATE TABLE members (id VARCHAR(9) PRIMARY KEY, name VARCHAR(9), other VARCHAR(9) DEFAULT 'kept'); INSERT INTO members (id, name) VALUES ('1', 'Ann'), ('2', 'Bob')`)
		b.Table().Action = task.Update
		b.Write("members.csv", "ID,Name\n1,Anna\n2,Bob\n3,Cy\n1,Anna\n")
		b.Succeed(run.Counts{Total: 4, Retrieved: 4, Updated: 1, Unchanged: 2, Skipped: 1})
		if got, want := b.Query("SELECT * FROM members ORDER BY id"), "1 Anna kept; 2 Bob kept"; got != want {
			t.Errorf("the table has %s, want %s", got, want)
		}
	})
}

// A row of the source may be several of the table.
func TestUpdateOfSeveralRows(t *testing.T) {
	pipelinetest.EachMake(t, func(t *testing.T, _ pipelinetest.Make, b *pipelinetest.Bench) {
		b.Exec(`CREATE TABLE members (id VARCHAR(9), name VARCHAR(9)); INSERT INTO members (id, name) VALUES ('1', 'Ann'), ('1', 'Bob'), ('2', 'Cy'), ('2', 'Cy')`)
		b.Table().Action = task.Update
		b.Write("members.csv", "ID,Name\n1,Ann\n2,Cy\n")
		b.Succeed(run.Counts{Total: 2, Retrieved: 2, Updated: 1, Unchanged: 1})
		if got, want := b.Query("SELECT * FROM members ORDER BY id, name"), "1 Ann; 1 Ann; 2 Cy; 2 Cy"; got != want {
			t.Errorf("the table has %s, want %s", got, want)
		}
	})
}

func TestDelete(t *testing.T) {
	pipelinetest.EachMake(t, func(t *testing.T, _ pipelinetest.Make, b *pipelinetest.Bench) {
		b.Exec(`CREATE TABLE members (name VARCHAR(9), id VARCHAR(9), "group" VARCHAR(9), PRIMARY KEY (id, "group")); INSERT INTO members VALUES ('Ann', '1', 'a'), ('Bob', '2', 'a'), ('Cy', '2', 'b')`)
		b.Table().Action, b.Table().Key = task.Delete, []string{"group", "id"}
		b.Mapping("name", "Name", "id", "ID", "group", "Group")
		b.Write("members.csv", "ID,Name,Group\n1,?,a\n2,?,b\n9,?,a\n1,?,a\n")
		b.Succeed(run.Counts{Total: 4, Retrieved: 4, Deleted: 2, Skipped: 2})
		if got := b.Query("SELECT name FROM members"); got != "Bob" {
			t.Errorf("the table has %s, want Bob", got)
		}
	})
}

func TestInsert(t *testing.T) {
	pipelinetest.EachMake(t, func(t *testing.T, _ pipelinetest.Make, b *pipelinetest.Bench) {
		b.Table().Action, b.Table().Key = task.Insert, nil
		b.Write("members.csv", "ID,Name\n1,Ann\n1,Ann\n,Bob\n")
		b.Succeed(run.Counts{Total: 3, Retrieved: 3, Inserted: 3})
		if got, want := b.Query("SELECT id, name FROM members ORDER BY id DESC"), "1 Ann; 1 Ann;  Bob"; got != want {
			t.Errorf("the table has %q, want %q", got, want)
		}
	})
}

func TestEmptyKeyIsARowError(t *testing.T) {
	pipelinetest.EachMake(t, func(t *testing.T, _ pipelinetest.Make, b *pipelinetest.Bench) {
		for _, action := range []task.Action{task.Upsert, task.Update, task.Delete} {
			for i, declared := range []string{"INTEGER", "VARCHAR(9)"} {
				name := fmt.Sprintf("members_%s_%d", action, i)
				b.Exec("CREATE TABLE " + name + " (id " + declared + " PRIMARY KEY, name VARCHAR(9)); INSERT INTO " + name + " VALUES ('1', 'x')")
				b.Table().Action, b.Table().Table = action, name
				b.Write("members.csv", "ID,Name\n,Ann\n1,Ann\n")
				s, err := b.Run(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				b.RowErrors(s, run.RowError{Row: 1, Column: "id", Message: "must not be empty"})
			}
		}
	})
}

// A row that the database refuses fails alone, whatever refuses it.
func TestRefusedRowsFailAlone(t *testing.T) {
	pipelinetest.EachMake(t, func(t *testing.T, of pipelinetest.Make, b *pipelinetest.Bench) {
		b.Exec(`CREATE TABLE groups_ (name VARCHAR(9) PRIMARY KEY); INSERT INTO groups_ VALUES ('a')`)
		trigger := `CREATE TRIGGER no_bob BEFORE INSERT ON members WHEN new.name = 'Bob' BEGIN SELECT RAISE(ABORT, 'no Bob 4711secret'); END`
		strict := ") STRICT"
		if of == pipelinetest.Postgres {
			trigger = `CREATE FUNCTION no_bob() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF new.name = 'Bob' THEN RAISE 'no Bob 4711secret'; END IF; RETURN new; END $$;
				CREATE TRIGGER no_bob BEFORE INSERT ON members FOR EACH ROW EXECUTE FUNCTION no_bob()`
			strict = ")"
		}
		if of == pipelinetest.MariaDB {
			trigger = `CREATE TRIGGER no_bob BEFORE INSERT ON members FOR EACH ROW IF new.name = 'Bob' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no Bob 4711secret'; END IF`
			strict = ")"
		}
		text := "TEXT"
		if of == pipelinetest.MariaDB {
			text = "VARCHAR(9)"
		}
		b.Exec(`CREATE TABLE members (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email ` + text + ` UNIQUE, age INTEGER CHECK (age < 150), grp ` + text + ` REFERENCES groups_ (name)` + strict)
		b.Exec(trigger)
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
		if got := b.Query("SELECT id, name FROM members ORDER BY id"); got != "1 Ann; 9 Last" {
			t.Errorf("the table has %s", got)
		}
		if strings.Contains(fmt.Sprint(s.Errors), "4711") {
			t.Errorf("the snapshot shows the driver's words: %v", s)
		}
	})
}

// The run ends at the row that is one too many, and none behind it is written, wherever rows are found out.
func TestNoRowBehindTheLimitIsWritten(t *testing.T) {
	pipelinetest.EachMake(t, func(t *testing.T, _ pipelinetest.Make, b *pipelinetest.Bench) {
		b.Exec("CREATE TABLE members (id INTEGER PRIMARY KEY, name VARCHAR(9) UNIQUE)")
		b.Job.Task.MaxRowErrors = 2
		b.Write("members.csv", "ID,Name\n1,a\nx,b\n3,a\n4,d\n5,e\nx,f\n7,g\n8,a\n9,i\n")
		b.Counts(b.Fail("More failed rows than max_row_errors allows (2); the last is row 6"), run.Counts{Retrieved: 6, Inserted: 3, Failed: 3})
		if got := b.Query("SELECT id FROM members ORDER BY id"); got != "1; 4; 5" {
			t.Errorf("the table has %s", got)
		}
		b.Job.Task.MaxRowErrors = 0
		b.Write("members.csv", "ID,Name\n11,k\n12,l\n13,a\n14,n\nx,o\n")
		b.Counts(b.Fail("the last is row 3"), run.Counts{Retrieved: 3, Inserted: 2, Failed: 1})
		if got := b.Query("SELECT id FROM members WHERE id > 9 ORDER BY id"); got != "11; 12" {
			t.Errorf("the table has %s", got)
		}
	})
}

func TestForeignKeyCheckedAtCommit(t *testing.T) {
	pipelinetest.EachMake(t, func(_ *testing.T, of pipelinetest.Make, b *pipelinetest.Bench) {
		if of == pipelinetest.MariaDB { // which has no such rules
			return
		}
		b.Exec(`CREATE TABLE groups_ (name VARCHAR(9) PRIMARY KEY)`)
		b.Exec(`CREATE TABLE members (id VARCHAR(9) PRIMARY KEY, name VARCHAR(9) REFERENCES groups_ (name) DEFERRABLE INITIALLY DEFERRED)`)
		b.Write("members.csv", "ID,Name\n1,Ann\n")
		s := b.Fail("break a rule of the table members that is checked when they are committed together")
		b.Counts(s, run.Counts{})
	})
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
		{"another key than when the table was made", func(b *pipelinetest.Bench) { b.Table().Key = []string{"name", "id"} }, `, or drop it`},
		{"view", func(b *pipelinetest.Bench) { b.Table().Table = "v" }, "is a view"},
		{"computed", func(b *pipelinetest.Bench) { b.Mapping("id", "ID", "upper_", "Name") }, "is computed by the database"},
		{"not null", func(b *pipelinetest.Bench) { b.Table().Table = "strictly" }, "The column must of the table strictly must not be empty and has no default"},
		{"no unique", func(b *pipelinetest.Bench) { b.Table().Key = []string{"name"} }, "Upsert needs a primary key or a unique index of the table members on exactly name"},
		{"no key", func(b *pipelinetest.Bench) { b.Table().Key = nil }, "destination.sql.key is missing"},
		{"foreign key column", func(b *pipelinetest.Bench) { b.Table().Key = []string{"other"} }, "destination.sql.key: the mapping has no column other"},
		{"twice", func(b *pipelinetest.Bench) { b.Mapping("id", "ID", "name", "Name", "NAME", "Name") }, "writes the column NAME of the table members twice"},
		{"no connection", func(b *pipelinetest.Bench) { b.Table().Connection = "warehose" }, "There is no connection warehose in connections.yaml; did you mean warehouse?"},
		{"wrong connection", func(b *pipelinetest.Bench) { b.Table().Connection = "drop" }, "The connection drop in connections.yaml is of kind files"},
		{"where", func(b *pipelinetest.Bench) { b.Job.Task.Where = "Name" }, "where: must give true or false"},
	} {
		t.Run(c.name, func(t *testing.T) {
			pipelinetest.EachMake(t, func(_ *testing.T, _ pipelinetest.Make, b *pipelinetest.Bench) {
				b.Exec(`CREATE TABLE members (id VARCHAR(9) PRIMARY KEY, name TEXT, upper_ TEXT GENERATED ALWAYS AS (upper(name)) STORED)`)
				b.Exec(`CREATE TABLE strictly (id VARCHAR(9) PRIMARY KEY, name TEXT, must TEXT NOT NULL, fine TEXT NOT NULL DEFAULT '')`)
				b.Exec(`CREATE VIEW v AS SELECT * FROM members`)
				b.Write("members.csv", "ID,Name\n1,Ann\n")
				c.change(b)
				b.Counts(b.Fail(c.message), run.Counts{})
			})
		})
	}
}

func TestTwoRunsWriteOneDatabase(t *testing.T) {
	pipelinetest.EachMake(t, func(t *testing.T, of pipelinetest.Make, b *pipelinetest.Bench) {
		rows := int64(20_000)
		if of != pipelinetest.SQLite {
			rows = 6_000
		}
		pipelinetest.MemberFile(t, b.Folder+"/members.csv", int(rows))
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
				if c := m.Snapshot().Counts; c.Processed() != rows {
					t.Errorf("counts %+v", c)
				}
			})
		}
		runs.Wait()
		if got := b.Query("SELECT (SELECT count(*) FROM members_0), (SELECT count(*) FROM members_1)"); got != fmt.Sprint(rows, rows) {
			t.Errorf("the tables have %s", got)
		}
	})
}

package sqldb_test

import (
	"strings"
	"testing"

	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/shared/run"
	"runhook/shared/task"
)

const passedOver = "was passed over by a trigger of the table"

// A row that the table leaves out without an error is a failed row, whatever leaves it out, whether it is
// written alone or with others, and it keeps no other from being written.
func TestRowsThatTheTablePassesOver(t *testing.T) {
	const ignoreBob = "CREATE TRIGGER no_bob BEFORE %s ON members WHEN new.name = 'Bob' BEGIN SELECT RAISE(IGNORE); END;"
	onInsert, onUpdate := strings.Replace(ignoreBob, "%s", "INSERT", 1), strings.Replace(ignoreBob, "%s", "UPDATE", 1)
	// With a trigger the table's own rules apply.
	const elsewhere = "CREATE TRIGGER log AFTER INSERT ON members WHEN false BEGIN SELECT 1; END;"
	const table = "CREATE TABLE members (id TEXT PRIMARY KEY, name TEXT);"
	const unique = "CREATE TABLE members (id TEXT PRIMARY KEY, name TEXT UNIQUE ON CONFLICT IGNORE);" + elsewhere
	for name, c := range map[string]struct {
		action     task.Action
		make, rows string
		want       run.Counts
		failed     int64
		after      string
	}{
		"insert, a trigger":          {task.Insert, table + onInsert, "1,Ann\n2,Bob\n3,Cy\n", run.Counts{Inserted: 2}, 2, "1 Ann; 3 Cy"},
		"insert, the same key":       {task.Insert, "CREATE TABLE members (id TEXT PRIMARY KEY ON CONFLICT IGNORE, name TEXT);" + elsewhere, "1,Ann\n1,Bob\n3,Cy\n", run.Counts{Inserted: 2}, 2, "1 Ann; 3 Cy"},
		"insert, a unique column":    {task.Insert, unique, "1,Ann\n2,Ann\n3,Cy\n", run.Counts{Inserted: 2}, 2, "1 Ann; 3 Cy"},
		"upsert, a trigger":          {task.Upsert, table + onInsert, "1,Ann\n2,Bob\n3,Cy\n", run.Counts{Inserted: 2}, 2, "1 Ann; 3 Cy"},
		"upsert, a unique column":    {task.Upsert, unique, "1,Ann\n2,Ann\n3,Cy\n", run.Counts{Inserted: 2}, 2, "1 Ann; 3 Cy"},
		"upsert, of one that stays":  {task.Upsert, table + onUpdate + "INSERT INTO members VALUES ('1', 'Ann'), ('2', 'Zed');", "1,Ann\n2,Bob\n3,Cy\n", run.Counts{Inserted: 1, Unchanged: 1}, 2, "1 Ann; 2 Zed; 3 Cy"},
		"upsert, unique on update":   {task.Upsert, unique + "INSERT INTO members VALUES ('1', 'Ann'), ('2', 'Zed');", "1,Ann\n2,Ann\n3,Cy\n", run.Counts{Inserted: 1, Unchanged: 1}, 2, "1 Ann; 2 Zed; 3 Cy"},
		"update, of one that stays":  {task.Update, table + onUpdate + "INSERT INTO members VALUES ('1', 'Ann'), ('2', 'Zed');", "1,Ann\n2,Bob\n3,Cy\n", run.Counts{Unchanged: 1, Skipped: 1}, 2, "1 Ann; 2 Zed"},
		"update, of one of several":  {task.Update, "CREATE TABLE members (id TEXT, name TEXT);" + onUpdate + "INSERT INTO members VALUES ('1', 'Ann'), ('2', 'Bob'), ('2', 'Zed');", "1,Ann\n2,Bob\n3,Cy\n", run.Counts{Unchanged: 1, Skipped: 1}, 2, "1 Ann; 2 Bob; 2 Zed"},
		"delete, of one that stays":  {task.Delete, table + "CREATE TRIGGER keep BEFORE DELETE ON members WHEN old.name = 'Bob' BEGIN SELECT RAISE(IGNORE); END; INSERT INTO members VALUES ('1', 'Ann'), ('2', 'Bob');", "1,Ann\n2,Bob\n3,Cy\n", run.Counts{Deleted: 1, Skipped: 1}, 2, "2 Bob"},
		"upsert, of one that is new": {task.Upsert, table + onInsert + "INSERT INTO members VALUES ('1', 'Zed');", "1,Ann\n2,Bob\n3,Cy\n", run.Counts{Inserted: 1, Updated: 1}, 2, "1 Ann; 3 Cy"},
	} {
		t.Run(name, func(t *testing.T) {
			b := pipelinetest.New(t)
			b.Exec(c.make)
			b.Table().Action = c.action
			b.Write("members.csv", "ID,Name\n"+c.rows)
			c.want.Retrieved, c.want.Total, c.want.Failed = 3, 3, 1
			s := b.Succeed(c.want)
			b.RowErrors(s, run.RowError{Row: c.failed, Message: passedOver})
			if got := b.Query("SELECT * FROM members ORDER BY id"); got != c.after {
				t.Errorf("the table has %s, want %s", got, c.after)
			}
		})
	}
}

// A rule of the table that says what becomes of rows that break it must not delete other rows, nor leave one out:
// what breaks it is a failed row. The statements of triggers keep the rules that they have.
func TestRulesOfTheTableAreNoActions(t *testing.T) {
	const there = "INSERT INTO members VALUES ('1', 'Ann'), ('2', 'Bob');"
	for name, c := range map[string]struct {
		action     task.Action
		make, rows string
		want       run.Counts
		after      string
	}{
		"insert, REPLACE of the key":    {task.Insert, "CREATE TABLE members (id TEXT PRIMARY KEY ON CONFLICT REPLACE, name TEXT);", "1,Zed\n3,Cy\n", run.Counts{Inserted: 1, Failed: 1}, "1 Ann; 2 Bob; 3 Cy"},
		"insert, IGNORE":                {task.Insert, "CREATE TABLE members (id TEXT, name TEXT, UNIQUE (name) ON CONFLICT IGNORE);", "1,Ann\n3,Cy\n", run.Counts{Inserted: 1, Failed: 1}, "1 Ann; 2 Bob; 3 Cy"},
		"upsert, REPLACE of another":    {task.Upsert, "CREATE TABLE members (id TEXT PRIMARY KEY, name TEXT UNIQUE ON CONFLICT REPLACE);", "3,Ann\n2,Bob\n4,Dee\n", run.Counts{Inserted: 1, Unchanged: 1, Failed: 1}, "1 Ann; 2 Bob; 4 Dee"},
		"update, REPLACE of another":    {task.Update, "CREATE TABLE members (id TEXT PRIMARY KEY, name TEXT UNIQUE ON CONFLICT REPLACE);", "2,Ann\n1,Al\n", run.Counts{Updated: 1, Failed: 1}, "1 Al; 2 Bob"},
		"insert, ROLLBACK":              {task.Insert, "CREATE TABLE members (id TEXT PRIMARY KEY ON CONFLICT ROLLBACK, name TEXT);", "3,Cy\n1,Zed\n4,Dee\n", run.Counts{Inserted: 2, Failed: 1}, "1 Ann; 2 Bob; 3 Cy; 4 Dee"},
		"a trigger's own OR IGNORE":     {task.Upsert, "CREATE TABLE members (id TEXT PRIMARY KEY, name TEXT); CREATE TABLE seen (name TEXT UNIQUE); CREATE TRIGGER note AFTER INSERT ON members BEGIN INSERT OR IGNORE INTO seen VALUES (new.name); END;", "3,Ann\n4,Dee\n", run.Counts{Inserted: 2}, "1 Ann; 2 Bob; 3 Ann; 4 Dee"},
		"the key's REPLACE, of upserts": {task.Upsert, "CREATE TABLE members (id TEXT PRIMARY KEY ON CONFLICT REPLACE, name TEXT);", "1,Al\n2,Bob\n3,Cy\n", run.Counts{Inserted: 1, Updated: 1, Unchanged: 1}, "1 Al; 2 Bob; 3 Cy"},
	} {
		t.Run(name, func(t *testing.T) {
			b := pipelinetest.New(t)
			b.Exec(c.make + there)
			b.Table().Action = c.action
			b.Write("members.csv", "ID,Name\n"+c.rows)
			c.want.Retrieved = int64(strings.Count(c.rows, "\n"))
			s := b.Succeed(c.want)
			if c.want.Failed > 0 && !strings.Contains(s.Errors[0].Message, "breaks a uniqueness rule") {
				t.Errorf("errors %v", s.Errors)
			}
			if got := b.Query("SELECT * FROM members ORDER BY id"); got != c.after {
				t.Errorf("the table has %s, want %s", got, c.after)
			}
		})
	}
}

// Among many rows, which are written together, those that are passed over are told one by one, and where
// the first of them ends the run nothing behind it is written.
func TestManyRowsOfWhichSomeArePassedOver(t *testing.T) {
	for _, action := range []task.Action{task.Insert, task.Upsert} {
		b := pipelinetest.New(t)
		b.Exec("CREATE TABLE members (id INTEGER PRIMARY KEY, name TEXT); CREATE TRIGGER no BEFORE INSERT ON members WHEN new.id % 100 = 50 BEGIN SELECT RAISE(IGNORE); END")
		b.Table().Action = action
		pipelinetest.MemberFile(t, b.Folder+"/members.csv", 1000)
		b.Mapping("id", "int(ID)", "name", "FirstName")
		s := b.Succeed(run.Counts{Total: 1000, Retrieved: 1000, Inserted: 990, Failed: 10})
		if len(s.Errors) < 2 || s.Errors[1].Row != 151 || !strings.Contains(s.Errors[1].Message, passedOver) {
			t.Errorf("%s: errors %v", action, s.Errors)
		}
		b.Exec("DELETE FROM members")
		b.Job.Task.OnRowError = task.StopOnRowError
		b.Fail("Stopped at row 51")
		if got := b.Query("SELECT count(*), max(id) FROM members"); got != "50 49" {
			t.Errorf("%s: the table has %s", action, got)
		}
	}
}

// The key is compared as its unique index compares, whatever the column's own collation is.
func TestKeyIsComparedAsItsIndexCompares(t *testing.T) {
	for name, c := range map[string]struct {
		action task.Action
		make   string
		rows   string
		want   run.Counts
		after  string
	}{
		"the index takes letter case for one": {
			task.Upsert, "CREATE TABLE members (id TEXT, name TEXT); CREATE UNIQUE INDEX u ON members (id COLLATE NOCASE); INSERT INTO members VALUES ('Ann@Example.org', 'old')",
			"ann@example.org,new\n",
			run.Counts{Updated: 1},
			"Ann@Example.org new",
		},
		"the column does, and the index does not": {
			task.Upsert, "CREATE TABLE members (id TEXT COLLATE NOCASE, name TEXT); CREATE UNIQUE INDEX u ON members (id COLLATE BINARY); INSERT INTO members VALUES ('ANN', 'other'), ('ann', 'old')",
			"ann,new\nAnn,third\n",
			run.Counts{Inserted: 1, Updated: 1},
			"ANN other; ann new; Ann third",
		},
		"spaces at the end": {
			task.Upsert, "CREATE TABLE members (id TEXT, name TEXT); CREATE UNIQUE INDEX u ON members (id COLLATE RTRIM); INSERT INTO members VALUES ('7', 'old')",
			"7  ,new\n7 ,new\n",
			run.Counts{Updated: 1, Unchanged: 1},
			"7 new",
		},
		"two columns": {
			task.Upsert, "CREATE TABLE members (id TEXT, name TEXT, n TEXT); CREATE UNIQUE INDEX u ON members (name COLLATE NOCASE, id COLLATE BINARY); INSERT INTO members VALUES ('a', 'ANN', 'old'), ('A', 'ANN', 'other')",
			"a,ann\n",
			run.Counts{Updated: 1},
			"a ANN a; A ANN other",
		},
		"two indexes, the later of which is the one": {
			task.Upsert, "CREATE TABLE members (id TEXT PRIMARY KEY, name TEXT); CREATE UNIQUE INDEX u ON members (id COLLATE NOCASE); INSERT INTO members VALUES ('ANN', 'old')",
			"ann,new\nANN,again\n",
			run.Counts{Updated: 2},
			"ANN again",
		},
		"the row's number, which has an index too": {
			task.Upsert, "CREATE TABLE members (id INTEGER PRIMARY KEY, name TEXT); CREATE UNIQUE INDEX u ON members (id); INSERT INTO members VALUES (1, 'old')",
			"1,new\n2,new\n",
			run.Counts{Inserted: 1, Updated: 1},
			"1 new; 2 new",
		},
		"update": {
			task.Update, "CREATE TABLE members (id TEXT COLLATE NOCASE, name TEXT); CREATE UNIQUE INDEX u ON members (id COLLATE BINARY); INSERT INTO members VALUES ('ANN', 'other'), ('ann', 'old')",
			"ann,new\nAnn,third\n",
			run.Counts{Updated: 1, Skipped: 1},
			"ANN other; ann new",
		},
		"delete": {
			task.Delete, "CREATE TABLE members (id TEXT COLLATE NOCASE, name TEXT); CREATE UNIQUE INDEX u ON members (id COLLATE BINARY); INSERT INTO members VALUES ('ANN', 'other'), ('ann', 'old')",
			"ann,\nAnn,\n",
			run.Counts{Deleted: 1, Skipped: 1},
			"ANN other",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := pipelinetest.New(t)
			b.Exec(c.make)
			b.Table().Action = c.action
			if name == "two columns" {
				b.Table().Key = []string{"id", "name"}
				b.Mapping("id", "ID", "name", "Name", "n", "ID")
			}
			b.Write("members.csv", "ID,Name\n"+c.rows)
			c.want.Retrieved = int64(strings.Count(c.rows, "\n"))
			b.Succeed(c.want)
			if got := b.Query("SELECT * FROM members"); got != c.after {
				t.Errorf("the table has %s, want %s", got, c.after)
			}
		})
	}
}

// A table that the runner's database cannot write is refused with the database's reason.
func TestTableOfAnUnknownCollation(t *testing.T) {
	b := pipelinetest.New(t)
	b.Exec(`CREATE TABLE members (id TEXT, name TEXT); CREATE UNIQUE INDEX u ON members (id);
		PRAGMA writable_schema = 1; UPDATE sqlite_schema SET sql = 'CREATE UNIQUE INDEX u ON members (id COLLATE german)' WHERE name = 'u'`)
	b.Write("members.csv", "ID,Name\n1,Ann\n")
	b.Fail("The table members in connection warehouse cannot be written: no such collation sequence: german")
}

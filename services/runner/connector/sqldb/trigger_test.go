package sqldb_test

import (
	"testing"

	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// A row that a trigger takes out of the table again, or puts other values in, is a failed row, and nothing of it
// stays, neither in the table nor in what the trigger writes elsewhere. The other rows are written.
func TestTriggersThatUndoTheirRow(t *testing.T) {
	const (
		gone    = "is not in the table after it was written: a trigger of the table took it away"
		altered = "has another value in the table than was written: a trigger of the table changed it"
		back    = "is in the table after it was deleted: a trigger of the table put it back"
		table   = "CREATE TABLE members (id TEXT PRIMARY KEY, name TEXT); CREATE TABLE log (id TEXT);"
		there   = "INSERT INTO members VALUES ('1', 'Al'), ('2', 'Bo');"
		bob     = " ON members WHEN new.name = 'Bob' BEGIN INSERT INTO log VALUES (new.id); "
	)
	for name, c := range map[string]struct {
		action task.Action
		make   string
		want   run.Counts
		fault  run.RowError
		after  string
	}{
		"insert, deleted": {
			task.Insert, table + "CREATE TRIGGER t AFTER INSERT" + bob + "DELETE FROM members WHERE id = new.id; END",
			run.Counts{Inserted: 2},
			run.RowError{Message: gone},
			"1 Ann; 3 Cy",
		},
		"insert, deleted, of a table without a key": {
			task.Insert, "CREATE TABLE members (id TEXT, name TEXT, rowid TEXT); CREATE TABLE log (id TEXT);CREATE TRIGGER t AFTER INSERT" + bob + "DELETE FROM members WHERE id = new.id; END",
			run.Counts{Inserted: 2},
			run.RowError{Message: gone},
			"1 Ann; 3 Cy",
		},
		"insert, deleted, of a table without row numbers": {
			task.Insert, "CREATE TABLE members (id TEXT PRIMARY KEY, name TEXT) WITHOUT ROWID; CREATE TABLE log (id TEXT); CREATE TRIGGER t AFTER INSERT" + bob + "DELETE FROM members WHERE id = new.id; END",
			run.Counts{Inserted: 2},
			run.RowError{Message: gone},
			"1 Ann; 3 Cy",
		},
		"insert, the key changed, of a table without row numbers": {
			task.Insert, "CREATE TABLE members (id TEXT PRIMARY KEY, name TEXT) WITHOUT ROWID; CREATE TABLE log (id TEXT); CREATE TRIGGER t AFTER INSERT" + bob + "UPDATE members SET id = '9' WHERE id = new.id; END",
			run.Counts{Inserted: 2},
			run.RowError{Message: gone},
			"1 Ann; 3 Cy",
		},
		"insert, deleted, with a part of the key by default": {
			task.Insert, "CREATE TABLE members (id TEXT, name TEXT, site TEXT NOT NULL DEFAULT 'x', PRIMARY KEY (site, id)) WITHOUT ROWID; INSERT INTO members VALUES ('2', 'Ed', 'y'); CREATE TABLE log (id TEXT); CREATE TRIGGER t AFTER INSERT" + bob + "DELETE FROM members WHERE id = new.id AND site = new.site; END",
			run.Counts{Inserted: 2},
			run.RowError{Message: gone},
			"1 Ann; 2 Ed; 3 Cy",
		},
		"insert, changed": {
			task.Insert, table + "CREATE TRIGGER t AFTER INSERT" + bob + "UPDATE members SET name = upper(name) WHERE id = new.id; END",
			run.Counts{Inserted: 2},
			run.RowError{Column: "name", Message: altered},
			"1 Ann; 3 Cy",
		},
		"insert, the key changed": {
			task.Insert, table + "CREATE TRIGGER t AFTER INSERT" + bob + "UPDATE members SET id = '9' WHERE id = new.id; END",
			run.Counts{Inserted: 2},
			run.RowError{Column: "id", Message: altered},
			"1 Ann; 3 Cy",
		},
		"upsert, deleted when it is new": {
			task.Upsert, table + "CREATE TRIGGER t AFTER INSERT" + bob + "DELETE FROM members WHERE id = new.id; END",
			run.Counts{Inserted: 2},
			run.RowError{Message: gone},
			"1 Ann; 3 Cy",
		},
		"upsert, changed when it is new": {
			task.Upsert, table + "CREATE TRIGGER t AFTER INSERT" + bob + "UPDATE members SET name = NULL WHERE id = new.id; END",
			run.Counts{Inserted: 2},
			run.RowError{Column: "name", Message: altered},
			"1 Ann; 3 Cy",
		},
		"upsert, deleted when it is there": {
			task.Upsert, table + there + "CREATE TRIGGER t AFTER UPDATE" + bob + "DELETE FROM members WHERE id = new.id; END",
			run.Counts{Inserted: 1, Updated: 1},
			run.RowError{Message: gone},
			"1 Ann; 2 Bo; 3 Cy",
		},
		"update, changed back": {
			task.Update, table + there + "CREATE TRIGGER t AFTER UPDATE" + bob + "UPDATE members SET name = old.name WHERE id = new.id; END",
			run.Counts{Updated: 1, Skipped: 1},
			run.RowError{Column: "name", Message: altered},
			"1 Ann; 2 Bo",
		},
		"update, deleted": {
			task.Update, table + there + "CREATE TRIGGER t AFTER UPDATE" + bob + "DELETE FROM members WHERE id = new.id; END",
			run.Counts{Updated: 1, Skipped: 1},
			run.RowError{Message: gone},
			"1 Ann; 2 Bo",
		},
		"delete, put back": {
			task.Delete, table + there + "CREATE TRIGGER t AFTER DELETE ON members WHEN old.id = '2' BEGIN INSERT INTO log VALUES (old.id); INSERT INTO members VALUES (old.id, 'gone'); END",
			run.Counts{Deleted: 1, Skipped: 1},
			run.RowError{Message: back},
			"2 Bo",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := pipelinetest.New(t)
			b.Exec(c.make)
			b.Table().Action = c.action
			b.Write("members.csv", "ID,Name\n1,Ann\n2,Bob\n3,Cy\n")
			c.want.Retrieved, c.want.Failed, c.fault.Row = 3, 1, 2
			b.RowErrors(b.Succeed(c.want), c.fault)
			if got := b.Query("SELECT id, name FROM members ORDER BY id"); got != c.after {
				t.Errorf("the table has %s, want %s", got, c.after)
			}
			if got := b.Query("SELECT * FROM log"); got != "" {
				t.Errorf("the trigger has kept %s", got)
			}
		})
	}
}

// Triggers that leave the row's own values alone are in nobody's way.
func TestTriggersBesideTheRow(t *testing.T) {
	for name, c := range map[string]struct {
		action task.Action
		make   string
		want   run.Counts
		after  string
	}{
		"another column": {
			task.Upsert, "CREATE TABLE members (id TEXT PRIMARY KEY, name TEXT, at TEXT); INSERT INTO members VALUES ('1', 'Al', NULL); CREATE TRIGGER i AFTER INSERT ON members BEGIN UPDATE members SET at = 'now' WHERE id = new.id; END; CREATE TRIGGER u AFTER UPDATE OF name ON members BEGIN UPDATE members SET at = 'then' WHERE id = new.id; END",
			run.Counts{Inserted: 2, Updated: 1},
			"1 Ann then; 2 Bob now; 3 Cy now",
		},
		"another table": {
			task.Insert, "CREATE TABLE members (id NUMERIC PRIMARY KEY, name); CREATE TABLE log (id); CREATE TRIGGER t AFTER INSERT ON members BEGIN INSERT INTO log VALUES (new.id); END",
			run.Counts{Inserted: 3},
			"1 Ann; 2 Bob; 3 Cy",
		},
		"rows of one key": {
			task.Update, "CREATE TABLE members (id TEXT, name TEXT); INSERT INTO members VALUES ('1', 'a'), ('1', 'b'), ('2', 'Bob'); CREATE TABLE log (id); CREATE TRIGGER t AFTER UPDATE ON members BEGIN INSERT INTO log VALUES (new.id); END",
			run.Counts{Updated: 1, Unchanged: 1, Skipped: 1},
			"1 Ann; 1 Ann; 2 Bob",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := pipelinetest.New(t)
			b.Exec(c.make)
			b.Table().Action = c.action
			b.Write("members.csv", "ID,Name\n1,Ann\n2,Bob\n3,Cy\n")
			c.want.Retrieved = 3
			b.Succeed(c.want)
			if got := b.Query("SELECT * FROM members ORDER BY id"); got != c.after {
				t.Errorf("the table has %s, want %s", got, c.after)
			}
		})
	}
	// A number that the table gives itself is no other value than was written.
	b := pipelinetest.New(t)
	b.Exec("CREATE TABLE members (id INTEGER PRIMARY KEY, name TEXT); CREATE TABLE log (id); CREATE TRIGGER t AFTER INSERT ON members BEGIN INSERT INTO log VALUES (new.id); END")
	b.Table().Action, b.Table().Key = task.Insert, nil
	b.Write("members.csv", "ID,Name\n,Ann\n7,Bob\n")
	b.Succeed(run.Counts{Retrieved: 2, Inserted: 2})
	if got := b.Query("SELECT * FROM members ORDER BY id"); got != "1 Ann; 7 Bob" {
		t.Errorf("the table has %s", got)
	}
}

// Among many rows, which are written together elsewhere, those that a trigger takes away are told too.
func TestManyRowsOfWhichATriggerTakesSome(t *testing.T) {
	for _, action := range []task.Action{task.Insert, task.Upsert} {
		b := pipelinetest.New(t)
		b.Exec("CREATE TABLE members (id INTEGER PRIMARY KEY, name TEXT); CREATE TRIGGER t AFTER INSERT ON members WHEN new.id % 100 = 50 BEGIN DELETE FROM members WHERE id = new.id; END")
		b.Table().Action = action
		pipelinetest.MemberFile(t, b.Folder+"/members.csv", 400)
		b.Mapping("id", "int(ID)", "name", "FirstName")
		b.Succeed(run.Counts{Total: 400, Retrieved: 400, Inserted: 396, Failed: 4})
		if got := b.Query("SELECT count(*) FROM members"); got != "396" {
			t.Errorf("%s: the table has %s rows", action, got)
		}
	}
}

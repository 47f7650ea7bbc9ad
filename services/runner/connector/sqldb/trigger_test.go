package sqldb_test

import (
	"slices"
	"strings"
	"testing"

	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/services/runner/row"
	"runhook/shared/run"
	"runhook/shared/task"
)

// A row that a trigger takes out of the table again, or keeps from being written or deleted, is a failed row, and
// nothing of it stays, neither in the table nor in what the trigger writes elsewhere. The other rows are written.
func TestTriggersThatUndoTheirRow(t *testing.T) {
	const (
		gone  = "is not in the table after it was written: a trigger of the table took it away"
		back  = "is in the table after it was deleted: a trigger of the table put it back"
		table = "CREATE TABLE members (id TEXT PRIMARY KEY, name TEXT); CREATE TABLE log (id TEXT);"
		there = "INSERT INTO members VALUES ('1', 'Al'), ('2', 'Bo');"
		bob   = " ON members WHEN new.name = 'Bob' BEGIN INSERT INTO log VALUES (new.id); "
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
		"upsert, deleted when it is new": {
			task.Upsert, table + "CREATE TRIGGER t AFTER INSERT" + bob + "DELETE FROM members WHERE id = new.id; END",
			run.Counts{Inserted: 2},
			run.RowError{Message: gone},
			"1 Ann; 3 Cy",
		},
		"upsert, deleted when it is there": {
			task.Upsert, table + there + "CREATE TRIGGER t AFTER UPDATE" + bob + "DELETE FROM members WHERE id = new.id; END",
			run.Counts{Inserted: 1, Updated: 1},
			run.RowError{Message: gone},
			"1 Ann; 2 Bo; 3 Cy",
		},
		"update, deleted": {
			task.Update, table + there + "CREATE TRIGGER t AFTER UPDATE" + bob + "DELETE FROM members WHERE id = new.id; END",
			run.Counts{Updated: 1, Skipped: 1},
			run.RowError{Message: gone},
			"1 Ann; 2 Bo",
		},
		"insert, passed over": {
			task.Insert, table + "CREATE TRIGGER t BEFORE INSERT" + bob + "SELECT RAISE(IGNORE); END",
			run.Counts{Inserted: 2},
			run.RowError{Message: "if the trigger writes it to another table, write to that"},
			"1 Ann; 3 Cy",
		},
		"upsert, passed over when it is there": {
			task.Upsert, table + there + "CREATE TRIGGER t BEFORE UPDATE" + bob + "SELECT RAISE(IGNORE); END",
			run.Counts{Inserted: 1, Updated: 1},
			run.RowError{Message: passedOver},
			"1 Ann; 2 Bo; 3 Cy",
		},
		"update, the key changed": {
			task.Update, table + there + "CREATE TRIGGER t AFTER UPDATE OF name" + bob + "UPDATE members SET id = '9' WHERE id = new.id; END",
			run.Counts{Updated: 1, Skipped: 1},
			run.RowError{Message: "or changed its key"},
			"1 Ann; 2 Bo",
		},
		"delete, marked instead": {
			task.Delete, table + there + "CREATE TRIGGER t BEFORE DELETE ON members WHEN old.id = '2' BEGIN UPDATE members SET name = 'deleted' WHERE id = old.id; INSERT INTO log VALUES (old.id); SELECT RAISE(IGNORE); END",
			run.Counts{Deleted: 1, Skipped: 1},
			run.RowError{Message: "which keeps the row and gives no reason; if the trigger only marks rows as deleted, have the task set the mark: action: update"},
			"2 Bo",
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

// A row of which a trigger changes a value that the mapping gives is written, as the owner of the table wants it, and
// the run says so.
func TestTriggersThatChangeTheirRow(t *testing.T) {
	const table = "CREATE TABLE members (id TEXT PRIMARY KEY, name TEXT);"
	const there = "INSERT INTO members VALUES ('1', 'Al'), ('2', 'Bo');"
	for name, c := range map[string]struct {
		action task.Action
		make   string
		want   run.Counts
		warns  []string
		after  string
	}{
		"insert": {
			task.Insert, table + "CREATE TRIGGER t AFTER INSERT ON members WHEN new.id > '1' BEGIN UPDATE members SET name = upper(name) WHERE id = new.id; END",
			run.Counts{Inserted: 3},
			[]string{"a trigger of the table changed column name of 2 rows, first row 2 (line 3)"},
			"1 Ann; 2 BOB; 3 CY",
		},
		"insert, several columns": {
			task.Insert, table + "CREATE TRIGGER t AFTER INSERT ON members WHEN new.id = '2' BEGIN UPDATE members SET id = '9', name = NULL WHERE id = new.id; END",
			run.Counts{Inserted: 3},
			[]string{"a trigger of the table changed column id of 1 row: row 2 (line 3)", "a trigger of the table changed column name of 1 row: row 2 (line 3)"},
			"1 Ann; 3 Cy; 9 <nil>",
		},
		"insert, by another row": {
			task.Insert, table + "CREATE TRIGGER t AFTER INSERT ON members BEGIN UPDATE members SET name = 'old' WHERE id < new.id; END",
			run.Counts{Inserted: 3},
			[]string{"a trigger of the table changed column name of 2 rows, first row 1 (line 2)"},
			"1 old; 2 old; 3 Cy",
		},
		"insert, without row numbers": {
			task.Insert, "CREATE TABLE members (id TEXT PRIMARY KEY, name TEXT) WITHOUT ROWID; CREATE TRIGGER t AFTER INSERT ON members BEGIN UPDATE members SET name = trim(name, 'y') WHERE id = new.id; END",
			run.Counts{Inserted: 3},
			[]string{"a trigger of the table changed column name of 1 row: row 3 (line 4)"},
			"1 Ann; 2 Bob; 3 C",
		},
		"upsert": {
			task.Upsert, table + there + "CREATE TRIGGER i AFTER INSERT ON members BEGIN UPDATE members SET name = 'new' WHERE id = new.id; END; CREATE TRIGGER u AFTER UPDATE ON members WHEN new.name = 'Ann' BEGIN UPDATE members SET name = 'ann' WHERE id = new.id; END",
			run.Counts{Inserted: 1, Updated: 2},
			[]string{"a trigger of the table changed column name of 2 rows, first row 1 (line 2)"},
			"1 ann; 2 Bob; 3 new",
		},
		"update, changed back": {
			task.Update, table + there + "CREATE TRIGGER t AFTER UPDATE ON members WHEN new.name = 'Bob' BEGIN UPDATE members SET name = old.name WHERE id = new.id; END",
			run.Counts{Updated: 2, Skipped: 1},
			[]string{"a trigger of the table changed column name of 1 row: row 2 (line 3)"},
			"1 Ann; 2 Bo",
		},
		"beside one that fails": {
			task.Insert, table + "CREATE TRIGGER t AFTER INSERT ON members BEGIN UPDATE members SET name = 'x' WHERE id = new.id; DELETE FROM members WHERE id = '2'; END",
			run.Counts{Inserted: 2, Failed: 1},
			[]string{"a trigger of the table changed column name of 2 rows, first row 1 (line 2)"},
			"1 x; 3 x",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := pipelinetest.New(t)
			b.Exec(c.make)
			b.Table().Action = c.action
			b.Write("members.csv", "ID,Name\n1,Ann\n2,Bob\n3,Cy\n")
			c.want.Retrieved = 3
			if s := b.Succeed(c.want); !slices.Equal(s.Warnings, c.warns) {
				t.Errorf("warns of %q, want %q", s.Warnings, c.warns)
			}
			if got := b.Query("SELECT * FROM members ORDER BY id"); got != c.after {
				t.Errorf("the table has %s, want %s", got, c.after)
			}
		})
	}
	// What a later row of the run has written is nobody else's change; and batches are counted together.
	b := pipelinetest.New(t)
	b.Exec("CREATE TABLE members (id TEXT COLLATE NOCASE PRIMARY KEY, name TEXT); CREATE TRIGGER t AFTER INSERT ON members WHEN new.name = 'Bob' BEGIN UPDATE members SET name = 'bob' WHERE id = new.id; END")
	b.Write("members.csv", "ID,Name\na,Ann\nA,Al\nb,Bob\n"+strings.Repeat("c,Cy\n", row.MaxRows)+"d,Bob\n")
	if s := b.Succeed(run.Counts{Total: row.MaxRows + 4, Retrieved: row.MaxRows + 4, Inserted: 4, Updated: 1, Unchanged: row.MaxRows - 1}); !slices.Contains(s.Warnings, "a trigger of the table changed column name of 2 rows, first row 3 (line 4)") {
		t.Errorf("warns of %q", s.Warnings)
	}
}

// A row that a trigger takes away when a later row of its batch is written is a failed row.
func TestTriggersThatTakeOtherRows(t *testing.T) {
	const (
		gone  = "is not in the table any more at the end of its batch: a trigger of the table, or a rule of it"
		table = "CREATE TABLE members (id TEXT PRIMARY KEY, name TEXT);"
		there = "INSERT INTO members VALUES ('1', 'Ann'), ('2', 'Bo'), ('3', 'Ed');"
	)
	for name, c := range map[string]struct {
		action     task.Action
		make, rows string
		want       run.Counts
		faults     []run.RowError
		after      string
	}{
		"insert, all before": {
			task.Insert, table + "CREATE TRIGGER t AFTER INSERT ON members BEGIN DELETE FROM members WHERE id < new.id; END", "1,Ann\n2,Bob\n3,Cy\n",
			run.Counts{Inserted: 1},
			[]run.RowError{{Row: 1, Message: gone}, {Row: 2, Message: gone}},
			"3 Cy",
		},
		"insert, of the same name, whose number comes again": {
			task.Insert, table + "CREATE TRIGGER t BEFORE INSERT ON members BEGIN DELETE FROM members WHERE name = new.name; END", "1,Ann\n2,Ann\n3,Ann\n",
			run.Counts{Inserted: 1},
			[]run.RowError{{Row: 1, Message: gone}, {Row: 2, Message: gone}},
			"3 Ann",
		},
		"insert, of the same key, without row numbers": {
			task.Insert, "CREATE TABLE members (id TEXT PRIMARY KEY, name TEXT) WITHOUT ROWID; CREATE TRIGGER t BEFORE INSERT ON members BEGIN DELETE FROM members WHERE id = new.id; END", "1,Ann\n2,Bob\n1,Cy\n",
			run.Counts{Inserted: 2},
			[]run.RowError{{Row: 1, Message: gone}},
			"1 Cy; 2 Bob",
		},
		"insert, by a rule that replaces": {
			task.Insert, "CREATE TABLE members (id TEXT PRIMARY KEY, name TEXT UNIQUE ON CONFLICT REPLACE); CREATE TRIGGER t AFTER INSERT ON members WHEN false BEGIN SELECT 1; END", "1,Ann\n2,Bob\n3,Ann\n",
			run.Counts{Inserted: 2},
			[]run.RowError{{Row: 1, Message: gone}},
			"2 Bob; 3 Ann",
		},
		"upsert, one that is unchanged": {
			task.Upsert, table + there + "CREATE TRIGGER t AFTER UPDATE ON members BEGIN DELETE FROM members WHERE id < new.id; END", "1,Ann\n2,Bob\n4,Cy\n",
			run.Counts{Updated: 1, Inserted: 1},
			[]run.RowError{{Row: 1, Message: gone}},
			"2 Bob; 3 Ed; 4 Cy",
		},
		"update": {
			task.Update, table + there + "CREATE TRIGGER t AFTER UPDATE ON members BEGIN DELETE FROM members WHERE id < new.id; END", "2,Bob\n3,Cy\n4,Dee\n",
			run.Counts{Updated: 1, Skipped: 1},
			[]run.RowError{{Row: 1, Message: gone}},
			"3 Cy",
		},
		"delete": {
			task.Delete, table + there + "CREATE TRIGGER t AFTER DELETE ON members WHEN old.id = '2' BEGIN INSERT INTO members VALUES ('1', 'back'); END", "1,Ann\n2,Bob\n3,Cy\n",
			run.Counts{Deleted: 2},
			[]run.RowError{{Row: 1, Message: "is in the table again at the end of its batch: a trigger of the table put it back"}},
			"1 back",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := pipelinetest.New(t)
			b.Exec(c.make)
			b.Table().Action = c.action
			b.Write("members.csv", "ID,Name\n"+c.rows)
			c.want.Retrieved, c.want.Failed = 3, int64(len(c.faults))
			s := b.Succeed(c.want)
			b.RowErrors(s, c.faults...)
			if len(s.Warnings) > 0 {
				t.Errorf("warns of %q", s.Warnings)
			}
			if got := b.Query("SELECT * FROM members ORDER BY id"); got != c.after {
				t.Errorf("the table has %s, want %s", got, c.after)
			}
		})
	}
}

package sqldb_test

import (
	"slices"
	"strings"
	"testing"

	"runhook/shared/run"
	"runhook/shared/task"
)

// trigger makes a trigger of the table members, of these statements, for rows of Bob.
func trigger(when, statements string) string {
	record := "new"
	if strings.Contains(when, "DELETE") {
		record = "old"
	}
	return "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF " + record + ".id = '2' THEN INSERT INTO log VALUES (" + record + ".id); " + statements + " END IF; RETURN " + record + "; END $$;" +
		"CREATE TRIGGER t " + when + " ON members FOR EACH ROW EXECUTE FUNCTION f();"
}

// A row that a trigger takes out of the table again, or keeps from being written or deleted, is a failed row, and
// nothing of it stays, neither in the table nor in what the trigger writes elsewhere. The other rows are written.
func TestPostgresTriggersThatUndoTheirRow(t *testing.T) {
	const (
		gone   = "a trigger of the table took it away"
		passed = "was passed over by a trigger"
		table  = "CREATE TABLE members (id text PRIMARY KEY, name text); CREATE TABLE log (id text);"
		parted = "CREATE TABLE members (id text PRIMARY KEY, name text) PARTITION BY LIST (id); CREATE TABLE part PARTITION OF members DEFAULT; CREATE TABLE log (id text);"
		there  = "INSERT INTO members VALUES ('1', 'Al'), ('2', 'Bo');"
		remove = "DELETE FROM members WHERE id = new.id;"
	)
	for name, c := range map[string]struct {
		action task.Action
		make   string
		want   run.Counts
		fault  string
		after  string
	}{
		"insert, deleted":                            {task.Insert, table + trigger("AFTER INSERT", remove), run.Counts{Inserted: 2}, gone, "1 Ann; 3 Cy"},
		"insert, deleted, without a key":             {task.Insert, "CREATE TABLE members (id text, name text); CREATE TABLE log (id text);" + trigger("AFTER INSERT", remove), run.Counts{Inserted: 2}, gone, "1 Ann; 3 Cy"},
		"insert, deleted, of a partition":            {task.Insert, parted + strings.Replace(trigger("AFTER INSERT", remove), "ON members", "ON part", 1), run.Counts{Inserted: 2}, gone, "1 Ann; 3 Cy"},
		"insert, the key changed":                    {task.Insert, table + trigger("AFTER INSERT", "UPDATE members SET id = '9' WHERE id = new.id;"), run.Counts{Inserted: 2}, gone, "1 Ann; 3 Cy"},
		"insert, deleted when it is committed":       {task.Insert, table + strings.Replace(strings.Replace(trigger("AFTER INSERT", remove), "CREATE TRIGGER", "CREATE CONSTRAINT TRIGGER", 1), "FOR EACH", "DEFERRABLE INITIALLY DEFERRED FOR EACH", 1), run.Counts{Inserted: 2}, "a trigger of the table took it away", "1 Ann; 3 Cy"},
		"insert, passed over":                        {task.Insert, table + trigger("BEFORE INSERT", "RETURN NULL;"), run.Counts{Inserted: 2}, passed, "1 Ann; 3 Cy"},
		"upsert, deleted when it is new":             {task.Upsert, table + trigger("AFTER INSERT", remove), run.Counts{Inserted: 2}, gone, "1 Ann; 3 Cy"},
		"upsert, deleted when it is there":           {task.Upsert, table + there + trigger("AFTER UPDATE", remove), run.Counts{Inserted: 1, Updated: 1}, gone, "1 Ann; 2 Bo; 3 Cy"},
		"upsert, passed over when it is there":       {task.Upsert, table + there + trigger("BEFORE UPDATE", "RETURN NULL;"), run.Counts{Inserted: 1, Updated: 1}, passed, "1 Ann; 2 Bo; 3 Cy"},
		"upsert, passed over when it is new":         {task.Upsert, table + trigger("BEFORE INSERT", "RETURN NULL;"), run.Counts{Inserted: 2}, passed, "1 Ann; 3 Cy"},
		"update, deleted":                            {task.Update, table + there + trigger("AFTER UPDATE", remove), run.Counts{Updated: 1, Skipped: 1}, gone, "1 Ann; 2 Bo"},
		"update, the key changed":                    {task.Update, table + there + trigger("BEFORE UPDATE", "new.id := '9';"), run.Counts{Updated: 1, Skipped: 1}, gone, "1 Ann; 2 Bo"},
		"delete, marked instead":                     {task.Delete, table + there + trigger("BEFORE DELETE", "UPDATE members SET name = 'deleted' WHERE id = old.id; RETURN NULL;"), run.Counts{Deleted: 1, Skipped: 1}, passed, "2 Bo"},
		"delete, put back":                           {task.Delete, table + there + trigger("AFTER DELETE", "INSERT INTO members VALUES (old.id, 'gone');"), run.Counts{Deleted: 1, Skipped: 1}, "a trigger of the table put it back", "2 Bo"},
		"upsert, refused by a code of the trigger's": {task.Upsert, table + trigger("BEFORE INSERT", "RAISE 'no' USING ERRCODE = 'MY001';"), run.Counts{Inserted: 2}, "is refused by a trigger of the table (SQLSTATE MY001)", "1 Ann; 3 Cy"},
	} {
		t.Run(name, func(t *testing.T) {
			b := onPostgres(t)
			b.Exec(c.make)
			b.Table().Action = c.action
			b.Write("members.csv", "ID,Name\n1,Ann\n2,Bob\n3,Cy\n")
			for _, b.Job.DryRun = range []bool{true, false} {
				c.want.Retrieved, c.want.Failed = 3, 1
				b.RowErrors(b.Succeed(c.want), run.RowError{Row: 2, Message: c.fault})
			}
			if got := b.Query("SELECT id, name FROM members ORDER BY id"); got != c.after {
				t.Errorf("the table has %s, want %s", got, c.after)
			}
			if got := b.Query("SELECT * FROM log"); got != "" && !strings.Contains(name, "when it is committed") {
				t.Errorf("the trigger's table has %s", got)
			}
		})
	}
}

// What a trigger makes of a row is said, and what a later row has written is none of its doing.
func TestPostgresTriggersThatChangeARow(t *testing.T) {
	for name, c := range map[string]struct {
		action task.Action
		make   string
		counts run.Counts
		want   string
	}{
		"before insert":        {task.Insert, trigger("BEFORE INSERT", "new.name := 'Robert';"), run.Counts{Inserted: 3}, "a trigger of the table changed column name of 1 row: row 2"},
		"after insert":         {task.Insert, trigger("AFTER INSERT", "UPDATE members SET name = 'Robert' WHERE id = new.id;"), run.Counts{Inserted: 3}, "a trigger of the table changed column name of 1 row: row 2"},
		"before, of an upsert": {task.Upsert, trigger("BEFORE INSERT", "new.name := 'Robert';"), run.Counts{Inserted: 3}, "a trigger of the table changed column name of 1 row: row 2"},
		"of another row":       {task.Upsert, trigger("AFTER INSERT", "UPDATE members SET name = 'x' WHERE id = '1';"), run.Counts{Inserted: 3}, "a trigger of the table changed column name of 1 row: row 1"},
		"of none":              {task.Upsert, trigger("AFTER INSERT", ""), run.Counts{Inserted: 3}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := onPostgres(t)
			b.Exec("CREATE TABLE members (id text PRIMARY KEY, name text); CREATE TABLE log (id text);" + c.make)
			b.Table().Action = c.action
			b.Write("members.csv", "ID,Name\n1,Ann\n2,Bob\n3,Cy\n")
			c.counts.Retrieved = 3
			s := b.Succeed(c.counts)
			if len(c.want) == 0 != (len(s.Warnings) == 0) || c.want != "" && !slices.ContainsFunc(s.Warnings, func(w string) bool { return strings.HasPrefix(w, c.want) }) {
				t.Errorf("the warnings are %q, want %q", s.Warnings, c.want)
			}
		})
	}
	b := onPostgres(t)
	b.Exec("CREATE TABLE members (id text PRIMARY KEY, name text); CREATE TABLE log (id text);" + trigger("AFTER INSERT", ""))
	b.Write("members.csv", "ID,Name\n2,Ann\n2,Bob\n2,Bob\n")
	if s := b.Succeed(run.Counts{Retrieved: 3, Inserted: 1, Updated: 1, Unchanged: 1}); strings.Contains(strings.Join(s.Warnings, " "), "trigger") {
		t.Errorf("the warnings are %q", s.Warnings)
	}
}

// A row is held against what the triggers of the rows before it have left.
func TestPostgresTriggersThatChangeALaterRow(t *testing.T) {
	b := onPostgres(t)
	b.Exec("CREATE TABLE members (id text PRIMARY KEY, name text); INSERT INTO members VALUES ('1', 'Al'), ('3', 'Cy'); CREATE TABLE log (id text);" +
		trigger("AFTER INSERT", "UPDATE members SET name = 'x' WHERE id = '3';"))
	b.Write("members.csv", "ID,Name\n1,Al\n2,Bob\n3,Cy\n")
	b.Succeed(run.Counts{Retrieved: 3, Inserted: 1, Updated: 1, Unchanged: 1})
	if got := b.Query("SELECT * FROM members ORDER BY id"); got != "1 Al; 2 Bob; 3 Cy" {
		t.Errorf("the table has %s", got)
	}
}

// Tables of all kinds that there are, and columns that the database fills.
func TestPostgresTables(t *testing.T) {
	const rows = "ID,Name\n1,Ann\n2,Bob\n1,Ann\n"
	upserted := run.Counts{Retrieved: 3, Inserted: 2, Unchanged: 1}
	for name, c := range map[string]struct {
		make, table, key string
		action           task.Action
		counts           run.Counts
		fault, after     string
	}{
		"partitioned": {
			make:   "CREATE TABLE members (id int PRIMARY KEY, name text) PARTITION BY RANGE (id); CREATE TABLE a PARTITION OF members FOR VALUES FROM (0) TO (2); CREATE TABLE b PARTITION OF members FOR VALUES FROM (2) TO (9)",
			counts: upserted, after: "1 Ann; 2 Bob",
		},
		"an identity by default":          {make: "CREATE TABLE members (n int GENERATED BY DEFAULT AS IDENTITY, id int PRIMARY KEY, name text)", counts: upserted, after: "1 Ann; 2 Bob"},
		"an identity as the key":          {make: "CREATE TABLE members (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, name text)", counts: upserted, after: "1 Ann; 2 Bob"},
		"a unique index in another order": {make: "CREATE TABLE members (id int, name text, UNIQUE (name, id))", key: "id name", counts: upserted, after: "1 Ann; 2 Bob"},
		"an index with included columns":  {make: "CREATE TABLE members (id int, name text); CREATE UNIQUE INDEX i ON members (id) INCLUDE (name)", counts: upserted, after: "1 Ann; 2 Bob"},
		"an index of another collation":   {make: `CREATE TABLE members (id text COLLATE "C", name text); CREATE UNIQUE INDEX i ON members (id COLLATE "POSIX")`, counts: upserted, after: "1 Ann; 2 Bob"},
		"a schema": {
			make:  "CREATE SCHEMA IF NOT EXISTS other_place; CREATE TABLE IF NOT EXISTS other_place.members (id int PRIMARY KEY, name text); TRUNCATE other_place.members; CREATE VIEW members AS SELECT * FROM other_place.members",
			table: "other_place.members", counts: upserted, after: "1 Ann; 2 Bob",
		},
		"names in capitals":          {make: `CREATE TABLE "Members" ("ID" int PRIMARY KEY, "Name" text); CREATE VIEW v AS SELECT 1`, table: "Members", counts: upserted},
		"a partial index":            {make: "CREATE TABLE members (id int, name text); CREATE UNIQUE INDEX i ON members (id) WHERE id > 0", fault: "Upsert needs a primary key or a unique index"},
		"an index over more":         {make: "CREATE TABLE members (id int, name text); CREATE UNIQUE INDEX i ON members (abs(id))", fault: "Upsert needs a primary key or a unique index"},
		"a deferrable key":           {make: "CREATE TABLE members (id int PRIMARY KEY DEFERRABLE, name text)", fault: "Upsert needs a primary key or a unique index"},
		"a generated column":         {make: "CREATE TABLE members (id int PRIMARY KEY, name text GENERATED ALWAYS AS ('x') STORED)", fault: "is computed by the database"},
		"an identity that is no key": {make: "CREATE TABLE members (id int PRIMARY KEY, name int GENERATED ALWAYS AS IDENTITY)", fault: "is computed by the database"},
		"a rule":                     {make: "CREATE TABLE members (id int PRIMARY KEY, name text); CREATE RULE r AS ON INSERT TO members DO INSTEAD NOTHING", fault: "has rewrite rules"},
		"a materialized view":        {make: "CREATE MATERIALIZED VIEW members AS SELECT 1 AS id, 'x' AS name", fault: "is a view"},
		"a table of another":         {make: "SELECT 1", table: "pg_catalog.pg_class", fault: "has no column id"},
		"a name too long":            {make: "SELECT 1", table: strings.Repeat("x", 64), fault: "the name has more than 63 bytes"},
		"a schema that is not there": {make: "SELECT 1", table: "nowhere.members", fault: "does not exist in connection warehouse (SQLSTATE 3F000)"},
		"json as the key":            {make: "CREATE TABLE members (id json, name text)", action: task.Update, fault: "The table members in connection warehouse cannot be written: "},
	} {
		t.Run(name, func(t *testing.T) {
			b := onPostgres(t)
			b.Exec(c.make)
			b.Table().Create = strings.Contains(name, "too long") || strings.Contains(name, "not there")
			if c.table != "" {
				b.Table().Table = c.table
			}
			if c.key != "" {
				b.Table().Key = strings.Fields(c.key)
			}
			if c.action != "" {
				b.Table().Action = c.action
			}
			b.Write("members.csv", rows)
			if c.fault != "" {
				b.Fail(c.fault)
				return
			}
			b.Succeed(c.counts)
			if c.after == "" {
				return
			}
			if got := b.Query("SELECT id, name FROM members ORDER BY id"); got != c.after {
				t.Errorf("the table has %s, want %s", got, c.after)
			}
		})
	}
	long := onPostgres(t)
	long.Mapping("id", "ID", strings.Repeat("ü", 32), "Name")
	long.Write("members.csv", rows)
	long.Fail("has more than 63 bytes, and the database would cut it")
}

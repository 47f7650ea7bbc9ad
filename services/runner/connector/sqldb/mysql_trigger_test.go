package sqldb_test

import (
	"slices"
	"strings"
	"testing"

	"runhook/shared/run"
	"runhook/shared/task"
)

// What a trigger makes of a row is said. One that refuses a row refuses it alone, and nothing of it stays.
func TestMySQLTriggers(t *testing.T) {
	const table = "CREATE TABLE members (id varchar(9) PRIMARY KEY, name varchar(9)); CREATE TABLE log (id varchar(9));"
	on := func(when, statement string) string {
		return "CREATE TRIGGER t " + when + " ON members FOR EACH ROW IF new.id = '2' THEN INSERT INTO log VALUES (new.id); " + statement + "; END IF"
	}
	for name, c := range map[string]struct {
		action task.Action
		make   string
		counts run.Counts
		fault  string
		warned string
		after  string
	}{
		"insert, changed":             {task.Insert, table + on("BEFORE INSERT", "SET new.name = 'Robert'"), run.Counts{Inserted: 3}, "", "a trigger of the table changed column name of 1 row: row 2", "1 Ann; 2 Robert; 3 Cy"},
		"insert, of another key":      {task.Insert, table + on("BEFORE INSERT", "SET new.id = '9'"), run.Counts{Inserted: 2, Failed: 1}, "a trigger of the table took it away or changed its key", "", "1 Ann; 3 Cy"},
		"insert, refused":             {task.Insert, table + on("BEFORE INSERT", "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '4711'"), run.Counts{Inserted: 2, Failed: 1}, "is refused by a trigger of the table (error 1644)", "", "1 Ann; 3 Cy"},
		"insert, of the table itself": {task.Insert, table + on("AFTER INSERT", "DELETE FROM members WHERE id = '2'"), run.Counts{Inserted: 2, Failed: 1}, "is refused by a trigger of the table (error 1442)", "", "1 Ann; 3 Cy"},
		"insert, without a key":       {task.Insert, "CREATE TABLE members (n int PRIMARY KEY AUTO_INCREMENT, id varchar(9), name varchar(9)); CREATE TABLE log (id varchar(9));" + on("BEFORE INSERT", "SET new.name = 'Robert'"), run.Counts{Inserted: 3}, "", "", "1 Ann; 2 Robert; 3 Cy"},
		"upsert, changed":             {task.Upsert, table + on("BEFORE INSERT", "SET new.name = 'Robert'"), run.Counts{Inserted: 3}, "", "a trigger of the table changed column name of 1 row: row 2", "1 Ann; 2 Robert; 3 Cy"},
		"upsert, put back":            {task.Upsert, table + "INSERT INTO members VALUES ('2', 'Bo');" + on("BEFORE UPDATE", "SET new.name = old.name"), run.Counts{Inserted: 2, Updated: 1}, "", "a trigger of the table changed column name of 1 row: row 2", "1 Ann; 2 Bo; 3 Cy"},
		"upsert, of nothing":          {task.Upsert, table + on("BEFORE INSERT", "SET @x = 1"), run.Counts{Inserted: 3}, "", "", "1 Ann; 2 Bob; 3 Cy"},
	} {
		t.Run(name, func(t *testing.T) {
			b := onMariaDB(t)
			b.Exec(c.make)
			b.Table().Action = c.action
			b.Write("members.csv", "ID,Name\n1,Ann\n2,Bob\n3,Cy\n")
			c.counts.Retrieved = 3
			for _, b.Job.DryRun = range []bool{true, false} {
				s := b.Succeed(c.counts)
				if c.fault != "" {
					b.RowErrors(s, run.RowError{Row: 2, Message: c.fault})
				}
				if (c.warned == "") != (len(s.Warnings) == 0) || c.warned != "" && !slices.ContainsFunc(s.Warnings, func(w string) bool { return strings.HasPrefix(w, c.warned) }) {
					t.Errorf("the warnings are %q, want %q", s.Warnings, c.warned)
				}
			}
			if got := b.Query("SELECT id, name FROM members ORDER BY id"); got != c.after {
				t.Errorf("the table has %s, want %s", got, c.after)
			}
			if got := b.Query("SELECT * FROM log"); (got == "") != (c.fault != "") {
				t.Errorf("the trigger's table has %q", got)
			}
		})
	}
}

// Tables of all kinds that there are, and columns that the database fills.
func TestMySQLTables(t *testing.T) {
	const rows = "ID,Name\n1,Ann\n2,Bob\n1,Ann\n"
	upserted := run.Counts{Retrieved: 3, Inserted: 2, Unchanged: 1}
	for name, c := range map[string]struct {
		make, table, key string
		action           task.Action
		counts           run.Counts
		fault, after     string
	}{
		"partitioned":                     {make: "CREATE TABLE members (id int PRIMARY KEY, name text) PARTITION BY RANGE (id) (PARTITION a VALUES LESS THAN (2), PARTITION b VALUES LESS THAN (9))", counts: upserted, after: "1 Ann; 2 Bob"},
		"without a partition for it":      {make: "CREATE TABLE members (id int PRIMARY KEY, name text) PARTITION BY RANGE (id) (PARTITION a VALUES LESS THAN (2))", counts: run.Counts{Retrieved: 3, Inserted: 1, Unchanged: 1, Failed: 1}, after: "1 Ann"},
		"numbers that the table gives":    {make: "CREATE TABLE members (n int PRIMARY KEY AUTO_INCREMENT, id int UNIQUE, name text)", counts: upserted, after: "1 Ann; 2 Bob"},
		"such a number as the key":        {make: "CREATE TABLE members (id int PRIMARY KEY AUTO_INCREMENT, name text)", counts: upserted, after: "1 Ann; 2 Bob"},
		"a unique index in another order": {make: "CREATE TABLE members (id int, name varchar(9), UNIQUE (name, id))", key: "id name", counts: upserted, after: "1 Ann; 2 Bob"},
		"a schema":                        {make: "CREATE DATABASE IF NOT EXISTS test_other_place; CREATE OR REPLACE TABLE test_other_place.members (id int PRIMARY KEY, name text); CREATE VIEW members AS SELECT * FROM test_other_place.members", table: "test_other_place.members", counts: upserted, after: "1 Ann; 2 Bob"},
		"names in capitals":               {make: "CREATE TABLE `Members` (`ID` int PRIMARY KEY, `Name` text)", table: "members", counts: upserted},
		"names with all letters":          {make: "CREATE TABLE `mem``bers 'x\"` (id int PRIMARY KEY, name text)", table: "mem`bers 'x\"", counts: upserted},
		"a table of other letters":        {make: "CREATE TABLE members (id varchar(9) PRIMARY KEY, name text) CHARACTER SET latin1", counts: upserted, after: "1 Ann; 2 Bob"},
		"a table with its history":        {make: "CREATE TABLE members (id int PRIMARY KEY, name text) WITH SYSTEM VERSIONING", counts: upserted, after: "1 Ann; 2 Bob"},
		"a moment that is set by itself":  {make: "CREATE TABLE members (id int PRIMARY KEY, name text, at timestamp NOT NULL DEFAULT current_timestamp ON UPDATE current_timestamp)", counts: upserted, after: "1 Ann; 2 Bob"},
		"an index over a part":            {make: "CREATE TABLE members (id varchar(9), name text, UNIQUE (id(2)))", fault: "Upsert needs a primary key or a unique index"},
		"a generated column":              {make: "CREATE TABLE members (id int PRIMARY KEY, name varchar(9) AS ('x') VIRTUAL)", fault: "is computed by the database"},
		"a view":                          {make: "CREATE VIEW members AS SELECT 1 AS id, 'x' AS name", fault: "is a view"},
		"a sequence":                      {make: "CREATE SEQUENCE members", fault: "is a sequence"},
		"a table of another":              {make: "DO 1", table: "information_schema.tables", fault: "is a view"},
		"a name too long":                 {make: "DO 1", table: strings.Repeat("x", 65), fault: "is longer than the 64 letters that the server takes, or"},
		"a database that is not there":    {make: "DO 1", table: "test_nowhere.members", fault: "does not exist"},
		"a key too long":                  {make: "DO 1", table: "made", key: "id name x y z q", fault: "its key or its rows are too long"},
	} {
		t.Run(name, func(t *testing.T) {
			b := onMariaDB(t)
			b.Exec(c.make)
			b.Table().Create = c.make == "DO 1"
			if c.table != "" {
				b.Table().Table = c.table
			}
			if c.key != "" {
				b.Table().Key = strings.Fields(c.key)
			}
			if strings.Contains(c.key, "q") {
				b.Mapping("id", "ID", "name", "Name", "x", "Name", "y", "Name", "z", "Name", "q", "Name")
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
			if got := b.Query("SELECT id, name FROM " + b.Table().Table + " ORDER BY id"); got != c.after {
				t.Errorf("the table has %s, want %s", got, c.after)
			}
		})
	}
}

// A row that breaks the rule of another index than the key's fails, and is no row that is there already.
func TestMySQLUpsertOfAnotherRowsValue(t *testing.T) {
	b := onMariaDB(t)
	b.Exec(`CREATE TABLE members (id varchar(9) PRIMARY KEY, name varchar(9), email varchar(9) UNIQUE); INSERT INTO members VALUES ('9', 'x', 'a@x')`)
	b.Mapping("id", "ID", "name", "Name", "email", "Email")
	b.Write("members.csv", "ID,Name,Email\n1,Ann,a@x\n2,Bob,b@x\n")
	s := b.Succeed(run.Counts{Total: 2, Retrieved: 2, Inserted: 1, Failed: 1})
	b.RowErrors(s, run.RowError{Row: 1, Column: "email", Message: "breaks a uniqueness rule (error 1062)"})
}

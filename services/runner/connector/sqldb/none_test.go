package sqldb_test

import (
	"testing"

	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/services/runner/row"
	"runhook/shared/run"
	"runhook/shared/task"
)

// A database can hold numbers and bytes that no file, no text and no JSON can: their rows fail, and others do not.
func TestValuesThatNothingElseHolds(t *testing.T) {
	const noNumber, base64 = "is an infinite number or none", "base64 where it has to be a text"
	for name, c := range map[string]struct {
		make, expression string
		toFile           bool
		fault            string
		after            string
	}{
		"infinite, as a text":      {"CREATE TABLE copy (id TEXT PRIMARY KEY, name TEXT)", "Name", false, noNumber, "2 1.5"},
		"infinite, as a number":    {"CREATE TABLE copy (id TEXT PRIMARY KEY, name DECIMAL)", "Name", false, noNumber, "2 1.5"},
		"infinite, without a type": {"CREATE TABLE copy (id TEXT PRIMARY KEY, name)", "Name", false, noNumber, "2 1.5"},
		"infinite, in a file":      {"", "Name", true, noNumber, "id,name\n2,1.5\n"},
		"infinite, as its text":    {"", "string(Name)", true, "the number is infinite", "id,name\n2,1.5\n"},
		"infinite, by calculation": {"", "Name * 2", true, "too large", "id,name\n2,3\n"},
		"bytes as a text":          {"", "string(Photo)", true, base64, "id,name\n2,Zoë\n"},
	} {
		t.Run(name, func(t *testing.T) {
			b := pipelinetest.New(t)
			b.Exec("CREATE TABLE people (id TEXT, Name, Photo); INSERT INTO people VALUES ('1', 9e999, x'FF'), ('2', 1.5, CAST('Zoë' AS BLOB));" + c.make)
			b.Job.Task.Source = &task.SQLSource{Connection: "warehouse", Query: "SELECT * FROM people ORDER BY id", OrderBy: []string{"id"}}
			b.Mapping("id", "id", "name", c.expression)
			b.Table().Table = "copy"
			if c.toFile {
				b.ToFile(task.Replace)
			}
			b.RowErrors(b.Succeed(run.Counts{Retrieved: 2, Inserted: 1, Failed: 1}), run.RowError{Row: 1, Column: "name", Message: c.fault})
			got := b.Read("out.csv")
			if !c.toFile {
				got = b.Query("SELECT * FROM copy")
			}
			if got != c.after {
				t.Errorf("the destination has %q, want %q", got, c.after)
			}
		})
	}
}

// A double is text with the 15 digits that people see of it, as one that is calculated has; a table, and JSON, get
// the double itself, and keys stay different.
func TestDigitsOfDoubles(t *testing.T) {
	b := pipelinetest.New(t)
	b.Exec(`CREATE TABLE amounts (id REAL, a REAL); INSERT INTO amounts VALUES (0.3, 0.1 + 0.2), (0.1 + 0.2, 1.1 * 3), (3, 0.1234567890123456), (4, 12345678901234567.0), (5, -2.5e-7), (6, 1e22)`)
	b.Job.Task.Source = &task.SQLSource{Connection: "warehouse", Query: "SELECT * FROM amounts ORDER BY a, id", OrderBy: []string{"id"}}
	b.Mapping("id", "id", "name", "a", "same", "a * 1", "text", "string(a)", "exact", `a + number("0")`, "copy", "a")
	b.ToFile(task.Replace)
	b.Succeed(run.Counts{Retrieved: 6, Inserted: 6})
	const want = "id,name,same,text,exact,copy\n0.3,0.3,0.3,0.3,0.3,0.3\n0.3,3.3,3.3,3.3,3.3,3.3\n3,0.123456789012346,0.123456789012346,0.123456789012346,0.123456789012346,0.123456789012346\n" +
		"4,12345678901234568,12345678901234600,12345678901234568,12345678901234568,12345678901234568\n5,-0.00000025,-0.00000025,-0.00000025,-0.00000025,-0.00000025\n6,10000000000000000000000,10000000000000000000000,10000000000000000000000,10000000000000000000000,10000000000000000000000\n"
	if got := b.Read("out.csv"); got != want {
		t.Errorf("the file has %s, want %s", got, want)
	}
	b.Exec("CREATE TABLE members (id TEXT PRIMARY KEY, name TEXT, copy REAL)")
	b.Mapping("id", "id", "name", "a", "copy", "a")
	b.Job.Task.Destination = b.Table()
	b.Succeed(run.Counts{Retrieved: 6, Inserted: 6})
	if got := b.Query("SELECT id, name FROM members WHERE id < '3'"); got != "0.3 0.3; 0.30000000000000004 3.3" {
		t.Errorf("the table has %s", got)
	}
	if got := b.Query("SELECT count(*) FROM members m, amounts a WHERE m.copy = a.a"); got != "6" {
		t.Errorf("%s of 6 doubles are the same", got)
	}
	if object, fault := row.AppendObject(nil, []string{"a"}, []any{0.30000000000000004}); fault != nil || string(object) != `{"a":0.30000000000000004}` {
		t.Errorf("the JSON is %s, %v", object, fault)
	}
}

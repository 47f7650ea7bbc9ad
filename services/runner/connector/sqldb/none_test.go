package sqldb_test

import (
	"testing"

	"runhook/services/runner/pipeline/pipelinetest"
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

package pipeline_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"runhook/services/runner/pipeline"
	"runhook/services/runner/row"
	"runhook/shared/run"
	"runhook/shared/task"
)

// files are the names in the bench's folder.
func (b *bench) files() string {
	b.t.Helper()
	entries, err := os.ReadDir(b.folder)
	if err != nil {
		b.t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return strings.Join(names, " ")
}

const rulesOfMembers = `CREATE TABLE members (id INTEGER PRIMARY KEY, name TEXT NOT NULL CHECK (name <> 'Bad'), n INTEGER DEFAULT 5);
	INSERT INTO members (id, name) VALUES (1, 'Ann'), (2, 'Bob'), (9, 'Old')`

func TestDryRunOfEveryAction(t *testing.T) {
	for action, want := range map[task.Action]run.Counts{
		task.Insert: {Total: 6, Retrieved: 6, Inserted: 1, Failed: 5},
		task.Upsert: {Total: 6, Retrieved: 6, Inserted: 1, Updated: 1, Unchanged: 1, Failed: 3},
		task.Update: {Total: 6, Retrieved: 6, Updated: 1, Unchanged: 1, Skipped: 1, Failed: 3},
		task.Delete: {Total: 6, Retrieved: 6, Deleted: 2, Skipped: 2, Failed: 2},
	} {
		t.Run(string(action), func(t *testing.T) {
			b := newBench(t)
			b.exec(rulesOfMembers)
			b.table().Action = action
			if action == task.Insert {
				b.table().Key = nil
			}
			b.write("members.csv", "ID,Name\n1,Ann\n2,Bobby\n3,Cy\n4,Bad\nx,Word\n7\n")
			if action == task.Update {
				b.write("members.csv", "ID,Name\n1,Ann\n2,Bobby\n3,Cy\n9,Bad\nx,Word\n7\n")
			}
			before := b.query("SELECT * FROM members")
			dry := b.dry(want)
			if got := b.query("SELECT * FROM members"); got != before {
				t.Errorf("the table has %s", got)
			}
			b.job.DryRun = false
			real := b.succeed(want)
			if len(dry.Errors) != len(real.Errors) {
				t.Errorf("the dry run says %v, the run %v", dry.Errors, real.Errors)
			}
			if b.query("SELECT * FROM members") == before {
				t.Error("the run changed nothing")
			}
		})
	}
}

// dry executes the job as a dry run.
func (b *bench) dry(want run.Counts) pipeline.Snapshot {
	b.t.Helper()
	b.job.DryRun = true
	return b.succeed(want)
}

func TestDryRunMakesNothing(t *testing.T) {
	b := newBench(t)
	b.write("members.csv", "ID,Name\n1,Ann\n2,Bob\n1,Ann\n1,Eve\n")
	before := b.files()
	want := run.Counts{Total: 4, Retrieved: 4, Inserted: 2, Updated: 1, Unchanged: 1}
	b.dry(want)
	if got := b.files(); got != before {
		t.Errorf("without a database there are now %s", got)
	}

	b.exec("CREATE TABLE others (id TEXT)")
	b.dry(want)
	if got := b.query("SELECT name FROM sqlite_schema"); got != "others" {
		t.Errorf("the database has %s", got)
	}
	if got := b.query("PRAGMA journal_mode"); got != "delete" {
		t.Errorf("the journal is now %s", got)
	}

	b.table().Create = false
	b.job.DryRun = true
	b.fail("There is no table members in connection warehouse")
	b.table().Connection = "warehouse"
	b.mapping("id", "ID", "nmae", "Name")
	b.exec("CREATE TABLE members (id TEXT PRIMARY KEY, name TEXT)")
	b.fail("has no column nmae; did you mean name?")
}

// Rows of one batch see each other; those of an earlier one are gone, and the table waits for nobody
// longer than for a batch.
func TestDryRunHoldsNoBatchOverTheNext(t *testing.T) {
	b := newBench(t)
	b.exec("CREATE TABLE members (id INTEGER PRIMARY KEY, name TEXT)")
	memberFile(t, filepath.Join(b.folder, "members.csv"), 2*row.MaxRows)
	b.mapping("id", "int(ID) % 100", "name", `"same"`)
	b.dry(run.Counts{Total: 2 * row.MaxRows, Retrieved: 2 * row.MaxRows, Inserted: 200, Unchanged: 2*row.MaxRows - 200})
}

func TestDryRunOfFiles(t *testing.T) {
	for _, action := range []task.Action{task.Replace, task.Append} {
		t.Run(string(action), func(t *testing.T) {
			b := newBench(t)
			b.write("members.csv", "ID,Name\n1,Ann\n2\n3,Cy\n")
			b.mapping("id", "ID", "name", `Name == "Cy" ? [1] : Name`)
			b.toFile(action)
			want := run.Counts{Total: 3, Retrieved: 3, Inserted: 1, Failed: 2}
			before := b.files()
			b.dry(want)
			if got := b.files(); got != before {
				t.Errorf("there are now %s", got)
			}
			b.write("out.csv", "id,name\n7,Old")
			b.dry(want)
			if got := b.read("out.csv"); got != "id,name\n7,Old" {
				t.Errorf("out.csv is %q", got)
			}
			b.job.Task.Destination.(*task.CSVDestination).Path = "none/out.csv"
			b.fail("The folder of the file none/out.csv of connection drop does not exist")
			b.job.Task.Destination.(*task.CSVDestination).Path = "."
			b.fail("is not a file")
			if action == task.Append {
				b.write("other.csv", "a,b\n")
				b.job.Task.Destination.(*task.CSVDestination).Path = "other.csv"
				b.fail("does not have the columns of the mapping")
			}
		})
	}
}

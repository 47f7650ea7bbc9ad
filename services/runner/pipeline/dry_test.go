package pipeline_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"runhook/services/runner/pipeline/pipelinetest"

	"runhook/services/runner/pipeline"
	"runhook/services/runner/row"
	"runhook/shared/run"
	"runhook/shared/task"
)

// files are the names in the bench's folder.
func files(b *pipelinetest.Bench) string {
	b.T.Helper()
	entries, err := os.ReadDir(b.Folder)
	if err != nil {
		b.T.Fatal(err)
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
			b := pipelinetest.New(t)
			b.Exec(rulesOfMembers)
			b.Table().Action = action
			if action == task.Insert {
				b.Table().Key = nil
			}
			b.Write("members.csv", "ID,Name\n1,Ann\n2,Bobby\n3,Cy\n4,Bad\nx,Word\n7\n")
			if action == task.Update {
				b.Write("members.csv", "ID,Name\n1,Ann\n2,Bobby\n3,Cy\n9,Bad\nx,Word\n7\n")
			}
			before := b.Query("SELECT * FROM members")
			dry := dry(b, want)
			if got := b.Query("SELECT * FROM members"); got != before {
				t.Errorf("the table has %s", got)
			}
			b.Job.DryRun = false
			real := b.Succeed(want)
			if len(dry.Errors) != len(real.Errors) {
				t.Errorf("the dry run says %v, the run %v", dry.Errors, real.Errors)
			}
			if b.Query("SELECT * FROM members") == before {
				t.Error("the run changed nothing")
			}
		})
	}
}

// dry executes the job as a dry run.
func dry(b *pipelinetest.Bench, want run.Counts) pipeline.Snapshot {
	b.T.Helper()
	b.Job.DryRun = true
	return b.Succeed(want)
}

func TestDryRunMakesNothing(t *testing.T) {
	b := pipelinetest.New(t)
	b.Write("members.csv", "ID,Name\n1,Ann\n2,Bob\n1,Ann\n1,Eve\n")
	before := files(b)
	want := run.Counts{Total: 4, Retrieved: 4, Inserted: 2, Updated: 1, Unchanged: 1}
	dry(b, want)
	if got := files(b); got != before {
		t.Errorf("without a database there are now %s", got)
	}

	b.Exec("CREATE TABLE others (id TEXT)")
	dry(b, want)
	if got := b.Query("SELECT name FROM sqlite_schema"); got != "others" {
		t.Errorf("the database has %s", got)
	}
	if got := b.Query("PRAGMA journal_mode"); got != "delete" {
		t.Errorf("the journal is now %s", got)
	}

	b.Table().Create = false
	b.Job.DryRun = true
	b.Fail("There is no table members in connection warehouse")
	b.Table().Connection = "warehouse"
	b.Mapping("id", "ID", "nmae", "Name")
	b.Exec("CREATE TABLE members (id TEXT PRIMARY KEY, name TEXT)")
	b.Fail("has no column nmae; did you mean name?")
}

// Rows of one batch see each other; those of an earlier one are gone, and the table waits for nobody
// longer than for a batch.
func TestDryRunHoldsNoBatchOverTheNext(t *testing.T) {
	b := pipelinetest.New(t)
	b.Exec("CREATE TABLE members (id INTEGER PRIMARY KEY, name TEXT)")
	pipelinetest.MemberFile(t, filepath.Join(b.Folder, "members.csv"), 2*row.MaxRows)
	b.Mapping("id", "int(ID) % 100", "name", `"same"`)
	dry(b, run.Counts{Total: 2 * row.MaxRows, Retrieved: 2 * row.MaxRows, Inserted: 200, Unchanged: 2*row.MaxRows - 200})
}

func TestDryRunOfFiles(t *testing.T) {
	for _, action := range []task.Action{task.Replace, task.Append} {
		t.Run(string(action), func(t *testing.T) {
			b := pipelinetest.New(t)
			b.Write("members.csv", "ID,Name\n1,Ann\n2\n3,Cy\n")
			b.Mapping("id", "ID", "name", `Name == "Cy" ? [1] : Name`)
			b.ToFile(action)
			want := run.Counts{Total: 3, Retrieved: 3, Inserted: 1, Failed: 2}
			before := files(b)
			dry(b, want)
			if got := files(b); got != before {
				t.Errorf("there are now %s", got)
			}
			b.Write("out.csv", "id,name\n7,Old")
			dry(b, want)
			if got := b.Read("out.csv"); got != "id,name\n7,Old" {
				t.Errorf("out.csv is %q", got)
			}
			b.Job.Task.Destination.(*task.CSVDestination).Path = "none/out.csv"
			b.Fail("The folder of the file none/out.csv of connection drop does not exist")
			b.Job.Task.Destination.(*task.CSVDestination).Path = "."
			b.Fail("is not a file")
			if action == task.Append {
				b.Write("other.csv", "a,b\n")
				b.Job.Task.Destination.(*task.CSVDestination).Path = "other.csv"
				b.Fail("does not have the columns of the mapping")
			}
		})
	}
}

package xlsxfile_test

import (
	"os"
	"path/filepath"
	"testing"

	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/shared/run"
	"runhook/shared/task"
)

func TestWorkbookIsRead(t *testing.T) {
	b := pipelinetest.New(t)
	b.Workbook("in.XLSX", []string{"ID", "Name", "Age"}, []string{"1", "Ann", "41"}, nil, []string{"ID", "Name", "Age"}, []string{"2.50", "Bob"}, []string{"", "", ""})
	b.Job.Task.Source = &task.CSVSource{Connection: "drop", Path: "in.XLSX", Sheet: "members"}
	b.Mapping("id", "ID", "name", `upper(Name) + Age`)
	s := b.Succeed(run.Counts{Retrieved: 3, Inserted: 2, Failed: 1})
	b.RowErrors(s, run.RowError{Row: 2, Line: 4, Message: "is the header again"})
	if got := b.Query("select id, name from members"); got != "1 ANN41; 2.5 BOB" {
		t.Errorf("got %s", got)
	}
	b.Job.Task.Source.(*task.CSVSource).Sheet = "Membres"
	b.Fail("has no sheet Membres; did you mean Members?")
	b.Job.Task.Source.(*task.CSVSource).Sheet = ""
	b.Mapping("id", "Id")
	b.Fail("unknown column Id; did you mean ID?")
}

// A name that several columns have is refused where the task uses it.
func TestRepeatedNameIsRefused(t *testing.T) {
	b := pipelinetest.New(t)
	b.Workbook("in.xlsm", []string{"ID", "Name", "Note", "Note"}, []string{"1", "Ann", "a", "b"})
	b.Job.Task.Source = &task.CSVSource{Connection: "drop", Path: "in.xlsm"}
	b.Mapping("id", "ID", "name", "Name")
	b.Succeed(run.Counts{Retrieved: 1, Inserted: 1})
	b.Mapping("id", "ID", "name", "Note")
	b.Fail("the source has the name Note more than once, in columns C and D; rename all but one of them")
}

// A workbook stays in its folder like any file.
func TestWorkbookStaysInside(t *testing.T) {
	b := pipelinetest.New(t)
	outside := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(b.Folder, "out")); err != nil {
		t.Fatal(err)
	}
	other := &pipelinetest.Bench{T: t, Folder: outside}
	other.Workbook("in.xlsx", []string{"ID"})
	b.Job.Task.Source = &task.CSVSource{Connection: "drop", Path: "out/in.xlsx"}
	b.Fail("must not lead out of that folder")
	b.Job.Task.Source.(*task.CSVSource).Path = "none.xlsx"
	b.Fail("does not exist")
}

package pipeline_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"runhook/services/runner/pipeline"
	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
)

const (
	fullDiskChild = "RUNHOOK_TEST_FULL_DISK"
	// fullCopy is the action of a child that reads a query.
	fullCopy = "copy"
)

// fullDiskResult is what the child says about its run.
type fullDiskResult struct {
	Message string
	Counts  run.Counts
	File    string
	Left    []string
}

// TestFullDiskChild is no test: it is the process in which no file may grow beyond a limit.
func TestFullDiskChild(t *testing.T) {
	action := os.Getenv(fullDiskChild)
	if action == "" {
		return // only in a child process
	}
	b := pipelinetest.New(t)
	pipelinetest.MemberFile(t, b.Folder+"/members.csv", 20_000)
	b.ToFile(task.Action(action))
	b.Mapping(memberMapping...)
	b.Write("out.csv", "id,first_name,last_name,email,joined\nbefore,,,,\n")
	if action == fullCopy {
		b.FromQuery("with recursive n(i) as (select 1 union all select i + 1 from n where i < 100000) select i as id, hex(randomblob(50)) as name from n")
		b.Exec("create table others (id)")
	}
	signal.Ignore(syscall.SIGXFSZ) // so that the write fails, as on a full disk
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 500_000, Max: 500_000}); err != nil {
		t.Fatal(err)
	}
	var m pipeline.Meter
	err := pipeline.Run(t.Context(), b.Job, &m)
	failure, ok := errors.AsType[*run.Failure](err)
	if !ok {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(b.Folder)
	if err != nil {
		t.Fatal(err)
	}
	result := fullDiskResult{Message: failure.Message, Counts: m.Snapshot().Counts, File: b.Read("out.csv")}
	for _, entry := range entries {
		result.Left = append(result.Left, entry.Name())
	}
	text, err := json.Marshal(result)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("result %s\n", text)
}

// A query of a database that cannot be written while it is read is copied, to a disk that may fill.
func TestFullDiskForTheCopyOfAQuery(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestFullDiskChild$")
	cmd.Env = append(os.Environ(), fullDiskChild+"="+fullCopy)
	text := proctest.Start(t, cmd).Await("result (.*)\n")[1]
	if !strings.Contains(text, "The rows of the query find no room in the runner's folder for temporary files") {
		t.Errorf("the run says %s", text)
	}
}

// A disk that fills while a file is written fails the run, which says so. Replace leaves the file as
// it was; append leaves whole batches, and counts those.
func TestFullDisk(t *testing.T) {
	for _, action := range []task.Action{task.Replace, task.Append} {
		t.Run(string(action), func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestFullDiskChild$")
			cmd.Env = append(os.Environ(), fullDiskChild+"="+string(action))
			text := proctest.Start(t, cmd).Await("result (.*)\n")[1]
			var got fullDiskResult
			if err := json.Unmarshal([]byte(text), &got); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			if !strings.Contains(got.Message, "no room to write the file out.csv") {
				t.Errorf("the run says %q", got.Message)
			}
			lines := strings.Count(got.File, "\n") - 2 // the header and the row before
			if int64(lines) != got.Counts.Inserted || !strings.HasSuffix(got.File, "\n") || len(got.Left) != 2 {
				t.Errorf("%d rows counted, %d in the file, which ends %q; the folder has %v", got.Counts.Inserted, lines, got.File[max(0, len(got.File)-20):], got.Left)
			}
			if written := got.Counts.Inserted > 0; written != (action == task.Append) {
				t.Errorf("%d rows are counted as inserted", got.Counts.Inserted)
			}
		})
	}
}

package pipeline_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// A request has as many rows as the task says, whatever was dropped between them.
func TestHTTPBatches(t *testing.T) {
	b := pipelinetest.New(t)
	b.Write("members.csv", "ID,Name\n1,Ann\n2,\n3,Bob\n4,Cy\n5,\n6,Di\n7,Ed\n8,\"x\"y\n9,Flo\n")
	var requests []string
	b.ToService(2, func(_ http.ResponseWriter, ids []string) { requests = append(requests, strings.Join(ids, "+")) })
	b.Job.Task.Where = `Name != ""`
	b.Succeed(run.Counts{Total: 9, Retrieved: 9, Inserted: 6, Skipped: 2, Failed: 1})
	if got := strings.Join(requests, " "); got != "1+3 4+6 7+9" {
		t.Errorf("requests %s", got)
	}
}

// The limit ends the run also where one answer refuses many rows, and all of them are rejected.
func TestHTTPRefusesABatchBeyondTheLimit(t *testing.T) {
	for _, policy := range []task.RowErrorPolicy{task.ContinueOnRowError, task.StopOnRowError} {
		b := pipelinetest.New(t)
		b.Write("members.csv", "ID,Name\n1,Ann\n2,Bob\n3,Cy\n4,Di\n5,Ed\n6,Flo\n")
		requests := 0
		b.ToService(3, func(w http.ResponseWriter, _ []string) { requests++; w.WriteHeader(http.StatusBadRequest) })
		b.Job.Task.OnRowError, b.Job.Task.MaxRowErrors = policy, 1
		rejected := b.Reject()
		message := "More failed rows than max_row_errors allows (1)"
		if policy == task.StopOnRowError {
			message = "Stopped at row 1"
		}
		b.Counts(b.Fail(message), run.Counts{Retrieved: 3, Failed: 3})
		if requests != 1 || len(*rejected) != 3 {
			t.Errorf("%s: %d requests, rejected %v", policy, requests, *rejected)
		}
	}
}

// Only the columns are kept that where and mapping name, at the places that they have.
func TestRejectedRowsAreOfNamedColumns(t *testing.T) {
	b := pipelinetest.New(t)
	b.Write("members.csv", "Card,ID,Phone,Name,Salary\n4111,1,555,Ann,9\n4112,,556,Bob,8\n4113,3,557,Cy\n4114,4\n")
	b.Job.Task.Where = `Name != "Eve"`
	b.Mapping("id", `row["ID"]`)
	b.Table().Key = []string{"id"}
	var rejected []string
	b.Job.Reject = func(_ context.Context, columns []string, r run.RejectedRow) error {
		rejected = append(rejected, fmt.Sprintf("%s %q", strings.Join(columns, ","), r.Cells))
		return nil
	}
	b.Succeed(run.Counts{Total: 4, Retrieved: 4, Inserted: 1, Failed: 3})
	want := []string{`ID,Name ["" "Bob"]`, `ID,Name ["3" "Cy"]`, `ID,Name ["4" ""]`}
	if !slices.Equal(rejected, want) {
		t.Errorf("rejected %q, want %q", rejected, want)
	}
}

// Rows of every kind of failure are rejected whole, also the columns that the mapping does not name.
func TestRejectedRowsAreWhole(t *testing.T) {
	b := pipelinetest.New(t)
	b.Job.Task.RejectedRows.AllColumns = true
	b.Write("members.csv", "ID,Name\n1,Ann\n,No key\n3,a,b,c\n4\n5,\"x\"y,z\n6,\"quo\"\"ted\nlines\"\n7,caf\xe9\n")
	b.Mapping("id", `ID == "6" ? int("x") : ID`)
	b.Table().Key = []string{"id"}
	rejected := b.Reject()
	s := b.Succeed(run.Counts{Total: 7, Retrieved: 7, Inserted: 1, Failed: 6})
	want := []string{
		"2 id must not be empty: it is the key ,No key",
		"3  has the wrong number of fields: 4 where the header has 2 3,a,b,c",
		"4  has the wrong number of fields: 1 where the header has 2 4,",
		`5 Name has a quote in the wrong place: quotes stand around a whole field, and double inside it 5,"x"y,z`,
	}
	for i, w := range want {
		if (*rejected)[i] != w {
			t.Errorf("rejected %q, want %q", (*rejected)[i], w)
		}
	}
	if got := (*rejected)[4]; !strings.HasPrefix(got, "6 id ") || !strings.HasSuffix(got, "6,quo\"ted\nlines") {
		t.Errorf("rejected %q", got)
	}
	if got := (*rejected)[5]; got != "7 Name is not valid UTF-8 7,caf\xe9" {
		t.Errorf("rejected %q", got)
	}
	if len(s.Errors) != 6 {
		t.Errorf("%d errors", len(s.Errors))
	}
}

// An error from Reject stops the run, and what was written is counted.
func TestRejectThatFails(t *testing.T) {
	b := pipelinetest.New(t)
	b.Write("members.csv", "ID,Name\n1,Ann\n,No key\n")
	b.Job.Reject = func(context.Context, []string, run.RejectedRow) error { return &run.Failure{Message: "no room"} }
	b.Counts(b.Fail("No room"), run.Counts{Retrieved: 2, Inserted: 1, Failed: 1})
}

package pipeline_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"runhook/services/runner/connection"
	"runhook/shared/run"
	"runhook/shared/task"
)

// toService makes the job send batches to a service, which answers with what answer writes.
func (b *bench) toService(batch int, answer func(w http.ResponseWriter, ids []string)) {
	b.t.Helper()
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var rows []struct{ ID string }
		var err error
		if batch == 1 {
			rows = append(rows, struct{ ID string }{})
			err = json.NewDecoder(r.Body).Decode(&rows[0])
		} else {
			err = json.NewDecoder(r.Body).Decode(&rows)
		}
		if err != nil {
			b.t.Errorf("sent what is no JSON: %v", err)
		}
		var ids []string
		for _, r := range rows {
			ids = append(ids, r.ID)
		}
		answer(w, ids)
	}))
	b.t.Cleanup(service.Close)
	set, err := connection.Parse(fmt.Appendf(nil, "drop: {files: .}\npartner: {http: {url: %q}}\n", service.URL), filepath.Join(b.folder, "connections.yaml"))
	if err != nil {
		b.t.Fatal(err)
	}
	b.job.Connections = set
	b.job.Task.Destination = &task.HTTPDestination{Connection: "partner", Path: "/members", Method: "POST", Batch: batch}
}

// reject collects rejected rows as "number column reason cells…".
func (b *bench) reject() *[]string {
	var rejected []string
	b.job.Reject = func(_ context.Context, columns []string, r run.RejectedRow) error {
		if got := strings.Join(columns, ","); got != "ID,Name" {
			b.t.Errorf("the columns are %s", got)
		}
		rejected = append(rejected, fmt.Sprint(r.Row, " ", r.Column, " ", r.Reason, " ", strings.Join(r.Cells, ",")))
		return nil
	}
	return &rejected
}

// A request has as many rows as the task says, whatever was dropped between them.
func TestHTTPBatches(t *testing.T) {
	b := newBench(t)
	b.write("members.csv", "ID,Name\n1,Ann\n2,\n3,Bob\n4,Cy\n5,\n6,Di\n7,Ed\n8,\"x\"y\n9,Flo\n")
	var requests []string
	b.toService(2, func(_ http.ResponseWriter, ids []string) { requests = append(requests, strings.Join(ids, "+")) })
	b.job.Task.Where = `Name != ""`
	b.succeed(run.Counts{Total: 9, Retrieved: 9, Inserted: 6, Skipped: 2, Failed: 1})
	if got := strings.Join(requests, " "); got != "1+3 4+6 7+9" {
		t.Errorf("requests %s", got)
	}
}

// A row that the service refuses fails alone, and is rejected with its cells and the service's words,
// which are not in the document.
func TestHTTPRefusesRows(t *testing.T) {
	b := newBench(t)
	b.write("members.csv", "ID,Name\n1,Ann\n2,Bob\n3,Cy\n")
	b.mapping("id", "ID") // Name is not sent, and rejected all the same
	b.toService(1, func(w http.ResponseWriter, ids []string) {
		if ids[0] == "2" {
			http.Error(w, "Bob is known", http.StatusUnprocessableEntity)
		}
	})
	rejected := b.reject()
	s := b.succeed(run.Counts{Total: 3, Retrieved: 3, Inserted: 2, Failed: 1})
	b.rowErrors(s, run.RowError{Row: 2, Message: "was refused with status 422"})
	if strings.Contains(fmt.Sprint(s.Errors), "Bob") {
		t.Errorf("the document has the service's words: %v", s.Errors)
	}
	if got := strings.Join(*rejected, "; "); got != "2  was refused with status 422: Bob is known 2,Bob" {
		t.Errorf("rejected %s", got)
	}
}

// The limit ends the run also where one answer refuses many rows, and all of them are rejected.
func TestHTTPRefusesABatchBeyondTheLimit(t *testing.T) {
	for _, policy := range []task.RowErrorPolicy{task.ContinueOnRowError, task.StopOnRowError} {
		b := newBench(t)
		b.write("members.csv", "ID,Name\n1,Ann\n2,Bob\n3,Cy\n4,Di\n5,Ed\n6,Flo\n")
		requests := 0
		b.toService(3, func(w http.ResponseWriter, _ []string) { requests++; w.WriteHeader(http.StatusBadRequest) })
		b.job.Task.OnRowError, b.job.Task.MaxRowErrors = policy, 1
		rejected := b.reject()
		message := "More failed rows than max_row_errors allows (1)"
		if policy == task.StopOnRowError {
			message = "Stopped at row 1"
		}
		b.counts(b.fail(message), run.Counts{Retrieved: 3, Failed: 3})
		if requests != 1 || len(*rejected) != 3 {
			t.Errorf("%s: %d requests, rejected %v", policy, requests, *rejected)
		}
	}
}

// A service that fails in the middle leaves the rows counted that it took.
func TestHTTPFailsInTheMiddle(t *testing.T) {
	b := newBench(t)
	b.write("members.csv", "ID,Name\n1,Ann\n2,Bob\n3,Cy\n4,Di\n")
	b.toService(1, func(w http.ResponseWriter, ids []string) {
		if ids[0] == "3" {
			w.WriteHeader(http.StatusForbidden)
		}
	})
	b.counts(b.fail("POST /members of connection partner is answered 403 Forbidden; correct the credentials"), run.Counts{Retrieved: 2, Inserted: 2})
}

// Rows of every kind of failure are rejected whole, also the columns that the mapping does not name.
func TestRejectedRowsAreWhole(t *testing.T) {
	b := newBench(t)
	b.write("members.csv", "ID,Name\n1,Ann\n,No key\n3,a,b,c\n4\n5,\"x\"y,z\n6,\"quo\"\"ted\nlines\"\n7,caf\xe9\n")
	b.mapping("id", `ID == "6" ? int("x") : ID`)
	b.table().Key = []string{"id"}
	rejected := b.reject()
	s := b.succeed(run.Counts{Total: 7, Retrieved: 7, Inserted: 1, Failed: 6})
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
	b := newBench(t)
	b.write("members.csv", "ID,Name\n1,Ann\n,No key\n")
	b.job.Reject = func(context.Context, []string, run.RejectedRow) error { return &run.Failure{Message: "no room"} }
	b.counts(b.fail("No room"), run.Counts{Retrieved: 2, Inserted: 1, Failed: 1})
}

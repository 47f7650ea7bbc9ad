package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"runhook/shared/proctest"
	"runhook/shared/run"
)

// Errors of one reason are one line, however many rows have it.
func TestReasons(t *testing.T) {
	t.Parallel()
	var listed []run.RowError
	for i := range int64(7) {
		listed = append(listed, run.RowError{Row: 97 * (i + 1), Line: 97*(i+1) + 1, Column: "joined", Message: "is no date dd.MM.yyyy"})
	}
	listed = append(listed, run.RowError{Row: 5, Column: "age", Message: "is not a number"}, run.RowError{Row: 6, Line: 7, Message: "is the header again"},
		run.RowError{Row: 8, Message: "is empty"}, run.RowError{Row: 9, Message: "is empty"},
		run.RowError{Row: 1, Line: 2, Column: "total", Message: "has a formula (cell D2)"}, run.RowError{Row: 2, Line: 3, Column: "total", Message: "has a formula (cell D3, of the formula in D2)"},
		run.RowError{Row: 3, Line: 4, Column: "day", Message: "has an error (cell E4)"})
	out := proctest.NewOutput()
	p := &program{stdout: out, stderr: proctest.NewOutput(), log: zerolog.Nop()}
	p.printReasons(reasonsOf(listed), 40)
	if want := `  7 rows: joined is no date dd.MM.yyyy: 97 (line 98), 194 (line 195), 291 (line 292), 388 (line 389), 485 (line 486), …
  row 5, age: is not a number
  row 6 (line 7): is the header again
  2 rows: is empty: 8, 9
  2 rows: total has a formula: 1 (line 2), 2 (line 3)
  row 3 (line 4), day: has an error (cell E4)
  and 26 more
`; out.String() != want {
		t.Errorf("got\n%swant\n%s", out, want)
	}
}

// A document lists twenty errors; what is printed counts all of them, without the words of a database.
func TestReasonsOfAllRows(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var people strings.Builder
	people.WriteString("id,name,city\n")
	for i := range 100 {
		fmt.Fprintf(&people, "%d,%s,Oslo\n", i, []string{"Ann", "Ben", "Cy"}[i%3])
	}
	people.WriteString(",Dora,Rome\n,Eve,Rome\n")
	s.write("people.csv", people.String())
	s.execute("create table people (id text primary key, name text check (name <> 'Ben'))")
	i := begin(t, s.args()...).listening()
	code, out, messages := ask(t, "run", "people", "--wait", "--fail-on-rejected", "--server", i.url)
	if code != exitRejected || !strings.HasPrefix(out, "Success, but 35 rows failed, after ") {
		t.Errorf("exit code %d, %s%s", code, out, messages)
	}
	for _, want := range []string{"  33 rows: breaks a check rule", "  2 rows: id must not be empty: it is the key: 101", "`runhook runs rejected 1`"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	if shown := mustCall(t, "runs", "show", "1", "--server", i.url); !strings.Contains(shown, "  33 rows: breaks a check rule") || !strings.Contains(shown, "Success, but 35 rows failed") {
		t.Errorf("runs show: %s", shown)
	}
	if listed := mustCall(t, "runs", "list", "--server", i.url); !strings.Contains(listed, "Success  cli") || !strings.HasSuffix(listed, "    35\n") {
		t.Errorf("runs list: %s", listed)
	}
	if code, _, messages := ask(t, "run", "people", "--fail-on-rejected", "--server", i.url); code != exitNoStart || !oneLine(messages, "--fail-on-rejected needs --wait") {
		t.Errorf("exit code %d, %s", code, messages)
	}
	s.write("people.csv", "id,name,city\n1,Ann,Oslo\n")
	if code, out, messages := ask(t, "run", "people", "--wait", "--fail-on-rejected", "--server", i.url); code != exitSuccess || !strings.HasPrefix(out, "Success after ") {
		t.Errorf("exit code %d, %s%s", code, out, messages)
	}
}

// If the failed rows cannot be had, those that the document lists are shown.
func TestReasonsWithoutTheRows(t *testing.T) {
	t.Parallel()
	doc := run.Document{ImportID: 7, RowsFailed: 30, Errors: []run.RowError{{Row: 3, Column: "age", Message: "is not a number"}}}
	doc.Status = run.Done
	for _, answer := range []string{"", "no header", "ID,Row;Column,Reason\n1,2,3,4\n", "ID,Row,Column,Reason\n1,\"2\n"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(answer)) }))
		flags := ServerFlags{Server: server.URL}
		asked, err := flags.client()
		if err != nil {
			t.Fatal(err)
		}
		out := proctest.NewOutput()
		p := &program{stdout: out, stderr: proctest.NewOutput(), log: zerolog.Nop()}
		p.printErrors(t.Context(), asked, doc)
		if !strings.HasPrefix(out.String(), "  row 3, age: is not a number\n  and 29 more\n") {
			t.Errorf("%q: %s", answer, out)
		}
		asked.Close()
		server.Close()
	}
}

package pipeline_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"runhook/services/runner/connection"
	"runhook/services/runner/connector/imis/imissite"
	"runhook/shared/run"
	"runhook/shared/task"
)

// fromIMIS makes the job read an IQA of so many members from a stand-in site.
func (b *bench) fromIMIS(count int) *imissite.Site {
	b.t.Helper()
	site := imissite.New("runhook", "secret", imissite.Query{
		Path:    "$/Members",
		Columns: []imissite.Column{{Name: "ID", Type: "Int32"}, {Name: "Full Name", Type: "String"}, {Name: "Dues", Type: "Decimal"}, {Name: "Joined", Type: "DateTime"}},
		Prompts: []imissite.Prompt{{Property: "FullName", Column: "Full Name"}},
		Count:   count,
		Row: func(i int) []any {
			joined := "2026-01-31T00:00:00"
			if i == 6 {
				joined = "SECRET day"
			}
			return []any{i + 1, fmt.Sprintf("Ann %d", i+1), json.Number("12.50"), joined}
		},
	})
	server := httptest.NewServer(site)
	b.t.Cleanup(server.Close)
	set, err := connection.Parse([]byte("prod: {imis: {url: '"+server.URL+"', username: runhook, password: secret}}\ndrop: {files: .}\nwarehouse: {sqlite: ./warehouse.db}\n"), filepath.Join(b.folder, "connections.yaml"))
	if err != nil {
		b.t.Fatal(err)
	}
	b.job.Connections = set
	b.job.Task.Source = &task.IMISSource{Connection: "prod", Query: "$/Members", PageSize: 500, Endpoint: task.QueryEndpoint}
	b.mapping("id", "ID", "name", `row["Full Name"] + "!"`, "dues", "Dues", "joined", "Joined")
	return site
}

func TestIQAIsCopied(t *testing.T) {
	b := newBench(t)
	b.exec("create table members (id integer primary key, name text, dues decimal, joined date)")
	b.fromIMIS(1234)
	s := b.succeed(run.Counts{Total: 1234, Retrieved: 1234, Inserted: 1233, Failed: 1})
	b.rowErrors(s, run.RowError{Row: 7, Column: "joined", Message: "is not a date"})
	if got := b.query("select count(*), min(id), max(id), max(name), sum(dues), min(joined), max(joined) from members"); got != "1233 1 1234 Ann 999! 15412.5 2026-01-31 2026-01-31" {
		t.Errorf("got %s", got)
	}
}

// An IQA without rows tells no columns, and that is no fault of the task.
func TestIQAWithoutRows(t *testing.T) {
	b := newBench(t)
	b.fromIMIS(0)
	b.job.Task.Where = `ID > 3 && row["Full Name"] != ""`
	b.succeed(run.Counts{})
	b.mapping("id", "nothing(ID)")
	b.fail("he IQA $/Members of connection prod does not fit the task; mapping.id: ")
}

func TestColumnThatTheIQALost(t *testing.T) {
	b := newBench(t)
	b.fromIMIS(10)
	b.mapping("id", "ID", "name", "FullName")
	s := b.fail(`he IQA $/Members of connection prod does not fit the task; mapping.name: unknown column FullName; did you mean Full Name?`)
	if s.Counts.Retrieved != 0 || b.query("select count(*) from sqlite_master") != "0" {
		t.Error("something was done")
	}
}

// A site that breaks off leaves what came before, counted.
func TestIQAEndsMidway(t *testing.T) {
	b := newBench(t)
	site := b.fromIMIS(2600)
	b.mapping("id", "ID", "name", "row[\"Full Name\"]")
	site.FailPage(2500, imissite.Redirect("/login"))
	s := b.fail("he IQA $/Members of connection prod is answered by a redirect to a page to sign in")
	b.counts(s, run.Counts{Total: 2600, Retrieved: 2500, Inserted: 2500})
	if s.PercentComplete < 96 || s.PercentComplete >= 97 {
		t.Errorf("at %v%%", s.PercentComplete)
	}
}

package pipeline_test

import (
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"runhook/services/runner/connection"
	"runhook/services/runner/connector/imis/imissite"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/taskfile"
)

// toPanel makes the job write to a panel of a stand-in site, whose contacts are 101 to 103.
func (b *bench) toPanel(action task.Action) (site *imissite.Site, address string) {
	b.t.Helper()
	site = imissite.New("runhook", "secret")
	site.SetEntities(imissite.Entity{Name: "My_Panel", ObjectType: "Multi", Properties: []imissite.Property{
		{Name: "Code", Type: "String", MaxLength: 5, Required: true}, {Name: "Hours", Type: "Integer"},
	}})
	for _, id := range []string{"101", "102", "103"} {
		site.SetContacts(imissite.Contact{ID: id, LastName: "A"})
	}
	server := httptest.NewServer(site)
	b.t.Cleanup(server.Close)
	set, err := connection.Parse([]byte("prod: {imis: {url: '"+server.URL+"', username: runhook, password: secret}}\ndrop: {files: .}\n"), filepath.Join(b.folder, "connections.yaml"))
	if err != nil {
		b.t.Fatal(err)
	}
	b.job.Connections = set
	b.job.Task.Destination = &task.IMISDestination{
		Connection: "prod", Entity: "My_Panel", Action: action, Match: []string{"ID", "Code"}, OnMultiple: task.SkipRow, OnBlankMatch: task.SkipRow,
	}
	b.mapping("ID", "ID", "Code", "Name", "Hours", "int(ID) - 100")
	return site, server.URL
}

func TestPanelIsWritten(t *testing.T) {
	b := newBench(t)
	site, _ := b.toPanel(task.Upsert)
	b.write("members.csv", "ID,Name\n101,CPA\n102,CFA\n103,TOOLONG\n999,X\n101,CPA\n103,\n")
	rejected := b.reject()
	want := run.Counts{Total: 6, Retrieved: 6, Inserted: 2, Unchanged: 1, Failed: 2, Skipped: 1}
	s := b.succeed(want)
	b.rowErrors(s,
		run.RowError{Row: 3, Column: "Code", Message: "is too long (max 5)"},
		run.RowError{Row: 4, Column: "ID", Message: "is refused by the site's validation"})
	if strings.Contains(s.Errors[1].Message, "not that of a contact") {
		t.Errorf("the document has the site's words: %v", s.Errors)
	}
	if got := strings.Join(*rejected, "; "); got != "3 Code is too long (max 5) 103,TOOLONG; 4 ID is refused by the site's validation: ID is not that of a contact. 999,X" {
		t.Errorf("rejected %s", got)
	}
	b.succeed(run.Counts{Total: 6, Retrieved: 6, Unchanged: 3, Failed: 2, Skipped: 1})
	if rows := site.Rows("My_Panel"); len(rows) != 2 || rows[1]["Hours"] != int64(2) {
		t.Errorf("stored %v", rows)
	}
}

// A run that fails in the middle counts the rows that are there, and no more.
func TestPanelFailsInTheMiddle(t *testing.T) {
	b := newBench(t)
	site, _ := b.toPanel(task.Insert)
	b.write("members.csv", "ID,Name\n101,A\n102,B\n103,C\n")
	site.FailWrites(nil, nil, imissite.Status(403))
	s := b.fail("he entity My_Panel of connection prod (row 3) is not allowed to the account of the connection (status 403)")
	b.counts(s, run.Counts{Retrieved: 2, Inserted: 2})
	if rows := site.Rows("My_Panel"); len(rows) != 2 {
		t.Errorf("stored %v", rows)
	}
}

// The task that the page about iMIS shows, from a database to a panel.
func TestExampleOfThePage(t *testing.T) {
	page, err := os.ReadFile("../../../deploy/docs/imis.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(page), "```yaml\nid: ")
	text, _, closed := strings.Cut("id: "+text, "```")
	def, err := taskfile.Parse([]byte(text), "imis.md")
	if !found || !closed || err != nil {
		t.Fatalf("the page has no task: %v", err)
	}

	b := newBench(t)
	site, address := b.toPanel(task.Upsert)
	site.SetEntities(imissite.Entity{Name: def.Destination.(*task.IMISDestination).Entity, ObjectType: "Multi", Properties: []imissite.Property{
		{Name: "Code", Type: "String", MaxLength: 5, Required: true},
		{Name: "Hours", Type: "Integer"},
		{Name: "Earned", Type: "Date"},
		{Name: "Topics", Type: "String", Values: []string{"A", "B", "C"}, Multiple: true},
	}})
	b.exec(`create table hours (member_id text, course text, hours integer, day text, topics text);
		insert into hours values ('101', 'CPA', 3, '2026-01-31', 'A'), ('101', 'CFA', 1, '2026-02-28', 'C'), ('102', 'CPA', 2, null, null), ('103', 'WRONG', 2, null, 'Z'), ('999', 'X', 2, null, null)`)
	set, err := connection.Parse([]byte("imis-prod: {imis: {url: '"+address+"', username: runhook, password: secret}}\nwarehouse: {sqlite: ./warehouse.db}\n"), filepath.Join(b.folder, "connections.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	b.job.Connections, b.job.Task = set, def
	b.job.DryRun = true
	want := run.Counts{Total: 5, Retrieved: 5, Inserted: 3, Failed: 2}
	b.succeed(want)
	if rows := site.Rows("My_Certificates"); len(rows) != 0 {
		t.Errorf("a dry run stored %v", rows)
	}
	b.job.DryRun = false
	s := b.succeed(want)
	b.rowErrors(s,
		run.RowError{Row: 4, Column: "Topics", Message: "is not one of the allowed values (A, B, C)"},
		run.RowError{Row: 5, Column: "ID", Message: "is refused by the site's validation"})
	b.exec("update hours set topics = 'B,A', hours = 4 where course = 'CPA' and member_id = '101'")
	b.succeed(run.Counts{Total: 5, Retrieved: 5, Updated: 1, Unchanged: 2, Failed: 2})
	if row := site.Rows("My_Certificates")[1]; row["Topics"] != "A,B" || row["Hours"] != int64(4) || row["Earned"] != "2026-01-31T00:00:00" {
		t.Errorf("stored %v", row)
	}
}

// An insert goes on where it was, and stores nothing twice.
func TestPanelInsertContinues(t *testing.T) {
	b := newBench(t)
	site, _ := b.toPanel(task.Insert)
	b.job.Task.Destination.(*task.IMISDestination).Match = nil
	b.write("members.csv", "ID,Name\n101,A\n102,TOOLONG\n103,C\n101,D\n102,E\n")
	s := newStory(b)
	s.eager = true // rows behind a rejected one that waits to be stored are not confirmed, and come again
	if err := s.attempt(4); !errors.Is(err, errStopped) {
		t.Fatal(err)
	}
	if err := s.attempt(0); err != nil {
		t.Fatal(err)
	}
	b.counts(s.meter.Snapshot(), run.Counts{Total: 5, Retrieved: 5, Inserted: 4, Failed: 1})
	codes := ""
	for _, row := range site.Rows("My_Panel") {
		codes += row["Code"].(string)
	}
	if codes != "ACDE" {
		t.Errorf("stored %s", codes)
	}
}

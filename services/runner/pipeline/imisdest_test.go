package pipeline_test

import (
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"runhook/deploy/imissite"
	"runhook/services/runner/connection"
	"runhook/shared/run"
	"runhook/shared/task"
)

// toPanel makes the job write to a panel of a stand-in site, whose contacts are 101 to 103.
func (b *bench) toPanel(action task.Action) *imissite.Site {
	b.t.Helper()
	site := imissite.New("runhook", "secret")
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
	b.job.Task.Destination = task.Destination{IMIS: &task.IMISDestination{
		Connection: "prod", Entity: "My_Panel", Action: action, Match: []string{"ID", "Code"}, OnMultiple: task.SkipRow, OnBlankMatch: task.SkipRow,
	}}
	b.mapping("ID", "ID", "Code", "Name", "Hours", "int(ID) - 100")
	return site
}

func TestPanelIsWritten(t *testing.T) {
	b := newBench(t)
	site := b.toPanel(task.Upsert)
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
	site := b.toPanel(task.Insert)
	b.write("members.csv", "ID,Name\n101,A\n102,B\n103,C\n")
	site.FailWrites(nil, nil, imissite.Status(403))
	s := b.fail("he entity My_Panel of connection prod (row 3) is not allowed to the account of the connection (status 403)")
	b.counts(s, run.Counts{Retrieved: 2, Inserted: 2})
	if rows := site.Rows("My_Panel"); len(rows) != 2 {
		t.Errorf("stored %v", rows)
	}
}

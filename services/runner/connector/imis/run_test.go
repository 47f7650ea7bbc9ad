package imis_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"runhook/services/runner/connection"
	"runhook/services/runner/connector/imis/imissite"
	"runhook/services/runner/connector/imis/imissite/sitetest"
	"runhook/services/runner/pipeline"
	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/taskfile"
)

func TestIQAIsCopied(t *testing.T) {
	b := pipelinetest.New(t)
	b.Exec("create table members (id integer primary key, name text, dues decimal, joined date)")
	b.FromIMIS(1234)
	s := b.Succeed(run.Counts{Total: 1234, Retrieved: 1234, Inserted: 1233, Failed: 1})
	b.RowErrors(s, run.RowError{Row: 7, Column: "joined", Message: "is not a date"})
	if got := b.Query("select count(*), min(id), max(id), max(name), sum(dues), min(joined), max(joined) from members"); got != "1233 1 1234 Ann 999! 15412.5 2026-01-31 2026-01-31" {
		t.Errorf("got %s", got)
	}
}

// An IQA without rows tells no columns, and that is no fault of the task.
func TestIQAWithoutRows(t *testing.T) {
	b := pipelinetest.New(t)
	b.FromIMIS(0)
	b.Job.Task.Where = `ID > 3 && row["Full Name"] != ""`
	b.Succeed(run.Counts{})
	b.Mapping("id", "nothing(ID)")
	b.Fail("he IQA $/Members of connection prod does not fit the task; mapping.id: ")
}

func TestColumnThatTheIQALost(t *testing.T) {
	b := pipelinetest.New(t)
	b.FromIMIS(10)
	b.Mapping("id", "ID", "name", "FullName")
	s := b.Fail(`he IQA $/Members of connection prod does not fit the task; mapping.name: unknown column FullName; did you mean Full Name?`)
	if s.Counts.Retrieved != 0 || b.Query("select count(*) from sqlite_master") != "0" {
		t.Error("something was done")
	}
}

// The live document has the number of rows while the first page is on its way.
func TestTotalIsShownBeforeTheFirstPage(t *testing.T) {
	b := pipelinetest.New(t)
	site := b.FromIMIS(25)
	b.Mapping("id", "ID")
	var m pipeline.Meter
	shown := int64(-1)
	site.FailPage(0, nil, func(w http.ResponseWriter, r *http.Request) {
		shown = m.Snapshot().Counts.Total
		imissite.AnswerAsUsual(w, r)
	})
	if err := pipeline.Run(t.Context(), b.Job, &m); err != nil || shown != 25 {
		t.Errorf("%d rows are shown, %v", shown, err)
	}
}

// What the site counts and what it gives do not fit.
func TestIQAIsHeldAgainstItsCount(t *testing.T) {
	b := pipelinetest.New(t)
	site := b.FromIMIS(25)
	b.Mapping("id", "ID")
	answer := `{"Items":{"$values":[{"ID":1},{"ID":2}]},"Offset":0,"Limit":500,"Count":2,"TotalCount":%s,"HasNext":false,"NextOffset":0}`
	site.FailPage(0, sitetest.Times(2, sitetest.Answer("application/json", strings.Replace(answer, "%s", "25", 1)))...)
	s := b.Fail("he IQA $/Members of connection prod says that it has 25 rows (TotalCount), and gave 2")
	b.Counts(s, run.Counts{Total: 25, Retrieved: 2, Inserted: 2})
	site.FailPage(0, sitetest.Times(2, sitetest.Answer("application/json", strings.Replace(answer, "%s", "1", 1)))...)
	s = b.Succeed(run.Counts{Total: 2, Retrieved: 2, Unchanged: 2})
	if want := "the IQA $/Members of connection prod says that it has 1 row (TotalCount), and gave 2; compare with what iMIS shows"; len(s.Warnings) != 1 || s.Warnings[0] != want {
		t.Errorf("warned of %q", s.Warnings)
	}
}

// A site that breaks off leaves what came before, counted.
func TestIQAEndsMidway(t *testing.T) {
	b := pipelinetest.New(t)
	site := b.FromIMIS(2600)
	b.Mapping("id", "ID", "name", "row[\"Full Name\"]")
	site.FailPage(2500, sitetest.Redirect("/login"))
	s := b.Fail("he IQA $/Members of connection prod is answered by a redirect to a page to sign in")
	b.Counts(s, run.Counts{Total: 2600, Retrieved: 2500, Inserted: 2500})
	if s.PercentComplete < 96 || s.PercentComplete >= 97 {
		t.Errorf("at %v%%", s.PercentComplete)
	}
}

func TestPanelIsWritten(t *testing.T) {
	b := pipelinetest.New(t)
	site, _ := b.ToPanel(task.Upsert)
	b.Write("members.csv", "ID,Name\n101,CPA\n102,CFA\n103,TOOLONG\n999,X\n101,CPA\n103,\n")
	rejected := b.Reject()
	want := run.Counts{Total: 6, Retrieved: 6, Inserted: 2, Unchanged: 1, Failed: 2, Skipped: 1}
	s := b.Succeed(want)
	b.RowErrors(s,
		run.RowError{Row: 3, Column: "Code", Message: "is too long (max 5)"},
		run.RowError{Row: 4, Column: "ID", Message: "is refused by the site's validation"})
	if strings.Contains(s.Errors[1].Message, "not that of a contact") {
		t.Errorf("the document has the site's words: %v", s.Errors)
	}
	if got := strings.Join(*rejected, "; "); got != "3 Code is too long (max 5) 103,TOOLONG; 4 ID is refused by the site's validation: ID is not that of a contact. 999,X" {
		t.Errorf("rejected %s", got)
	}
	b.Succeed(run.Counts{Total: 6, Retrieved: 6, Unchanged: 3, Failed: 2, Skipped: 1})
	if rows := site.Rows("My_Panel"); len(rows) != 2 || rows[1]["Hours"] != int64(2) {
		t.Errorf("stored %v", rows)
	}
}

// A run that fails in the middle counts the rows that are there, and no more.
func TestPanelFailsInTheMiddle(t *testing.T) {
	b := pipelinetest.New(t)
	site, _ := b.ToPanel(task.Insert)
	b.Write("members.csv", "ID,Name\n101,A\n102,B\n103,C\n")
	site.FailWrites(nil, nil, sitetest.Status(403))
	s := b.Fail("he entity My_Panel of connection prod (row 3) is not allowed to the account of the connection (status 403)")
	b.Counts(s, run.Counts{Retrieved: 2, Inserted: 2})
	if rows := site.Rows("My_Panel"); len(rows) != 2 {
		t.Errorf("stored %v", rows)
	}
}

// The task that the page about iMIS shows, from a database to a panel.
func TestExampleOfThePage(t *testing.T) {
	page, err := os.ReadFile("../../../../deploy/docs/imis.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(page), "```yaml\nid: ")
	text, _, closed := strings.Cut("id: "+text, "```")
	def, err := taskfile.Parse([]byte(text), "imis.md")
	if !found || !closed || err != nil {
		t.Fatalf("the page has no task: %v", err)
	}

	b := pipelinetest.New(t)
	site, address := b.ToPanel(task.Upsert)
	site.SetEntities(imissite.Entity{Name: def.Destination.(*task.IMISDestination).Entity, ObjectType: "Multi", Properties: []imissite.Property{
		{Name: "Code", Type: "String", MaxLength: 5, Required: true},
		{Name: "Hours", Type: "Integer"},
		{Name: "Earned", Type: "Date"},
		{Name: "Topics", Type: "String", Values: []string{"A", "B", "C"}, Multiple: true},
	}})
	b.Exec(`create table hours (member_id text, course text, hours integer, day text, topics text);
		insert into hours values ('101', 'CPA', 3, '2026-01-31', 'A'), ('101', 'CFA', 1, '2026-02-28', 'C'), ('102', 'CPA', 2, null, null), ('103', 'WRONG', 2, null, 'Z'), ('999', 'X', 2, null, null)`)
	set, err := connection.Parse([]byte("imis-prod: {imis: {private: true, url: '"+address+"', username: runhook, password: secret}}\nwarehouse: {sqlite: ./warehouse.db}\n"), filepath.Join(b.Folder, "connections.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	b.Job.Connections, b.Job.Task = set, def
	b.Job.DryRun = true
	want := run.Counts{Total: 5, Retrieved: 5, Inserted: 3, Failed: 2}
	b.Succeed(want)
	if rows := site.Rows("My_Certificates"); len(rows) != 0 {
		t.Errorf("a dry run stored %v", rows)
	}
	b.Job.DryRun = false
	s := b.Succeed(want)
	b.RowErrors(s,
		run.RowError{Row: 4, Column: "Topics", Message: "is not one of the allowed values (A, B, C)"},
		run.RowError{Row: 5, Column: "ID", Message: "is refused by the site's validation"})
	b.Exec("update hours set topics = 'B,A', hours = 4 where course = 'CPA' and member_id = '101'")
	b.Succeed(run.Counts{Total: 5, Retrieved: 5, Updated: 1, Unchanged: 2, Failed: 2})
	if row := site.Rows("My_Certificates")[1]; row["Topics"] != "A,B" || row["Hours"] != int64(4) || row["Earned"] != "2026-01-31T00:00:00" {
		t.Errorf("stored %v", row)
	}
}

package pipeline_test

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// A run of which nothing was taken fails, whatever refused the rows, and leaves what was there.
func TestNothingTaken(t *testing.T) {
	t.Run("a file that is replaced", func(t *testing.T) {
		b := pipelinetest.New(t)
		b.ToFile(task.Replace)
		b.Write("out.csv", "id,name\n1,yesterday\n")
		b.Write("members.csv", "ID,Name\n1,Ann,x\n2,Bob,y\n3,Cid,z\n")
		s := b.Fail("No row was written: 3 failed; the first, row 1: has the wrong number of fields")
		if b.Counts(s, run.Counts{Retrieved: 3, Failed: 3}); b.Read("out.csv") != "id,name\n1,yesterday\n" {
			t.Errorf("out.csv became %q", b.Read("out.csv"))
		}
		b.Write("members.csv", "ID,Name\n1,Ann,x\n2,Bob\n")
		b.Succeed(run.Counts{Retrieved: 2, Inserted: 1, Failed: 1})
	})
	t.Run("by an expression, and where", func(t *testing.T) {
		b := pipelinetest.New(t)
		b.Job.Task.Where = `Name != "Ann"`
		b.Mapping("id", "int(ID)", "name", "Name")
		b.Write("members.csv", "ID,Name\n1,Ann\nx,Bob\ny,Cid\n")
		b.Fail("No row was written: 2 failed, 1 were skipped; the first, row 2: id")
		b.Write("members.csv", "ID,Name\n1,Ann\n2,Ann\n")
		b.Succeed(run.Counts{Retrieved: 2, Skipped: 2})
		b.Write("members.csv", "ID,Name\n")
		b.Succeed(run.Counts{})
	})
	t.Run("by the table", func(t *testing.T) {
		b := pipelinetest.New(t)
		b.Exec("CREATE TABLE members (id INTEGER PRIMARY KEY, name TEXT CHECK (length(name) > 3))")
		b.Write("members.csv", "ID,Name\n1,Ann\n2,Bob\n")
		b.Fail("No row was written: 2 failed")
		b.Job.DryRun = true
		b.Fail("No row was written: 2 failed")
	})
	t.Run("by a service", func(t *testing.T) {
		b := pipelinetest.New(t)
		b.Write("members.csv", "ID,Name\n1,Ann\n")
		b.ToService(1, func(w http.ResponseWriter, _ []string) { w.WriteHeader(http.StatusUnprocessableEntity) })
		b.Fail("No row was written: 1 failed; the first, row 1: ")
	})
}

func members(ids int, name string) string {
	var text strings.Builder
	text.WriteString("ID,Name\n")
	for id := range ids {
		fmt.Fprintf(&text, "%d,%s\n", id+1, name)
	}
	return text.String()
}

// expecting has the job copy so many members.
func expecting(t *testing.T, ids int, name string, expect task.Expect) *pipelinetest.Bench {
	b := pipelinetest.New(t)
	b.Write("members.csv", members(ids, name))
	b.Job.Task.Expect = expect
	return b
}

func TestMinRows(t *testing.T) {
	const count = 3000 // more than a batch
	for name, to := range map[string]func(b *pipelinetest.Bench){
		"sql":     func(*pipelinetest.Bench) {},
		"append":  func(b *pipelinetest.Bench) { b.ToFile(task.Append) },
		"replace": func(b *pipelinetest.Bench) { b.ToFile(task.Replace) },
	} {
		t.Run(name, func(t *testing.T) {
			b := expecting(t, count, "Ann", task.Expect{MinRows: count + 1})
			b.Exec("CREATE TABLE members (id INTEGER PRIMARY KEY, name)")
			b.Write("out.csv", "id,name\n0,Eve\n")
			to(b)
			for range 2 {
				b.Fail("3000 rows to write, and expect.min_rows wants 3001")
				if b.Query("SELECT count(*) FROM members") != "0" || b.Read("out.csv") != "id,name\n0,Eve\n" {
					t.Error("rows were written")
				}
				b.Job.DryRun = true
			}
			b.Job.DryRun, b.Job.Task.Expect.MinRows = false, count
			b.Succeed(run.Counts{Retrieved: count, Inserted: count})
			// Rows that where drops, or whose mapping fails, are none to write.
			b.Job.Task.Where = `ID != "7"`
			b.Fail("2999 rows to write")
		})
	}
}

func rows(n int64) *task.Bound { return &task.Bound{Rows: n} }

func percent(p float64) *task.Bound { return &task.Bound{Percent: p} }

func TestMaxChangeOfATable(t *testing.T) {
	const count = 5000
	b := expecting(t, count, "Ann", task.Expect{MaxChange: rows(0)})
	b.Succeed(run.Counts{Retrieved: count, Inserted: count})
	b.Succeed(run.Counts{Retrieved: count, Unchanged: count})
	b.Write("members.csv", members(count, "Bob"))
	for _, c := range []struct {
		bound   *task.Bound
		message string
		updated int64
	}{
		{rows(1999), "Stopped by expect.max_change: the run would update more than 1999 rows; 0 were updated before", 0},
		{percent(59.99), "more than 2999 rows, 59.99% of the 5000 that the table members had; 2000 were updated before", 2000},
	} {
		b.Job.Task.Expect.MaxChange, b.Job.DryRun = c.bound, true
		b.Fail("Stopped by expect.max_change")
		b.Job.DryRun = false
		s := b.Fail(c.message)
		if got := b.Query("SELECT count(*) FROM members WHERE name = 'Bob'"); s.Counts.Updated != c.updated || got != fmt.Sprint(c.updated) {
			t.Errorf("%v: %d rows are said to be updated, and %s are", c.bound, s.Counts.Updated, got)
		}
	}
	b.Job.Task.Expect.MaxChange = percent(60) // of which 2000 are done
	b.Succeed(run.Counts{Retrieved: count, Updated: 3000, Unchanged: 2000})
}

func TestMaxDeleteOfATable(t *testing.T) {
	b := expecting(t, 30, "Ann", task.Expect{MaxDelete: percent(10)})
	b.Succeed(run.Counts{Retrieved: 30, Inserted: 30})
	b.Table().Action = task.Delete
	b.Mapping("id", "ID")
	b.Write("members.csv", members(4, "Ann"))
	b.Fail("Stopped by expect.max_delete: the run would delete more than 3 rows, 10% of the 30 that the table members had; 0 were deleted before")
	if got := b.Query("SELECT count(*) FROM members"); got != "30" {
		t.Errorf("%s of 30 rows are left", got)
	}
	b.Write("members.csv", members(3, "Ann"))
	b.Succeed(run.Counts{Retrieved: 3, Deleted: 3})
}

func TestMaxDeleteOfAFile(t *testing.T) {
	b := expecting(t, 51, "Ann", task.Expect{MaxDelete: percent(10)})
	b.ToFile(task.Replace)
	b.Succeed(run.Counts{Retrieved: 51, Inserted: 51}) // there was none
	yesterday := strings.Replace(members(301, "Lee \"\nSecond line\""), "ID,Name", "id,name", 1)
	yesterday = strings.ReplaceAll(yesterday, "Lee \"", "\"Lee")
	b.Write("out.csv", yesterday)
	for range 2 {
		b.Fail("Stopped by expect.max_delete, which allows 10%: the file out.csv has 301 rows, and would have 51; nothing was written")
		if b.Read("out.csv") != yesterday {
			t.Error("out.csv was replaced")
		}
		b.Job.DryRun = true
	}
	b.Job.DryRun, b.Job.Task.Expect.MaxDelete = false, rows(250)
	b.Succeed(run.Counts{Retrieved: 51, Inserted: 51})
	b.Write("members.csv", "ID,Name\n")
	b.Job.Task.Expect.MaxDelete = rows(50)
	b.Fail("has 51 rows, and would have 0")
}

func TestBoundsOfAPanel(t *testing.T) {
	b := pipelinetest.New(t)
	site, _ := b.ToPanel(task.Upsert)
	b.Write("members.csv", "ID,Name\n101,A\n102,B\n103,C\n")
	b.Succeed(run.Counts{Retrieved: 3, Inserted: 3})
	b.Mapping("ID", "ID", "Code", "Name", "Hours", "7")
	for _, c := range []struct {
		bound   *task.Bound
		message string
	}{
		{rows(0), "more than 0 rows; 0 were updated before"},
		{percent(67), "more than 2 rows, 67% of the 3 that the entity My_Panel of connection prod had; 2 were updated before"},
	} {
		b.Job.Task.Expect.MaxChange, b.Job.DryRun = c.bound, true
		b.Fail(c.message)
		b.Job.DryRun = false
		b.Fail(c.message)
	}
	b.Job.Task.Expect = task.Expect{MaxDelete: rows(2)}
	b.Job.Task.Destination.(*task.IMISDestination).Action = task.Delete
	b.Mapping("ID", "ID", "Code", "Name")
	s := b.Fail("the run would delete more than 2 rows; 2 were deleted before")
	if left := len(site.Rows("My_Panel")); left != 1 || s.Counts.Deleted != 2 {
		t.Errorf("%d records are left, and %d are said to be deleted", left, s.Counts.Deleted)
	}
}

// A file that a run leaves without rows, because where kept none, is said.
func TestReplacedByNothing(t *testing.T) {
	const said = "No row was kept of the 2 that the source has (where), so that the file out.csv "
	for name, c := range map[string]struct {
		where, rows string
		dry         bool
		action      task.Action
		want        string
	}{
		"none kept":            {where: `Name == "Zed"`, rows: "1,Ann\n2,Bob\n", want: said + "has none now; with expect: {min_rows: 1}"},
		"none kept, a dry run": {where: `Name == "Zed"`, rows: "1,Ann\n2,Bob\n", dry: true, want: said + "would have none"},
		"one kept":             {where: `Name == "Bob"`, rows: "1,Ann\n2,Bob\n"},
		"no rows":              {where: `Name == "Zed"`},
		"no where":             {rows: ",\n,\n"},
		"appended":             {where: `Name == "Zed"`, rows: "1,Ann\n2,Bob\n", action: task.Append},
	} {
		t.Run(name, func(t *testing.T) {
			b := pipelinetest.New(t)
			b.Write("members.csv", "ID,Name\n"+c.rows)
			b.Write("out.csv", "id,name\n7,old\n")
			b.ToFile(cmp.Or(c.action, task.Replace))
			b.Job.Task.Where, b.Job.DryRun = c.where, c.dry
			s, err := b.Run(t.Context())
			if err != nil || (c.want == "") != (len(s.Warnings) == 0) || c.want != "" && !strings.HasPrefix(s.Warnings[0], c.want) {
				t.Errorf("warns of %q, %v; want %q", s.Warnings, err, c.want)
			}
		})
	}
}

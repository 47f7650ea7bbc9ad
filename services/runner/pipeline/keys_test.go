package pipeline_test

import (
	"slices"
	"strings"
	"testing"

	"runhook/services/runner/connector/imis/imissite"
	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// A key that comes twice in one run is said, because the rows are fewer than those that were written.
func TestAKeyTwice(t *testing.T) {
	const count = 3000
	twice := strings.Replace(members(count, "Ann"), "\n2999,", "\n 7,", 1) // which is 7 in the table
	for name, c := range map[string]struct {
		file string
		want []string
		left string
	}{
		"none": {members(count, "Ann"), nil, "3000"},
		"one":  {twice, []string{"1 row has a key (id) that an earlier row of this run has, and took its place: row 2999"}, "2999"},
		"many": {
			members(count, "Ann") + strings.TrimPrefix(members(9, "Bob"), "ID,Name\n"),
			[]string{"9 rows have a key (id) that an earlier row of this run has, and took its place: rows 3001, 3002, 3003, 3004, 3005, …"},
			"3000",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := pipelinetest.New(t)
			b.Exec("CREATE TABLE members (id INTEGER PRIMARY KEY, name)")
			b.Write("members.csv", c.file)
			b.Mapping("id", "trim(ID)", "name", "Name")
			for range 2 { // the first inserts, the second changes nothing
				s, err := b.Run(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, warning := range s.Warnings {
					got = append(got, strings.ReplaceAll(warning, " (line 3000)", ""))
				}
				if len(c.want) > 0 && len(got) == 1 && strings.Contains(got[0], "(line ") {
					got[0] = c.want[0] // the lines are the source's matter
				}
				if !slices.Equal(got, c.want) || b.Query("SELECT count(*) FROM members") != c.left {
					t.Errorf("warns of %q, want %q; %s rows are left", got, c.want, b.Query("SELECT count(*) FROM members"))
				}
			}
		})
	}
	t.Run("of two columns", func(t *testing.T) {
		b := pipelinetest.New(t)
		b.Table().Key = []string{"id", "name"}
		b.Write("members.csv", "ID,Name\n1,23\n12,3\n1,23\n123,x\n1,3\n")
		s := b.Succeed(run.Counts{Retrieved: 5, Inserted: 4, Unchanged: 1})
		if len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], "1 row has a key (id, name)") {
			t.Errorf("warns of %q", s.Warnings)
		}
	})
	t.Run("that the source has named", func(t *testing.T) {
		for name, c := range map[string]struct {
			key  func(i int) int
			want string
		}{
			"on two pages":         {func(i int) int { return i % 10 }, "gave 20 rows with a key (id) that an earlier page has too"},
			"on one page":          {func(i int) int { return i / 2 }, "15 rows have a key (id) that an earlier row of this run has"},
			"on one and two pages": {func(i int) int { return i % 5 }, "25 rows have a key (id) that an earlier row of this run has"},
		} {
			b := pipelinetest.New(t)
			site := b.FromIMIS(30)
			b.Job.Task.Source.(*task.IMISSource).PageSize = 10
			site.SetQueries(imissite.Query{
				Path: "$/Members", Columns: []imissite.Column{{Name: "ID", Type: "Int32"}, {Name: "Full Name", Type: "String"}}, Count: 30,
				Row: func(i int) []any { return []any{c.key(i) + 1, "Ann"} },
			})
			b.Mapping("id", "ID", "name", `row["Full Name"]`)
			if s, err := b.Run(t.Context()); err != nil || len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], c.want) {
				t.Errorf("%s: warns of %q, %v; want %q", name, s.Warnings, err, c.want)
			}
		}
	})
	t.Run("without a key", func(t *testing.T) {
		b := pipelinetest.New(t)
		b.ToFile(task.Replace)
		b.Write("members.csv", "ID,Name\n1,Ann\n1,Ann\n")
		if s := b.Succeed(run.Counts{Retrieved: 2, Inserted: 2}); len(s.Warnings) > 0 {
			t.Errorf("warns of %q", s.Warnings)
		}
	})
	t.Run("of a panel", func(t *testing.T) {
		for again, counts := range map[string]run.Counts{"A": {Retrieved: 3, Inserted: 2, Unchanged: 1}, "a": {Retrieved: 3, Inserted: 2, Updated: 1}} {
			b := pipelinetest.New(t)
			b.ToPanel(task.Upsert)
			b.Write("members.csv", "ID,Name\n101,A\n102,B\n101,"+again+"\n")
			s := b.Succeed(counts)
			if len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], "1 row has a key (ID, Code)") {
				t.Errorf("%s: warns of %q", again, s.Warnings)
			}
		}
	})
	t.Run("in another letter case", func(t *testing.T) {
		b := pipelinetest.New(t)
		b.Table().Key = []string{"name"}
		b.Write("members.csv", "ID,Name\n1,A\n2,a\n")
		if s := b.Succeed(run.Counts{Retrieved: 2, Inserted: 2}); len(s.Warnings) > 0 {
			t.Errorf("warns of %q", s.Warnings)
		}
	})
}

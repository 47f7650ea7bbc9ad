package imis_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"runhook/services/runner/check"
	"runhook/services/runner/connector/imis"
	"runhook/services/runner/connector/imis/imissite"
	"runhook/services/runner/connector/imis/imissite/sitetest"
	"runhook/shared/task"
)

// keyed gives the task a table whose key is made of the source's columns by those expressions.
func (b *bench) keyed(expressions ...string) {
	to := &task.SQLDestination{Connection: "db", Table: "t", Action: task.Upsert}
	b.task.Mapping = nil
	for i, expression := range expressions {
		name := fmt.Sprintf("key%d", i+1)
		to.Key = append(to.Key, name)
		b.task.Mapping = append(b.task.Mapping, task.Column{Name: name, Expression: expression})
	}
	b.task.Mapping = append(b.task.Mapping, task.Column{Name: "more", Expression: "State"})
	b.task.Destination = to
}

// warnings reads all rows, and returns how many there are and what the source says of them.
func (b *bench) warnings() (rows int, said []string, err error) {
	b.t.Helper()
	s, err := imis.Open(b.t.Context(), b.job())
	if err != nil {
		return 0, nil, err
	}
	defer s.Close()
	for cells := make([]any, len(s.Columns().Names)); ; rows++ {
		if _, err := s.Next(b.t.Context(), cells); err != nil {
			_, again := s.Next(b.t.Context(), cells)
			if again.Error() != err.Error() {
				b.t.Errorf("the end is %v, and then %v", err, again)
			}
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return rows, s.Warnings(), err
		}
	}
}

// sorted is an IQA of members in that saved order.
func sorted(count int, by ...string) imissite.Query {
	q := members(count)
	q.Sort = by
	return q
}

// A key on two pages is named: the IQA's order leaves open which of its equals comes when.
func TestKeysOnTwoPages(t *testing.T) {
	const named = `the IQA $/Membership/Lapsed Members of connection prod gave `
	for _, c := range []struct {
		name   string
		sort   []string
		keys   []string
		size   int
		repeat bool
	}{
		{"by state alone", []string{"State"}, []string{"ID"}, 7, true},
		{"by state, keyed by an expression", []string{"State"}, []string{`"M" + string(ID)`}, 7, true},
		{"by state, keyed by two columns", []string{"State"}, []string{"State", `row["Full Name"]`}, 10, true},
		{"by state and number", []string{"State", "ID"}, []string{"ID"}, 7, false},
		{"by number", []string{"ID"}, []string{"ID"}, 7, false},
		{"one page", []string{"State"}, []string{"ID"}, 500, false},
		{"a key that is the same in many rows of a page", []string{"ID"}, []string{`"constant"`}, 7, false},
		{"no key", []string{"State"}, nil, 7, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, sorted(60, c.sort...))
			b.from().PageSize = c.size
			b.keyed(c.keys...)
			rows, said, err := b.warnings()
			if err != nil || rows != 60 {
				t.Fatalf("%d rows, %v", rows, err)
			}
			if c.repeat != (len(said) == 1) || c.repeat && (!strings.HasPrefix(said[0], named) || !strings.Contains(said[0], "that an earlier page has too, the first as row ")) {
				t.Errorf("said %q", said)
			}
			if strings.Contains(strings.Join(said, ""), "Ann") {
				t.Errorf("a value is shown: %q", said)
			}
		})
	}
}

// A key twice on one page is what the IQA gives, and no overlap. One that all columns read counts once.
func TestKeysOnOnePage(t *testing.T) {
	q := members(20)
	q.Row = func(i int) []any { return []any{i / 2, "Ann", "CA", nil} }
	b := newBench(t, q)
	b.from().PageSize = 10
	b.keyed("ID")
	if _, said, err := b.warnings(); err != nil || len(said) != 0 {
		t.Errorf("said %q, %v", said, err)
	}
	q.Row = func(i int) []any { return []any{[]any{nil, ""}[i%2], "Ann", "CA", nil} } // no key at all
	b.site.SetQueries(q)
	if _, said, err := b.warnings(); err != nil || len(said) != 0 {
		t.Errorf("said %q, %v", said, err)
	}
	q.Row = func(i int) []any { return []any{i%19 + 1, "Ann", "CA", nil} } // the last is the first
	b.site.SetQueries(q)
	if _, said, err := b.warnings(); err != nil || len(said) != 1 || !strings.Contains(said[0], "gave 1 row with a key (key1) that an earlier page has too, the first as row 20: ") {
		t.Errorf("said %q, %v", said, err)
	}
}

// Fewer rows than the site counts are no success, and more are named.
func TestTotalsThatDoNotFit(t *testing.T) {
	page := func(rows int, rest string) string {
		var all []string
		for i := range rows {
			all = append(all, fmt.Sprintf(`{"ID":%d,"State":"CA"}`, i+1))
		}
		return `{"Items":{"$values":[` + strings.Join(all, ",") + `]},` + rest + `}`
	}
	const name = "the IQA $/Membership/Lapsed Members of connection prod "
	for _, c := range []struct {
		name, page string
		rows       int
		fails, won string
	}{
		{"fewer", page(10, `"Offset":0,"Limit":10,"Count":10,"TotalCount":25,"HasNext":false,"NextOffset":0`), 10, name + "says that it has 25 rows (TotalCount), and gave 10", ""},
		{"fewer, in texts", page(10, `"Offset":"0","TotalCount":"25","HasNext":"False"`), 10, "says that it has 25 rows (TotalCount), and gave 10", ""},
		{"one less", page(9, `"TotalCount":10,"HasNext":false`), 9, "says that it has 10 rows (TotalCount), and gave 9", ""},
		{"none of some", page(0, `"TotalCount":3,"HasNext":false`), 0, "says that it has 3 rows (TotalCount), and gave 0", ""},
		{"more", page(10, `"TotalCount":7,"HasNext":false`), 10, "", name + "says that it has 7 rows (TotalCount), and gave 10"},
		{"some of none", page(2, `"TotalCount":0,"HasNext":false`), 2, "", "says that it has 0 rows (TotalCount), and gave 2"},
		{"not counted", page(3, `"HasNext":false`), 3, "", ""},
		{"counted with null", page(3, `"TotalCount":null,"HasNext":false`), 3, "", ""},
		{"no list of none", `{"Offset":0,"Limit":500,"Count":0,"HasNext":false}`, 0, "", ""},
		{"no list of none, counted", `{"TotalCount":0}`, 0, "", ""},
		{"no list of some", `{"TotalCount":3,"HasNext":false}`, 0, "is not a page of rows", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, members(3))
			b.site.FailPage(0, sitetest.Times(2, sitetest.Answer("application/json", c.page))...)
			rows, said, err := b.warnings()
			if rows != c.rows || (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%d rows, %v", rows, err)
			}
			if err == nil && (len(said) == 0) != (c.won == "") || !strings.Contains(strings.Join(said, ""), c.won) {
				t.Errorf("said %q", said)
			}
			b = newBench(t, members(3))
			b.site.FailPage(0, sitetest.Answer("application/json", c.page))
			found := b.check()
			if want := c.fails + c.won; (len(found.Findings) > 0) != (want != "") || want != "" && !strings.Contains(found.Findings[0].Message, want) || found.Failed() != (c.fails != "") {
				t.Errorf("check finds %v", found.Findings)
			}
		})
	}
}

// A run knows how many rows there are before it asks for the first page of them.
func TestTotalBeforeTheFirstPage(t *testing.T) {
	for _, c := range []struct{ count, told, pages int }{{1234, 1234, 2}, {2, 2, 2}, {1, 1, 2}, {0, 0, 2}} {
		b := newBench(t, members(c.count))
		told, after := int64(-1), 0
		job := b.job()
		job.Total = func(rows int64) { told, after = rows, len(b.pages()) }
		s, err := imis.Open(t.Context(), job)
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		if first := b.pages()[0].Query.Get("limit"); told != int64(c.told) || after != 1 || first != "1" || len(b.pages()) != c.pages {
			t.Errorf("%d rows: told %d after %d requests of %d, the first for %s", c.count, told, after, len(b.pages()), first)
		}
	}
	b := newBench(t, members(3)) // one that does not count its rows tells nothing, and gives them
	one := sitetest.Answer("application/json", `{"Items":{"$values":[{"ID":1}]},"HasNext":false}`)
	b.site.FailPage(0, one)
	job := b.job()
	job.Total = func(rows int64) { t.Errorf("told %d", rows) }
	s, err := imis.Open(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, total := s.Progress(); total != 3 {
		t.Errorf("%d rows", total)
	}
}

// A site that does not say whether there are more is asked, as long as it counts more.
func TestPagesWithoutHasNext(t *testing.T) {
	b := newBench(t, members(7))
	b.from().PageSize = 3
	bare := func(from, to int) imissite.Fault {
		var all []string
		for i := from; i < to; i++ {
			all = append(all, fmt.Sprintf(`{"ID":%d}`, i+1))
		}
		return sitetest.Answer("application/json", fmt.Sprintf(`{"Items":[%s],"Offset":%d,"TotalCount":7}`, strings.Join(all, ","), from))
	}
	b.site.FailPage(0, bare(0, 3))
	b.site.FailPage(3, bare(3, 6))
	b.site.FailPage(6, bare(6, 7))
	b.expectRows(7)
}

// A page says nothing of others, or leaves out what the first says: the run reads on, or compares with the first.
func TestPagesThatSayLittle(t *testing.T) {
	page := func(from, rows int, rest string) imissite.Fault {
		var all []string
		for i := range rows {
			all = append(all, fmt.Sprintf(`{"ID":%d}`, from+i+1))
		}
		return sitetest.Answer("application/json", fmt.Sprintf(`{"Items":[%s],"Offset":%d%s}`, strings.Join(all, ","), from, rest))
	}
	for name, c := range map[string]struct {
		pages []imissite.Fault // of three rows each, the first as long as one row is asked for too
		rows  int
		fails string
	}{
		"nothing":                {[]imissite.Fault{page(0, 3, ""), page(3, 3, ""), page(6, 0, "")}, 6, ""},
		"nothing, on short ones": {[]imissite.Fault{page(0, 3, `,"Limit":500`), page(3, 2, ""), page(5, 0, "")}, 5, ""},
		"the next offset alone":  {[]imissite.Fault{page(0, 3, `,"NextOffset":3`), page(3, 3, `,"NextOffset":0`)}, 6, ""},
		"its end in text":        {[]imissite.Fault{page(0, 3, `,"HasNext":"true","NextOffset":"3"`), page(3, 3, `,"HasNext":"false"`)}, 6, ""},
		"no count on an empty page": {
			[]imissite.Fault{page(0, 3, `,"TotalCount":7,"HasNext":true,"NextOffset":3`), page(3, 0, `,"Count":0`)}, 3, "says that it has 7 rows (TotalCount), and gave 3",
		},
		"no count on the last": {
			[]imissite.Fault{page(0, 3, `,"TotalCount":7,"HasNext":true,"NextOffset":3`), page(3, 3, `,"HasNext":false`)}, 6, "says that it has 7 rows (TotalCount), and gave 6",
		},
		"a list of null": {
			[]imissite.Fault{page(0, 3, `,"TotalCount":7,"HasNext":true,"NextOffset":3`), sitetest.Answer("application/json", `{"Items":null,"Offset":3,"HasNext":false}`)}, 3, "says that it has 7 rows",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, members(3))
			b.from().PageSize = 3
			b.site.FailPage(0, c.pages[0], c.pages[0])
			at := 3
			for _, one := range c.pages[1:] {
				b.site.FailPage(at, one)
				at = min(at+3, c.rows)
			}
			rows, said, err := b.warnings()
			if rows != c.rows || len(said) > 0 && c.fails == "" || (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%d rows, %v, %q", rows, err, said)
			}
		})
	}
}

// Rows that come or go while the pages are read are named.
func TestTotalThatChanges(t *testing.T) {
	for _, to := range []int{21, 19} {
		b := newBench(t, members(20))
		b.from().PageSize = 10
		b.site.FailPage(10, func(w http.ResponseWriter, r *http.Request) {
			b.site.SetQueries(members(to))
			imissite.AnswerAsUsual(w, r)
		})
		rows, said, err := b.warnings()
		if want := fmt.Sprintf("the IQA $/Membership/Lapsed Members of connection prod had 20 rows at first, and %d when its last page was read: rows may be missing, or there twice", to); err != nil || rows != to || !slices.Equal(said, []string{want}) {
			t.Errorf("%d rows, %q, %v", rows, said, err)
		}
	}
}

// check looks at the source.
func (b *bench) check() *check.Report {
	b.t.Helper()
	var found check.Report
	looked, err := imis.SourceKind{}.Check(b.t.Context(), b.job(), &found)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, warning := range looked.Warnings {
		found.Warnf(check.At("source"), "%s", warning)
	}
	found.Findings = slices.DeleteFunc(found.Findings, func(f check.Finding) bool { return f.Severity == check.Note })
	return &found
}

// What only some order could explain is said before the first run.
func TestCheckLooksAtTheOrder(t *testing.T) {
	row := func(cells ...any) []any { return cells }
	for _, c := range []struct {
		name  string
		count int
		size  int
		row   func(i int) []any
		says  string
	}{
		{"by number", 300, 500, func(i int) []any { return row(i, "Ann", "CA", nil) }, ""},
		{"by number, downwards, 10 a page", 300, 10, func(i int) []any { return row(1000-i, "Ann", "CA", nil) }, ""},
		{"by state and name", 900, 500, func(i int) []any {
			return row(i*7919%1000, fmt.Sprintf("Ann %03d", i%50), fmt.Sprintf("S%02d", i/50), nil)
		}, ""},
		{"by name, as a site orders", 300, 10, func(i int) []any {
			return row(nil, []string{"al-Ali", "Al Amin", "Älva", "o'Brien", "OBrien-Dee", "Zoë"}[i%6]+fmt.Sprint(i/6), fmt.Sprint(i/6+1000), nil)
		}, ""},
		{"by name, many of them equal", 900, 500, func(i int) []any { return row(i*7919%1000, "Ann", fmt.Sprintf("S%02d", i/50), nil) }, "are not in the order of anything that is unique"},
		{"by nothing", 900, 500, func(i int) []any { return row(i*7919%1000, "Ann", "CA", i*104729%977) }, "the first 200 rows of the IQA $/Membership/Lapsed Members of connection prod are not in the order of anything that is unique: "},
		{"by nothing, 10 a page", 900, 10, func(i int) []any { return row(i*7919%1000, "Ann", "CA", i*104729%977) }, "the first 20 rows of "},
		{"names that differ in case alone", 900, 500, func(i int) []any { return row(i*7919%1000, []string{"ANN", "ann", "Ann"}[i%3], "CA", nil) }, "are not in the order of anything that is unique"},
		{"by nothing, and one page", 300, 500, func(i int) []any { return row(i*7919%1000, "Ann", "CA", nil) }, ""},
		{"the same keys on both pages", 300, 10, func(i int) []any { return row(i%10, "Ann", "CA", i) }, "gave 10 rows with a key (key1) that an earlier page has too, the first as row 11: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := members(c.count)
			q.Prompts, q.Row = nil, c.row
			b := newBench(t, q)
			b.from().PageSize = c.size
			b.keyed("ID")
			found := b.check()
			if (c.says == "") != (len(found.Findings) == 0) || c.says != "" && !strings.Contains(found.Findings[0].Message, c.says) || found.Failed() {
				t.Errorf("%v", found.Findings)
			}
		})
	}
	// The site gives fewer rows at a time than it is asked for.
	q := members(80)
	q.Prompts, q.Row = nil, func(i int) []any { return row(i*7919%1000, "Ann", "CA", nil) }
	b := newBench(t, q)
	b.site.SetPageLimit(50)
	if found := b.check(); len(found.Findings) != 1 || !strings.Contains(found.Findings[0].Message, "the first 80 rows") {
		t.Errorf("%v", found.Findings)
	}
}

package imis_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"runhook/services/runner/connector/imis/imissite"
	"runhook/shared/task"
)

func TestRowsOfAllPages(t *testing.T) {
	for _, endpoint := range []task.Endpoint{task.QueryEndpoint, task.IQAEndpoint} {
		for _, c := range []struct{ count, size, limit, requests int }{
			{1234, 500, 500, 3},
			{1000, 500, 500, 2}, // the last page is full
			{500, 500, 500, 1},
			{1, 500, 500, 1},
			{0, 500, 500, 1},
			{30, 7, 500, 5},
			{1234, 500, 100, 13}, // the site gives less than it is asked for
		} {
			b := newBench(t, members(c.count))
			b.from().Endpoint, b.from().PageSize = endpoint, c.size
			b.site.SetPageLimit(c.limit)
			b.expectRows(c.count)
			requests := b.site.Requests()
			if len(requests) != c.requests || b.site.Logins() != 1 || b.site.MostAtOnce() != 1 {
				t.Errorf("%s %+v: %d requests, %d logins, %d at once", endpoint, c, len(requests), b.site.Logins(), b.site.MostAtOnce())
			}
			// The site's own length of a page is adopted.
			if last := requests[len(requests)-1]; len(requests) > 1 && last.Query.Get("limit") != map[bool]string{true: "100", false: requests[0].Query.Get("limit")}[c.limit == 100] {
				t.Errorf("%+v: the last page was asked for with %v", c, last.Query)
			}
		}
	}
}

// oddities is an IQA of one row with a value of every kind.
func oddities(cells ...any) imissite.Query {
	q := imissite.Query{Path: "$/Odd", Count: 1, Row: func(int) []any { return cells }}
	for i := range cells {
		q.Columns = append(q.Columns, imissite.Column{Name: string(rune('A' + i)), Type: "Int32"})
	}
	return q
}

func TestValuesAsTheyAre(t *testing.T) {
	query := oddities(
		nil, true, false, int64(9007199254740993), json.Number("12345678901234567890"), json.Number("0.10"), json.Number("-1.5e3"),
		"", "Zoë \"quoted\" \\ <a> \n\u2028 😀", "2026-01-31T06:00:00", imissite.Wrapped{Type: "System.Int32", Value: 65},
		imissite.Wrapped{Type: "System.Decimal", Value: json.Number("19.990")}, []byte("abc\xff"), json.RawMessage(`{"$type":"X","a":[1,{"$value":2.0}]}`),
		json.RawMessage(`{"$type":"Collection","$values":["a",null]}`),
	)
	want := []any{
		nil, true, false, int64(9007199254740993), json.Number("12345678901234567890"), json.Number("0.10"), json.Number("-1.5e3"),
		"", "Zoë \"quoted\" \\ <a> \n\u2028 😀", "2026-01-31T06:00:00", int64(65),
		json.Number("19.990"), "YWJj/w==",
		map[string]any{"a": []any{int64(1), json.Number("2.0")}},
		[]any{"a", nil},
	}
	for _, endpoint := range []task.Endpoint{task.QueryEndpoint, task.IQAEndpoint} {
		b := newBench(t, query)
		b.from().Endpoint = endpoint
		columns, rows, err := b.read(t.Context())
		if err != nil || len(rows) != 1 || len(columns) != len(want) || columns[0] != "A" {
			t.Fatalf("%s: %v, %d rows, %v", endpoint, columns, len(rows), err)
		}
		for i, cell := range rows[0] {
			if !reflect.DeepEqual(cell, want[i]) {
				t.Errorf("%s, %s: got %#v, want %#v", endpoint, columns[i], cell, want[i])
			}
		}
	}
}

// Names that only some rows of the first page have are columns; others of later pages are not.
func TestAbsentValues(t *testing.T) {
	b := newBench(t, imissite.Query{
		Path: "$/Sparse", Columns: []imissite.Column{{Name: "A"}, {Name: "B"}, {Name: "C"}}, Count: 4,
		Row: func(i int) []any {
			return [][]any{
				{"a0", imissite.Absent{}, imissite.Absent{}},
				{"a1", "b1", imissite.Absent{}},
				{imissite.Absent{}, "b2", "c2"},
				{"a3", imissite.Absent{}, "c3"},
			}[i]
		},
	})
	b.from().PageSize = 2
	columns, rows, err := b.read(t.Context())
	want := [][]any{{"a0", nil}, {"a1", "b1"}, {nil, "b2"}, {"a3", nil}}
	if err != nil || !reflect.DeepEqual(columns, []string{"A", "B"}) || !reflect.DeepEqual(rows, want) {
		t.Errorf("got %v, %v, %v", columns, rows, err)
	}
}

func TestPrompts(t *testing.T) {
	for name, c := range map[string]struct {
		state []string
		ids   []any
	}{
		"none":                   {nil, []any{int64(1), int64(2), int64(3), int64(4)}},
		"plain":                  {[]string{"NV"}, []any{int64(2)}},
		"several":                {[]string{"NV", "CA"}, []any{int64(1), int64(2)}},
		"an operator":            {[]string{"ne:CA"}, []any{int64(3)}},
		"another":                {[]string{"startsWith:"}, nil},
		"in":                     {[]string{"in:NV|CA"}, nil},
		"signs":                  {[]string{"!=:CA"}, nil},
		"with spaces":            {[]string{" ne:NV"}, nil},
		"without a colon":        {[]string{"empty"}, []any{int64(4)}},
		"another parameter":      {[]string{"NV&QueryName=$/Other"}, nil},
		"another, encoded":       {[]string{"NV%26limit%3D1"}, nil},
		"a longer page":          {[]string{"NV&limit=1"}, nil},
		"an end of the address":  {[]string{"NV#"}, nil},
		"a line and a semicolon": {[]string{"NV\r\nX: y;"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, members(4), oddities("secret"))
			b.prompt("State", c.state...)
			b.prompt("FullName")
			b.expect(c.ids...)
			for _, r := range b.site.Requests() {
				names := 4
				if c.state == nil {
					names = 3 // what has no value is left out, so that the IQA's own default applies
				}
				if len(r.Query) != names || r.Query.Get("QueryName") != "$/Membership/Lapsed Members" {
					t.Errorf("asked with %v", r.Query)
				}
			}
		})
	}
	b := newBench(t, members(4))
	b.prompt("State", "NV", "a|b")
	b.task.Source.(*task.IMISSource).Connection = "prod"
	_, _, err := b.read(t.Context())
	if err == nil || len(b.site.Requests()) != 0 {
		t.Errorf("a | within a list: %v, %d requests", err, len(b.site.Requests()))
	}
}

func TestPromptsByPosition(t *testing.T) {
	b := newBench(t, members(4))
	b.from().Endpoint = task.IQAEndpoint
	b.prompt("AnyName")
	b.prompt("Other", "Ann 3")
	b.expect(int64(3))
	if got := b.site.Requests()[0].Query["parameter"]; !reflect.DeepEqual(got, []string{"", "Ann 3"}) {
		t.Errorf("asked with %q", got)
	}
	b.values["AnyName"] = task.Value{Values: []string{"ne:CA"}}
	b.expect(int64(3))
	b.prompt("Third", "x")
	b.fail("the IQA $/Membership/Lapsed Members of connection prod: the task lists 3 prompts, and it has the prompts State, FullName")
}

// The IQA's own default holds where the task has no value.
func TestDefaultOfTheIQA(t *testing.T) {
	query := members(4)
	query.Prompts[0].Default = "NV"
	b := newBench(t, query)
	b.prompt("State")
	b.expect(int64(2))
	b = newBench(t, query)
	b.prompt("State", "CA")
	b.expect(int64(1))
}

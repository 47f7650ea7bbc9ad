package imis_test

import (
	"encoding/json"
	"reflect"
	"slices"
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
			requests := b.pages()[1:] // the first asks for one row, and so for their number
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
			for _, r := range b.pages() {
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

// pages are the requests for pages of an IQA.
func (b *bench) pages() []imissite.Request {
	return slices.DeleteFunc(b.site.Requests(), func(r imissite.Request) bool { return r.Path != "/api/query" && r.Path != "/api/iqa" })
}

// labeled is an IQA with two filters on one column, told apart by their Search Labels, and others.
func labeled() imissite.Query {
	q := members(8)
	q.Prompts = []imissite.Prompt{
		{Property: "State", Label: "Home state", Column: "State"},
		{Property: "State", Label: "Part of the state", Column: "State", Contains: true},
		{Property: "FullName", Label: "Name", Column: "Full Name"},
		{Property: "ID", Column: "ID"},
		{Property: "Dues", Label: "Limit", Column: "Dues"},
	}
	return q
}

// A prompt has the name that its filter's Search Label is, and its property's where that is enough.
func TestPromptsBySearchLabel(t *testing.T) {
	for _, c := range []struct {
		name, value string
		more        []string
		ids         []any
		fails       string
	}{
		{name: "Home state", value: "NV", ids: []any{int64(2), int64(6)}},
		{name: "home STATE", value: "NV", more: []string{"Part of the state", "V"}, ids: []any{int64(2), int64(6)}},
		{name: "Part of the state", value: "V", ids: []any{int64(2), int64(6)}},
		{name: "Name", value: "Ann 5", ids: []any{int64(5)}},
		{name: "FullName", value: "Ann 5", ids: []any{int64(5)}}, // the property
		{name: "ID", value: "3", ids: []any{int64(3)}},
		{name: "State", value: "SECRET", fails: "it has several prompts for State; take the Search Label of one, Home state, Part of the state"},
		{name: "Stat", value: "SECRET", fails: "it has no prompt Stat; it has the prompts Home state, Part of the state, Name, ID, Limit"},
		{name: "Dues", value: "1", fails: "it has a prompt Limit, which cannot be passed by that name: it means something else to iMIS; give the filter another Search Label"},
		{name: "Name", value: "Ann 5", more: []string{"FullName", "SECRET"}, fails: "it has one prompt for Name and FullName, the parameters of the task; remove one of the two"},
	} {
		b := newBench(t, labeled())
		b.prompt(c.name, c.value)
		if c.more != nil {
			b.prompt(c.more[0], c.more[1])
		}
		if c.fails == "" {
			b.expect(c.ids...)
			continue
		}
		b.fail("the IQA $/Membership/Lapsed Members of connection prod: " + c.fails)
		if pages := b.pages(); len(pages) != 0 {
			t.Errorf("%s: asked for %v", c.name, pages)
		}
	}
}

// A site that does not say what its prompts are called gets them as the task has them.
func TestPromptsOfSitesWithoutLabels(t *testing.T) {
	b := newBench(t, members(4))
	b.site.SetUnlabeled(true)
	b.prompt("State", "NV")
	b.expect(int64(2))
	b.prompt("Sate", "CA")
	b.fail("it has no prompt Sate; did you mean State?")
	q := members(4)
	q.Prompts = nil // and one that has none, nothing to compare with
	b = newBench(t, q)
	b.prompt("State", "NV")
	b.fail("it has no prompt State; it has no prompts")
}

func TestCheckKnowsSearchLabels(t *testing.T) {
	b := newBench(t, labeled())
	b.keyed("ID")
	for _, name := range []string{"Home state", "part of the state", "FullName", "ID"} {
		b.prompt(name, "NV")
	}
	b.values["ID"], b.values["FullName"], b.values["part of the state"] = task.Value{}, task.Value{}, task.Value{}
	if found := b.check(); len(found.Findings) != 0 {
		t.Errorf("%v", found.Findings)
	}
	b.prompt("State")
	b.prompt("Name")
	b.prompt("Dues")
	var said []string
	for _, f := range b.check().Findings {
		said = append(said, f.Text())
	}
	const name = "the IQA $/Membership/Lapsed Members of connection prod"
	if want := []string{
		"parameters.State: " + name + " has several prompts for State; take the Search Label of one, Home state, Part of the state",
		"parameters.Name: another parameter of the task is for the prompt Name of " + name + " too; remove one of the two",
		"parameters.Dues: " + name + " has a prompt Limit, which cannot be passed by that name: it means something else to iMIS; give the filter another Search Label",
	}; !slices.Equal(said, want) {
		t.Errorf("found %q", said)
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

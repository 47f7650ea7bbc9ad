package httpjson

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"runhook/services/runner/check"
	"runhook/services/runner/connector"
	"runhook/shared/task"
)

// A page without rows, in any of the forms that services give it, is not the end if there is more.
func TestPagesWithoutRows(t *testing.T) {
	byPage, byOffset, byLink := &task.NextPage{Page: "page"}, &task.NextPage{Offset: "o"}, &task.NextPage{Link: "next"}
	nothing := map[string]said{
		"204": {status: 204}, "an empty body": {body: " "}, "null": {body: `{"d":null}`}, "an empty list": {body: `{"d":[]}`}, "no list": {body: `{}`},
	}
	first, last := ids(1, 2), ids(3, 3)
	for name, c := range map[string]struct {
		first, next string // what the first page says
		from        task.HTTPSource
		pages       map[string]said
		quiet       string // the forms that may end a run without a word, of which all else is read, or the run warns or fails
		all         bool   // all rows are read in all forms
	}{
		"a total":              {first: `,"total":3`, from: task.HTTPSource{Next: byPage}, all: true},
		"one in a text":        {first: `,"meta":{"total":"3"}`, from: task.HTTPSource{Next: byPage}, all: true},
		"a count":              {first: `,"count":3`, from: task.HTTPSource{Next: byPage}, all: true},
		"declared pages":       {first: `,"n":3`, from: task.HTTPSource{Next: &task.NextPage{Page: "page", Pages: "n"}}, all: true},
		"declared more":        {first: `,"m":true`, from: task.HTTPSource{Next: &task.NextPage{Page: "page", More: "m"}}, quiet: "an empty list"},
		"a link":               {first: `,"next":"/?page=2"`, from: task.HTTPSource{Next: byLink}, quiet: "an empty list"},
		"a total with a link":  {first: `,"next":"/?page=2","total":3`, from: task.HTTPSource{Next: byLink}},
		"a total by offset":    {first: `,"total":3`, from: task.HTTPSource{Next: byOffset}},
		"a next of none":       {first: `,"next":"/?page=2"`, from: task.HTTPSource{Next: byPage}, quiet: "an empty list"},
		"more of none":         {first: `,"has_more":true`, from: task.HTTPSource{Next: byOffset}, quiet: "an empty list"},
		"no other page at all": {from: task.HTTPSource{Next: byPage}, quiet: "204, an empty body, null, an empty list"},
	} {
		for form, empty := range nothing {
			s := script(t, map[string]said{
				"/": {body: `{"d":` + first + c.first + `}`}, "/?page=2": empty, "/?o=2": empty, "/?page=3": {body: `{"d":` + last + `}`}, "/?page=4": {body: `{"d":[]}`},
			})
			from := c.from
			from.Path, from.Items = "/", "d"
			rows, warnings, err := readWarned(t, s.URL, &from, nil)
			all, loud := len(rows) == 3 && err == nil, err != nil || len(warnings) > 0
			if all != c.all || !all && loud == strings.Contains(c.quiet, form) {
				t.Errorf("%s, then %s: %v, %v with %q after %q", name, form, rows, err, warnings, s.requests())
			}
		}
	}
}

// An empty page that says itself that there is another one is passed over, as long as the way leads on.
func TestEmptyPageSaysThatThereIsMore(t *testing.T) {
	for name, c := range map[string]struct {
		from  task.HTTPSource
		empty said
		fails string
	}{
		"204 with a Link":      {task.HTTPSource{Next: &task.NextPage{Header: true}}, said{status: 204, headers: []string{"Link: </3>; rel=next"}}, ""},
		"204 with a cursor":    {task.HTTPSource{Next: &task.NextPage{Cursor: "page", From: "X-Next-Page"}}, said{status: 204, headers: []string{"X-Next-Page: 3"}}, ""},
		"null with a link":     {task.HTTPSource{Next: &task.NextPage{Link: "next"}}, said{body: `{"d":null,"next":"/3"}`}, ""},
		"null with has_more":   {task.HTTPSource{Next: &task.NextPage{Page: "page"}}, said{body: `{"d":null,"has_more":true}`}, ""},
		"no list with a token": {task.HTTPSource{Next: &task.NextPage{Page: "page"}}, said{body: `{"nextPageToken":"x"}`}, ""},
		"204 with pages":       {task.HTTPSource{Next: &task.NextPage{Page: "page"}}, said{status: 204, headers: []string{"X-Total-Pages: 3"}}, ""},
		"by the offset":        {task.HTTPSource{Next: &task.NextPage{Offset: "o"}}, said{body: `{"d":null,"isLast":false}`}, "2 rows came from /, connection partner, and the last page says at isLast that there are more; correct source.http.next to how"},
	} {
		t.Run(name, func(t *testing.T) {
			s := script(t, map[string]said{
				"/":  {body: `{"d":` + ids(1, 2) + `,"next":"/2"}`, headers: []string{"Link: </2>; rel=next", "X-Next-Page: 2"}},
				"/2": c.empty, "/?page=2": c.empty, "/?o=2": c.empty, "/3": {body: `{"d":` + ids(3, 3) + `}`}, "/?page=3": {body: `{"d":` + ids(3, 3) + `}`}, "/?page=4": {body: `{"d":[]}`},
			})
			c.from.Path, c.from.Items = "/", "d"
			rows, warnings, err := readWarned(t, s.URL, &c.from, nil)
			if c.fails != "" {
				if err == nil || !strings.HasPrefix(err.Error(), c.fails) {
					t.Errorf("got %v, %v", rows, err)
				}
			} else if err != nil || len(rows) != 3 || len(warnings) > 0 {
				t.Errorf("got %v, %v with %q after %q", rows, err, warnings, s.requests())
			}
		})
	}
}

// The number of all rows, as services write it.
func TestPlacesOfTheTotal(t *testing.T) {
	for text, want := range map[string]string{
		`,"meta":{"total":7}`:                                 "meta.total",
		`,"meta":{"pagination":{"total":7}}`:                  "meta.pagination.total",
		`,"pagination":{"total":"7"}`:                         "pagination.total",
		`,"page":{"totalElements":7,"number":0}`:              "page.totalElements",
		`,"hits":{"total":{"value":7,"relation":"eq"}}`:       "hits.total.value",
		`,"hits":{"total":7}`:                                 "hits.total",
		`,"total":{"value":7}`:                                "total.value",
		`,"total":{"count":7}`:                                "total.count",
		`,"_paging":{"Total-Items":7}`:                        "_paging.Total-Items",
		`,"totalCount":"7"`:                                   "totalCount",
		`,"@odata.count":"7"`:                                 "@odata.count",
		`,"TotalRecords":7`:                                   "TotalRecords",
		`,"count":7,"next":null`:                              "count",
		`,"recordCount":7`:                                    "recordCount",
		`,"meta":{"count":7,"limit":3,"offset":0}`:            "meta.count",
		`,"result_info":{"page":1,"count":3,"total_count":7}`: "result_info.total_count",

		`,"count":3`:                      "",
		`,"count":1`:                      "",
		`,"count":7,"limit":7`:            "",
		`,"paging":{"start":0,"count":7}`: "",
		`,"count":9`:                      "", // as many as were asked for
		`,"count":"several"`:              "",
		`,"summary":{"total":7}`:          "",
		`,"totals":{"total":7}`:           "",
		`,"total":7.5`:                    "",
		`,"total":"7 €"`:                  "",
		`,"total":true`:                   "",
		`,"meta":{"total":3}`:             "",
		`,"hits":{"total":{"value":2,"more":"than"}}`: "",
	} {
		for _, body := range []string{`{"d":` + ids(1, 3) + text + `}`, "{" + text[1:] + `,"d":` + ids(1, 3) + `}`} {
			s := script(t, map[string]said{"/?limit=9": {body: body}})
			rows, warnings, err := readWarned(t, s.URL, &task.HTTPSource{Path: "/?limit=9", Items: "d"}, nil)
			switch {
			case want == "" && (err != nil || len(rows) != 3 || len(warnings) != 0):
				t.Errorf("%s: %v, %v with %q", body, rows, err, warnings)
			case want != "" && (err == nil || !strings.Contains(err.Error(), "3 rows came from /, connection partner, and the service says at "+want+" that there are 7; ")):
				t.Errorf("%s: %v, %v", body, rows, err)
			}
		}
	}
}

// A service that gives fewer rows a page than path asks for leaves some out if it counts by the number asked for.
func TestServiceCapsItsPages(t *testing.T) {
	byPage := &task.NextPage{Page: "page"}
	const caps = "path of /, connection partner, asks for 100 rows a page, and no page has more than 3; the service seems to count pages by the number that is asked for, and to leave out the rows between: ask for 3"
	page := func(first, last int, more string) said { return said{body: `{"d":` + ids(first, last) + more + `}`} }
	for name, c := range map[string]struct {
		path  string
		next  *task.NextPage
		pages map[string]said
		rows  int
		warns bool
	}{
		"pages":               {"/?limit=100", byPage, map[string]said{"": page(1, 3, ""), "&page=2": page(101, 103, ""), "&page=3": page(1, 0, ""), "/?limit=3&page=3": page(7, 9, "")}, 6, true},
		"its pages":           {"/?limit=100", byPage, map[string]said{"": page(1, 3, ""), "&page=2": page(4, 5, ""), "&page=3": page(1, 0, ""), "/?limit=3&page=3": page(1, 0, "")}, 5, false},
		"the second page":     {"/?limit=100", byPage, map[string]said{"": page(1, 3, ""), "&page=2": page(1, 0, ""), "/?limit=3&page=2": page(4, 5, "")}, 3, true},
		"all of its pages":    {"/?limit=100", &task.NextPage{Page: "page", Pages: "n"}, map[string]said{"": page(1, 3, `,"n":1`), "/?limit=3&page=2": page(4, 5, `,"n":2`)}, 3, true},
		"pages from 0":        {"/?page=0&per_page=100", byPage, map[string]said{"": page(1, 3, ""), "/?page=1&per_page=100": page(1, 0, ""), "/?page=1&per_page=3": page(4, 4, "")}, 3, true},
		"rows not shown":      {"/?limit=100", byPage, map[string]said{"": page(1, 3, ""), "&page=2": page(1, 0, ""), "/?limit=3&page=2": page(3, 3, "")}, 3, false},
		"its count of a page": {"/?limit=100", nil, map[string]said{"": page(1, 3, `,"size":3,"itemsPerPage":3`)}, 3, false},
		"no page of a size":   {"/?page=0&per_page=100", byPage, map[string]said{"": page(1, 3, "")}, 3, false},
		"a link":              {"/?limit=100", &task.NextPage{Link: "next"}, map[string]said{"": page(1, 3, `,"next":"?limit=100&offset=100"`), "&offset=100": page(1, 0, `,"next":null`)}, 3, true},
		"a Link":              {"/?$top=100", &task.NextPage{Header: true}, map[string]said{"": {body: `{"d":` + ids(1, 3) + `}`, headers: []string{"Link: <?$top=100&$skip=100>; rel=next"}}, "&$skip=100": page(101, 103, "")}, 6, true},
		"a cursor":            {"/?limit=100", &task.NextPage{Cursor: "start", From: "next"}, map[string]said{"": page(1, 3, `,"next":100`), "&start=100": page(101, 102, `,"next":null`)}, 5, true},
		"its own word":        {"/?limit=100", nil, map[string]said{"": page(1, 3, `,"meta":{"limit":3}`)}, 3, true},
		"its header":          {"/?limit=100", nil, map[string]said{"": {body: `{"d":` + ids(1, 3) + `}`, headers: []string{"X-Per-Page: 3"}}}, 3, true},
		"an offset":           {"/?limit=100", &task.NextPage{Offset: "o"}, map[string]said{"": page(1, 3, ""), "&o=3": page(4, 5, ""), "&o=5": page(1, 0, "")}, 5, false},
		"a full page":         {"/?limit=3", byPage, map[string]said{"": page(1, 3, ""), "&page=2": page(4, 5, ""), "&page=3": page(1, 0, "")}, 5, false},
		"one page":            {"/?limit=100", byPage, map[string]said{"": page(1, 3, ""), "&page=2": page(1, 0, "")}, 3, false},
		"a short one":         {"/?limit=100", nil, map[string]said{"": page(1, 3, `,"limit":100`)}, 3, false},
		"all by a total":      {"/?limit=100", byPage, map[string]said{"": page(1, 3, `,"total":5`), "&page=2": page(4, 5, `,"total":5`), "&page=3": page(1, 0, "")}, 5, false},
		"the last row":        {"/?limit=100", &task.NextPage{Cursor: "from", Row: "id"}, map[string]said{"": page(98, 100, ""), "&from=100": page(1, 0, "")}, 3, false},
		"a link by its rows":  {"/?limit=100", &task.NextPage{Link: "next"}, map[string]said{"": page(1, 3, `,"next":"?limit=100&offset=3"`), "&offset=3": page(4, 5, `,"next":null`)}, 5, false},
		"a link by something": {"/?limit=100", &task.NextPage{Link: "next"}, map[string]said{"": page(1, 3, `,"next":"?limit=100&from=170"`), "&from=170": page(4, 5, `,"next":null`)}, 5, false},
	} {
		t.Run(name, func(t *testing.T) {
			pages := map[string]said{}
			for query, one := range c.pages {
				if pages[query] = one; !strings.HasPrefix(query, "/") {
					pages[c.path+query] = one
				}
			}
			s := script(t, pages)
			rows, warnings, err := readWarned(t, s.URL, &task.HTTPSource{Path: c.path, Items: "d", Next: c.next}, nil)
			if got := strings.Join(warnings, "; "); err != nil || len(rows) != c.rows || (got == caps) != c.warns || !c.warns && got != "" || name == "all by a total" && len(s.requests()) != 4 {
				t.Errorf("got %v, %v with %q after %q", rows, err, warnings, s.requests())
			}
		})
	}
}

// Pages are counted from 1 unless path says otherwise. If page 1 is another than the first one, the run ends before it is
// passed over.
func TestPagesFromZero(t *testing.T) {
	const other = "page 1 of /, connection partner, has other rows with page=1 than without it: if the service counts pages from 0, page 1 would be left out; " +
		"write page=0 into source.http.path, or page=1 if it counts from 1 and its rows have just changed"
	first, second, third, end := ids(1, 4), ids(5, 8), ids(9, 10), "[]"
	for name, c := range map[string]struct {
		pages map[string]string
		more  string // beside the rows of each page
		path  string
		total string
		rows  int
		fails string
		asked int
	}{
		"from 0":            {pages: map[string]string{"": first, "page=1": second, "page=2": third, "page=3": end}, fails: other, asked: 2},
		"two pages from 0":  {pages: map[string]string{"": first, "page=1": second, "page=2": end}, fails: other, asked: 2},
		"said of the first": {pages: map[string]string{"": first, "page=1": second, "page=2": end}, more: `,"number":0`, total: "none", fails: other, asked: 2},
		"with a total":      {pages: map[string]string{"": first, "page=1": second, "page=2": third, "page=3": end}, more: `,"total":10`, total: "total", fails: other, asked: 2},
		"rows that change":  {pages: map[string]string{"": first, "page=1": ids(21, 24), "page=2": second, "page=3": end}, fails: other, asked: 2},
		"views from 0":      {pages: map[string]string{"": `[{"id":1,"views":?,"of":"x"},{"id":2,"views":?,"of":"x"}]`, "page=1": `[{"id":3,"views":?,"of":"x"},{"id":4,"views":?,"of":"x"}]`, "page=2": end}, fails: other},
		"places from 0":     {pages: map[string]string{"": `[{"n":1,"id":1},{"n":2,"id":2}]`, "page=1": `[{"n":1,"id":3},{"n":2,"id":4}]`, "page=2": end}, fails: other},
		"a row of both":     {pages: map[string]string{"": first, "page=1": ids(4, 7), "page=2": ids(8, 9), "page=3": end}, fails: other, asked: 2},

		"from 1":             {pages: map[string]string{"": first, "page=1": first, "page=2": second, "page=3": end}, rows: 8, asked: 4},
		"views of each time": {pages: map[string]string{"": `[{"id":1,"views":?},{"id":2,"views":?}]`, "page=1": `[{"id":1,"views":?},{"id":2,"views":?}]`, "page=2": `[{"id":3,"views":?}]`, "page=3": end}, rows: 3, asked: 5},
		"a row that is new":  {pages: map[string]string{"": first, "page=1": ids(0, 3), "page=2": second, "page=3": end}, rows: 8, asked: 4},
		"another order":      {pages: map[string]string{"": first, "page=1": `[{"id":4},{"id":2},{"id":3},{"id":1}]`, "page=2": second, "page=3": end}, rows: 8, asked: 4},
		"one page":           {pages: map[string]string{"": first, "page=1": first, "page=2": end}, rows: 4, asked: 3},
		"one page from 0":    {pages: map[string]string{"": first, "page=1": end, "page=2": end}, rows: 4, asked: 3},
		"no page 1":          {pages: map[string]string{"": first, "page=2": second, "page=3": end}, rows: 8, asked: 4},
		"0 in path":          {pages: map[string]string{"page=0": first, "page=1": second, "page=2": end}, path: "/?page=0", rows: 8, asked: 3},
		"1 in path":          {pages: map[string]string{"page=1": first, "page=2": second, "page=3": end}, path: "/?page=1", rows: 8, asked: 3},
		"all by a total":     {pages: map[string]string{"": first, "page=2": end}, more: `,"total":4`, total: "total", rows: 4, asked: 2},
		"no rows":            {pages: map[string]string{"": end}, rows: 0, asked: 1},
		"a total in path":    {pages: map[string]string{"page=1": second, "page=2": third, "page=3": end}, path: "/?page=1", more: `,"count":10`, total: "count", fails: "the service says at count that there are 10; write page=0 into source.http.path if the service counts pages from 0, or set source.http.total to none", asked: 3},
		"a page that breaks": {pages: map[string]string{"": first, "page=1": "x", "page=2": second, "page=3": end}, rows: 8, asked: 4},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				rows, ok := c.pages[r.URL.RawQuery]
				if !ok {
					w.WriteHeader(http.StatusNotFound)
				}
				rows = strings.ReplaceAll(rows, "?", strconv.Itoa(int(asked.Add(1))))
				fmt.Fprintf(w, `{"d":%s%s}`, rows, c.more)
			})
			if c.path == "" {
				c.path = "/"
			}
			from := &task.HTTPSource{Path: c.path, Items: "d", Total: c.total, Next: &task.NextPage{Page: "page"}}
			rows, warnings, err := readWarned(t, s.URL, from, nil)
			failed := err != nil && c.fails != "" && strings.Contains(err.Error(), c.fails)
			if !failed && (err != nil || c.fails != "" || len(rows) != c.rows || len(warnings) > 0) || c.asked != len(s.requests()) && !failed {
				t.Errorf("got %v, %v with %q after %q", rows, err, warnings, s.requests())
			}
		})
	}
	s := script(t, map[string]said{"/": {body: first}, "/?page=1": {body: second}})
	job := connector.Job{Connections: connect(t, s.URL), Task: &task.Definition{Source: &task.HTTPSource{Connection: "partner", Path: "/", Next: &task.NextPage{Page: "page"}}}}
	var found check.Report
	if _, err := (SourceKind{}).Check(t.Context(), job, &found); err != nil || len(found.Findings) != 1 || found.Findings[0].Text() != "source.http.path: "+other {
		t.Errorf("a look found %v, %v", found.Findings, err)
	}
	refused := script(t, map[string]said{"/": {body: first}, "/?page=1": {status: http.StatusForbidden}})
	if _, err := read(t, refused.URL, &task.HTTPSource{Path: "/", Next: &task.NextPage{Page: "page"}}, nil); err == nil || !strings.HasPrefix(err.Error(), "page 1 of /, connection partner, is answered 403 Forbidden") {
		t.Errorf("a page 1 that is refused: %v", err)
	}
}

// A total that the task declares is compared, or the run says why not.
func TestDeclaredTotalInOtherForms(t *testing.T) {
	const other = "/, connection partner, has at total something that is not a whole number, so that source.http.total compares nothing; correct it, or remove it"
	for text, want := range map[string]string{
		`{"value":7}`: "3 rows came from /, connection partner, and the service says at total.value that there are 7;", `{"count":"7"}`: "says at total.count that there are 7;",
		`"7"`: "says at total that there are 7;", `{"value":3}`: "", `3.0`: "",
		`"1,025"`: other, `[7]`: other, `"7 rows"`: other, `7.5`: other, `-1`: other, `{"all":7}`: other, `{"value":"7 rows"}`: other, `true`: other,
		`null`: "no page of /, connection partner, has anything at total, where source.http.total looks for the number of all rows",
	} {
		for _, path := range []string{"/", "/?limit=5"} {
			s := script(t, map[string]said{path: {body: `{"d":` + ids(1, 3) + `,"total":` + text + `}`}})
			_, warnings, err := readWarned(t, s.URL, &task.HTTPSource{Path: path, Items: "d", Total: "total"}, nil)
			got := strings.Join(warnings, "; ")
			if err != nil {
				got = err.Error()
			}
			want := want
			if path != "/" && text == "null" {
				want = "" // the page is short
			}
			if !strings.Contains(got, want) || want == "" && got != "" {
				t.Errorf("%s of %s: %s", text, path, got)
			}
		}
	}
	s := script(t, map[string]said{"/": {body: ids(1, 3), headers: []string{"X-Rows: 25 rows"}}})
	if _, warnings, err := readWarned(t, s.URL, &task.HTTPSource{Path: "/", Total: "X-Rows"}, nil); err != nil || !strings.Contains(strings.Join(warnings, "; "), "has at X-Rows something that is not a whole number") {
		t.Errorf("%q, %v", warnings, err)
	}
	job := connector.Job{Connections: connect(t, script(t, map[string]said{"/": {body: `{"d":` + ids(1, 3) + `,"total":"1,025"}`}}).URL), Task: &task.Definition{Source: &task.HTTPSource{
		Connection: "partner", Path: "/", Items: "d", Total: "total",
	}}}
	var found check.Report
	if looked, err := (SourceKind{}).Check(t.Context(), job, &found); err != nil || strings.Join(looked.Warnings, "") != other {
		t.Errorf("a look saw %q, %v", looked.Warnings, err)
	}
}

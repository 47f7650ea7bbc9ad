package httpjson

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"runhook/shared/task"
)

// The ways in which services say where the next page is, and that there is none.
func TestWaysToTheNextPage(t *testing.T) {
	page := func(first, last int, more string) said { return said{body: `{"d":` + ids(first, last) + more + `}`} }
	link := &task.NextPage{Link: "links"}
	cursor := &task.NextPage{Cursor: "at", From: "to"}
	stripe := &task.NextPage{Cursor: "after", Row: "id", More: "has_more"}
	byPage := &task.NextPage{Page: "p"}
	wp := func(text string) said { return said{body: text, headers: []string{"X-WP-TotalPages: 2"}} }
	bad := said{status: 400, body: `{"code":"rest_post_invalid_page_number"}`}
	for name, c := range map[string]struct {
		next  *task.NextPage
		from  task.HTTPSource
		pages map[string]said
		rows  int
		fails string
	}{
		"FHIR": {link, task.HTTPSource{}, map[string]said{
			"/":  page(1, 2, `,"links":[{"relation":"self","url":"/"},{"relation":"next","url":"/2"}]`),
			"/2": page(3, 3, `,"links":[{"relation":"self","url":"/2"},{"relation":"previous","url":"/"}]`),
		}, 3, ""},
		"rel and href": {link, task.HTTPSource{}, map[string]said{
			"/":  page(1, 2, `,"links":[{"rel":["last","Next"],"href":"/2"},{"rel":"last","href":"/x"}]`),
			"/2": page(3, 3, `,"links":[{"rel":"next","href":null}]`),
		}, 3, ""},
		"HAL": {&task.NextPage{Link: "_links.next"}, task.HTTPSource{}, map[string]said{
			"/":  page(1, 2, `,"_links":{"self":{"href":"/"},"next":{"href":"/2","templated":false}}`),
			"/2": page(3, 4, `,"_links":{"next":[{"href":"/3"}]}`),
			"/3": page(5, 5, `,"_links":{"next":[]}`),
		}, 5, ""},
		"OData": {&task.NextPage{Link: "@odata.nextLink"}, task.HTTPSource{}, map[string]said{
			"/":                      page(1, 2, `,"@odata.nextLink":"?$skiptoken=a'b c;%"`),
			"/?$skiptoken=a'b%20c;%": page(3, 3, ``),
		}, 3, ""},
		"no list of links": {link, task.HTTPSource{}, map[string]said{"/": page(1, 2, `,"links":[1,2]`)}, 0, "has at links something that is not an address"},

		"the last row": {stripe, task.HTTPSource{}, map[string]said{
			"/": page(1, 2, `,"has_more":true`), "/?after=2": page(3, 4, `,"has_more":true`), "/?after=4": page(5, 5, `,"has_more":false`),
		}, 5, ""},
		"the last row, until none": {&task.NextPage{Cursor: "after", Row: "id"}, task.HTTPSource{}, map[string]said{
			"/": page(1, 2, ``), "/?after=2": page(3, 3, ``), "/?after=3": page(1, 0, ``),
		}, 3, ""},
		"a row within a row": {&task.NextPage{Cursor: "after", Row: "a.b.c", More: "m"}, task.HTTPSource{}, map[string]said{
			"/": {body: `{"m":"yes","d":[{"id":1,"a":{"b.c":"x y"}}]}`}, "/?after=x%20y": {body: `{"m":0,"d":[{"id":2}]}`},
		}, 2, ""},
		"a row without it":           {stripe, task.HTTPSource{}, map[string]said{"/": {body: `{"has_more":true,"d":[{"ID":1}]}`}}, 0, "has no single value at id of its last row; correct source.http.next.row"},
		"more and no row":            {stripe, task.HTTPSource{}, map[string]said{"/": page(1, 0, `,"has_more":true`)}, 0, "says that there is another page, and not where"},
		"more and no link":           {&task.NextPage{Link: "next", More: "more"}, task.HTTPSource{}, map[string]said{"/": page(1, 2, `,"more":1`)}, 0, "says that there is another page, and not where"},
		"no more in spite of a link": {&task.NextPage{Link: "next", More: "more"}, task.HTTPSource{}, map[string]said{"/": page(1, 2, `,"more":"false","next":"/2"`)}, 2, ""},
		"more beyond an empty page": {&task.NextPage{Page: "p", More: "more"}, task.HTTPSource{}, map[string]said{
			"/": page(1, 2, `,"more":true`), "/?p=2": page(1, 0, `,"more":true`), "/?p=3": page(3, 3, `,"more":false`),
		}, 3, ""},

		"a number of pages": {&task.NextPage{Page: "p", Pages: "n.pages"}, task.HTTPSource{}, map[string]said{
			"/": page(1, 2, `,"n":{"pages":3}`), "/?p=2": page(1, 0, `,"n":{"pages":3}`), "/?p=3": page(3, 4, `,"n":{"pages":3}`),
		}, 4, ""},
		"WordPress": {&task.NextPage{Page: "p", Pages: "X-WP-TotalPages"}, task.HTTPSource{Items: "-"}, map[string]said{"/": wp(ids(1, 2)), "/?p=2": wp(ids(3, 4))}, 4, ""},
		"pages from 0": {&task.NextPage{Page: "p", Pages: "n"}, task.HTTPSource{Path: "/?p=0"}, map[string]said{
			"/?p=0": page(1, 2, `,"n":2`), "/?p=1": page(3, 4, `,"n":2`),
		}, 4, ""},
		"pages from 2": {&task.NextPage{Page: "p", Pages: "n"}, task.HTTPSource{Path: "/?p=2"}, map[string]said{
			"/?p=2": page(1, 2, `,"n":3`), "/?p=3": page(3, 4, `,"n":3`),
		}, 4, ""},

		"a cursor that is 0":  {cursor, task.HTTPSource{}, map[string]said{"/": page(1, 2, `,"to":2`), "/?at=2": page(3, 4, `,"to":0`)}, 4, ""},
		"a cursor that is {}": {cursor, task.HTTPSource{}, map[string]said{"/": page(1, 2, `,"to":"x"`), "/?at=x": page(3, 4, `,"to":{}`)}, 4, ""},
		"a cursor of a header": {&task.NextPage{Cursor: "at", From: "X-Next-Page"}, task.HTTPSource{Items: "-"}, map[string]said{
			"/": {body: ids(1, 2), headers: []string{"X-Next-Page: 2"}}, "/?at=2": {body: ids(3, 3), headers: []string{"X-Next-Page: "}},
		}, 3, ""},
		"a cursor that repeats without rows": {cursor, task.HTTPSource{}, map[string]said{
			"/": page(1, 2, `,"to":2`), "/?at=2": page(3, 4, `,"to":4`), "/?at=4": page(1, 0, `,"to":4`),
		}, 4, ""},
		"a cursor that repeats with a short page": {cursor, task.HTTPSource{}, map[string]said{
			"/": page(1, 2, `,"to":2`), "/?at=2": page(3, 3, `,"to":2`),
		}, 3, ""},
		"a cursor that repeats with a full page": {cursor, task.HTTPSource{}, map[string]said{
			"/": page(1, 2, `,"to":2`), "/?at=2": page(3, 4, `,"to":2`),
		}, 4, ""},
		"a cursor that the service does not know": {cursor, task.HTTPSource{Path: "/?limit=9"}, map[string]said{
			"/?limit=9": page(1, 2, `,"to":2`), "/?limit=9&at=2": page(1, 2, `,"to":2`),
		}, 0, "names as its next page one that has been read already"},
		"a short first page that names itself": {&task.NextPage{Link: "next"}, task.HTTPSource{Path: "/?limit=5"}, map[string]said{
			"/?limit=5": page(1, 2, `,"next":"/?limit=5"`),
		}, 0, "names as its next page one that has been read already"},
		"a cursor that repeats and promises more": {&task.NextPage{Cursor: "at", From: "to", More: "more"}, task.HTTPSource{}, map[string]said{
			"/": page(1, 2, `,"to":2`), "/?at=2": page(1, 0, `,"to":2,"more":true`),
		}, 0, "names as its next page one that has been read already"},
		"a link that leads back": {&task.NextPage{Link: "next"}, task.HTTPSource{}, map[string]said{
			"/": page(1, 2, `,"next":"/2"`), "/2": page(3, 3, `,"next":"/"`),
		}, 0, "names as its next page one that has been read already"},
		"a link to itself without rows": {&task.NextPage{Link: "next"}, task.HTTPSource{}, map[string]said{
			"/": page(1, 2, `,"next":"/2"`), "/2": page(1, 0, `,"next":"/2"`),
		}, 2, ""},

		"400 behind a short page":                   {byPage, task.HTTPSource{}, map[string]said{"/": page(1, 2, ``), "/?p=2": page(3, 3, ``), "/?p=3": bad}, 3, ""},
		"404 behind a short page":                   {&task.NextPage{Offset: "p"}, task.HTTPSource{}, map[string]said{"/": page(1, 2, ``), "/?p=2": page(3, 3, ``)}, 3, ""},
		"404 behind fewer rows than were asked for": {&task.NextPage{Offset: "p"}, task.HTTPSource{Path: "/?per_page=5"}, map[string]said{"/?per_page=5": page(1, 2, ``)}, 2, ""},
		"400 behind all rows":                       {byPage, task.HTTPSource{Total: "total"}, map[string]said{"/": page(1, 2, `,"total":4`), "/?p=2": page(3, 4, `,"total":4`), "/?p=3": bad}, 4, ""},
		"400 behind a full page":                    {byPage, task.HTTPSource{}, map[string]said{"/": page(1, 2, ``), "/?p=2": page(3, 4, ``), "/?p=3": bad}, 0, "page 3 of /, connection partner, is answered 400 Bad Request; if that means that there is no such page, set source.http.total or source.http.next.pages, by which a run knows the last one"},
		"400 before all rows":                       {byPage, task.HTTPSource{Total: "total"}, map[string]said{"/": page(1, 2, `,"total":5`), "/?p=2": page(3, 3, `,"total":5`), "/?p=3": bad}, 0, "3 rows came from /, connection partner, and the service says at total that there are 5"},
		"404 for a cursor":                          {cursor, task.HTTPSource{}, map[string]said{"/": page(1, 2, `,"to":2`), "/?at=2": page(3, 3, `,"to":3`)}, 0, "is answered 404 Not Found; correct path"},
		"nothing behind the last":                   {byPage, task.HTTPSource{}, map[string]said{"/": page(1, 2, ``), "/?p=2": {body: " \n"}}, 2, ""},
		"nothing in brotli":                         {byPage, task.HTTPSource{}, map[string]said{"/": page(1, 2, ``), "/?p=2": {headers: []string{"Content-Encoding: br"}}}, 2, ""},
		"nothing for a cursor":                      {cursor, task.HTTPSource{}, map[string]said{"/": page(1, 2, `,"to":2`), "/?at=2": {}}, 0, "page 2 of /, connection partner, is empty"},
		"an empty page in the middle": {byPage, task.HTTPSource{Total: "total"}, map[string]said{
			"/": page(1, 2, `,"total":5`), "/?p=2": page(1, 0, `,"total":5`), "/?p=3": page(1, 0, ``), "/?p=4": page(3, 5, ``), "/?p=5": page(1, 0, ``),
		}, 5, ""},
		"203": {nil, task.HTTPSource{}, map[string]said{"/": {status: 203, body: `{"d":` + ids(1, 2) + `}`}}, 2, ""},
		"202": {nil, task.HTTPSource{}, map[string]said{"/": {status: 202, body: `{"d":` + ids(1, 2) + `}`}}, 0, "is answered 202 Accepted"},
	} {
		t.Run(name, func(t *testing.T) {
			s := script(t, c.pages)
			from := c.from
			from.Next = c.next
			if from.Path == "" {
				from.Path = "/"
			}
			if from.Items == "" {
				from.Items = "d"
			}
			from.Items = strings.TrimPrefix(from.Items, "-")
			rows, err := read(t, s.URL, &from, nil)
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Errorf("got %v, %v after %q; want %s", rows, err, s.requests(), c.fails)
				}
				return
			}
			if err != nil || beginnings(rows) != "[1[2[3[4[5"[:2*c.rows] {
				t.Errorf("got %v, %v after %q", rows, err, s.requests())
			}
		})
	}
}

// Pages without rows are passed over up to a bound, whatever the service says that there is.
func TestGapHasAnEnd(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		rows := "[]"
		if r.URL.RawQuery == "" {
			rows = ids(1, 2)
		}
		fmt.Fprintf(w, `{"total":99,"d":%s}`, rows)
	})
	_, err := read(t, s.URL, &task.HTTPSource{Path: "/", Items: "d", Next: &task.NextPage{Page: "p"}}, nil)
	if err == nil || !strings.Contains(err.Error(), "2 rows came from /, connection partner, and the service says at total that there are 99") || len(s.requests()) != maxGap+3 {
		t.Errorf("got %v after %d requests", err, len(s.requests()))
	}
}

// A list that is left out is one without rows, unless the page has another, or says that it failed.
func TestListThatIsLeftOut(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                  "the first page of /, connection partner, has nothing at data.list, which was taken for a list without rows; correct source.http.items if it is elsewhere",
		`{"kind":"x","n":[]}`: "the first page of /, connection partner, has nothing at data.list, which was taken for a list without rows; correct source.http.items if it is elsewhere",
		`{"data":{},"tags":["a"],"links":[{"rel":"self"}]}`: "the first page of /, connection partner, has nothing at data.list, which was taken for a list without rows; correct source.http.items if it is elsewhere",
		`{"total":25}`:                           "no row came from /, connection partner, and the service says at total that there are 25; look at what the account may see, and correct path",
		`{"total":25,"data":{"list":[]}}`:        "no row came from /, connection partner, and the service says at total that there are 25; look at what the account may see, and correct path",
		`{"total":0,"facets":[{"a":1}]}`:         "",
		`{"next":null,"error":null,"errors":[]}`: "",
		`{"data":{"list":null}}`:                 "",
		`{"data":{"lst":[{"id":1}]}}`:            "failed: page 1 of /, connection partner, has nothing at data.list, where source.http.items says that its list of rows is",
		`{"list":[]}`:                            "failed: page 1 of /, connection partner, has nothing at data.list, where source.http.items says that its list of rows is",
		`{"pages":[{"id":1}]}`:                   "failed: page 1 of /, connection partner, has nothing at data.list, where source.http.items says that its list of rows is",
		`{"page":{"rows":[{"id":1}],"size":2}}`:  "failed: page 1 of /, connection partner, has nothing at data.list, where source.http.items says that its list of rows is",
		`{"page":{"list":[]},"pages":1}`:         "failed: page 1 of /, connection partner, has nothing at data.list, where source.http.items says that its list of rows is",
		`[]`:                                     "failed: page 1 of /, connection partner, has nothing at data.list, where source.http.items says that its list of rows is",
		`{"error":{"message":"x"}}`:              "failed: page 1 of /, connection partner, has no list of rows, and something at error: the service seems to say that it failed",
		`{"ok":false,"total":0}`:                 "failed: page 1 of /, connection partner, has no list of rows, and something at ok: the service seems to say that it failed",
		`{"status":"Error"}`:                     "failed: page 1 of /, connection partner, has no list of rows, and something at status: the service seems to say that it failed",
		`{"data":{"list":null},"errors":[{}]}`:   "failed: page 1 of /, connection partner, has no list of rows, and something at errors: the service seems to say that it failed",
	} {
		s := script(t, map[string]said{"/": {body: text}})
		rows, warnings, err := readWarned(t, s.URL, &task.HTTPSource{Path: "/", Items: "data.list", Next: &task.NextPage{Link: "next"}}, nil)
		got := strings.Join(warnings, "; ")
		if err != nil {
			got = "failed: " + err.Error()
		}
		if len(rows) != 0 || got != want {
			t.Errorf("%s: %q, %s", text, rows, got)
		}
	}
}

// A later page that has no list, and nothing that tells that it is one, may be a service's way to fail.
func TestLaterPageWithoutItsList(t *testing.T) {
	const ended = "page 2 of /, connection partner, has nothing at d, which was taken for the end of the rows; look at it if there should be more than the 2 rows that came"
	for text, want := range map[string]string{
		`{"message":"Too many requests","code":17}`: "failed: page 2 of /, connection partner, has no list of rows, and something at code: the service seems to say that it failed",
		`{"Message":"session expired"}`:             "failed: page 2 of /, connection partner, has no list of rows, and something at Message: the service seems to say that it failed",
		`{"Message":"that was all"}`:                ended,
		`{}`:                                        ended,
		`{"status":500,"message":"internal"}`:       "failed: page 2 of /, connection partner, has no list of rows, and something at status: the service seems to say that it failed",
		`{"code":"503","msg":"backend timeout"}`:    "failed: page 2 of /, connection partner, has no list of rows, and something at code: the service seems to say that it failed",
		`{"statusCode":429}`:                        "failed: page 2 of /, connection partner, has no list of rows, and something at statusCode: the service seems to say that it failed",
		`{"status":200,"code":0,"d":[]}`:            "",
		`{"d":null}`:                                ended,
		`{"d":null,"next":null}`:                    "",
		`{"d":[]}`:                                  "",
		`{"total":2}`:                               "",
	} {
		for _, next := range []*task.NextPage{{Page: "page"}, {Link: "next"}} {
			s := script(t, map[string]said{"/": {body: `{"d":[{"id":1},{"id":2}],"next":"/?page=2"}`}, "/?page=2": {body: text}})
			rows, warnings, err := readWarned(t, s.URL, &task.HTTPSource{Path: "/", Items: "d", Next: next}, nil)
			got := strings.Join(warnings, "; ")
			if err != nil {
				got, _, _ = strings.Cut("failed: "+err.Error(), "; if that means that there is no such page, set source.http.total or")
			}
			if err == nil && len(rows) != 2 || got != want {
				t.Errorf("%s: %q, %s", text, rows, got)
			}
		}
	}
}

// beginnings are the first cells of rows.
func beginnings(rows []string) (all string) {
	for _, row := range rows {
		all += row[:strings.IndexAny(row, ",]")]
	}
	return all
}

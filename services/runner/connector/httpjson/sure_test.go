package httpjson

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"runhook/services/runner/check"
	"runhook/services/runner/connector"
	"runhook/shared/run"
	"runhook/shared/task"
)

// said is an answer: a body, a status unless it is 200, and headers as Name: value.
type said struct {
	body    string
	status  int
	headers []string
}

func script(t testing.TB, answers map[string]said) *service {
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		a, ok := answers[r.RequestURI]
		if !ok {
			a.status = http.StatusNotFound
		}
		for _, header := range a.headers {
			name, value, _ := strings.Cut(header, ": ")
			w.Header().Add(name, value)
		}
		if a.status != 0 {
			w.WriteHeader(a.status)
		}
		fmt.Fprint(w, a.body)
	})
}

// ids is a list of rows with the ids from first to last.
func ids(first, last int) string {
	var rows []string
	for id := first; id <= last; id++ {
		rows = append(rows, fmt.Sprintf(`{"id":%d}`, id))
	}
	return "[" + strings.Join(rows, ",") + "]"
}

// A source that ends has read as many rows as its service says that there are, or fails.
func TestRowsAreComparedWithTheTotal(t *testing.T) {
	three := ids(1, 3)
	links := &task.NextPage{Link: "next"}
	for name, c := range map[string]struct {
		path    string
		answers map[string]said
		from    task.HTTPSource
		rows    int    // that were read, where the run goes well
		fails   string // the end of the failure, or of the warning
		warns   string
	}{
		"a place": {
			answers: map[string]said{"/": {body: `{"n":{"all":7},"d":` + three + `}`}}, from: task.HTTPSource{Items: "d", Total: "n.all"},
			fails: "3 rows came from /, connection partner, and the service says at n.all that there are 7; set source.http.next to how the next page is found, or source.http.total to none if these rows are all that is wanted",
		},
		"a text behind the rows": {
			answers: map[string]said{"/": {body: `{"d":` + three + `,"all":"7"}`}}, from: task.HTTPSource{Items: "d", Total: "all", Next: links},
			fails: "there are 7; no page of /, connection partner, has anything at next, where source.http.next.link looks for the address of the next one; correct it if there is more",
		},
		"a header of the task": {
			answers: map[string]said{"/": {body: three, headers: []string{"X-Rows: 4"}}}, from: task.HTTPSource{Total: "X-Rows"},
			fails: "the service says at X-Rows that there are 4;",
		},
		"X-Total-Count": {
			answers: map[string]said{"/": {body: three, headers: []string{"x-total-count: 9"}}, "/?skip=3": {body: "[]"}}, from: task.HTTPSource{Next: &task.NextPage{Offset: "skip"}},
			fails: "the service says at X-Total-Count that there are 9; set source.http.total to none if that is not the number of rows to be read",
		},
		"Content-Range": {
			answers: map[string]said{"/": {body: three, status: 206, headers: []string{"Content-Range: items 0-2/5"}}},
			fails:   "3 rows came from /, connection partner, and the service says at Content-Range that there are 5;",
		},
		"X-WP-Total": {
			answers: map[string]said{"/": {body: three, headers: []string{"X-WP-Total: 4", "X-WP-TotalPages: 2"}}}, from: task.HTTPSource{Next: &task.NextPage{Header: true}},
			fails: "the service says at X-WP-Total that there are 4; no page of /, connection partner, has a Link header with rel=next, which source.http.next.header follows; correct it if there is more",
		},
		"an OData count":    {answers: map[string]said{"/": {body: `{"@odata.count":4,"value":` + three + `}`}}, from: task.HTTPSource{Items: "value"}, fails: "at @odata.count that there are 4;"},
		"an old OData one":  {answers: map[string]said{"/": {body: `{"d":{"results":` + three + `,"__count":"4"}}`}}, from: task.HTTPSource{Items: "d.results"}, fails: "at d.__count that there are 4;"},
		"a usual name":      {answers: map[string]said{"/": {body: `{"TotalCount":4,"d":` + three + `}`}}, from: task.HTTPSource{Items: "d"}, fails: "at TotalCount that there are 4;"},
		"one beside a list": {answers: map[string]said{"/": {body: `{"page":{"d":` + three + `,"total":4}}`}}, from: task.HTTPSource{Items: "page.d"}, fails: "at page.total that there are 4;"},
		"one row missing in the middle": {
			answers: map[string]said{"/": {body: `{"total":7,"d":` + three + `,"next":"/2"}`}, "/2": {body: `{"total":7,"d":` + ids(4, 6) + `,"next":null}`}},
			from:    task.HTTPSource{Items: "d", Total: "total", Next: links}, fails: "6 rows came from /, connection partner, and the service says at total that there are 7; set source.http.total to none",
		},

		"a count of all, and one of something": {
			answers: map[string]said{"/": {body: `{"count":7,"d":` + three + `,"next":"/2"}`}, "/2": {body: `{"count":1,"d":` + ids(4, 5) + `,"next":null}`}},
			from:    task.HTTPSource{Items: "d", Next: links}, fails: "5 rows came from /, connection partner, and the service says at count that there are 7;",
		},

		"all":                {answers: map[string]said{"/": {body: `{"total":3,"d":` + three + `}`}}, from: task.HTTPSource{Items: "d", Total: "total"}, rows: 3},
		"no comparison":      {answers: map[string]said{"/": {body: `{"total":7,"d":` + three + `}`, headers: []string{"X-Total-Count: 9"}}}, from: task.HTTPSource{Items: "d", Total: "none"}, rows: 3},
		"a sum of money":     {answers: map[string]said{"/": {body: `{"total":17.5,"d":` + three + `}`}}, from: task.HTTPSource{Items: "d"}, rows: 3},
		"a sum in a text":    {answers: map[string]said{"/": {body: `{"total":"9.00","d":` + three + `}`}}, from: task.HTTPSource{Items: "d"}, rows: 3},
		"from its page on":   {path: "/?nr=3", answers: map[string]said{"/?nr=3": {body: three, headers: []string{"X-Total-Count: 9"}}, "/?nr=4": {body: "[]"}}, from: task.HTTPSource{Next: &task.NextPage{Page: "nr"}}, rows: 3},
		"the page's rows":    {answers: map[string]said{"/": {body: `{"total":3,"d":` + three + `,"next":"/2"}`}, "/2": {body: `{"total":1,"d":[{"id":4}],"next":null}`}}, from: task.HTTPSource{Items: "d", Next: links}, rows: 4},
		"unknown":            {answers: map[string]said{"/": {body: three, headers: []string{"Content-Range: 0-2/*"}}}, rows: 3},
		"bytes":              {answers: map[string]said{"/": {body: three, headers: []string{"Content-Range: bytes 0-2/999"}}}, rows: 3},
		"a name in a row":    {answers: map[string]said{"/": {body: `{"d":[{"id":1,"total":9},{"id":2},{"id":3}],"x":{"total":9}}`}}, from: task.HTTPSource{Items: "d"}, rows: 3},
		"from an offset on":  {path: "/?offset=4", answers: map[string]said{"/?offset=4": {body: three, headers: []string{"X-Total-Count: 7"}}}, rows: 3},
		"by an offset of it": {path: "/?begin=4", answers: map[string]said{"/?begin=4": {body: three, headers: []string{"X-Total-Count: 7"}}, "/?begin=7": {body: "[]"}}, from: task.HTTPSource{Next: &task.NextPage{Offset: "begin"}}, rows: 3},
		"from a page on":     {path: "/?page=3", answers: map[string]said{"/?page=3": {body: three, headers: []string{"X-Total-Count: 7"}}}, rows: 3},
		"a row came meanwhile": {
			answers: map[string]said{"/": {body: `{"total":6,"d":` + three + `,"next":"/2"}`}, "/2": {body: `{"total":7,"d":` + ids(4, 6) + `,"next":null}`}},
			from:    task.HTTPSource{Items: "d", Total: "total", Next: links}, rows: 6,
		},
		"a row went meanwhile": {
			answers: map[string]said{"/": {body: `{"total":6,"d":` + three + `,"next":"/2"}`}, "/2": {body: `{"total":5,"d":` + ids(4, 6) + `,"next":null}`}},
			from:    task.HTTPSource{Items: "d", Total: "total", Next: links}, rows: 6,
		},
		"a header and a usual name": {answers: map[string]said{"/": {body: `{"total":9,"d":` + three + `}`, headers: []string{"X-Total: 3"}}}, from: task.HTTPSource{Items: "d"}, rows: 3},
		"a place and a header":      {answers: map[string]said{"/": {body: `{"n":3,"d":` + three + `}`, headers: []string{"X-Total: 9"}}}, from: task.HTTPSource{Items: "d", Total: "n"}, rows: 3},
		"more": {
			answers: map[string]said{"/": {body: `{"total":2,"d":` + three + `}`}}, from: task.HTTPSource{Items: "d", Total: "total"}, rows: 3,
			warns: "3 rows came from /, connection partner, and the service says at total that there are 2; some may have come twice",
		},
		"a total that is nowhere": {
			answers: map[string]said{"/": {body: `{"totle":3,"d":` + three + `}`}}, from: task.HTTPSource{Items: "d", Total: "total"}, rows: 3,
			warns: "no page of /, connection partner, has anything at total, where source.http.total looks for the number of all rows; correct it if there is more",
		},
		"a total that is nowhere, of two pages": {
			answers: map[string]said{"/": {body: `{"d":` + three + `,"next":"/2"}`}, "/2": {body: `{"d":[{"id":4}]}`}}, from: task.HTTPSource{Items: "d", Total: "total", Next: links}, rows: 4,
			warns: "no page of /, connection partner, has anything at total, where source.http.total looks for the number of all rows; correct it if there is more",
		},
		"a cursor that is nowhere": {
			answers: map[string]said{"/": {body: `{"meta":{"next":"x"},"d":` + three + `}`}}, from: task.HTTPSource{Items: "d", Next: &task.NextPage{Cursor: "after", From: "meta.nxt", More: "more"}}, rows: 3,
			warns: "no page of /, connection partner, has anything at meta.nxt, where source.http.next.from looks for the cursor of the next one; correct it if there is more; " +
				"no page of /, connection partner, has anything at more, where source.http.next.more looks for whether there is another one; correct it if there is more; " +
				"3 rows came from /, connection partner, and the last page says at meta.next that there are more; correct source.http.next to how the next page is found, or source.http.total to none if these rows are all that is wanted",
		},
		"no link, and all rows": {answers: map[string]said{"/": {body: `{"total":3,"d":` + three + `}`}}, from: task.HTTPSource{Items: "d", Total: "total", Next: links}, rows: 3},
		"a page that is short":  {path: "/?limit=5", answers: map[string]said{"/?limit=5": {body: `{"d":` + three + `}`}}, from: task.HTTPSource{Items: "d", Next: links}, rows: 3},
		"a page that is full": {
			path: "/?limit=3", answers: map[string]said{"/?limit=3": {body: `{"d":` + three + `}`}}, from: task.HTTPSource{Items: "d", Next: links}, rows: 3,
			warns: "no page of /, connection partner, has anything at next, where source.http.next.link looks for the address of the next one; correct it if there is more",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := script(t, c.answers)
			if c.from.Path = c.path; c.path == "" {
				c.from.Path = "/"
			}
			rows, warnings, err := readWarned(t, s.URL, &c.from, nil)
			failure, _ := errors.AsType[*run.Failure](err)
			switch {
			case c.fails != "":
				if failure == nil || failure.Passing || !strings.Contains(failure.Message, c.fails) {
					t.Errorf("got %v, want %s", err, c.fails)
				}
			case err != nil || len(rows) != c.rows || strings.Join(warnings, "; ") != c.warns:
				t.Errorf("got %v, %v with %q, want %q", rows, err, warnings, c.warns)
			}
		})
	}
}

// A look at a source that would fail at its end says so, and shows its rows.
func TestLookAtASourceThatEndsTooEarly(t *testing.T) {
	s := script(t, map[string]said{"/": {body: `{"d":` + ids(1, 3) + `,"links":{"next":"/2"},"total":7}`}})
	job := connector.Job{Connections: connect(t, s.URL), Preview: true, Task: &task.Definition{Source: &task.HTTPSource{
		Connection: "partner", Path: "/", Items: "d", Next: &task.NextPage{Link: "links.nxt"},
	}}}
	const absent = "no page of /, connection partner, has anything at links.nxt, where source.http.next.link looks for the address of the next one; correct it if there is more"
	const missing = "3 rows came from /, connection partner, and the service says at total that there are 7; " + absent
	from, err := SourceKind{}.Open(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	if _, total := from.Progress(); total != 0 {
		t.Errorf("a number that is guessed became the total, %d", total)
	}
	for range 3 {
		if _, err := from.Next(t.Context(), make([]any, 1)); err != nil {
			t.Error(err)
		}
	}
	if got := strings.Join(connector.Warnings(from), "\n"); got != absent+"\n"+missing {
		t.Errorf("a preview warns of %s", got)
	}
	var found check.Report
	looked, err := SourceKind{}.Check(t.Context(), job, &found)
	if err != nil || len(looked.First) != 3 || strings.Join(looked.Warnings, "\n") != absent || len(found.Findings) != 1 || found.Findings[0].Text() != "source.http.next: "+missing {
		t.Errorf("a look saw %+v and found %v, %v", looked, found, err)
	}
}

// What follows the rows of a long first page is seen by whoever looks.
func TestLookGoesToTheEndOfTheFirstPage(t *testing.T) {
	s := script(t, map[string]said{
		"/":  {body: `{"total":9999,"d":` + ids(1, sampleRows+500) + `,"next":"/2"}`},
		"/2": {body: `{"d":` + ids(1, 9) + `}`},
	})
	job := connector.Job{Connections: connect(t, s.URL), Task: &task.Definition{Source: &task.HTTPSource{
		Connection: "partner", Path: "/", Items: "d", Next: &task.NextPage{Link: "next"}, Total: "all",
	}}}
	var found check.Report
	looked, err := SourceKind{}.Check(t.Context(), job, &found)
	if err != nil || len(found.Findings) != 0 || len(looked.Warnings) != 1 || !strings.Contains(looked.Warnings[0], "source.http.total looks") || len(s.requests()) != 2 {
		t.Errorf("a look saw %q and found %v, %v after %q", looked.Warnings, found, err, s.requests())
	}
	job.Preview = true
	from, err := SourceKind{}.Open(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	if got := connector.Warnings(from); fmt.Sprint(got) != fmt.Sprint(looked.Warnings) {
		t.Errorf("a preview that has not come to the end warns of %q", got)
	}
}

// Whoever looks is told of a place where nothing is, though all rows are there this time.
func TestLookSaysWhatIsAbsentThoughAllIsThere(t *testing.T) {
	s := script(t, map[string]said{"/": {body: `{"total":3,"d":` + ids(1, 3) + `}`}})
	job := connector.Job{Connections: connect(t, s.URL), Task: &task.Definition{Source: &task.HTTPSource{
		Connection: "partner", Path: "/", Items: "d", Next: &task.NextPage{Link: "next"}, Total: "total",
	}}}
	var found check.Report
	looked, err := SourceKind{}.Check(t.Context(), job, &found)
	if err != nil || len(found.Findings) != 0 || len(looked.Warnings) != 1 || !strings.Contains(looked.Warnings[0], "has anything at next") {
		t.Errorf("a look saw %q and found %v, %v", looked.Warnings, found, err)
	}
}

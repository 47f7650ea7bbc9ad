package httpjson

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"runhook/services/runner/connection"
	"runhook/services/runner/row"
	"runhook/shared/proctest"
	"runhook/shared/task"
)

func TestMain(m *testing.M) { proctest.Main(m) }

// quick is patience for tests, and curt for those of a service that sends nothing: on a busy machine others may be
// late too.
var (
	quick = patience{attempts: 3, first: time.Millisecond, most: 2 * time.Second, silence: proctest.Limit}
	curt  = patience{attempts: 3, first: time.Millisecond, most: 2 * time.Second, silence: 300 * time.Millisecond}
)

// service is a web service that notes the addresses it is asked for.
type service struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string
}

func serve(t testing.TB, handle http.HandlerFunc) *service {
	s := &service{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked = append(s.asked, r.RequestURI)
		s.mu.Unlock()
		if r.Header.Get("Authorization") != "Bearer hunter2" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		handle(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *service) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// answers serves a fixed text for each address.
func answers(t testing.TB, texts map[string]string) *service {
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		text, ok := texts[r.URL.RequestURI()]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = io.WriteString(w, text)
	})
}

func connect(t testing.TB, url string) *connection.Set {
	t.Helper()
	set, err := connection.Parse([]byte(`partner: {http: {private: true, url: "`+url+`", headers: {Authorization: Bearer hunter2}}}`), "connections.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// read reads all rows, each as JSON, faults as "row N: …"; err is what ended the source.
func read(t testing.TB, url string, from *task.HTTPSource, params map[string]any) (rows []string, err error) {
	t.Helper()
	rows, _, err = readWarned(t, url, from, params)
	return rows, err
}

// readWarned is read, with what the source warns of.
func readWarned(t testing.TB, url string, from *task.HTTPSource, params map[string]any) (rows, warnings []string, err error) {
	t.Helper()
	return readWith(t, quick, url, from, params)
}

func readWith(t testing.TB, p patience, url string, from *task.HTTPSource, params map[string]any) (rows, warnings []string, err error) {
	t.Helper()
	from.Connection = "partner"
	s, err := open(t.Context(), connect(t, url), from, params, p, false)
	if err != nil {
		return nil, nil, err
	}
	defer s.Close()
	cells := make([]any, len(s.Columns().Names))
	part, total := 0.0, int64(0)
	for n := 1; ; n++ {
		clear(cells)
		_, err := s.Next(t.Context(), cells)
		if fault, ok := errors.AsType[*row.Fault](err); ok {
			rows = append(rows, fmt.Sprintf("row %d: %v", n, fault))
			continue
		}
		if errors.Is(err, io.EOF) {
			return rows, s.Warnings(), nil
		}
		if err != nil {
			return rows, nil, err
		}
		text, err := json.Marshal(cells)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, string(text))
		now, all := s.Progress()
		if now < part || now > 1 || all < total {
			t.Errorf("progress went from %v of %d to %v of %d", part, total, now, all)
		}
		part, total = now, all
	}
}

func TestPages(t *testing.T) {
	five := map[string]string{
		"/people":                    `[{"id":1},{"id":2}]`,
		"/people?skip=2":             `[{"id":3},{"id":4}]`,
		"/people?skip=4":             `[{"id":5}]`,
		"/people?skip=5":             `[]`,
		"/people?page=1":             `[{"id":1},{"id":2}]`,
		"/people?page=2":             `[{"id":3},{"id":4}]`,
		"/people?page=3":             `[{"id":5}]`,
		"/people?page=4":             `[]`,
		"/p?page=0&size=2":           `[{"id":1},{"id":2}]`,
		"/p?page=1&size=2":           `[{"id":3},{"id":4},{"id":5}]`,
		"/p?page=2&size=2":           `[]`,
		"/t?n=2":                     `{"total":"3","data":{"list":[{"id":1},{"id":2}]}}`,
		"/t?n=2&skip=2":              `{"data":{"list":[{"id":3}]},"total":3}`,
		"/links":                     `{"data":[{"id":1},{"id":2}],"links":{"next":"/links?2"}}`,
		"/links?2":                   `{"links":{"next":"?after=2&x=%26"},"data":[{"id":3},{"id":4}]}`,
		"/links?after=2&x=%26":       `{"data":[{"id":5}],"links":{"next":null}}`,
		"/odata":                     `{"@odata.nextLink":"odata?2","value":[{"id":1},{"id":2},{"id":3}]}`,
		"/odata?2":                   `{"value":[{"id":4},{"id":5}]}`,
		"/cursor?size=2":             `{"meta":{"after":"a&b"},"rows":[{"id":1},{"id":2}]}`,
		"/cursor?size=2&after=a%26b": `{"rows":[],"meta":{"after":17}}`,
		"/cursor?size=2&after=17":    `{"rows":[{"id":3},{"id":4},{"id":5}],"meta":{"after":""}}`,
		"/mark":                      "\xEF\xBB\xBF [{\"id\":1},{\"id\":2},{\"id\":3},{\"id\":4},{\"id\":5}] \n",
		"/null":                      `{"data":null,"next":"/mark"}`,
	}
	for name, c := range map[string]struct {
		from  task.HTTPSource
		rows  int
		asked int
	}{
		"one page":         {task.HTTPSource{Path: "/mark"}, 5, 1},
		"offset":           {task.HTTPSource{Path: "people", Next: &task.NextPage{Offset: "skip"}}, 5, 4},
		"page":             {task.HTTPSource{Path: "/people", Next: &task.NextPage{Page: "page"}}, 5, 5},
		"page from 0":      {task.HTTPSource{Path: "/p?page=0&size=2", Next: &task.NextPage{Page: "page"}}, 5, 3},
		"offset to a 404":  {task.HTTPSource{Path: "/t?n=2", Items: "data.list", Total: "total", Next: &task.NextPage{Offset: "skip"}}, 3, 3},
		"link":             {task.HTTPSource{Path: "/links", Items: "data", Next: &task.NextPage{Link: "links.next"}}, 5, 3},
		"link with a dot":  {task.HTTPSource{Path: "/odata", Items: "value", Next: &task.NextPage{Link: "@odata.nextLink"}}, 5, 2},
		"cursor":           {task.HTTPSource{Path: "/cursor?size=2", Items: "rows", Next: &task.NextPage{Cursor: "after", From: "meta.after"}}, 5, 3},
		"no list":          {task.HTTPSource{Path: "/null", Items: "data"}, 0, 1},
		"no list at first": {task.HTTPSource{Path: "/null", Items: "data", Next: &task.NextPage{Link: "other"}}, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := answers(t, five)
			rows, err := read(t, s.URL, &c.from, nil)
			want := []string{"[1]", "[2]", "[3]", "[4]", "[5]"}[:c.rows]
			if err != nil || strings.Join(rows, "") != strings.Join(want, "") || len(s.requests()) != c.asked {
				t.Errorf("got %v, %v after %q; want %v", rows, err, s.requests(), want)
			}
		})
	}
}

func TestLinkHeader(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		page, _ := strconv.Atoi(r.URL.Query().Get("p"))
		if page < 3 {
			w.Header().Add("Link", fmt.Sprintf(`</first>; rel=first, <?p=%d>; title="a, <b>; rel=next"; rel="prefetch NEXT"`, page+1))
		}
		fmt.Fprintf(w, `[{"page":%d}]`, page)
	})
	rows, err := read(t, s.URL, &task.HTTPSource{Path: "/", Next: &task.NextPage{Header: true}}, nil)
	if err != nil || strings.Join(rows, "") != "[0][1][2][3]" {
		t.Errorf("got %v, %v", rows, err)
	}
}

// A link may have in escapes what the task's own path has.
func TestNextLinkLikeThePath(t *testing.T) {
	s := answers(t, map[string]string{
		"/of/a%2Fb":            `{"data":[{"id":1}],"next":"/of/a%2Fb?page=2"}`,
		"/of/a%2Fb?page=2":     `{"data":[{"id":2}],"next":"../of/people%20?page=3"}`,
		"/of/people%20?page=3": `{"data":[{"id":3}],"next":"../people;v=1"}`,
		"/people;v=1":          `{"data":[{"id":4}]}`,
	})
	rows, err := read(t, s.URL, &task.HTTPSource{Path: "/of/a%2Fb", Items: "data", Next: &task.NextPage{Link: "next"}}, nil)
	if err != nil || strings.Join(rows, "") != "[1][2][3][4]" {
		t.Errorf("got %v, %v; asked %q", rows, err, s.requests())
	}
}

func TestParametersReachTheService(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `[{"q":%q,"n":%d,"path":%q}]`, r.URL.Query().Get("state"), len(r.URL.Query()), r.URL.EscapedPath())
	})
	from := &task.HTTPSource{Path: "/of/{params.Group}?state={params.State}&none={params.None}"}
	rows, err := read(t, s.URL+"/v1/", from, map[string]any{"State": "C&A=1#", "Group": "a?b=.. c", "None": ""})
	if err != nil || len(rows) != 1 || rows[0] != `["C\u0026A=1#",1,"/v1/of/a%3Fb=..%20c"]` {
		t.Errorf("got %v, %v", rows, err)
	}
	before := len(s.requests())
	for _, group := range []string{"../admin", `..\admin`, "..", "%2e%2e%2fadmin"} {
		if _, err := read(t, s.URL+"/v1/", from, map[string]any{"State": "CA", "Group": group}); err == nil || !strings.Contains(err.Error(), "{params.Group} has a value that services may take for another path") {
			t.Errorf("%s: %v", group, err)
		}
	}
	if len(s.requests()) != before {
		t.Error("the service was asked")
	}
}

// Values come digit for digit; what one row has wrong is its own.
func TestRows(t *testing.T) {
	s := answers(t, map[string]string{"/": `[
		{"id": 9007199254740993, "price": 0.10, "big": 123456789012345678901234567890, "e": 1.50e3, "on": true, "none": null, "who": {"city": "Köln", "n": 7}, "tags": [1, "a"]},
		{"id": 2, "other": 1},
		{"id": 3, "id": 4},
		[1],
		"text",
		{"who": "half \ud83d."},
		{"who": "\ud83d\ude00 \ufffd"},
		{"who": "` + "\xff" + `"},
		{"id": -0, "late": "x", "none": "\u0000"}
	]`})
	rows, err := read(t, s.URL, &task.HTTPSource{Path: "/", Columns: []string{"absent", "id"}}, nil)
	want := []string{
		// id, price, big, e, on, none, who, tags, other, late, absent
		`[9007199254740993,0.10,123456789012345678901234567890,1500,true,null,{"city":"Köln","n":7},[1,"a"],null,null,null]`,
		`[2,null,null,null,null,null,null,null,1,null,null]`,
		`row 3: id is there twice`,
		`row 4: is not an object with columns`,
		`row 5: is not an object with columns`,
		`row 6: who has half a letter in it`,
		`[null,null,null,null,null,null,"😀 ` + "\uFFFD" + `",null,null,null,null]`,
		`row 8: is not valid UTF-8`,
		`[0,null,null,null,null,"\u0000",null,null,null,"x",null]`,
	}
	if err != nil || strings.Join(rows, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %v\n%s\nwant\n%s", err, strings.Join(rows, "\n"), strings.Join(want, "\n"))
	}
}

// A page is read as it comes: memory is that of a row, and what is larger has an end.
func TestLargePages(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/row":
			_, _ = io.WriteString(w, `[{"id":"`)
		case "/beside":
			_, _ = io.WriteString(w, `{"x":"`)
		case "/many":
			_, _ = io.WriteString(w, "["+strings.Repeat(`{"id":1},`, 100_000)+`{"id":2}]`)
			return
		}
		for range 100 {
			if _, err := io.WriteString(w, long); err != nil {
				return
			}
		}
	})
	for _, path := range []string{"/row", "/beside"} {
		if _, err := read(t, s.URL, &task.HTTPSource{Path: path, Items: strings.Trim(path, "/row")}, nil); err == nil || !strings.Contains(err.Error(), "has a row, or something beside its rows, of more than 16 MiB") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if rows, err := read(t, s.URL, &task.HTTPSource{Path: "/many"}, nil); err != nil || len(rows) != 100_001 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}

// A source that waits for its service lets go when the run ends.
func TestNextLetsGo(t *testing.T) {
	held := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "" {
			_, _ = io.WriteString(w, `{"data":[{"id":1}],"next":"?2"}`)
			return
		}
		close(held)
		<-r.Context().Done()
	})
	from := &task.HTTPSource{Connection: "partner", Path: "/", Items: "data", Next: &task.NextPage{Link: "next"}}
	// The first sample ends with its time, or the second page would be waited for in open.
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-held
		cancel()
	}()
	source, err := open(ctx, connect(t, s.URL), from, nil, usualPatience, false)
	if err == nil {
		defer source.Close()
		cells := make([]any, 1)
		for err == nil {
			_, err = source.Next(ctx, cells)
		}
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

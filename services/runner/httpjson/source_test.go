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

	"go.uber.org/goleak"

	"runhook/services/runner/connection"
	"runhook/services/runner/row"
	"runhook/shared/run"
	"runhook/shared/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quick is patience for tests.
var quick = patience{attempts: 3, first: time.Millisecond, most: 2 * time.Second, silence: 300 * time.Millisecond}

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
		s.asked = append(s.asked, r.URL.RequestURI())
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
	set, err := connection.Parse([]byte(`partner: {http: {url: "`+url+`", headers: {Authorization: Bearer hunter2}}}`), "connections.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// read reads all rows, each as JSON, faults as "row N: …"; err is what ended the source.
func read(t testing.TB, url string, from *task.HTTPSource, params map[string]any) (rows []string, err error) {
	t.Helper()
	from.Connection = "partner"
	s, err := open(t.Context(), connect(t, url), from, params, quick)
	if err != nil {
		return nil, err
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
			return rows, nil
		}
		if err != nil {
			return rows, err
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
		"/cursor?after=a%26b&size=2": `{"rows":[],"meta":{"after":17}}`,
		"/cursor?after=17&size=2":    `{"rows":[{"id":3},{"id":4},{"id":5}],"meta":{"after":""}}`,
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
		"page":             {task.HTTPSource{Path: "/people", Next: &task.NextPage{Page: "page"}}, 5, 4},
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

func TestParametersReachTheService(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `[{"q":%q,"n":%d,"path":%q}]`, r.URL.Query().Get("state"), len(r.URL.Query()), r.URL.EscapedPath())
	})
	from := &task.HTTPSource{Path: "/of/{params.Group}?state={params.State}&none={params.None}"}
	rows, err := read(t, s.URL+"/v1/", from, map[string]any{"State": "C&A=1#", "Group": "a/../b", "None": ""})
	if err != nil || len(rows) != 1 || rows[0] != `["C\u0026A=1#",1,"/v1/of/a%2F..%2Fb"]` {
		t.Errorf("got %v, %v", rows, err)
	}
}

// Values come digit for digit; what one row has wrong is its own.
func TestRows(t *testing.T) {
	s := answers(t, map[string]string{"/": `[
		{"id": 9007199254740993, "price": 0.10, "big": 123456789012345678901234567890, "e": 1e3, "on": true, "none": null, "who": {"city": "Köln", "n": 7}, "tags": [1, "a"]},
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
		`[9007199254740993,0.10,123456789012345678901234567890,1e3,true,null,{"city":"Köln","n":7},[1,"a"],null,null,null]`,
		`[2,null,null,null,null,null,null,null,1,null,null]`,
		`row 3: id is there twice`,
		`row 4: is not an object with columns`,
		`row 5: is not an object with columns`,
		`row 6: who has half a letter in it`,
		`[null,null,null,null,null,null,"😀 ` + "\uFFFD" + `",null,null,null,null]`,
		`row 8: is not valid UTF-8`,
		`[-0,null,null,null,null,"\u0000",null,null,null,"x",null]`,
	}
	if err != nil || strings.Join(rows, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %v\n%s\nwant\n%s", err, strings.Join(rows, "\n"), strings.Join(want, "\n"))
	}
}

func TestWhatIsNoPage(t *testing.T) {
	link := func(text string) string { return `{"data":[{"id":1}],"next":"` + text + `"}` }
	for name, c := range map[string]struct {
		text string
		want string
	}{
		"HTML":              {"\n<!doctype html><p>hunter2", "page 1 of /, connection partner, is not JSON but a web page; perhaps it asks to log in"},
		"nothing":           {"", "page 1 of /, connection partner, is empty"},
		"half":              {`{"data":[{"id":1},{"id":`, "is not valid JSON"},
		"half behind":       {`{"data":[{"id":1}],"x":`, "is not valid JSON"},
		"half an object":    {`{"data":[{"id":1}]`, "is not valid JSON"},
		"text":              {"hunter2", "is not valid JSON"},
		"a list":            {`[{"id":1}]`, "has nothing at data, where source.http.items says"},
		"an object":         {`{"data":{"id":1}}`, "has something at data that is not a list; correct source.http.items"},
		"an error":          {`{"error":"hunter2"}`, "has nothing at data"},
		"deeper":            {`{"x":{"data":[]}}`, "has nothing at data"},
		"in a list":         {`[{"data":[{"id":1}]}]`, "has nothing at data"},
		"twice":             {`{"data":[{"id":1}],"data":[{"id":2}]}`, "has its list of rows twice"},
		"two documents":     {`{"data":[{"id":1}]}{"data":[{"id":2}]}`, "has something behind the end of its JSON"},
		"no objects":        {`{"data":[1,"hunter2"]}`, "are not objects with columns; set source.http.items"},
		"a link that is no": {`{"data":[{"id":1}],"next":{"href":"/"}}`, "has at next something that is not an address; correct source.http.next.link"},
		"the same page":     {link("/"), "names as its next page one that has been read already"},
		"another host":      {link("http://example.invalid/"), "names a next page outside the url of the connection, where its credentials must not go"},
		"another scheme":    {link("ftp://127.0.0.1/"), "names a next page outside the url"},
		"no address":        {link("http://a b/"), "names a next page whose address cannot be read"},
		"brackets":          {strings.Repeat("[", 20000), "is not valid JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			s := answers(t, map[string]string{"/": c.text})
			_, err := read(t, s.URL, &task.HTTPSource{Path: "/", Items: "data", Next: &task.NextPage{Link: "next"}}, nil)
			failure, ok := errors.AsType[*run.Failure](err)
			if !ok || !strings.Contains(failure.Message, c.want) || strings.Contains(failure.Message, "hunter2") {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
	s := answers(t, map[string]string{"/": `{"people":[]}`})
	if _, err := read(t, s.URL, &task.HTTPSource{Path: "/"}, nil); err == nil || !strings.Contains(err.Error(), "is not a list; set source.http.items to where in it") {
		t.Errorf("got %v", err)
	}
}

func TestWhatIsRefused(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("another host was asked, with %v", r.Header)
	}))
	defer other.Close()
	for name, c := range map[string]struct {
		handle http.HandlerFunc
		want   string
		asked  int
	}{
		"401": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, "is answered 401 Unauthorized; correct the credentials in the headers", 1},
		"404": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, "is answered 404 Not Found; correct path", 1},
		"400": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400); _, _ = io.WriteString(w, "hunter2") }, "is answered 400 Bad Request", 1},
		"500": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, "is answered 500 Internal Server Error, 3 times in a row; run the task again later", 3},
		"429 for an hour": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(429)
		}, "is answered 429 Too Many Requests, and asks to wait for 1h0m0s", 1},
		"a redirect elsewhere":  {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, 302) }, "redirects out of the url of the connection", 1},
		"a redirect above":      {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/other", 302) }, "redirects out of the url of the connection", 1},
		"a redirect by dots":    {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/v1/%2e%2e/other", 302) }, "redirects out of the url of the connection", 1},
		"redirects without end": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/v1/x"+r.URL.Path[3:], 302) }, "redirects 5 times and more", 6},
		"a hang":                {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "got no answer within 300ms, 3 times in a row", 3},
		"a slammed door":        {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "refuses or drops the connection, 3 times in a row", 3},
		"a hang within the page": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, `[{"id":1},`)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, "broke off 3 times in a row", 3},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, c.handle)
			_, err := read(t, s.URL+"/v1", &task.HTTPSource{Path: "/x"}, nil)
			failure, ok := errors.AsType[*run.Failure](err)
			if !ok || !strings.Contains(failure.Message, c.want) || strings.Contains(failure.Message, "hunter2") || strings.Contains(failure.Message, "127.0.0.1") || len(s.requests()) != c.asked {
				t.Errorf("got %v after %d requests, want %s after %d", err, len(s.requests()), c.want, c.asked)
			}
		})
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	if _, err := read(t, gone.URL, &task.HTTPSource{Path: "/"}, nil); err == nil || !strings.Contains(err.Error(), "page 1 of /, connection partner, cannot be reached: the service refuses") {
		t.Errorf("got %v", err)
	}
}

// Faults that pass are waited out, within a page too, and no row is given twice.
func TestPassingFaults(t *testing.T) {
	times := 0
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch times++; times {
		case 1:
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(429)
		case 2:
			w.WriteHeader(503)
		case 3, 5:
			_, _ = io.WriteString(w, `{"data":[{"id":1},{"id":2},`)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		case 4:
			w.WriteHeader(502)
		default:
			if r.URL.RawQuery != "" {
				_, _ = io.WriteString(w, `{"data":[{"id":4}]}`)
				return
			}
			_, _ = io.WriteString(w, `{"data":[{"id":1},{"id":2},{"id":3}],"next":"?2"}`)
		}
	})
	slow := quick
	slow.attempts = 5
	from := &task.HTTPSource{Connection: "partner", Path: "/", Items: "data", Next: &task.NextPage{Link: "next"}}
	began := time.Now()
	source, err := open(t.Context(), connect(t, s.URL), from, nil, slow)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	var got []any
	for {
		cells := make([]any, 1)
		if _, err = source.Next(t.Context(), cells); err != nil {
			break
		}
		got = append(got, cells[0])
	}
	if !errors.Is(err, io.EOF) || fmt.Sprint(got) != "[1 2 3 4]" || time.Since(began) < time.Second {
		t.Errorf("got %v, %v after %v", got, err, time.Since(began))
	}
}

func TestPageThatChangesWhileItIsReadAgain(t *testing.T) {
	times := 0
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		times++
		fmt.Fprintf(w, `[{"id":%d},`, times)
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	_, err := read(t, s.URL, &task.HTTPSource{Path: "/"}, nil)
	if err == nil || !strings.Contains(err.Error(), "broke off, and has other rows now") {
		t.Errorf("got %v", err)
	}
}

func TestEndlessPages(t *testing.T) {
	n := 0
	empty := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		n++
		fmt.Fprintf(w, `{"data":[],"next":"?%d"}`, n)
	})
	_, err := read(t, empty.URL, &task.HTTPSource{Path: "/", Items: "data", Next: &task.NextPage{Link: "next"}}, nil)
	if err == nil || !strings.Contains(err.Error(), "is one of 101 without any row, and still names a next one") {
		t.Errorf("got %v", err)
	}
	deaf := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `[{"id":1},{"id":2}]`) })
	_, err = read(t, deaf.URL, &task.HTTPSource{Path: "/", Next: &task.NextPage{Offset: "ofset"}}, nil)
	if err == nil || !strings.Contains(err.Error(), "the service seems not to know the parameter ofset of source.http.next") || len(deaf.requests()) != 3 {
		t.Errorf("got %v after %q", err, deaf.requests())
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
	source, err := open(ctx, connect(t, s.URL), from, nil, usualPatience)
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

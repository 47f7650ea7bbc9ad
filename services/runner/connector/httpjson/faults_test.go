package httpjson

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"runhook/services/runner/connection"
	"runhook/shared/outward"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
)

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
		"an error":          {`{"error":"hunter2"}`, "has no list of rows, and something at error: the service seems to say that it failed"},
		"several errors":    {`{"errors":[{"message":"hunter2"}],"data":null}`, "and something at errors: the service seems"},
		"not a success":     {`{"success":false,"total":0}`, "and something at success: the service seems"},
		"another list":      {`{"dta":[{"id":1}],"next":null}`, "has nothing at data"},
		"deeper":            {`{"x":{"data":[]}}`, "has nothing at data"},
		"in a list":         {`[{"data":[{"id":1}]}]`, "has nothing at data"},
		"twice":             {`{"data":[{"id":1}],"data":[{"id":2}]}`, "has its list of rows twice"},
		"two documents":     {`{"data":[{"id":1}]}{"data":[{"id":2}]}`, "has something behind the end of its JSON"},
		"no objects":        {`{"data":[1,"hunter2"]}`, "are not objects with columns; set source.http.items"},
		"a link that is no": {`{"data":[{"id":1}],"next":{"to":"/"}}`, "has at next something that is not an address; correct source.http.next.link"},
		"the same page":     {link("/"), "names as its next page one that has been read already"},
		"another host":      {link("http://example.invalid/"), "names a next page outside the url of the connection, where its credentials must not go"},
		"another scheme":    {link("ftp://127.0.0.1/"), "names a next page outside the url"},
		"a path in escapes": {link("/a%2F..%2Fadmin"), "names a next page whose path has a slash, a backslash or dots in escapes"},
		"a backslash":       {link(`/a\\..\\admin`), "names a next page whose path has a slash, a backslash or dots in escapes"},
		"dots in escapes":   {link("/a/%2e%2e/admin"), "names a next page whose path has a slash, a backslash or dots in escapes"},
		"no address":        {link("http://a b/"), "names a next page whose address cannot be read"},
		"brackets":          {strings.Repeat("[", 20000), "has something beside its rows that is nested deeper than 100 levels"},
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
		"500": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, "is answered 500 Internal Server Error, 3 times in a row", 3},
		"429 for an hour": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(429)
		}, "is answered 429 Too Many Requests, and asks to wait for 1h", 1},
		"a redirect elsewhere": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) }, "redirects out of the url of the connection", 1},
		"a redirect above":     {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/other", http.StatusFound) }, "redirects out of the url of the connection", 1},
		"a redirect by dots": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/v1/%2e%2e/other", http.StatusFound)
		}, "redirects out of the url of the connection", 1},
		"a redirect by a slash in escapes": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/v1/a%2F..%2Fother", http.StatusFound)
		}, "redirects out of the url of the connection", 1},
		"redirects without end": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/v1/x"+r.URL.Path[3:], http.StatusFound)
		}, "redirects 5 times and more", 6},
		"headers without end": {func(w http.ResponseWriter, _ *http.Request) { fill(w, outward.MaxHeader) }, "is answered with more than 256 KiB of headers", 1},
		"a hang":              {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "got no answer within 300ms, 3 times in a row", 3},
		"a slammed door":      {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "refuses or drops the connection, 3 times in a row", 3},
		"a hang within the page": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, `[{"id":1},`)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, "broke off 3 times in a row", 3},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, c.handle)
			p := quick
			if strings.HasPrefix(name, "a hang") {
				p = curt
			}
			_, _, err := readWith(t, p, s.URL+"/v1", &task.HTTPSource{Path: "/x"}, nil)
			proctest.Eventually(t, "all requests have come", func() bool { return len(s.requests()) >= c.asked })
			failure, ok := errors.AsType[*run.Failure](err)
			if !ok || !strings.Contains(failure.Message, c.want) || strings.Contains(failure.Message, "hunter2") || strings.Contains(failure.Message, "127.0.0.1") || len(s.requests()) != c.asked {
				t.Errorf("got %v after %d requests, want %s after %d", err, len(s.requests()), c.want, c.asked)
			}
			// What was asked for again, or would be, may pass at another attempt too.
			if throttled := strings.HasPrefix(name, "429"); ok && (failure.Passing != (c.asked == 3 || throttled) || throttled && failure.RetryAfter != time.Hour) {
				t.Errorf("passing: %v, after %s", failure.Passing, failure.RetryAfter)
			}
		})
	}
	inside := serve(t, func(http.ResponseWriter, *http.Request) {})
	set, err := connection.Parse([]byte("partner: {http: {url: '"+inside.URL+"', headers: {Authorization: Bearer hunter2}}}"), "connections.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, err = open(t.Context(), set, &task.HTTPSource{Connection: "partner", Path: "/"}, nil, quick, false)
	if failure, ok := errors.AsType[*run.Failure](err); !ok || failure.Passing || len(inside.requests()) != 0 ||
		!strings.Contains(failure.Message, "page 1 of /, connection partner, cannot be reached: the host of the connection's url has a private address; write private: true beside the url") {
		t.Errorf("got %v after %q", err, inside.requests())
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	if _, err := read(t, gone.URL, &task.HTTPSource{Path: "/"}, nil); err == nil || !strings.Contains(err.Error(), "page 1 of /, connection partner, cannot be reached: the service refuses") {
		t.Errorf("got %v", err)
	}
}

// fill gives an answer so many bytes of headers, and some more.
func fill(w http.ResponseWriter, bytes int) {
	const value = "xxxxxxxxxx"
	for n := range bytes / len(value) {
		w.Header().Add("X-Filler", fmt.Sprint(value, n))
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
	source, err := open(t.Context(), connect(t, s.URL), from, nil, slow, false)
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

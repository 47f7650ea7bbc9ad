package httpjson

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/molecule-man/go-brrr"

	"runhook/shared/run"
	"runhook/shared/task"
)

// How long services ask to wait, in the ways in which they do.
func TestServicesAskToWait(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		status  int
		headers string
		body    string
		wait    time.Duration
		passing bool
	}{
		"a fraction":                 {429, "Retry-After: 90.5", "", 90500 * time.Millisecond, true},
		"a date":                     {503, "Retry-After: Sun, 01 Mar 2026 12:30:00 GMT", "", 30 * time.Minute, true},
		"403 and Retry-After":        {403, "Retry-After: 120", "", 2 * time.Minute, true},
		"403 and nothing left":       {403, "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: " + strconv.FormatInt(now.Unix()+600, 10), "", 10 * time.Minute, true},
		"403 with a code":            {403, "", `{"errors":[{"reason": "userRateLimitExceeded"}]}`, 0, true},
		"403 with words":             {403, "", `{"message":"Your plan has no right to this. See rate limits, too many requests, quota exceeded."}`, 0, false},
		"403 with another code":      {403, "X-RateLimit-Limit: 0", `{"code":"quota_exceeded"}`, 0, false},
		"403 with a reset alone":     {403, "RateLimit-Reset: 150", `{"rate_limit":{"reset":150}}`, 0, false},
		"403 for good":               {403, "X-RateLimit-Remaining: 12\nX-RateLimit-Reset: 99", `{"message":"Forbidden"}`, 0, false},
		"RateLimit-Reset":            {429, "RateLimit-Reset: 150", "", 150 * time.Second, true},
		"RateLimit":                  {429, `RateLimit: "hour";r=0;t=1800`, "", 30 * time.Minute, true},
		"milliseconds of the epoch":  {429, "X-Rate-Limit-Reset: " + strconv.FormatInt(now.UnixMilli()+200_000, 10), "", 200 * time.Second, true},
		"seconds with a fraction":    {429, "X-RateLimit-Reset-After: 61.5", "", 61500 * time.Millisecond, true},
		"a moment":                   {429, "X-RateLimit-Reset: 2026-03-01T13:00:00Z", "", time.Hour, true},
		"Retry-After before a reset": {429, "Retry-After: 70\nX-RateLimit-Reset: 3000", "", 70 * time.Second, true},
		"a reset and something left": {429, "X-RateLimit-Remaining: 5\nX-RateLimit-Reset: 3000", "", 0, true},
		"a reset without a limit":    {503, "X-RateLimit-Reset: 3000", "", 0, true},
		"words":                      {429, "RateLimit-Reset: soon", "", 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			answer := said{status: c.status, body: c.body, headers: []string{"Date: " + now.Format(http.TimeFormat)}}
			if c.headers != "" {
				answer.headers = append(answer.headers, strings.Split(c.headers, "\n")...)
			}
			s := script(t, map[string]said{"/": answer})
			_, err := read(t, s.URL, &task.HTTPSource{Path: "/"}, nil)
			failure, ok := errors.AsType[*run.Failure](err)
			if !ok || failure.Passing != c.passing || failure.RetryAfter != c.wait {
				t.Errorf("got %v, passing %v, after %s", err, failure.Passing, failure.RetryAfter)
			}
		})
	}
}

// A 403 that speaks of a limit says no word of credentials alone.
func TestForbiddenWithWordsOfALimit(t *testing.T) {
	for text, words := range map[string]bool{
		`{"message":"API rate limit exceeded"}`: true, `{"errors":[{"reason":"quotaExceeded"}]}`: true, `<p>Too Many Requests</p>`: true, `request was throttled`: true, `rate_limit`: true,
		`{"message":"Forbidden"}`: false, `{"limit":100,"rate":"gold"}`: false, ``: false,
	} {
		s := script(t, map[string]said{"/": {status: 403, body: text}})
		_, err := read(t, s.URL, &task.HTTPSource{Path: "/"}, nil)
		if err == nil || strings.Contains(err.Error(), "page 1 of /, connection partner, is answered 403 Forbidden with words about a limit of requests; look at what the account may ask for") != words || !strings.Contains(err.Error(), "credentials") || len(s.requests()) != 1 {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// A destination waits as a source does.
func TestDestinationIsLimitedWith403(t *testing.T) {
	r := receive(t, func(n int, w http.ResponseWriter, _ string) {
		if n == 0 {
			w.Header().Set("Retry-After", "0.01")
			w.WriteHeader(http.StatusForbidden)
		}
	})
	err := r.open(t, task.HTTPDestination{}).Write(t.Context(), batch(1, "Ann"), func(int64) error { return nil })
	if requests, _ := r.sent(); err != nil || len(requests) != 2 {
		t.Errorf("got %v after %d requests", err, len(requests))
	}
}

// Bodies come in each coding, asked for or not, and break off in each.
func TestContentCodings(t *testing.T) {
	text := `{"d":[{"id":1},{"id":2,"name":"` + strings.Repeat("Zoë", 1000) + `"}]}`
	pack := func(to func(io.Writer) io.WriteCloser, text string) string {
		var packed bytes.Buffer
		w := to(&packed)
		_, _ = io.WriteString(w, text)
		_ = w.Close()
		return packed.String()
	}
	zipped := func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }
	framed := func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }
	bare := func(w io.Writer) io.WriteCloser { f, _ := flate.NewWriter(w, 9); return f }
	brotli := func(w io.Writer) io.WriteCloser { b, _ := brrr.NewWriter(w, 5); return b }
	for name, c := range map[string]struct{ coding, body string }{
		"gzip":                  {"gzip", pack(zipped, text)},
		"an old name":           {"X-GZip", pack(zipped, text)},
		"deflate":               {"deflate", pack(framed, text)},
		"deflate without frame": {"deflate", pack(bare, text)},
		"brotli":                {"br", pack(brotli, text)},
		"one after another":     {"br, identity, gzip", pack(zipped, pack(brotli, text))},
		"none":                  {"identity", text},
	} {
		t.Run(name, func(t *testing.T) {
			broken := true
			s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", c.coding)
				w.Header().Set("Content-Length", fmt.Sprint(len(c.body)))
				_, _ = io.WriteString(w, c.body[:len(c.body)/map[bool]int{true: 2, false: 1}[broken]])
				broken = false
			})
			rows, err := read(t, s.URL, &task.HTTPSource{Path: "/", Items: "d"}, nil)
			if err != nil || len(rows) != 2 || !strings.HasPrefix(rows[0], "[1,") || len(s.requests()) != 2 {
				t.Errorf("got %d rows, %v, after %d requests", len(rows), err, len(s.requests()))
			}
		})
	}
	s := script(t, map[string]said{"/long": {body: pack(brotli, ids(1, 3*sampleRows)), headers: []string{"Content-Encoding: br"}}, "/": {body: text, headers: []string{"Content-Encoding: zstd"}}, "/empty": {status: 204, headers: []string{"Content-Encoding: br"}}})
	if _, err := read(t, s.URL, &task.HTTPSource{Path: "/", Items: "d"}, nil); err == nil || !strings.Contains(err.Error(), "comes in a content coding other than gzip, deflate and br; set Accept-Encoding to gzip in the headers") {
		t.Errorf("got %v", err)
	}
	source, err := Open(t.Context(), connect(t, s.URL), &task.HTTPSource{Connection: "partner", Path: "/long"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	if part, _ := source.Progress(); part != 0 { // the length is that of the coding
		t.Errorf("%v of the text was read", part)
	}
	if rows, err := read(t, s.URL, &task.HTTPSource{Path: "/empty", Items: "d"}, nil); err != nil || len(rows) != 0 {
		t.Errorf("got %v, %v", rows, err)
	}
}

// NDJSON: each line is a row; pages are found as elsewhere.
func TestLines(t *testing.T) {
	s := script(t, map[string]said{
		"/":           {body: "\xEF\xBB\xBF{\"id\":1}\r\n\n{\"id\":2,\"n\":1.0}\n", headers: []string{"Content-Type: application/x-ndjson", "X-Total-Count: 3"}},
		"/?after=2":   {body: `{"id":3}`, headers: []string{"X-Total-Count: 3"}},
		"/?after=3":   {},
		"/cut":        {body: "{\"id\":1}\n{\"id\":"},
		"/faulty":     {body: "{\"id\":1}\n[2]\n\"x\"\n{\"id\":3}\n"},
		"/few":        {body: "{\"id\":1}\n", headers: []string{"X-Total-Count: 2"}},
		"/list":       {body: `[{"id":1}]`},
		"/empty":      {},
		"/page":       {body: "<html>"},
		"/unfinished": {body: "{\"id\":1}\n{\"id\":2}"},
	})
	for path, want := range map[string]string{
		"/":           "[1,null][2,1][3,null]",
		"/cut":        "page 1 of /cut, connection partner, is not valid JSON",
		"/faulty":     "[1]row 2: is not an object with columnsrow 3: is not an object with columns[3]",
		"/few":        "1 row came from /few, connection partner, and the service says at X-Total-Count that there are 2; set source.http.next to how the next page is found, or source.http.total to none if these rows are all that is wanted",
		"/list":       "the lines of page 1 of /list, connection partner, are not objects with columns; remove source.http.format: ndjson if the page is one JSON document",
		"/empty":      "",
		"/page":       "page 1 of /page, connection partner, is not JSON but a web page; perhaps it asks to log in, or the url or path is that of a page for people",
		"/unfinished": "[1][2]",
	} {
		from := &task.HTTPSource{Path: path, Lines: true}
		if path == "/" {
			from.Next = &task.NextPage{Cursor: "after", Row: "id"}
		}
		rows, err := read(t, s.URL, from, nil)
		got := strings.Join(rows, "")
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
	if _, err := read(t, s.URL, &task.HTTPSource{Path: "/unfinished"}, nil); err == nil || !strings.Contains(err.Error(), "or source.http.format to ndjson if each line is a row") {
		t.Errorf("got %v", err)
	}
}

// However a whole number is written, it is one key.
func TestWholeNumbersHaveOneForm(t *testing.T) {
	s := script(t, map[string]said{"/": {body: `[{"n":1},{"n":1.0},{"n":1e0},{"n":10.00e-1},{"n":-0.0},{"n":12.50e2},{"n":-100E-2},{"n":9223372036854775807.0},
		{"n":9223372036854775808},{"n":1.50},{"n":1e-2},{"n":1e300},{"n":1e99999999999},{"n":0.1e-400},{"n":{"m":[2.0]}}]`}})
	rows, err := read(t, s.URL, &task.HTTPSource{Path: "/"}, nil)
	if got := strings.Join(rows, ""); err != nil || got != `[1][1][1][1][0][1250][-1][9223372036854775807][9223372036854775808][1.50][1e-2][1e300][1e99999999999][0.1e-400][{"m":[2]}]` {
		t.Errorf("got %s, %v", got, err)
	}
}

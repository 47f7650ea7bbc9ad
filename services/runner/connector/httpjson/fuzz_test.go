package httpjson

import (
	"encoding/json"
	"errors"
	"hash/maphash"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"runhook/services/runner/row"
	"runhook/shared/run"
)

// Whatever a document is, it gives rows that are JSON, and an end that says why.
func FuzzPage(f *testing.F) {
	for _, seed := range []string{
		`[{"id":1},2]`, `{"data":{"rows":[{"a":"\ud800"}],"next":"x"},"total":5}`, "\xEF\xBB\xBF[]", "<html>", `{"data":null}`, `[[[`, `{"data":{"rows":[]},"data":{"rows":[1]}} 1`,
	} {
		f.Add(seed, "data.rows")
		f.Add(seed, "")
	}
	f.Fuzz(func(t *testing.T, text, items string) {
		a := &http.Response{Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text)), Request: &http.Request{URL: &url.URL{Path: "/"}}}
		p := newPage(t.Context(), a, places{items: items, next: "data.next", total: "total"}, maphash.MakeSeed())
		cells := make([]any, 1)
		for rows := 0; ; rows++ {
			item, err := p.read()
			if err != nil {
				if errors.Is(err, io.EOF) && (!p.listed && !p.aside.object || !json.Valid([]byte(strings.TrimPrefix(text, "\xEF\xBB\xBF")))) {
					t.Fatalf("%q ended well", text)
				}
				return
			}
			if !json.Valid(item) || rows > len(text) {
				t.Fatalf("%q gave %q", text, item)
			}
			_ = keys(item)
			_ = readRow(item, map[string]int{"id": 0}, []string{"id"}, cells)
		}
	})
}

func FuzzNextLink(f *testing.F) {
	for _, seed := range []string{`<a>; rel=next`, `<a>;rel="x NEXT";title="\"<,b>", <c>`, `<`, `<a>;;,,<b>;=;rel= next`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if link := nextLink([]string{header}); !strings.Contains(header, link) {
			t.Errorf("%q has %q", header, link)
		}
	})
}

// Whatever a service answers to rows, each has an outcome, or the run ends and says why.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		`{"errors":[{"index":1,"message":"x"}]}`, `[{"success":true},{"error":"dup"}]`, `{"results":[{"status":409},{}]}`, "<html>", `{"error":"\ud800"}`, `"FAILED"`, `[[`, `{"id":{"error":"x"}}`,
	} {
		f.Add(seed, 200, true)
		f.Add(seed, 422, false)
	}
	f.Fuzz(func(t *testing.T, body string, status int, html bool) {
		b := row.NewBatch(1)
		d := &Destination{client: &client{}, place: "POST / of connection partner", columns: []string{"id"}, array: true}
		for n := range int64(2) {
			b.Add(n).Values[0] = n
		}
		d.encode(b)
		if err := d.settle(reply{status: status, body: []byte(body), html: html}); err != nil {
			if _, ok := errors.AsType[*run.Failure](err); !ok {
				t.Errorf("not a failure: %v", err)
			}
			return
		}
		for _, r := range d.rows {
			if r.Outcome != row.Inserted && (r.Outcome != row.Failed || r.Fault == nil) {
				t.Errorf("%q leaves %v, %v", body, r.Outcome, r.Fault)
			}
		}
	})
}

package httpjson

import (
	"encoding/json"
	"errors"
	"hash/maphash"
	"io"
	"net/http"
	"strings"
	"testing"
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
		a := &http.Response{Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text))}
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

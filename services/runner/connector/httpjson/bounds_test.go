package httpjson

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"runhook/services/runner/connector/connectortest"
	"runhook/services/runner/row"
	"runhook/shared/run"
	"runhook/shared/task"
)

// wide is an object with so many members.
func wide(members int) string {
	var out strings.Builder
	for i := range members {
		fmt.Fprintf(&out, `,"c%d":1`, i)
	}
	return "{" + out.String()[1:] + "}"
}

func nested(levels int) string { return strings.Repeat("[", levels) + strings.Repeat("]", levels) }

// What a page may have has bounds, in its rows and beside them.
func TestPageBounds(t *testing.T) {
	rows := `"data":[{"id":1}]`
	long := strings.Repeat("x", 1<<20)
	for name, c := range map[string]struct{ text, want string }{
		"99 levels beside":        {`{"x":` + nested(99) + `,` + rows + `}`, ""},
		"100 levels beside":       {`{"x":` + nested(100) + `,` + rows + `}`, "is nested deeper than 100 levels"},
		"levels at a place":       {`{"next":` + nested(101) + `,` + rows + `}`, "is nested deeper than 100 levels"},
		"values at a place":       {`{"links":[` + strings.Repeat("1,", 100_000) + `1],` + rows + `}`, "or has more than 100000 values"},
		"much in members beside":  {`{` + strings.Repeat(`"x":"`+long+`",`, 17) + rows + `}`, "has a row, or something beside its rows, of more than 16 MiB"},
		"much in members behind":  {`{` + rows + strings.Repeat(`,"x":"`+long+`"`, 17) + `}`, "has a row, or something beside its rows, of more than 16 MiB"},
		"columns":                 {`{"data":[` + wide(maxColumns) + `]}`, ""},
		"too many columns":        {`{"data":[` + wide(maxColumns+1) + `]}`, "have more than 16384 columns"},
		"a total at a long place": {`{"meta` + long[:maxPlace] + `":{"total":7},` + rows + `}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := answers(t, map[string]string{"/": c.text})
			_, err := read(t, s.URL, &task.HTTPSource{Path: "/", Items: "data", Next: &task.NextPage{Link: "next"}}, nil)
			failure, ok := errors.AsType[*run.Failure](err)
			if ok != (c.want != "") || ok && !strings.Contains(failure.Message, c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
	s := answers(t, map[string]string{"/": `[{"id":1},{"id":` + nested(100) + `},{"id":[` + strings.Repeat("1,", 100_000) + `1]},{"id":2}]`})
	got, err := read(t, s.URL, &task.HTTPSource{Path: "/"}, nil)
	const fault = "is nested deeper than 100 levels, or has more than 100000 values"
	if want := []string{"[1]", "row 2: " + fault, "row 3: " + fault, "[2]"}; err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, %v", got, err)
	}
}

// A page that is read as it comes has a bound all the same.
func TestHugePage(t *testing.T) {
	b := &bounded{ctx: t.Context(), in: strings.NewReader("xyz"), left: maxItem, total: maxPage}
	if n, err := b.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if n, err := b.Read(make([]byte, 1)); n != 0 || !errors.Is(err, errHuge) {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// Members that lead on by long names are not named, for their names are put together at each level.
func TestLongPlaces(t *testing.T) {
	for letters, want := range map[int]bool{1: true, maxPlace - 1: true, maxPlace: false, 10 * maxPlace: false} {
		p := &page{stack: []frame{{object: true, placed: true, key: "a"}, {object: true, placed: true, place: "a", key: strings.Repeat("x", letters)}}}
		if path, ok := p.path(); ok != want || ok && path != "a."+strings.Repeat("x", letters) {
			t.Errorf("%d letters: %v", letters, ok)
		}
	}
	before := allocated()
	deep := `{"data":[{"id":1}]` + strings.Repeat(`,"`+strings.Repeat("x", 20_000)+`":{"y":1`, 50) + strings.Repeat("}", 51)
	s := answers(t, map[string]string{"/": deep})
	if rows, err := read(t, s.URL, &task.HTTPSource{Path: "/", Items: "data"}, nil); err != nil || len(rows) != 1 {
		t.Errorf("%v, %v", rows, err)
	}
	if grown := allocated() - before; grown > 40<<20 { // the names of each level, put together, take more
		t.Errorf("%d MB were allocated for 1 MB", grown>>20)
	}
}

// Of so many rows only is it known whether another page has them too, whatever the task asks for.
func TestMostSums(t *testing.T) {
	for asked, want := range map[int]int{0: keptSums, keptSums + 1: keptSums + 1, maxSums + 1: maxSums} {
		s := &Source{reading: t.Context(), seed: maphash.MakeSeed(), from: &task.HTTPSource{}, pages: pages{how: &task.NextPage{Offset: "skip"}, asked: asked}}
		answer := &http.Response{Header: http.Header{}, Body: http.NoBody, Request: &http.Request{URL: &url.URL{}}}
		if p := s.newPage(answer); p.keeps != want {
			t.Errorf("%d rows are asked for, and the sums of %d kept", asked, p.keeps)
		}
	}
}

// allocated is how many bytes of the heap were ever.
func allocated() uint64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.TotalAlloc
}

// Headers and codings have bounds too.
func TestAnswerHeaderBounds(t *testing.T) {
	for want, give := range map[string]func(http.Header){
		"is answered with more than 256 KiB of headers": func(h http.Header) { h.Set("X-Long", strings.Repeat("x", 300<<10)) },
		"comes in a content coding":                     func(h http.Header) { h.Set("Content-Encoding", strings.Repeat("gzip, ", maxCodings)+"gzip") },
		"is answered 418 I'm a teapot":                  func(http.Header) {},
	} {
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			give(w.Header())
			w.WriteHeader(http.StatusTeapot)
		})
		if _, err := read(t, s.URL, &task.HTTPSource{Path: "/"}, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// A page can be left wherever it is read.
func TestReadingAPageStops(t *testing.T) {
	many := strings.Repeat(`"count":1,`, 50_000)
	for name, text := range map[string]string{"beside": "{" + many, "rows": `{"data":[` + strings.Repeat("1,", 50_000)} {
		asked := 10
		a := &http.Response{Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text)), Request: &http.Request{URL: &url.URL{}}}
		p := newPage(connectortest.Ending(t.Context(), &asked), a, places{items: "data"}, maphash.MakeSeed())
		var err error
		for err == nil {
			_, err = p.read()
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
		if len(p.told.some) > maxSome {
			t.Errorf("%s: %d numbers are kept", name, len(p.told.some))
		}
	}
}

// Pages have an end, also where each has other rows.
func TestMostPages(t *testing.T) {
	first, _ := url.Parse("https://api.example.org/people")
	p := newPages(first, &task.NextPage{Page: "page"})
	for n := range uint64(maxPages) {
		p.seen[n] = true
	}
	if _, err := p.turn(&page{rows: 1}, nil, 1, false, false); err == nil || !strings.Contains(err.Error(), "is one of more than 1000000") {
		t.Errorf("got %v", err)
	}
}

// An answer to rows that is larger than one may be says nothing of them.
func TestAnswerBounds(t *testing.T) {
	for name, body := range map[string]string{"levels": nested(101), "values": "[" + strings.Repeat("1,", maxAnswer) + "1]"} {
		d := &Destination{place: "POST / of connection partner", rows: []*row.Row{{}}}
		if err := d.settle(reply{status: 200, body: []byte(body)}); err == nil || !strings.Contains(err.Error(), "it is not known which were taken") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

package imis

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"runhook/services/runner/turn"
	"runhook/shared/run"
	"runhook/shared/task"
)

// pageOf is an answer with these rows.
func pageOf(rows string) string { return `{"Items":{"$values":[` + rows + `]},"HasNext":false}` }

// wide is a row with so many columns.
func wide(columns int) string {
	var out strings.Builder
	for i := range columns {
		fmt.Fprintf(&out, `,"c%d":1`, i)
	}
	return "{" + out.String()[1:] + "}"
}

// A page has no more rows, columns and cells than it may, whatever its rows have in them.
func TestPageBounds(t *testing.T) {
	empty := strings.Repeat(",{}", 500)
	for name, c := range map[string]struct {
		text  string
		asked int64
		want  string
	}{
		"as many as asked for": {pageOf(empty[1:]), 500, ""},
		"few were asked for":   {pageOf(empty[1:]), 1, ""},
		"rows":                 {pageOf("{}" + empty), 500, "more rows on a page than the 500 that were asked for"},
		"rows of a wide one":   {pageOf(wide(20) + empty), 500, "more rows on a page than"},
		"columns":              {pageOf(wide(maxColumns)), 500, ""},
		"too many columns":     {pageOf(wide(maxColumns + 1)), 500, "more than 4096 columns"},
		"cells":                {pageOf(wide(maxColumns) + empty), 1000, "more than 2048000 cells on a page"},
	} {
		t.Run(name, func(t *testing.T) {
			p := &page{asked: c.asked}
			err := p.decode(t.Context(), c.text)
			more, ok := errors.AsType[excess](err)
			if ok != (c.want != "") || !strings.Contains(string(more), c.want) {
				t.Errorf("got %v", err)
			}
			p = &page{asked: c.asked, columns: p.columns}
			if p.columns == nil || p.decode(t.Context(), c.text) != nil && c.want == "" {
				return
			}
			if len(p.cells) > maxCells {
				t.Errorf("%d cells", len(p.cells))
			}
		})
	}
	known := &page{asked: 500, columns: &columns{names: []string{"a"}, index: map[string]int{"a": 0}}}
	if _, ok := errors.AsType[excess](known.decode(t.Context(), pageOf("{}"+empty))); !ok {
		t.Error("a further page has more rows than were asked for")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, p := range []*page{{asked: 500}, {asked: 500, columns: known.columns}} {
		if err := p.decode(ended, pageOf(empty[1:])); !errors.Is(err, context.Canceled) {
			t.Errorf("a page is read though its run has ended: %v", err)
		}
	}
}

// An answer is no deeper, and has no more values, than it may.
func TestAnswerBounds(t *testing.T) {
	for name, text := range map[string]string{
		"deep":   `{"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`,
		"values": "[" + strings.Repeat("1,", maxValues) + "1]",
	} {
		c := &client{}
		c.body.WriteString(text)
		_, err := c.text(&http.Response{Header: http.Header{}}, "the IQA")
		if failure, ok := errors.AsType[*run.Failure](err); !ok || !strings.Contains(failure.Message, "is nested deeper than 100 levels, or has more than 1000000 values") {
			t.Errorf("%s: %v", name, err)
		}
		if validJSON(text) != "null" {
			t.Errorf("%s: a refusal is read", name)
		}
	}
}

// What is no text in an answer is marked as such, as other readers of JSON do it.
func TestAnswersAreText(t *testing.T) {
	c := &client{}
	c.body.WriteString("{\"a\":\"\xffb\"}")
	if text, err := c.text(&http.Response{Header: http.Header{}}, "the IQA"); err != nil || text != "{\"a\":\"\uFFFDb\"}" {
		t.Errorf("%q, %v", text, err)
	}
}

// A site that names a larger page than the task wants is not asked for it.
func TestPageSizeIsTheTasks(t *testing.T) {
	for limit, want := range map[int64]int64{0: 500, 100: 100, 500: 500, 1 << 40: 500} {
		s := &Source{from: &task.IMISSource{PageSize: 500}, page: &page{limit: limit}}
		if got := s.pageSize(); got != want {
			t.Errorf("%d: asked for %d, want %d", limit, got, want)
		}
	}
}

// A site that asks to wait for ever holds nobody for longer than any wait may be.
func TestLongestHold(t *testing.T) {
	c := &client{turn: turn.New(nil, "", nil, zerolog.Nop()).At("site", 1)}
	if err := c.hold(&passing{wait: 1000 * time.Hour}, 1); err == nil {
		t.Error("the fault is lost")
	}
	if left := time.Until(c.turn.Rests()); left > maxRetryAfter || left < maxRetryAfter/2 {
		t.Errorf("the site is asked again after %s", left)
	}
}

package httpjson

import (
	"strings"
	"testing"

	"runhook/shared/task"
)

// A run ends well, and without a word, where a service has given all rows, in whatever way it says so.
func TestEndsOfTheRows(t *testing.T) {
	page := func(first, last int, more string) said { return said{body: `{"d":` + ids(first, last) + more + `}`} }
	byPage, byOffset := &task.NextPage{Page: "p"}, &task.NextPage{Offset: "o"}
	cursor, link := &task.NextPage{Cursor: "at", From: "to"}, &task.NextPage{Link: "next"}
	const total = `,"total":5`
	declared := func(next *task.NextPage) task.HTTPSource { return task.HTTPSource{Next: next, Total: "total"} }
	filtered := func(name string) map[string]said {
		return map[string]said{"/": page(1, 2, `,"total":500,"`+name+`":5`), "/?o=2": page(3, 4, `,"total":500,"`+name+`":5`), "/?o=4": page(5, 5, `,"total":500,"`+name+`":5`), "/?o=5": page(1, 0, `,"`+name+`":5`)}
	}
	stops := map[string]said{"/": page(1, 2, total), "/?p=2": page(3, 4, total), "/?p=3": page(5, 5, total), "/?p=4": page(5, 5, total), "/?p=5": page(5, 5, total), "/?p=6": page(5, 5, total)}
	slides := map[string]said{"/": page(1, 2, total), "/?o=2": page(3, 4, total), "/?o=4": page(5, 5, total), "/?o=5": page(4, 5, total), "/?o=7": page(4, 5, total), "/?o=9": page(4, 5, total)}
	for name, c := range map[string]struct {
		from  task.HTTPSource
		pages map[string]said
		rows  int
		warns string
		fails string
	}{
		"a cursor of -1":      {from: task.HTTPSource{Next: cursor}, pages: map[string]said{"/": page(1, 2, `,"to":2`), "/?at=2": page(3, 5, `,"to":-1`)}, rows: 5},
		"-1 in a text":        {from: task.HTTPSource{Next: cursor}, pages: map[string]said{"/": page(1, 2, `,"to":"2"`), "/?at=2": page(3, 5, `,"to":"-1"`)}, rows: 5},
		"a cursor of None":    {from: task.HTTPSource{Next: cursor}, pages: map[string]said{"/": page(1, 2, `,"to":"x"`), "/?at=x": page(3, 5, `,"to":"None"`)}, rows: 5},
		"a cursor like -1":    {from: task.HTTPSource{Next: cursor}, pages: map[string]said{"/": page(1, 2, `,"to":"-1x"`), "/?at=-1x": page(3, 5, `,"to":""`)}, rows: 5},
		"a link of null":      {from: task.HTTPSource{Next: link}, pages: map[string]said{"/": page(1, 2, `,"next":"/2"`), "/2": page(3, 5, `,"next":"null"`)}, rows: 5},
		"a sign like -1":      {pages: map[string]said{"/": page(1, 5, `,"nextCursor":"-1x"`)}, rows: 5, warns: "the last page says at nextCursor that there are more"},
		"its own cursor":      {from: declared(cursor), pages: map[string]said{"/": page(1, 3, `,"to":2,"total":6`), "/?at=2": page(4, 6, `,"to":2,"total":6`)}, rows: 6},
		"the first cursor":    {from: declared(link), pages: map[string]said{"/": page(1, 3, `,"next":"/2","total":6`), "/2": page(4, 6, `,"next":"/","total":6`)}, rows: 6},
		"its own, unsaid":     {from: task.HTTPSource{Next: cursor}, pages: map[string]said{"/": page(1, 3, `,"to":2`), "/?at=2": page(4, 6, `,"to":2`)}, rows: 6, warns: "page 2 of /, connection partner, names itself as its next page, which was taken for the end of the rows; look at it if there should be more than the 6 rows that came"},
		"its own, and more":   {from: declared(cursor), pages: map[string]said{"/": page(1, 3, `,"to":2,"total":9`), "/?at=2": page(4, 6, `,"to":2`)}, fails: "6 rows came from /, connection partner, and the service says at total that there are 9"},
		"the last page again": {from: declared(byPage), pages: stops, rows: 5},
		"again, by a guess":   {from: task.HTTPSource{Next: byPage}, pages: stops, rows: 5},
		"again, by offset":    {from: declared(byOffset), pages: slides, rows: 5},
		"again, of one":       {from: task.HTTPSource{Next: byPage}, pages: map[string]said{"/": page(1, 5, total), "/?p=2": page(1, 5, total), "/?p=3": page(1, 5, total)}, rows: 5},
		"again, unsaid": {
			from: task.HTTPSource{Next: byPage}, pages: map[string]said{"/": page(1, 2, ""), "/?p=2": page(3, 4, ""), "/?p=3": page(3, 4, ""), "/?p=4": page(3, 4, "")},
			fails: "page 4 of /, connection partner, has the same rows as the 2 before it, and those before had others; the service seems to give its last page again: set source.http.total or source.http.next.pages",
		},
		"rows that repeat before the total": {from: declared(byPage), pages: map[string]said{"/": page(1, 2, total), "/?p=2": page(1, 2, total), "/?p=3": page(3, 3, total), "/?p=4": page(1, 0, total)}, rows: 5},
		"another row behind the total":      {from: declared(byPage), pages: map[string]said{"/": page(1, 3, total), "/?p=2": page(4, 5, total), "/?p=3": page(6, 6, total), "/?p=4": page(1, 0, total)}, rows: 6, warns: "6 rows came from /, connection partner, and the service says at total that there are 5; some may have come twice"},
		"more than a number that is found":  {from: task.HTTPSource{Next: byPage}, pages: map[string]said{"/": page(1, 3, total), "/?p=2": page(3, 5, total), "/?p=3": page(1, 0, total)}, rows: 6, warns: "the service says at total that there are 5; some may have come twice"},
		"a number that becomes less":        {from: task.HTTPSource{Next: byPage}, pages: map[string]said{"/": page(1, 3, `,"total":6`), "/?p=2": page(4, 6, `,"total":3`), "/?p=3": page(7, 9, `,"total":0`), "/?p=4": page(1, 0, ``)}, rows: 9},
		"a number of each page":             {from: task.HTTPSource{Next: byPage}, pages: map[string]said{"/": page(1, 3, `,"total":3`), "/?p=2": page(4, 6, `,"total":3`), "/?p=3": page(1, 0, ``)}, rows: 6},

		"404 behind a total that is found": {from: task.HTTPSource{Next: byPage}, pages: map[string]said{"/": page(1, 3, `,"total":6`), "/?p=2": page(4, 6, `,"total":6`)}, rows: 6},
		"404 before it":                    {from: task.HTTPSource{Next: byPage}, pages: map[string]said{"/": page(1, 3, `,"total":9`), "/?p=2": page(4, 6, `,"total":9`)}, fails: "is answered 404 Not Found"},

		"DataTables":        {from: task.HTTPSource{Next: byOffset}, pages: filtered("recordsFiltered"), rows: 5},
		"a filtered count":  {from: task.HTTPSource{Next: byOffset}, pages: filtered("filtered_count"), rows: 5},
		"filtered, of one":  {pages: map[string]said{"/": page(1, 5, `,"filteredCount":5,"totalCount":500`)}, rows: 5},
		"a header":          {pages: map[string]said{"/": {body: `{"d":` + ids(1, 5) + `}`, headers: []string{"X-Total-Count: 500", "X-Filtered-Count: 5"}}}, rows: 5},
		"filtered to none":  {pages: map[string]said{"/": page(1, 0, `,"recordsTotal":500,"recordsFiltered":0`)}},
		"too few filtered":  {pages: map[string]said{"/": page(1, 5, `,"recordsTotal":500,"recordsFiltered":7`)}, fails: "says at recordsFiltered that there are 7;"},
		"filtered away":     {pages: map[string]said{"/": page(1, 5, `,"total":500,"filteredCount":3`)}, fails: "says at total that there are 500;"},
		"declared before":   {from: task.HTTPSource{Total: "all"}, pages: map[string]said{"/": page(1, 5, `,"all":9,"filteredCount":5`)}, fails: "says at all that there are 9;"},
		"an amount":         {pages: map[string]said{"/": page(1, 5, `,"total":129900`)}, fails: "there are 129900; set source.http.next to how the next page is found, or source.http.total to none if that is a number of something else, or these rows are all that is wanted"},
		"headers of a page": {pages: map[string]said{"/": {body: `{"d":` + ids(1, 5) + `}`, headers: []string{"X-Count: 1000", "X-Page-Count: 9"}}}, rows: 5},
		"declared header":   {from: task.HTTPSource{Total: "X-Count"}, pages: map[string]said{"/": {body: `{"d":` + ids(1, 5) + `}`, headers: []string{"X-Count: 1000"}}}, fails: "says at X-Count that there are 1000"},

		"JSON:API":               {pages: map[string]said{"/": page(1, 5, `,"meta":{"page":{"total":5}},"links":{"next":"/?page%5Bnumber%5D=2"}`)}, rows: 5},
		"always the second page": {pages: map[string]said{"/": page(1, 5, `,"next":"/?page=2","total":5`)}, rows: 5},
		"more behind the second": {pages: map[string]said{"/": page(1, 5, `,"meta":{"page":{"total":"?"}},"links":{"next":"/?page[number]=2"}`)}, rows: 5, warns: "the last page says at links.next that there are more"},
		"any other page":         {pages: map[string]said{"/": page(1, 5, `,"next":"/?page=3","total":5`)}, rows: 5},
	} {
		t.Run(name, func(t *testing.T) {
			s := script(t, c.pages)
			c.from.Path, c.from.Items = "/", "d"
			rows, warnings, err := readWarned(t, s.URL, &c.from, nil)
			switch got := strings.Join(warnings, "; "); {
			case c.fails != "":
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Errorf("got %v, %v with %q after %q", rows, err, got, s.requests())
				}
			case err != nil || len(rows) != c.rows || c.warns == "" && got != "" || !strings.Contains(got, c.warns):
				t.Errorf("got %v, %v with %q after %q", rows, err, got, s.requests())
			}
		})
	}
}

package httpjson

import (
	"strings"
	"testing"

	"runhook/services/runner/check"
	"runhook/services/runner/connector"
	"runhook/shared/task"
)

// A last page that says that there are more rows ends no run without a word.
func TestLastPageSaysThatThereIsMore(t *testing.T) {
	three := ids(1, 3)
	page := func(more string) map[string]said { return map[string]said{"/": {body: `{"d":` + three + more + `}`}} }
	byPage, byLink := &task.NextPage{Page: "page"}, &task.NextPage{Link: "next"}
	const says = "3 rows came from /, connection partner, and the last page says at "
	for name, c := range map[string]struct {
		answers map[string]said
		from    task.HTTPSource
		fails   string // its beginning, where the run fails
		warns   string // its beginning, where there is one
	}{
		// The service says so with a name that means nothing else.
		"a Link header": {
			answers: map[string]said{"/": {body: `{"d":` + three + `}`, headers: []string{`Link: </>; rel=self, </2>; rel="next"`}}},
			fails:   says + "a Link header with rel=next that there are more; set source.http.next to {header: true}, or source.http.total to none if these rows are all that is wanted",
		},
		"OData":           {answers: page(`,"@odata.nextLink":"/2"`), fails: says + `@odata.nextLink that there are more; set source.http.next to {link: "@odata.nextLink"}, or`},
		"an old OData":    {answers: page(`,"odata.nextLink":"/2"`), fails: says + `odata.nextLink that there are more; set source.http.next to {link: odata.nextLink}, or`},
		"the oldest":      {answers: map[string]said{"/": {body: `{"d":{"d":` + three + `,"__next":"/2"}}`}}, from: task.HTTPSource{Items: "d.d"}, fails: says + "d.__next that"},
		"has_more":        {answers: page(`,"has_more":true`), fails: says + "has_more that there are more; set source.http.next to how the next page is found, or"},
		"hasMore":         {answers: page(`,"hasMore":"true"`), fails: says + "hasMore that"},
		"has_next":        {answers: page(`,"has_next":true`), fails: says + "has_next that"},
		"of a page's":     {answers: page(`,"pageInfo":{"hasNextPage":true,"endCursor":"x"}`), fails: says + "pageInfo.hasNextPage that"},
		"more records":    {answers: page(`,"info":{"more_records":true}`), fails: says + "info.more_records that"},
		"a map's":         {answers: page(`,"exceededTransferLimit":true`), fails: says + "exceededTransferLimit that"},
		"not the last":    {answers: page(`,"isLast":false`), fails: says + "isLast that"},
		"what remains":    {answers: page(`,"metadata":{"remainingItemCount":4}`), fails: says + "metadata.remainingItemCount that"},
		"not its end":     {answers: page(`,"endOfRecords":false`), fails: says + "endOfRecords that"},
		"a JSON header":   {answers: map[string]said{"/": {body: `{"d":` + three + `}`, headers: []string{`X-Pagination: {"CurrentPage":1,"HasNext":true}`}}}, fails: says + "X-Pagination that"},
		"pages by header": {answers: map[string]said{"/": {body: `{"d":` + three + `}`, headers: []string{`X-Total-Pages: 4`}}}, fails: says + "X-Total-Pages that there are more"},

		// The service says so with a name that may mean something else, or that it always has.
		"not done":        {answers: page(`,"done":false,"x":1`), warns: says + "done that"},
		"next":            {answers: page(`,"next":"/?page=2"`), warns: says + "next that there are more; set source.http.next to {link: next}, or"},
		"links":           {answers: page(`,"links":{"self":"/","next":"/2"}`), warns: says + "links.next that there are more; set source.http.next to {link: links.next}, or"},
		"HAL":             {answers: page(`,"_links":{"next":{"href":"/2"}}`), warns: says + "_links.next that there are more; set source.http.next to {link: _links.next}, or"},
		"FHIR":            {answers: page(`,"link":[{"relation":"self","url":"/"},{"relation":"next","url":"/2"}]`), warns: says + "link that there are more; set source.http.next to {link: link}, or"},
		"a number":        {answers: page(`,"nextPage":2`), warns: says + "nextPage that"},
		"a token":         {answers: page(`,"next_page_token":"CAE"`), warns: says + "next_page_token that"},
		"a cursor":        {answers: page(`,"response_metadata":{"nextCursor":"dXNl"}`), warns: says + "response_metadata.nextCursor that"},
		"an object":       {answers: page(`,"pages":{"type":"pages","next":{"starting_after":"x"}}`), warns: says + "pages.next that"},
		"true":            {answers: page(`,"nextPage":true`), warns: says + "nextPage that"},
		"a list":          {answers: page(`,"next":["/2"]`), warns: says + "next that"},
		"a page's total":  {answers: page(`,"total":3,"next":"/2"`), warns: says + "next that"},
		"of a page again": {answers: page(`,"totalSize":3,"nextRecordsUrl":"/q/2"`), warns: says + "nextRecordsUrl that"},
		"an offset":       {answers: page(`,"nextOffset":3`), warns: says + "nextOffset that"},
		"a text offset":   {answers: page(`,"offset":"itr/rec"`), warns: says + "offset that"},
		"to continue":     {answers: page(`,"metadata":{"continue":"eyJ2"}`), warns: says + "metadata.continue that"},
		"an old cursor":   {answers: page(`,"cursor":"CiQ"`), warns: says + "cursor that"},
		"another holder":  {answers: page(`,"pagingData":{"NextURL":"/2"},"navigation":{"next":""}`), warns: says + "pagingData.NextURL that"},
		"in two":          {answers: page(`,"meta":{"pagination":{"links":{"next":"http://x/?page=2"}}}`), warns: says + "meta.pagination.links.next that"},
		"pages":           {answers: page(`,"meta":{"total_pages":4}`), warns: says + "meta.total_pages that there are more"},
		"the last's":      {answers: page(`,"current_page":1,"last_page":2`), warns: says + "last_page that there are more"},
		"a header's":      {answers: map[string]said{"/": {body: `{"d":` + three + `}`, headers: []string{"X-Next-Page: 2"}}}, warns: says + "X-Next-Page that"},
		"before the rows": {answers: map[string]said{"/": {body: `{"next":"/2","d":` + three + `}`}}, warns: says + "next that"},

		// The task follows another way than the service names.
		"another link": {
			answers: page(`,"next":null,"@odata.nextLink":"/2"`), from: task.HTTPSource{Next: byLink},
			fails: says + `@odata.nextLink that there are more; correct source.http.next to {link: "@odata.nextLink"}, or`,
		},
		"a place that is none": {
			answers: page(`,"nxt":"/2","hasMore":true`), from: task.HTTPSource{Next: byLink},
			fails: says + "hasMore that there are more; no page of /, connection partner, has anything at next, where source.http.next.link looks",
		},
		"a header and a link":    {answers: page(`,"paging":{"next":"/2"}`), from: task.HTTPSource{Next: &task.NextPage{Header: true}}, warns: says + "paging.next that"},
		"an offset past the end": {answers: map[string]said{"/": {body: `{"d":` + three + `}`}, "/?o=3": {body: `{"d":[],"has_more":true}`}}, from: task.HTTPSource{Next: &task.NextPage{Offset: "o"}}, fails: says + "has_more that"},
		"a page that is not there": {
			answers: map[string]said{"/?limit=9": {body: `{"d":` + three + `,"hasMore":true}`}}, from: task.HTTPSource{Path: "/?limit=9", Next: byPage},
			fails: says + "hasMore that there are more",
		},

		"within the pages":      {answers: page(`,"pages":3,"next":2`), warns: says + "next that"},
		"an address of its own": {answers: page(`,"pages":1,"next":"/2"`), warns: says + "next that"},
		"less by the total":     {answers: page(`,"total":2,"next":"/2"`), warns: says + "next that"},

		// Its shards, its map, its search.
		"a failed shard":      {answers: page(`,"_shards":{"total":5,"successful":4,"failed":1}`), fails: "page 1 of /, connection partner, has something at _shards.failed beside its list of rows"},
		"all shards":          {answers: page(`,"_shards":{"total":5,"successful":5,"failed":0},"timed_out":false`)},
		"out of time":         {answers: page(`,"timed_out":true`), fails: "page 1 of /, connection partner, has something at timed_out"},
		"GeoJSON":             {answers: page(`,"properties":{"exceededTransferLimit":true,"total":99}`), fails: says + "properties.exceededTransferLimit that"},
		"GeoJSON, all":        {answers: page(`,"properties":{"exceededTransferLimit":false,"name":"x","status":"error"}`)},
		"Solr":                {answers: page(`,"responseHeader":{"status":0,"QTime":3,"partialResults":true}`), fails: "page 1 of /, connection partner, has something at responseHeader.partialResults"},
		"Solr, all":           {answers: page(`,"responseHeader":{"status":0,"params":{"rows":"10","next":"x"},"partialResults":false}`)},
		"Azure":               {answers: map[string]said{"/": {body: `{"d":` + three + `}`, headers: []string{"x-ms-continuation-NextPartitionKey: 1!8"}}}, fails: says + "X-Ms-Continuation-Nextpartitionkey that"},
		"Cosmos":              {answers: map[string]said{"/": {body: `{"d":` + three + `}`, headers: []string{"x-ms-continuation: abc"}}}, fails: says + "X-Ms-Continuation that"},
		"Azure, not compared": {answers: map[string]said{"/": {body: `{"d":` + three + `}`, headers: []string{"x-ms-continuation: abc"}}}, from: task.HTTPSource{Total: "none"}},
		"not complete":        {answers: page(`,"isComplete":false`), fails: says + "isComplete that"},
		"not at the end":      {answers: page(`,"eof":"false"`), fails: says + "eof that"},
		"not finished":        {answers: page(`,"finished":false`), warns: says + "finished that"},
		"incomplete":          {answers: page(`,"complete":false`), warns: says + "complete that"},
		"complete":            {answers: page(`,"complete":true,"eof":true,"isComplete":true,"partial":false,"remaining":0,"status":"complete"`)},
		"partial":             {answers: page(`,"partial":true`), warns: "has something at partial by which services say that they failed"},
		"a partial status":    {answers: page(`,"status":"partial"`), warns: "has something at status by which services say that they failed"},
		"what is left":        {answers: page(`,"remaining":43`), warns: says + "remaining that"},
		"results available":   {answers: page(`,"moreResultsAvailable":true`), fails: says + "moreResultsAvailable that"},
		"what remains of it":  {answers: page(`,"meta":{"remaining_count":"4"}`), warns: says + "meta.remaining_count that"},
		"Twitter":             {answers: page(`,"search_metadata":{"next_results":"?max_id=7"}`), warns: says + "search_metadata.next_results that there are more; set source.http.next to {link: search_metadata.next_results}"},
		"single quotes":       {answers: map[string]said{"/": {body: `{"d":` + three + `}`, headers: []string{`Link: </1>; rel='prev', </2>; rel='next'`}}}, fails: says + "a Link header with rel=next"},
		"a header of pages":   {answers: map[string]said{"/": {body: `{"d":` + three + `}`, headers: []string{"X-Pagination-Page-Count: 3"}}}, fails: says + "X-Pagination-Page-Count that"},
		"a header of a page":  {answers: map[string]said{"/": {body: `{"d":` + three + `}`, headers: []string{"Pagination-Count: 3", "Pagination-Page: 1", "X-Page-Count: 9", "X-Count: 40", "X-RateLimit-Remaining: 43"}}}},
		"a header of rows":    {answers: map[string]said{"/": {body: `{"d":` + three + `}`, headers: []string{"Pagination-Count: 43"}}}, fails: "3 rows came from /, connection partner, and the service says at Pagination-Count that there are 43;"},
		"a size in a header":  {answers: map[string]said{"/": {body: `{"d":` + three + `}`, headers: []string{"Pagination-Count: 50", "Pagination-Limit: 50"}}}},
		"Items-Total":         {answers: map[string]said{"/": {body: `{"d":` + three + `}`, headers: []string{"Items-Total: 43"}}}, fails: "3 rows came from /, connection partner, and the service says at Items-Total that there are 43;"},
		"X-Record-Count":      {answers: map[string]said{"/": {body: `{"d":` + three + `}`, headers: []string{"X-Record-Count: 43"}}}, fails: "3 rows came from /, connection partner, and the service says at X-Record-Count that there are 43;"},

		// An empty page ends the rows, whatever it says, if all pages say so.
		"always more":       {answers: map[string]said{"/": {body: `{"d":` + ids(1, 2) + `,"has_more":true}`}, "/?o=2": {body: `{"d":[{"id":3}],"has_more":true}`}, "/?o=3": {body: `{"d":[],"has_more":true}`}}, from: task.HTTPSource{Next: &task.NextPage{Offset: "o"}}, warns: says + "has_more that there are more"},
		"more at one's end": {answers: map[string]said{"/": {body: `{"d":` + ids(1, 2) + `,"has_more":true}`}, "/?o=2": {body: `{"d":[{"id":3}]}`}, "/?o=3": {body: `{"d":[],"has_more":true}`}}, from: task.HTTPSource{Next: &task.NextPage{Offset: "o"}}, fails: says + "has_more that there are more"},

		// There is no more.
		"nothing":         {answers: page(`,"next":null,"next_page":"","links":{"next":{"href":null}},"paging":{"next":{}},"nextOffset":0,"hasMore":false,"last":true,"link":[{"rel":"prev","href":"/0"}],"@odata.nextLink":null`)},
		"other":           {answers: page(`,"next_run":"2027-01-01","cursor":"","offset":7,"continue":null,"paging":{"cursors":{"after":"x"}},"deltaLink":"/d","x":{"next":"/2"},"pages":1,"last":"/9"`)},
		"a name in a row": {answers: map[string]said{"/": {body: `{"d":[{"id":1,"next":"/2","has_more":true},{"id":2},{"id":3}]}`}}},
		"said twice":      {answers: page(`,"nextCursor":"x","next":"/2","hasMore":false`)},
		"its own address": {answers: page(`,"next":"/"`)},
		"the task's more": {answers: page(`,"paging":{"next":"/2"},"next":"/2","m":0`), from: task.HTTPSource{Next: &task.NextPage{Link: "next", More: "m"}}},
		"all by a total":  {answers: page(`,"@odata.count":3,"nextLink":"/2"`)},
		"not compared":    {answers: page(`,"has_more":true,"next":"/2"`), from: task.HTTPSource{Total: "none"}},
		"an end in pages": {
			answers: map[string]said{"/": {body: `{"d":` + ids(1, 2) + `,"next":"/?page=2","total_pages":2}`}, "/?page=2": {body: `{"d":[{"id":3}],"next":null,"total_pages":2}`}, "/?page=3": {body: `{"d":[],"next":null,"total_pages":2}`}},
			from:    task.HTTPSource{Next: byPage},
		},
		"all by a usual total": {
			answers: map[string]said{"/": {body: `{"total":3,"d":` + ids(1, 2) + `,"next":"/2"}`}, "/2": {body: `{"total":3,"d":[{"id":3}],"next":null,"nextPage":3}`}}, from: task.HTTPSource{Next: byLink},
		},
		"total of a text":  {answers: page(`,"total":"3","next":"/?skip=3"`)},
		"past the pages":   {answers: page(`,"page":1,"pages":1,"next":2`)},
		"a link past them": {answers: page(`,"meta":{"total_pages":1},"links":{"next":"/?page=2"}`)},
		"always a next":    {answers: page(`,"total":3,"_links":{"next":"/?offset=100"},"nextOffset":3`)},
		"from a page on":   {answers: map[string]said{"/?page=4": {body: `{"d":` + three + `,"total_pages":4}`}}, from: task.HTTPSource{Path: "/?page=4"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := script(t, c.answers)
			if c.from.Path == "" {
				c.from.Path = "/"
			}
			if c.from.Items == "" {
				c.from.Items = "d"
			}
			rows, warnings, err := readWarned(t, s.URL, &c.from, nil)
			got := strings.Join(warnings, "; ")
			switch {
			case c.fails != "":
				if err == nil || !strings.HasPrefix(err.Error(), c.fails) {
					t.Errorf("got %v with %s, want %s", err, got, c.fails)
				}
			case err != nil || len(rows) != 3 || (got == "") != (c.warns == "") || !strings.Contains(got, c.warns):
				t.Errorf("got %v, %v with %s, want %s", rows, err, got, c.warns)
			}
		})
	}
}

// Whoever looks is told of a next page that the task does not read.
func TestLookSeesThatThereIsMore(t *testing.T) {
	for text, want := range map[string]string{
		`,"has_more":true`: "source.http.next: 3 rows came from /, connection partner, and the last page says at has_more that there are more",
		`,"next":"/2"`:     "3 rows came from /, connection partner, and the last page says at next that there are more",
	} {
		s := script(t, map[string]said{"/": {body: `{"d":` + ids(1, 3) + text + `}`}})
		job := connector.Job{Connections: connect(t, s.URL), Preview: true, Task: &task.Definition{Source: &task.HTTPSource{Connection: "partner", Path: "/", Items: "d"}}}
		var found check.Report
		looked, err := SourceKind{}.Check(t.Context(), job, &found)
		got := strings.Join(looked.Warnings, "; ")
		for _, finding := range found.Findings {
			got += finding.Text()
		}
		if err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, %v", text, got, err)
		}
		from, err := SourceKind{}.Open(t.Context(), job)
		if err != nil {
			t.Fatal(err)
		}
		defer from.Close()
		if got := strings.Join(connector.Warnings(from), "; "); !strings.Contains(want, got[:40]) {
			t.Errorf("%s: a preview warns of %s", text, got)
		}
	}
}

package taskfile

import (
	"net/url"
	"slices"
	"strings"

	"runhook/shared/task"
	"runhook/shared/wording"
)

var httpSource = form[task.Source]{
	kind: task.HTTP, read: readHTTPSource,
	meaning: "pages of JSON from a web service",
	fields: []field{
		connectionField("partner", "http connection it reads"),
		{
			name: "path", kind: kindText, max: maxExpressionLetters, example: `"/people?state={params.LastName}"`, required: true,
			meaning: "the first page, below the connection's url; {params.State} is a parameter, and a query parameter that is one without a value is left out",
		},
		{
			name: "items", kind: kindText, max: maxNameLetters, example: "data.people",
			meaning: "where the list of rows is in a page, names with dots; without it the page is the list",
		},
		{
			name: "next", kind: kindSection, fields: nextFields,
			meaning: "how the next page is found: exactly one of link, header, offset, page or cursor; without it there is one page",
		},
		{
			name: "total", kind: kindText, max: maxNameLetters, example: "meta.total",
			meaning: "where a page says how many rows there are on all pages, names with dots",
		},
		{
			name: "columns", kind: kindTexts, max: maxColumns, example: "[middleName]",
			meaning: "names that a row may lack: those that the first rows all lack must be here",
		},
	},
}

var httpDestination = form[task.Destination]{
	kind: task.HTTP, read: readHTTPDestination,
	meaning: "a web service, which gets the rows as JSON; after an interruption some arrive again",
	fields: []field{
		connectionField("partner", "http connection it sends to"),
		{
			name: "path", kind: kindText, example: "/members", required: true,
			meaning: "the path below the connection's url, with a query or without",
		},
		{
			name: "method", kind: kindChoice, byDefault: "POST", values: []string{"POST", "PUT", "PATCH"},
			meaning: "how the rows are sent: POST, PUT or PATCH",
		},
		{
			name: "batch", kind: kindWhole, min: 1, max: maxRowsPerRequest, byDefault: "1",
			meaning: "how many rows go in one request: 1 sends an object, more an array of objects",
		},
	},
}

var nextFields = []field{
	{
		name: "link", kind: kindText, max: maxNameLetters, example: "links.next",
		meaning: "where a page has the next one's address, names with dots; none is the end",
	},
	{
		name: "header", kind: kindFlag, byDefault: "false", example: "true",
		meaning: "true follows the Link header's rel=next; none is the end",
	},
	{
		name: "offset", kind: kindText, max: maxNameLetters, example: "offset",
		meaning: "the query parameter for how many rows to skip; a page without rows is the end",
	},
	{
		name: "page", kind: kindText, max: maxNameLetters, example: "page",
		meaning: "the query parameter for the page's number, from 1 or from what path says; a page without rows is the end",
	},
	{
		name: "cursor", kind: kindText, max: maxNameLetters, example: "after",
		meaning: "the query parameter for the value that the previous page has at from; no value is the end",
	},
	{
		name: "from", kind: kindText, max: maxNameLetters, example: "meta.cursor",
		meaning: "with cursor: where a page has it, names with dots",
	},
}

func readHTTPSource(r *reader, given content, def *task.Definition) task.Source {
	http := given.section
	source := &task.HTTPSource{
		Connection: http.text("connection"), Path: http.text("path"), Items: http.text("items"),
		Total: http.text("total"), Columns: http.contents["columns"].texts,
	}
	for _, name := range []string{"items", "total"} {
		r.checkPlace(http, "source.http."+name, name)
	}
	if path, ok := http.field("path"); ok {
		r.checkTarget(path, def)
	}
	if next, ok := http.field("next"); ok {
		source.Next = r.nextPage(next.section)
	}
	return source
}

// checkTarget checks the path of an http source and the parameters in it.
func (r *reader) checkTarget(given content, def *task.Definition) {
	const name = "source.http.path"
	pieces, err := task.CutPath(given.text)
	if err != nil {
		r.report(given.line, "%s: %v", name, err)
		return
	}
	for _, piece := range pieces {
		if piece.Parameter == "" {
			continue
		}
		multiple := "a list can only be the whole value of a query parameter, as in ?state={params." + piece.Parameter + "}"
		if piece.Whole {
			multiple = ""
		}
		r.checkParameter(def, given.line, name+": {params."+piece.Parameter+"}", piece.Parameter, multiple)
	}
	literal := ""
	for _, piece := range pieces {
		literal += piece.Text
	}
	r.checkBelow(given.line, name, literal)
}

// checkBelow checks a path, perhaps with a query, that is to follow the url of an http connection.
func (r *reader) checkBelow(line int, name, path string) {
	target, err := url.Parse(path)
	switch {
	case err != nil || target.Fragment != "":
		r.report(line, "%s must be a path, perhaps with a query, like /people?limit=500; write other characters as %%20 and the like", name)
	case target.IsAbs() || target.Host != "":
		r.report(line, "%s must be below the connection's url; write only what follows it, like /people", name)
	case slices.Contains(strings.Split(target.Path, "/"), ".."):
		r.report(line, "%s leaves the connection's url; it cannot have .. in it", name)
	}
}

// checkPlace reports a place in a page that is not names with dots.
func (r *reader) checkPlace(set *fieldSet, path, name string) {
	if given, ok := set.field(name); ok && slices.Contains(strings.Split(given.text, "."), "") {
		r.report(given.line, "%s must be names with dots between, like data.people, not %s", path, wording.Quote(given.text))
	}
}

func (r *reader) nextPage(next *fieldSet) *task.NextPage {
	n := &task.NextPage{
		Link: next.text("link"), Header: next.contents["header"].on, Offset: next.text("offset"),
		Page: next.text("page"), Cursor: next.text("cursor"), From: next.text("from"),
	}
	r.checkPlace(next, "source.http.next.link", "link")
	r.checkPlace(next, "source.http.next.from", "from")
	var given []string
	for _, name := range []string{"link", "header", "offset", "page", "cursor"} {
		if c, ok := next.field(name); next.refused[name] || ok && (c.on || c.text != "" && name != "header") {
			given = append(given, name)
		}
	}
	_, from := next.field("from")
	from = from || next.refused["from"]
	cursor := slices.Contains(given, "cursor")
	switch {
	case len(given) == 0:
		r.report(next.line, "source.http.next must have one of link, header, offset, page or cursor")
	case len(given) > 1:
		r.report(next.line, "source.http.next must have exactly one of link, header, offset, page or cursor; it has %s", strings.Join(given, ", "))
	case cursor && !from:
		r.report(next.line, "source.http.next.from is missing: where a page has the cursor, like meta.cursor")
	case from && !cursor:
		r.report(next.line, "source.http.next.from goes with cursor alone; remove it")
	}
	return n
}

func readHTTPDestination(r *reader, given content, _ *task.Definition) task.Destination {
	http := given.section
	if path, ok := http.field("path"); ok {
		r.checkBelow(path.line, "destination.http.path", path.text)
	}
	return &task.HTTPDestination{
		Connection: http.text("connection"), Path: http.text("path"), Method: http.text("method"), Batch: http.contents["batch"].number,
	}
}

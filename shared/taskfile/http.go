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
			name: "format", kind: kindChoice, byDefault: "json", values: []string{"json", "ndjson"},
			meaning: "json is one document a page; ndjson is a row's object on each line",
		},
		{
			name: "next", kind: kindSection, fields: nextFields,
			meaning: "how the next page is found: exactly one of link, header, offset, page or cursor; without it there is one page",
		},
		{
			name: "total", kind: kindText, max: maxNameLetters, example: "meta.total",
			meaning: "where a page says how many rows there are on all pages, names with dots, or a header like X-Total-Count; a run that reads fewer fails. none compares nothing",
		},
		{
			name: "columns", kind: kindTexts, max: maxColumns, example: "[middleName]",
			meaning: "names that a row may lack: those that the first rows all lack must be here",
		},
		sinceField("`{params.since}`"),
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
		meaning: "where a page has the next one's address, names with dots: a text, {href}, or a list of {rel, href} or {relation, url}; none is the end",
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
		meaning: "the query parameter for the value that the previous page has at from, or its last row at row; no value, or 0, is the end",
	},
	{
		name: "from", kind: kindText, max: maxNameLetters, example: "meta.cursor",
		meaning: "with cursor: where a page has it, names with dots, or a header like X-Next-Cursor",
	},
	{
		name: "row", kind: kindText, max: maxNameLetters, example: "id",
		meaning: "with cursor, instead of from: the column of the page's last row that is the cursor",
	},
	{
		name: "more", kind: kindText, max: maxNameLetters, example: "has_more",
		meaning: "where a page says true or false: whether there is another one; false is the end",
	},
	{
		name: "pages", kind: kindText, max: maxNameLetters, example: "X-WP-TotalPages",
		meaning: "where a page says how many pages there are, names with dots, or a header; the last of them is the end",
	},
}

func readHTTPSource(r *reader, given content, def *task.Definition) task.Source {
	http := given.section
	source := &task.HTTPSource{
		Connection: http.text("connection"), Path: http.text("path"), Items: http.text("items"),
		Total: http.text("total"), Columns: http.contents["columns"].texts, Lines: http.text("format") == "ndjson",
	}
	r.checkNames(http, "source.http.items", "items")
	if items, ok := http.field("items"); ok && source.Lines {
		r.report(items.line, "source.http.items has no place with format: ndjson, where each line is a row; remove one of them")
	}
	if source.Total != task.NoTotal {
		r.checkPlace(http, "source.http.total", "total", source)
	}
	if path, ok := http.field("path"); ok {
		source.Since = r.readSince(http, "source.http.since", true, strings.Contains(path.text, "{params."+task.SinceParam+"}"),
			"put it into the path, as in /people?changed_after={params.since}")
		r.checkTarget(path, source, def)
	}
	if next, ok := http.field("next"); ok {
		source.Next = r.nextPage(next.section, source)
	}
	return source
}

// checkTarget checks the path of an http source and the parameters in it, which it tells whether their values
// may be several segments of it.
func (r *reader) checkTarget(given content, source *task.HTTPSource, def *task.Definition) {
	const name = "source.http.path"
	pieces, err := task.CutPath(given.text)
	if err != nil {
		r.report(given.line, "%s: %v", name, err)
		return
	}
	for _, piece := range pieces {
		switch {
		case piece.Parameter == "":
			continue
		case piece.Parameter == task.SinceParam && source.Since != nil:
			if !piece.InQuery {
				r.report(given.line, "%s: {params.since} goes behind the question mark, because a run may have no value for it", name)
			}
			continue
		}
		multiple := "a list can only be the whole value of a query parameter, as in ?state={params." + piece.Parameter + "}"
		if piece.Whole {
			multiple = ""
		}
		r.checkParameter(def, given.line, name+": {params."+piece.Parameter+"}", piece.Parameter, multiple)
		for i := range def.Parameters {
			p := &def.Parameters[i]
			if piece.InQuery || piece.Parameter != def.Key(i) && piece.Parameter != p.Filter {
				continue
			}
			if p.Segment = true; p.AnyPath {
				source.AnyPath = append(source.AnyPath, piece.Parameter)
			}
		}
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

// checkNames reports a place in a page that is not names with dots.
func (r *reader) checkNames(set *fieldSet, path, name string) bool {
	given, ok := set.field(name)
	if ok && slices.Contains(strings.Split(given.text, "."), "") {
		r.report(given.line, "%s must be names with dots between, like data.people, not %s", path, wording.Quote(given.text))
		return false
	}
	return ok
}

// checkPlace reports a place beside the rows where no page can have anything.
func (r *reader) checkPlace(set *fieldSet, path, name string, source *task.HTTPSource) {
	if !r.checkNames(set, path, name) {
		return
	}
	given, _ := set.field(name)
	place, items := given.text, source.Items
	switch header := strings.Contains(place, "-") && !strings.Contains(place, "."); {
	case header:
	case source.Lines:
		r.report(given.line, "%s: with format: ndjson a page has rows alone, and nothing at %s; name a header with a hyphen, like X-Total-Count, or remove it", path, wording.Quote(place))
	case items == "":
		r.report(given.line, "%s: without source.http.items the page is the list of rows, and has nothing at %s; set items, name a header with a hyphen, like X-Total-Count, or remove it", path, wording.Quote(place))
	case place == items || strings.HasPrefix(place, items+"."):
		hint := ""
		if name == "from" {
			hint = "; for a value of the last row, take row instead of from"
		}
		r.report(given.line, "%s: %s is the list of rows or in it, so a page has nothing else there; name a place beside it%s", path, wording.Quote(place), hint)
	case strings.HasPrefix(items, place+"."):
		r.report(given.line, "%s: %s holds source.http.items, so a page has nothing else there; name a place beside it", path, wording.Quote(place))
	}
}

func (r *reader) nextPage(next *fieldSet, source *task.HTTPSource) *task.NextPage {
	n := &task.NextPage{
		Link: next.text("link"), Header: next.contents["header"].on, Offset: next.text("offset"),
		Page: next.text("page"), Cursor: next.text("cursor"), From: next.text("from"), Row: next.text("row"),
		More: next.text("more"), Pages: next.text("pages"),
	}
	var given []string
	for _, name := range []string{"link", "header", "offset", "page", "cursor"} {
		if c, ok := next.field(name); next.refused[name] || ok && (c.on || c.text != "" && name != "header") {
			given = append(given, name)
		}
	}
	has := func(name string) bool { _, ok := next.field(name); return ok || next.refused[name] }
	from, row := has("from"), has("row")
	cursor := slices.Contains(given, "cursor")
	switch {
	case len(given) == 0:
		r.report(next.line, "source.http.next must have one of link, header, offset, page or cursor")
	case len(given) > 1:
		r.report(next.line, "source.http.next must have exactly one of link, header, offset, page or cursor; it has %s", strings.Join(given, ", "))
	case cursor && !from && !row:
		r.report(next.line, "source.http.next.from is missing: where a page has the cursor, like meta.cursor; or row, if it is a column of the last row")
	case from && row:
		r.report(next.line, "source.http.next must have from or row, where the cursor is, and not both")
	case from && !cursor:
		r.report(next.line, "source.http.next.from goes with cursor alone; remove it")
	case row && !cursor:
		r.report(next.line, "source.http.next.row goes with cursor alone; remove it")
	default:
		for _, name := range []string{"link", "from", "more", "pages"} {
			r.checkPlace(next, "source.http.next."+name, name, source)
		}
		r.checkNames(next, "source.http.next.row", "row")
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

package task

import (
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"

	"runhook/shared/nearest"
)

// source makes the source from its section and holds it against the task's parameters, which are
// known.
func (r *reader) source(kinds *fieldSet, def *Definition) (s Source) {
	s.Rate = kinds.contents["rate"].rate
	s.CSV = r.csvSource(kinds.contents["csv"].section)
	s.SQL = r.sqlSource(kinds.contents["sql"].section, def)
	s.HTTP = r.httpSource(kinds.contents["http"].section, def)
	s.IMIS = r.imisSource(kinds.contents["imis"].section, def)
	return s
}

func (r *reader) csvSource(csv *fieldSet) *CSVSource {
	if csv == nil {
		return nil
	}
	source := &CSVSource{Connection: csv.text("connection"), Path: csv.text("path"), Encoding: csv.text("encoding"), Sheet: csv.text("sheet")}
	r.checkPath(csv, "source.csv.path")
	source.Delimiter, _ = utf8.DecodeRuneInString(csv.text("delimiter"))
	given, ok := csv.field("encoding")
	if known, err := htmlindex.Get(given.text); ok && (err != nil || known == encoding.Replacement) {
		r.report(given.line, "source.csv.encoding: unknown encoding %s; known are utf-8, windows-1252, iso-8859-15, utf-16le, shift_jis and the other labels of the WHATWG", quote(source.Encoding))
	}
	_, hasPath := csv.field("path")
	if sheet, ok := csv.field("sheet"); ok && hasPath && !source.IsWorkbook() {
		r.report(sheet.line, "source.csv.sheet is for workbooks, and path is not that of an .xlsx file; remove it")
	}
	return source
}

func (r *reader) sqlSource(sql *fieldSet, def *Definition) *SQLSource {
	if sql == nil {
		return nil
	}
	source := &SQLSource{Connection: sql.text("connection"), Query: sql.text("query"), OrderBy: sql.contents["order_by"].texts}
	given, ok := sql.field("query")
	if !ok {
		return source
	}
	_, names, err := CutQuery(given.text, func(int) string { return "?" })
	if err != nil {
		r.report(given.line, "source.sql.query: %v", err)
	}
	for _, name := range names {
		r.checkParameter(def, given.line, "source.sql.query: :"+name, name, `a query takes one value; name it in where instead, as in "x" in params.`+name)
	}
	return source
}

func (r *reader) httpSource(http *fieldSet, def *Definition) *HTTPSource {
	if http == nil {
		return nil
	}
	source := &HTTPSource{
		Connection: http.text("connection"), Path: http.text("path"), Items: http.text("items"),
		Total: http.text("total"), Columns: http.contents["columns"].texts,
	}
	for _, name := range []string{"items", "total"} {
		r.checkPlace(http, "source.http."+name, name)
	}
	if given, ok := http.field("path"); ok {
		r.checkTarget(given, def)
	}
	if next, ok := http.field("next"); ok {
		source.Next = r.nextPage(next.section)
	}
	return source
}

// checkTarget checks the path of an http source and the parameters in it.
func (r *reader) checkTarget(given content, def *Definition) {
	const name = "source.http.path"
	pieces, err := cutPath(given.text)
	if err != nil {
		r.report(given.line, "%s: %v", name, err)
		return
	}
	for _, piece := range pieces {
		if piece.parameter == "" {
			continue
		}
		multiple := "a list can only be the whole value of a query parameter, as in ?state={params." + piece.parameter + "}"
		if piece.whole {
			multiple = ""
		}
		r.checkParameter(def, given.line, name+": {params."+piece.parameter+"}", piece.parameter, multiple)
	}
	literal := ""
	for _, piece := range pieces {
		literal += piece.text
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

// checkParameter reports a name that is no parameter of the task, or one with several values where
// multiple says what to do about it.
func (r *reader) checkParameter(def *Definition, line int, place, name, multiple string) {
	keys := def.ExpressionNames()
	switch {
	case !slices.Contains(keys, name) && len(keys) == 0:
		r.report(line, "%s is no parameter; the task has none", place)
	case !slices.Contains(keys, name):
		hint := nearest.Hint(name, keys)
		if hint == "" {
			hint = "; it has " + strings.Join(keys, ", ")
		}
		r.report(line, "%s is no parameter of the task%s", place, hint)
	case multiple != "" && def.IsMultiple(name):
		r.report(line, "%s: the parameter is multiple, and %s", place, multiple)
	}
}

// checkPlace reports a place in a page that is not names with dots.
func (r *reader) checkPlace(set *fieldSet, path, name string) {
	if given, ok := set.field(name); ok && slices.Contains(strings.Split(given.text, "."), "") {
		r.report(given.line, "%s must be names with dots between, like data.people, not %s", path, quote(given.text))
	}
}

func (r *reader) nextPage(next *fieldSet) *NextPage {
	n := &NextPage{
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

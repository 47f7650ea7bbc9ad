package taskfile

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"runhook/shared/task"
)

const csvOfSample = "csv: {connection: drop, path: in.csv}"

func fromSQL(query string) string {
	return with(csvOfSample, "sql: {connection: warehouse, query: '"+strings.ReplaceAll(query, "'", "''")+"'}")
}

func fromHTTP(fields string) string {
	return with(csvOfSample, "http: {connection: partner, "+fields+"}")
}

func fromIMIS(fields string) string {
	return with(csvOfSample, "imis: {connection: imis-prod, "+fields+"}")
}

// withPrompts replaces the sample's parameter, on as many lines.
func withPrompts(text string, parameters ...string) string {
	return strings.Replace(text, "\n  - name: FirstName", "\n  ["+strings.Join(parameters, ", ")+"]", 1)
}

func TestParseReadsSources(t *testing.T) {
	type sourced struct {
		from task.Source
		rate task.Rate
	}
	for text, want := range map[string]sourced{
		with(csvOfSample, `csv: {connection: drop, path: in.XLSX, sheet: "Members 2026"}`): {
			from: &task.CSVSource{Connection: "drop", Path: "in.XLSX", Sheet: "Members 2026", Delimiter: ','},
		},
		with(csvOfSample, `csv: {connection: drop, path: in.tsv, delimiter: "\t", header_row: 4, null: ["\\N", NULL, null, ""], escape: "\\", quote: none}`): {
			from: &task.CSVSource{
				Connection: "drop", Path: "in.tsv", Delimiter: '\t', HeaderRow: 4, Null: []string{`\N`, "NULL", "null", ""}, Escapes: true, NoQuotes: true,
			},
		},
		with(csvOfSample, `csv: {connection: drop, path: "corrected/{params.FirstName}", sheet: x}`): {
			from: &task.CSVSource{Connection: "drop", Path: "corrected/{params.FirstName}", Delimiter: ',', Sheet: "x"},
		},
		with(csvOfSample, "csv: {connection: drop, path: in.csv.gz}\n  rate: 30/m"): {
			from: &task.CSVSource{Connection: "drop", Path: "in.csv.gz", Delimiter: ','}, rate: task.Rate{Count: 30, Per: time.Minute},
		},
		with(csvOfSample, "rate: 1/h\n  sql:\n    connection: w\n    query: |\n      select a,\n      b from t\n    order_by: a"): {
			from: &task.SQLSource{Connection: "w", Query: "select a,\nb from t\n", OrderBy: []string{"a"}}, rate: task.Rate{Count: 1, Per: time.Hour},
		},
		with(csvOfSample, "rate: 200/s\n  sql: {connection: w, query: select 1 where :FirstName = 1, order_by: [a, b c]}"): {
			from: &task.SQLSource{Connection: "w", Query: "select 1 where :FirstName = 1", OrderBy: []string{"a", "b c"}}, rate: task.Rate{Count: 200, Per: time.Second},
		},
		fromHTTP(`path: "/people/{params.FirstName}", items: data.people, total: meta.total, columns: [middle], next: {cursor: after, from: meta.next}`): {
			from: &task.HTTPSource{
				Connection: "partner", Path: "/people/{params.FirstName}", Items: "data.people", Total: "meta.total", Columns: []string{"middle"},
				Next: &task.NextPage{Cursor: "after", From: "meta.next"},
			},
		},
		fromHTTP(`path: people, next: {header: true}`): {from: &task.HTTPSource{Connection: "partner", Path: "people", Next: &task.NextPage{Header: true}}},
		fromHTTP(`path: people, items: d, total: none, next: {cursor: after, row: a.id, more: has_more}`): {
			from: &task.HTTPSource{Connection: "partner", Path: "people", Items: "d", Total: "none", Next: &task.NextPage{Cursor: "after", Row: "a.id", More: "has_more"}},
		},
		fromHTTP(`path: people, format: ndjson, total: X-Total-Count, next: {page: p, pages: X-WP-TotalPages}`): {
			from: &task.HTTPSource{Connection: "partner", Path: "people", Lines: true, Total: "X-Total-Count", Next: &task.NextPage{Page: "p", Pages: "X-WP-TotalPages"}},
		},
		fromHTTP(`path: people, items: value, total: "@odata.count", next: {link: "@odata.nextLink"}`): {
			from: &task.HTTPSource{Connection: "partner", Path: "people", Items: "value", Total: "@odata.count", Next: &task.NextPage{Link: "@odata.nextLink"}},
		},
		fromHTTP(`path: people, next: {offset: skip}`):               {from: &task.HTTPSource{Connection: "partner", Path: "people", Next: &task.NextPage{Offset: "skip"}}},
		fromHTTP(`path: people, next: {page: p}`):                    {from: &task.HTTPSource{Connection: "partner", Path: "people", Next: &task.NextPage{Page: "p"}}},
		fromHTTP(`path: people, items: value, next: {link: a.'@b'}`): {from: &task.HTTPSource{Connection: "partner", Path: "people", Items: "value", Next: &task.NextPage{Link: "a.'@b'"}}},
		fromIMIS(`query: $/Member Ship/Lapsed`):                      {from: &task.IMISSource{Connection: "imis-prod", Query: "$/Member Ship/Lapsed", PageSize: 500, Endpoint: task.QueryEndpoint}},
		withPrompts(fromIMIS(`query: "$/A", page_size: 20, endpoint: iqa`), "{filter: A.ID}", "{filter: B.ID}"): {
			from: &task.IMISSource{Connection: "imis-prod", Query: "$/A", PageSize: 20, Endpoint: task.IQAEndpoint},
		},
		fromHTTP(`path: /a, next: {link: n, from: x}}`): {},
	} {
		def, err := Parse([]byte(text), "task.yaml")
		if want.from == nil {
			if err == nil {
				t.Errorf("accepted %s", text)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(sourced{def.Source, def.Rate}, want) {
			t.Errorf("%s:\ngot  %+v, %v\nwant %+v", text, def, err, want)
		}
	}
}

func TestParseRefusesSources(t *testing.T) {
	several := strings.Replace(fromSQL("select 1 where a = :States"), "- name: FirstName", "- {name: FirstName}\n  - {name: States, multiple: true}", 1)
	manyInPath := strings.Replace(fromHTTP(`path: "/p/{params.States}"`), "- name: FirstName", "- {name: FirstName}\n  - {name: States, multiple: true}", 1)
	const next = "source.http.next must have exactly one of link, header, offset, page or cursor; it has "
	expectRefusals(t, []refusal{
		{"a rate without a time", with(csvOfSample, csvOfSample+"\n  rate: 200"), "7: source.rate must be a number of 1 to 1000000 with /s, /m or /h, like 200/s, not 200"},
		{"a rate of nothing", with(csvOfSample, csvOfSample+"\n  rate: 0/s"), `7: source.rate must be a number of 1 to 1000000 with /s, /m or /h, like 200/s, not "0/s"`},
		{"a rate per day", with(csvOfSample, csvOfSample+"\n  rate: 1/d"), `7: source.rate must be a number of 1 to 1000000 with /s, /m or /h, like 200/s, not "1/d"`},
		{"a rate alone", with(csvOfSample, "rate: 1/s"), "6: source is missing its kind: csv, sql, http or imis"},
		{"a header in row 0", with("in.csv", "in.csv, header_row: 0"), "6: source.csv.header_row must be a whole number from 1 to 10000, not 0"},
		{"no word for no value", with(csvOfSample, "csv:\n    connection: drop\n    path: in.csv\n    null:\n      - NA\n      -"), "11: source.csv.null must be a list of texts, like [one, two], not with an empty value in it"},
		{"a word for no value alone", with("in.csv", "in.csv, null: NULL"), "6: source.csv.null has no value; give it one or remove it"},
		{"another escape", with("in.csv", "in.csv, escape: ^"), `6: source.csv.escape must be \, not "^"`},
		{"other quotes", with("in.csv", "in.csv, quote: single"), `6: source.csv.quote must be double or none, not "single"`},
		{
			"what a workbook does not have", with("in.csv", `in.xlsm, null: [NA], escape: "\\", quote: none`),
			lines(
				"6: source.csv.null is for text files, and path is that of a workbook; remove it",
				"6: source.csv.escape is for text files, and path is that of a workbook; remove it",
				"6: source.csv.quote is for text files, and path is that of a workbook; remove it",
			),
		},
		{"a parameter that is none", with("path: in.csv", `path: "{params.File}"`), "6: source.csv.path: {params.File} is no parameter of the task; it has FirstName"},
		{"a path that leaves before a parameter", with("path: in.csv", `path: "../{params.FirstName}"`), `6: source.csv.path: "../{params.FirstName}" leaves the connection's folder`},
		{"a path of several values", strings.Replace(with("path: in.csv", `path: "{params.FirstName}"`), "name: FirstName", "{name: FirstName, multiple: true}", 1), "6: source.csv.path: {params.FirstName}: the parameter is multiple, and a path takes one value"},
		{"a sheet of a text", with("in.csv", "in.csv, sheet: x"), "6: source.csv.sheet is for workbooks, and path is not that of an .xlsx file; remove it"},
		{"a path that is none", fromIMIS(`query: Membership/Lapsed`), `6: source.imis.query must be the IQA's path from $/ on, like "$/Membership/Lapsed", not "Membership/Lapsed"`},
		{"a folder", fromIMIS(`query: $/Membership/`), `6: source.imis.query must be the IQA's path from $/ on, like "$/Membership/Lapsed", not "$/Membership/"`},
		{"too long a page", fromIMIS(`query: $/A, page_size: 501`), "6: source.imis.page_size must be a whole number from 1 to 500, not 501"},
		{"no such endpoint", fromIMIS(`query: $/A, endpoint: rest`), "6: source.imis.endpoint must be query or iqa, not \"rest\""},
		{"a prompt with a name of iMIS", withPrompts(fromIMIS(`query: $/A`), "{name: Offset}"), "6: source.imis: a prompt named Offset cannot be passed by its name, which means something else to iMIS; take endpoint: iqa"},
		{
			"two prompts of one name", withPrompts(fromIMIS(`query: $/A`), "{filter: A.ID}", "{filter: B.ID}"),
			"6: source.imis: A.ID cannot be passed by its name, which another prompt has too; give its filter a Search Label in the IQA and the parameter that name, or take endpoint: iqa and list all prompts in the IQA's order\n" +
				"6: source.imis: B.ID cannot be passed by its name, which another prompt has too; give its filter a Search Label in the IQA and the parameter that name, or take endpoint: iqa and list all prompts in the IQA's order",
		},
		{"a list by position", withPrompts(fromIMIS(`query: $/A, endpoint: iqa`), "{name: States, multiple: true}"), "6: source.imis.endpoint: iqa takes one value for each prompt, and the parameter States is multiple"},

		{"no statement", fromSQL(" -- nothing"), "6: source.sql.query: there is no select in it"},
		{"several statements", fromSQL("select 1; select 2"), "6: source.sql.query: there is more than one statement in it; keep one select, without a semicolon before its end"},
		{"a delete", fromSQL("delete from members"), "6: source.sql.query: it must be a select (or with … select); a source only reads"},
		{"a delete behind with", fromSQL("with a as (select 1) delete from members"), "6: source.sql.query: it must be a select (or with … select); a source only reads"},
		{"a pragma", fromSQL("pragma journal_mode = off"), "6: source.sql.query: it must be a select (or with … select); a source only reads"},
		{"a quote without end", fromSQL("select 'a"), "6: source.sql.query: a quote, a bracket or a comment in it has no beginning or no end"},
		{"a bracket too many", fromSQL("select 1) union select (2"), "6: source.sql.query: a quote, a bracket or a comment in it has no beginning or no end"},
		{"a parameter without name", fromSQL("select ?"), "6: source.sql.query: a parameter in it has no name; write :State for the parameter State"},
		{"an unknown parameter", fromSQL("select :FristName"), "6: source.sql.query: :FristName is no parameter of the task; did you mean FirstName?"},
		{"another unknown parameter", fromSQL("select $x"), "6: source.sql.query: :x is no parameter of the task; it has FirstName"},
		{
			"a multiple parameter", several,
			`7: source.sql.query: :States: the parameter is multiple, and a query takes one value; name it in where instead, as in "x" in params.States`,
		},

		{"an unknown parameter in a path", fromHTTP(`path: "/p?a={params.FirstNam}"`), "6: source.http.path: {params.FirstNam} is no parameter of the task; did you mean FirstName?"},
		{"braces without params", fromHTTP(`path: "/p?a={FirstName}"`), "6: source.http.path: braces must hold a parameter, as in {params.State}; write a brace itself as %7B or %7D"},
		{"a brace without end", fromHTTP(`path: "/p?a={params.FirstName"`), "6: source.http.path: braces must hold a parameter, as in {params.State}; write a brace itself as %7B or %7D"},
		{"a brace without beginning", fromHTTP(`path: "/p}"`), "6: source.http.path: a } has no { before it; write a brace itself as %7B or %7D"},
		{"a list in a path", manyInPath, "7: source.http.path: {params.States}: the parameter is multiple, and a list can only be the whole value of a query parameter, as in ?state={params.States}"},
		{"a whole address", fromHTTP(`path: "https://example.org/people"`), "6: source.http.path must be below the connection's url; write only what follows it, like /people"},
		{"another host", fromHTTP(`path: "//example.org/people"`), "6: source.http.path must be below the connection's url; write only what follows it, like /people"},
		{"a path that leaves", fromHTTP(`path: "/a/%2e%2e/b"`), "6: source.http.path leaves the connection's url; it cannot have .. in it"},
		{"a fragment", fromHTTP(`path: "/a#b"`), "6: source.http.path must be a path, perhaps with a query, like /people?limit=500; write other characters as %20 and the like"},
		{"a bad escape", fromHTTP(`path: "/a%zz"`), "6: source.http.path must be a path, perhaps with a query, like /people?limit=500; write other characters as %20 and the like"},
		{"a place with nothing between dots", fromHTTP(`path: /a, items: data..people`), `6: source.http.items must be names with dots between, like data.people, not "data..people"`},
		{"next without a way", fromHTTP(`path: /a, next: {}`), "6: source.http.next must have one of link, header, offset, page or cursor"},
		{"a header that is off", fromHTTP(`path: /a, next: {header: false}`), "6: source.http.next must have one of link, header, offset, page or cursor"},
		{"next with two ways", fromHTTP(`path: /a, next: {link: a, header: true}`), "6: " + next + "link, header"},
		{"a cursor from nowhere", fromHTTP(`path: /a, next: {cursor: a}`), "6: source.http.next.from is missing: where a page has the cursor, like meta.cursor; or row, if it is a column of the last row"},
		{"from without a cursor", fromHTTP(`path: /a, next: {offset: a, from: b}`), "6: source.http.next.from goes with cursor alone; remove it"},
		{"from and row", fromHTTP(`path: /a, next: {cursor: a, from: b-c, row: d}`), "6: source.http.next must have from or row, where the cursor is, and not both"},
		{"row without a cursor", fromHTTP(`path: /a, next: {page: a, row: b}`), "6: source.http.next.row goes with cursor alone; remove it"},
		{"a row with nothing between dots", fromHTTP(`path: /a, next: {cursor: a, row: b.}`), `6: source.http.next.row must be names with dots between, like data.people, not "b."`},
		{"a cursor in the rows", fromHTTP(`path: /a, items: data, next: {cursor: a, from: data.id}`), `6: source.http.next.from: "data.id" is the list of rows or in it, so a page has nothing else there; name a place beside it; for a value of the last row, take row instead of from`},
		{"a link that is the rows", fromHTTP(`path: /a, items: data.list, next: {link: data.list}`), `6: source.http.next.link: "data.list" is the list of rows or in it, so a page has nothing else there; name a place beside it`},
		{"a total in a row", fromHTTP(`path: /a, items: d.list, total: d.list.total`), `6: source.http.total: "d.list.total" is the list of rows or in it, so a page has nothing else there; name a place beside it`},
		{"a place around the rows", fromHTTP(`path: /a, items: d.list, next: {page: p, more: d}`), `6: source.http.next.more: "d" holds source.http.items, so a page has nothing else there; name a place beside it`},
		{"a place in a list", fromHTTP(`path: /a, next: {link: next}`), `6: source.http.next.link: without source.http.items the page is the list of rows, and has nothing at "next"; set items, name a header with a hyphen, like X-Total-Count, or remove it`},
		{"a place in a line", fromHTTP(`path: /a, format: ndjson, next: {page: p, pages: meta.x-y}`), `6: source.http.next.pages: with format: ndjson a page has rows alone, and nothing at "meta.x-y"; name a header with a hyphen, like X-Total-Count, or remove it`},
		{"a list in lines", fromHTTP(`path: /a, format: ndjson, items: data`), "6: source.http.items has no place with format: ndjson, where each line is a row; remove one of them"},
		{"no such format", fromHTTP(`path: /a, format: xml`), `6: source.http.format must be json or ndjson, not "xml"`},
		{"next as a text", fromHTTP(`path: /a, next: link`), "6: source.http.next must be a mapping of fields"},
		{"a workbook to write", with("sql: {connection: warehouse, table: members, key: [id], action: upsert}", "csv: {connection: drop, path: out.xlsx, action: replace}"), "11: destination.csv.path: .xlsx files can be read and not written; take another name"},
	})
}

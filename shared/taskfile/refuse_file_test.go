package taskfile

import (
	"strings"
	"testing"
)

// TestParseRefusesFiles is one half of the list of what an author can do wrong and what they read
// then: the file, its YAML, fields there are not, and fields that are not there yet.
func TestParseRefusesFiles(t *testing.T) {
	expectRefusals(t, []refusal{
		// The file as a whole.
		{
			"nothing", "",
			"1: the file is empty; `runhook task new` makes one to start from",
		},
		{
			"only comments", "# a task\n\n",
			"1: the file is empty; `runhook task new` makes one to start from",
		},
		{
			"a document without content", "---\n",
			"1: the file is empty; `runhook task new` makes one to start from",
		},
		{
			"a list", "- id: 1\n",
			"1: the file must be a mapping of fields, like name: My task",
		},
		{
			"a text", "hello\n",
			"1: the file must be a mapping of fields, like name: My task",
		},
		{
			"two documents", sample + "---\n" + sample,
			"12: a second document begins here; one file holds one task",
		},
		{
			"an empty second document", sample + "---\n",
			"12: a second document begins here; one file holds one task",
		},
		{
			"too large", sample + "# " + strings.Repeat("x", 256<<10) + "\n",
			"1: the file has 262442 bytes; a task file may have 262144",
		},
		{
			"not UTF-8", with("lapsed", "l\xe4psed"),
			"2: the text is not UTF-8; save the file as UTF-8",
		},
		{
			"UTF-16", "\xff\xfei\x00d\x00",
			"1: the text is not UTF-8; save the file as UTF-8",
		},
		{
			"a control character", with("lapsed", "l\x00psed"),
			"2: the file holds a control character; remove it, or write it as an escape in double quotes",
		},
		{
			"a byte order mark inside", with("lapsed", "\ufefflapsed"),
			"2: a byte order mark stands inside the text; remove it",
		},
		{
			"a control character as an escape", with("Refresh lapsed members", `"a\u0007b"`),
			`2: name must be text on one line, of 1 to 200 letters, not "a\ab"`,
		},

		// YAML.
		{
			"a tab as indentation", with("  - name: FirstName", "\t- name: FirstName"),
			"4: not readable as YAML: found character that cannot start any token while scanning for the next token; a tab cannot indent; use spaces",
		},
		{
			"a tab as indentation further down", with("  id: ID", "  id: ID\n\tname: Name"),
			"9: not readable as YAML: found a tab character that violates indentation while scanning a plain scalar; a tab cannot indent; use spaces",
		},
		{
			"wrong indentation", with("  full_name", " full_name"),
			"9: not readable as YAML: did not find expected key while parsing a block mapping; look at the indentation of this line and of those above",
		},
		{
			"an unclosed list", with("[id]", "[id"),
			"11: not readable as YAML: did not find expected ',' or ']' while parsing a flow sequence",
		},
		{
			"an expression that begins with {", with(`FirstName + " " + LastName`, `{"a": 1}["a"]`),
			`9: not readable as YAML: did not find expected key while parsing a block mapping; put a value that begins with { in single quotes as a whole, as in full_name: '{"a": 1}["a"]'`,
		},
		{
			"an expression that begins with [", with(`FirstName + " " + LastName`, `['a', "]"] | join(LastName)`),
			`9: not readable as YAML: did not find expected comment or line break while scanning a block scalar; put a value that begins with [ in single quotes as a whole, as in full_name: '[''a'', "]"] | join(LastName)'`,
		},
		{
			"a where that begins with [", and(`where: [1] == FirstName`),
			"12: not readable as YAML: did not find expected key while parsing a block mapping; put a value that begins with [ in single quotes as a whole, as in where: '[1] == FirstName'",
		},
		{
			"a path that begins with {", with("{connection: drop, path: in.csv}", "{connection: drop, path: {p.File}}"),
			"6: source.csv.path must be text on one line, and not empty, not a mapping; put text that begins with { in quotes as a whole",
		},
		{
			"an unclosed quote", and(`where: "FirstName`),
			"12: not readable as YAML: found unexpected end of stream while scanning a quoted scalar",
		},
		{
			"an expression that begins with a quote", with(`FirstName + " " + LastName`, `"Mr " + LastName`),
			`9: not readable as YAML: did not find expected key while parsing a block mapping; put an expression that begins with a quote in quotes as a whole, as in full_name: '"Mr " + LastName'`,
		},
		{
			"a ternary without quotes", with(`FirstName + " " + LastName`, `A ? "x" : "y"`),
			`9: not readable as YAML: mapping values are not allowed in this context; put text that contains a colon or a question mark in single quotes, as in full_name: 'A ? "x" : "y"'`,
		},
		{
			"a text with a #", with(`FirstName + " " + LastName`, `FirstName + " #1"`),
			`9: mapping: the column "full_name" is cut off, because a # behind a space begins a comment; put the expression in single quotes as a whole, as in full_name: 'Name + " #"'`,
		},
		{
			"an expression that begins with -", with(`FirstName + " " + LastName`, `- Age`),
			"9: not readable as YAML: block sequence entries are not allowed in this context; begin a list on a line of its own, and put text that begins with - in quotes",
		},
		{
			"a code without quotes", with(`FirstName + " " + LastName`, `"007"`),
			`9: mapping.full_name: 007 would be calculated; a text, the same in each row, stands in quotes, and in a task file in two kinds of them: '"007"'`,
		},
		{
			"a day without quotes", with(`FirstName + " " + LastName`, `2026-01-31`),
			`9: mapping.full_name: 2026-01-31 would be calculated; a text, the same in each row, stands in quotes, and in a task file in two kinds of them: '"2026-01-31"'`,
		},
		{
			"a bare star", and("allow_origins: *"),
			"12: not readable as YAML: did not find expected alphabetic or numeric character while scanning an alias; put text that begins with * in quotes",
		},
		{
			"a bare star in a list", and("allow_origins: [*]"),
			"12: not readable as YAML: did not find expected alphabetic or numeric character while scanning an alias; put text that begins with * in quotes",
		},
		{
			"a bare at sign", and("where: @FirstName"),
			"12: not readable as YAML: found character that cannot start any token while scanning for the next token; put text that begins with @ in quotes",
		},
		{
			"an expression that begins with an exclamation mark", and("where: !Lapsed"),
			"12: tags are not allowed; put quotes around text that begins with !",
		},
		{
			"an expression that begins with a greater than", and("where: > 5"),
			"12: not readable as YAML: did not find expected comment or line break while scanning a block scalar; put text that begins with > in quotes",
		},
		{
			"an anchor", with("name: Refresh", "name: &n Refresh"),
			"2: anchors are not allowed; put quotes around text that begins with &",
		},
		{
			"an alias", with("name: Refresh lapsed members", "name: &n x\ndescription: *n"),
			"2: anchors are not allowed; put quotes around text that begins with &",
		},
		{
			"an alias of nothing", and("description: *n"),
			"12: not readable as YAML: unknown anchor 'n' referenced; put text that begins with * in quotes",
		},
		{
			"a bomb of aliases", "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n",
			"1: anchors are not allowed; put quotes around text that begins with &",
		},
		{
			"a merge", and("<<: {where: x}"),
			"12: merges (<<) are not allowed; write the fields out",
		},
		{
			"a tag", with("name: Refresh", "name: !!str Refresh"),
			"2: tags are not allowed; put quotes around text that begins with !",
		},
		{
			"brackets without end", strings.Repeat("[", 100_000),
			"1: not readable as YAML: exceeded max depth of 10000 while increasing flow level",
		},
		{
			"a key that is a list", and("? [a]\n: b"),
			"12: the file has a key that is not a name",
		},
		{
			"a field twice", and("name: Another"),
			`12: "name" is given twice; first on line 2`,
		},
		{
			"a field twice in a section", with("path: in.csv", "path: in.csv, path: out.csv"),
			`6: "path" is given twice; first on line 6`,
		},

		// Fields.
		{
			"an unknown field with a near name", and("concurency: 2"),
			`12: unknown field "concurency"; did you mean "concurrency"?`,
		},
		{
			"another spelling of a field", with("name:", "Name:"),
			`2: unknown field "Name"; did you mean "name"?`,
		},
		{
			"an unknown field", and("colour: red"),
			`12: unknown field "colour"; the fields are id, name, description, enabled, parameters, source, where, mapping, destination, on_row_error, max_row_errors, rejected_rows, expect, concurrency, overlap, max_queued, timeout, start_within, keep, retry, disable_after_failures, retry_after, failed_status, webhook, former_ids, schedule, then, auth, allow_origins, rate_limit, pool`,
		},
		{
			"an unknown field in a section", with("table: members", "tables: members"),
			`11: unknown field "tables" in destination.sql; did you mean "table"?`,
		},
		{
			"an unknown field of a parameter", with("- name: FirstName", "- name: FirstName\n    requird: true"),
			`5: unknown field "requird" in parameters; the fields are name, filter, prompt, default, source_default, multiple, max_bytes, path, description`,
		},
		{
			"a near name of a field to come", and("notfy: x"),
			`12: unknown field "notfy"; did you mean "notify"? It is not supported yet`,
		},
		{
			"every problem at once", lines("nam: x", "concurrency: 0", "source: {csv: {path: /x}}", "mapping: {id: ID}", "parameters:", "  - promt: required", "  - {filter: Name, multiple: ja}", "destination: {sql: {action: delete, tables: x, key: [no]}}"),
			lines(
				`1: unknown field "nam"; did you mean "name"?`,
				"1: id is missing: the GUID in the webhook's URL; `runhook task new` makes one",
				"2: concurrency must be a whole number from 1 to 1000, not 0",
				"3: source.csv.connection is missing: the files connection it is in, from the runner's connections.yaml",
				`3: source.csv.path must be relative to the connection's folder, not "/x"`,
				`6: unknown field "promt" in parameters; did you mean "prompt"?`,
				"6: parameters: an entry needs a name, or a filter like CsContact.FirstName",
				`7: parameters.multiple must be true or false, not "ja"`,
				`7: parameters.filter must be a qualified column, like CsContact.FirstName, not "Name"`,
				`8: unknown field "tables" in destination.sql; did you mean "table"?`,
				"8: destination.sql.connection is missing: the database connection it is in, from the runner's connections.yaml",
				`8: destination.sql.key: mapping has no column "no"; it has id`,
			),
		},

		{"a pool that is none", sample + lines("pool: on prem"), `12: pool: "on prem" is not the name of a pool: 1 to 50 letters, digits, - or _, like onprem`},

		// Not yet.
		{
			"fields to come", sample + lines("deduplicate: power-automate", "notify: []"),
			lines(
				"12: deduplicate is not supported yet",
				"13: notify is not supported yet",
			),
		},
		{
			"a destination of imis without its fields", with("sql: {connection: warehouse, table: members, key: [id], action: upsert}", "imis: {}"),
			lines(
				"11: destination.imis.connection is missing: the imis connection it writes to, from the runner's connections.yaml",
				"11: destination.imis.entity is missing: the panel or business object, by the name that the REST API has for it; Party for contacts",
				"11: destination.imis.action is missing: the action for each row: insert, update, upsert or delete; insert with match inserts only rows that no record matches",
			),
		},
		{
			"a destination of http without its fields", with("sql: {connection: warehouse, table: members, key: [id], action: upsert}", `http: {}`),
			lines(
				"11: destination.http.connection is missing: the http connection it sends to, from the runner's connections.yaml",
				"11: destination.http.path is missing: the path below the connection's url, with a query or without",
			),
		},
		{
			"http to another host", with("sql: {connection: warehouse, table: members, key: [id], action: upsert}", `http: {connection: partner, path: "https://elsewhere.example.org/x"}`),
			"11: destination.http.path must be below the connection's url; write only what follows it, like /people",
		},
		{
			"http out of its url", with("sql: {connection: warehouse, table: members, key: [id], action: upsert}", `http: {connection: partner, path: ../admin}`),
			"11: destination.http.path leaves the connection's url; it cannot have .. in it",
		},
		{
			"http by GET", with("sql: {connection: warehouse, table: members, key: [id], action: upsert}", `http: {connection: partner, path: /x, method: GET}`),
			lines(`11: destination.http.method must be POST, PUT or PATCH, not "GET"`),
		},
		{
			"an empty batch", with("sql: {connection: warehouse, table: members, key: [id], action: upsert}", `http: {connection: partner, path: /x, batch: 0}`),
			"11: destination.http.batch must be a whole number from 1 to 1000, not 0",
		},
		{
			"a destination of nats without a subject", with("sql: {connection: warehouse, table: members, key: [id], action: upsert}", `nats: {}`),
			"11: destination.nats.subject is missing: the subject on the runner's own NATS; a stream that listens there acknowledges each message, and drops repeated ones",
		},
		{
			"many subjects", with("sql: {connection: warehouse, table: members, key: [id], action: upsert}", `nats: {subject: members.*}`),
			"11: destination.nats.subject: rows are published to one subject, and * and > stand for many; write it out",
		},
		{
			"a subject of Runhook", with("sql: {connection: warehouse, table: members, key: [id], action: upsert}", `nats: {subject: run.request.x}`),
			"11: destination.nats.subject: subjects that begin with run., $ or _ belong to Runhook and NATS themselves; take another, like members.changed",
		},
		{
			"a subject of NATS", with("sql: {connection: warehouse, table: members, key: [id], action: upsert}", `nats: {subject: $JS.API.STREAM.DELETE.RUNS}`),
			"11: destination.nats.subject: subjects that begin with run., $ or _ belong to Runhook and NATS themselves; take another, like members.changed",
		},
		{
			"an inbox", with("sql: {connection: warehouse, table: members, key: [id], action: upsert}", `nats: {subject: _INBOX.x}`),
			"11: destination.nats.subject: subjects that begin with run., $ or _ belong to Runhook and NATS themselves; take another, like members.changed",
		},
		{
			"a subject that is none", with("sql: {connection: warehouse, table: members, key: [id], action: upsert}", `nats: {subject: members..changed}`),
			lines(`11: destination.nats.subject must be words with dots between and no spaces, like members.changed, not "members..changed"`),
		},
		{
			"a subject with a space", with("sql: {connection: warehouse, table: members, key: [id], action: upsert}", `nats: {subject: members changed}`),
			lines(`11: destination.nats.subject must be words with dots between and no spaces, like members.changed, not "members changed"`),
		},
	})
}

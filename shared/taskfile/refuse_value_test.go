package taskfile

import (
	"strings"
	"testing"
)

// TestParseRefusesValues is the other half: fields with values they cannot have.
func TestParseRefusesValues(t *testing.T) {
	expectRefusals(t, []refusal{
		// Values.
		{
			"no id", with("id: 555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd\n", ""),
			"1: id is missing: the GUID in the webhook's URL; `runhook task new` makes one",
		},
		{
			"an empty id", with("555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd", ""),
			"1: id has no value; give it one or remove it",
		},
		{
			"not a GUID", with("555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd", "members"),
			"1: id: \"members\" is not a GUID, like 555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd; `runhook task new` makes one",
		},
		{
			"an empty name", with("Refresh lapsed members", `""`),
			`2: name must be text on one line, of 1 to 200 letters, not ""`,
		},
		{
			"a name that is a list", with("Refresh lapsed members", "[a]"),
			"2: name must be text on one line, of 1 to 200 letters, not a list; put text that begins with [ in quotes as a whole",
		},
		{
			"a name of two lines", with("Refresh lapsed members", `"a\nb"`),
			`2: name must be text on one line, of 1 to 200 letters, not "a\nb"`,
		},
		{
			"a long name", with("Refresh lapsed members", strings.Repeat("a", 201)),
			`2: name must be text on one line, of 1 to 200 letters, not "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…"`,
		},
		{
			"a description that is a mapping", and("description: {a: b}"),
			"12: description must be text, not a mapping; put text that begins with { in quotes as a whole",
		},
		{
			"enabled in words", and("enabled: yes"),
			`12: enabled must be true or false, not "yes"`,
		},
		{
			"enabled in quotes", and(`enabled: "true"`),
			`12: enabled must be true or false, not "true" in quotes`,
		},
		{
			"a choice in another case", and("on_row_error: Stop"),
			`12: on_row_error must be continue or stop, not "Stop"`,
		},
		{
			"concurrency below one", and("concurrency: 0"),
			"12: concurrency must be a whole number from 1 to 1000, not 0",
		},
		{
			"concurrency in quotes", and(`concurrency: "2"`),
			`12: concurrency must be a whole number from 1 to 1000, not "2" in quotes`,
		},
		{
			"concurrency as a fraction", and("concurrency: 1.5"),
			"12: concurrency must be a whole number from 1 to 1000, not 1.5",
		},
		{
			"concurrency in octal", and("concurrency: 010"),
			"12: concurrency must be a whole number from 1 to 1000, not 010",
		},
		{
			"concurrency without bound", and("concurrency: 99999999999999999999"),
			"12: concurrency must be a whole number from 1 to 1000, not 99999999999999999999",
		},
		{
			"an unknown overlap", and("overlap: cancel"),
			`12: overlap must be queue, reject, skip, latest or cancel_running, not "cancel"`,
		},
		{
			"overlap of several runs at once", and("concurrency: 5\noverlap: reject"),
			"13: overlap: reject is for one run at a time, and concurrency is 5; leave out one of them",
		},
		{
			"a bound for a queue of one", and("max_queued: 5\noverlap: latest"),
			"12: max_queued is for overlap: queue, and overlap is latest, with which no more than one run waits; leave it out",
		},
		{
			"a queue for nothing", and("max_queued: 0\ndisable_after_failures: -1"),
			lines("12: max_queued must be a whole number from 1 to 1000000000, not 0", "13: disable_after_failures must be a whole number from 0 to 1000, not -1"),
		},
		{
			"expect with other words", and("expect: {min_row: 3, max_delete: 10 %, max_change: 0%}"),
			`12: unknown field "min_row" in expect; did you mean "min_rows"?` + "\n" +
				`12: expect.max_delete must be a whole number from 0 to 1000000000, or a part of the destination's rows, like 10%, not "10 %"` + "\n" +
				`12: expect.max_change must be a whole number from 0 to 1000000000, or a part of the destination's rows, like 10%, not "0%"`,
		},
		{
			"expect beyond its bounds", and("expect: {min_rows: -1, max_delete: 101%, max_change: 1e3}"),
			"12: expect.min_rows must be a whole number from 0 to 1000000000, not -1" + "\n" +
				`12: expect.max_delete must be a whole number from 0 to 1000000000, or a part of the destination's rows, like 10%, not "101%"` + "\n" +
				"12: expect.max_change must be a whole number from 0 to 1000000000, or a part of the destination's rows, like 10%, not 1e3",
		},
		{
			"max_row_errors below zero", and("max_row_errors: -1"),
			"12: max_row_errors must be a whole number from 0 to 1000000000, not -1",
		},
		{
			"retry_after below a second", and("retry_after: 500ms"),
			`12: retry_after must be auto, or whole seconds from 1 to 3600, like 30 or 30s, not "500ms"`,
		},
		{
			"retry_after too long", and("retry_after: 2h"),
			`12: retry_after must be auto, or whole seconds from 1 to 3600, like 30 or 30s, not "2h"`,
		},
		{
			"a timeout of nothing", and("timeout: 0"),
			"12: timeout must be whole seconds from 1 to 2592000, like 30 or 30s, not 0",
		},
		{
			"start_within in words", and("start_within: soon"),
			`12: start_within must be whole seconds from 1 to 2592000, like 30 or 30s, not "soon"`,
		},
		{
			"rows kept for nothing", and("rejected_rows: {columns: some, keep: 90, max: 64MB, link: maybe}"),
			lines(
				`12: rejected_rows.columns must be used or all, not "some"`,
				"12: rejected_rows.keep must be a length of time from 60s to 3650d, like 90d or 12h, not 90",
				`12: rejected_rows.max must be a size from 1KiB to 1024MiB, like 64MiB, not "64MB"`,
				`12: rejected_rows.link must be true or false, not "maybe"`,
			),
		},
		{
			"no attempt at all", and("retry: {attempts: 0, backoff: 2h}"),
			lines(
				"12: retry.attempts must be a whole number from 1 to 100, not 0",
				`12: retry.backoff must be whole seconds from 1 to 3600, like 30 or 30s, not "2h"`,
			),
		},
		{
			"retry as a number", and("retry: 3"),
			"12: retry must be a mapping of fields",
		},
		{
			"an unknown field of retry", and("retry: {atempts: 3}"),
			`12: unknown field "atempts" in retry; did you mean "attempts"?`,
		},
		{
			"retry_after that overflows", and("retry_after: 9223372036854775807"),
			"12: retry_after must be auto, or whole seconds from 1 to 3600, like 30 or 30s, not 9223372036854775807",
		},
		{
			"retry_after in capitals", and("retry_after: Auto"),
			`12: retry_after must be auto, or whole seconds from 1 to 3600, like 30 or 30s, not "Auto"`,
		},
		{
			"timeout without end", and("timeout: auto"),
			`12: timeout must be whole seconds from 1 to 2592000, like 30 or 30s, not "auto"`,
		},
		{
			"retry_after without unit", and("retry_after: soon"),
			`12: retry_after must be auto, or whole seconds from 1 to 3600, like 30 or 30s, not "soon"`,
		},
		{
			"failed_status of the server", and("failed_status: 500"),
			"12: failed_status must be a whole number from 200 to 499, not 500",
		},
		{
			"failed_status that clients retry", and("failed_status: 429"),
			"12: failed_status: clients repeat a request that is answered 429; take another 4xx, like 422",
		},
		{
			"failed_status that redirects", and("failed_status: 302"),
			"12: failed_status must be 200 or a 4xx, like 422, not 302",
		},
		{
			"an origin with a path", and("allow_origins: [https://example.org/]"),
			`12: allow_origins: "https://example.org/" must be * or scheme and host alone, like https://example.org`,
		},
		{
			"an origin without scheme", and("allow_origins: [example.org]"),
			`12: allow_origins: "example.org" must be * or scheme and host alone, like https://example.org`,
		},
		{
			"an origin with its usual port", and(`allow_origins: ["https://example.org:443"]`),
			"12: allow_origins: browsers leave the usual port out; write https://example.org",
		},
		{
			"an origin that is no list", and("allow_origins: https://example.org"),
			"12: allow_origins must be a list of texts, like [one, two]",
		},
		{
			"an origin that is nothing", and("allow_origins: [~]"),
			"12: allow_origins must be a list of texts, like [one, two], not with an empty value in it",
		},

		// Parameters.
		{
			"parameters as a mapping", with("  - name: FirstName", "  name: FirstName"),
			"4: parameters must be a list: each entry begins with a hyphen, as in - name: FirstName",
		},
		{
			"a parameter as a text", with("- name: FirstName", "- FirstName"),
			`4: parameters: each entry must be a mapping, as in - name: FirstName, not "FirstName"`,
		},
		{
			"a parameter without name", with("- name: FirstName", "- prompt: required"),
			"4: parameters: an entry needs a name, or a filter like CsContact.FirstName",
		},
		{
			"a parameter with name and filter", with("- name: FirstName", "- {name: FirstName, filter: CsContact.FirstName}"),
			`4: parameters: give name or filter, not both; the key of a filter is its column, "CsContact.FirstName"`,
		},
		{
			"a filter without column", with("- name: FirstName", "- filter: FirstName"),
			`4: parameters.filter must be a qualified column, like CsContact.FirstName, not "FirstName"`,
		},
		{
			"a name with a dot", with("- name: FirstName", "- name: CsContact.FirstName"),
			"4: parameters.name has no dot; write filter: CsContact.FirstName for a qualified column",
		},
		{
			"a prompt of another kind", with("- name: FirstName", "- {name: FirstName, prompt: always}"),
			`4: parameters.prompt must be optional or required, not "always"`,
		},
		{
			"a list as default of one value", with("- name: FirstName", "- {name: FirstName, default: [a], source_default: [b]}"),
			lines(
				"4: parameters.default: a list needs multiple: true",
				"4: parameters.source_default: a list needs multiple: true",
			),
		},
		{
			"a mapping as default", with("- name: FirstName", "- {name: FirstName, default: {a: b}}"),
			"4: parameters.default must be text or a list of texts",
		},
		{
			"a list in a default", with("- name: FirstName", "- {name: FirstName, multiple: true, default: [[a]]}"),
			"4: parameters.default must be text or a list of texts, not with a list in it",
		},
		{
			"a name twice", with("- name: FirstName", "- name: FirstName\n  - name: firstname"),
			`5: parameters: "firstname" is there twice (letter case does not count)`,
		},
		{
			"a filter twice", with("- name: FirstName", "- filter: A.B\n  - filter: a.b"),
			`5: parameters: "a.b" is there twice (letter case does not count)`,
		},
		{
			"a name and a filter that share a name", with("- name: FirstName", "- name: FirstName\n  - filter: CsContact.FirstName"),
			`5: parameters: "FirstName" and "CsContact.FirstName" share a name; give both a filter, so that callers can tell them apart`,
		},
		{
			"too many parameters", with("  - name: FirstName", strings.Repeat("  - name: x\n", 101)),
			"4: parameters has 101 entries; it may have 100",
		},

		// Source.
		{
			"no source", with("source:\n  csv: {connection: drop, path: in.csv}\n", ""),
			"1: source is missing: where the rows come from",
		},
		{
			"a source without kind", with("csv: {connection: drop, path: in.csv}", "{}"),
			"6: source is missing its kind: csv, sql, http or imis",
		},
		{
			"a source of two kinds", with("  csv: {connection: drop, path: in.csv}", "  csv: {connection: drop, path: in.csv}\n  sql: {}"),
			lines(
				"6: source must be exactly one of its kinds; it has csv, sql",
				"7: source.sql.connection is missing: the database connection it reads, from the runner's connections.yaml",
				"7: source.sql.query is missing: one select; :State is the parameter State, null if it has no value",
			),
		},
		{
			"a source that is a text", with("\n  csv: {connection: drop, path: in.csv}", " in.csv"),
			"5: source must be a mapping of fields",
		},
		{
			"an empty section", with(" {connection: drop, path: in.csv}", ""),
			"6: source.csv has no value; give it one or remove it",
		},
		{
			"no path", with(", path: in.csv", ""),
			"6: source.csv.path is missing: the file, relative to the connection's folder; .csv, .csv.gz or .xlsx; {params.File} is a parameter",
		},
		{
			"an absolute path", with("in.csv", "/in.csv"),
			`6: source.csv.path must be relative to the connection's folder, not "/in.csv"`,
		},
		{
			"an absolute path of Windows", with("in.csv", `C:\in.csv`),
			`6: source.csv.path must be relative to the connection's folder, not "C:\\in.csv"`,
		},
		{
			"a path that leaves", with("in.csv", "a/../../in.csv"),
			`6: source.csv.path: "a/../../in.csv" leaves the connection's folder`,
		},
		{
			"a path that leaves as Windows writes it", with("in.csv", `..\in.csv`),
			`6: source.csv.path: "..\\in.csv" leaves the connection's folder`,
		},
		{
			"a path that is a folder", with("in.csv", "a/"),
			`6: source.csv.path: "a/" is a folder, not a file`,
		},
		{
			"a delimiter of two characters", with("in.csv", `in.csv, delimiter: ";;"`),
			`6: source.csv.delimiter must be one character, like ";" or "\t", not ";;"`,
		},
		{
			"a quote as delimiter", with("in.csv", `in.csv, delimiter: '"'`),
			`6: source.csv.delimiter must be one character, like ";" or "\t", not "\""`,
		},
		{
			"an unknown encoding", with("in.csv", "in.csv, encoding: ansi"),
			`6: source.csv.encoding: unknown encoding "ansi"; known are utf-8, windows-1252, iso-8859-15, utf-16le, shift_jis and the other labels of the WHATWG`,
		},
		{
			"an encoding that hides everything", with("in.csv", "in.csv, encoding: iso-2022-kr"),
			`6: source.csv.encoding: unknown encoding "iso-2022-kr"; known are utf-8, windows-1252, iso-8859-15, utf-16le, shift_jis and the other labels of the WHATWG`,
		},

		// Mapping and destination.
		{
			"no mapping", with("mapping:\n  id: ID\n  full_name: FirstName + \" \" + LastName\n", ""),
			"1: mapping is missing: a line for each destination column, like id: ID (column: expression over the row); a bare name passes the value unchanged",
		},
		{
			"a mapping without columns", with("\n  id: ID\n  full_name: FirstName + \" \" + LastName", " {}"),
			"7: mapping must have at least one line, destination column: expression",
		},
		{
			"a mapping that is a list", with("\n  id: ID\n  full_name: FirstName + \" \" + LastName", "\n  - id\n"),
			"8: mapping must have at least one line, destination column: expression",
		},
		{
			"a column twice", with("  full_name", "  id"),
			`9: mapping: the column "id" is given twice; first on line 8`,
		},
		{
			"a column twice but for case", with("  full_name", "  ID"),
			`9: mapping: "id" and "ID" are one column to a database`,
		},
		{
			"a column without expression", with("id: ID", "id:"),
			`8: mapping: the column "id" has no expression`,
		},
		{
			"a column with a list", with("id: ID", "id: [ID]"),
			`8: mapping: the column "id" must have an expression, not a list; put text that begins with [ in quotes as a whole`,
		},
		{
			"a column without name", with("id: ID", `"": ID`),
			"8: mapping: a column's name must be text on one line, and not empty",
		},
		{
			"too many columns", with("id: ID", strings.TrimPrefix(strings.Repeat("  c: ID\n", 2000), "  ")),
			"8: mapping has 2001 entries; it may have 2000",
		},
		{
			"an expression without end", and("where: '" + strings.Repeat("(", 10_001) + "'"),
			"12: where: the expression has 10001 letters; it may have 10000",
		},
		{
			"an expression that makes more than an evaluation may", and(`where: 'name == repeat("x", 100000000)'`),
			"12: where: it repeats a text more than 1,000,000 times (1:9)\n     | name == repeat(\"x\", 100000000)\n     | ........^",
		},
		{
			"an expression that takes more than an evaluation may", and("where: 'count(1..3000, count(1..3000, # > 1) > 2) > 3'"),
			"12: where: it takes more than 1,000,000 steps (1:1)\n     | count(1..3000, count(1..3000, # > 1) > 2) > 3\n     | ^",
		},
		{
			"an expression that is too deep", and("where: '" + strings.Repeat("(", 400) + "true" + strings.Repeat(")", 400) + "'"),
			"12: where: has brackets that are nested more than 200 times",
		},
		{
			"no action", with(", action: upsert", ""),
			"11: destination.sql.action is missing: the action for each row: insert, update, upsert or delete",
		},
		{
			"an unknown action", with("upsert", "merge"),
			`11: destination.sql.action must be insert, update, upsert or delete, not "merge"`,
		},
		{
			"no key", with("key: [id], ", ""),
			"11: destination.sql.key is missing: upsert needs the columns that identify a row, like key: [id]",
		},
		{
			"an empty key", with("[id]", "[]"),
			"11: destination.sql.key is missing: upsert needs the columns that identify a row, like key: [id]",
		},
		{
			"a key as a text", with("[id]", "id"),
			"11: destination.sql.key must be a list of texts, like [one, two]",
		},
		{
			"a key that is no column, but nearly", with("[id]", "[ID]"),
			`11: destination.sql.key: mapping has no column "ID"; did you mean "id"?`,
		},
		{
			"a key that is no column", with("[id]", "[number]"),
			`11: destination.sql.key: mapping has no column "number"; it has id, full_name`,
		},
		{
			"a key column twice", with("[id]", "[id, id]"),
			`11: destination.sql.key has "id" twice`,
		},
		{
			"an update of the key alone", strings.Replace(with("[id]", "[id, full_name]"), "upsert", "update", 1),
			"11: destination.sql: update has nothing to write; mapping needs a column that is not in key",
		},
		{
			"appending to the source", with("sql: {connection: warehouse, table: members, key: [id], action: upsert}", "csv: {connection: drop, path: ./in.csv, action: append}"),
			"11: destination.csv: the source reads the file that this appends to, and would never end; take another path",
		},
		{
			"replacing the source", with("sql: {connection: warehouse, table: members, key: [id], action: upsert}", "csv: {connection: drop, path: ./in.csv, action: replace}"),
			"11: destination.csv: the source reads the file that this replaces, and its rows would be lost; take another path",
		},
		{
			"the action of another destination", with("sql: {connection: warehouse, table: members, key: [id], action: upsert}", "csv: {connection: drop, path: ../out.csv, action: upsert}"),
			lines(
				`11: destination.csv.action must be replace or append, not "upsert"`,
				`11: destination.csv.path: "../out.csv" leaves the connection's folder`,
			),
		},
	})
}

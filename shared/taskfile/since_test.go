package taskfile

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"runhook/shared/task"
)

const (
	sinceHead  = "id: 7d1c8a52-0b9e-4c4e-9a43-5f0f8f6f2a10\nname: Test\n"
	upsertTail = "mapping: {id: id}\ndestination: {sql: {connection: w, table: t, key: [id], action: upsert}}\n"
	insertTail = "mapping: {id: id}\ndestination: {sql: {connection: w, table: t, action: insert}}\n"
)

func TestSince(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		source string
		want   task.Since
	}{
		{
			"sql: {connection: w, query: 'select 1 where :since is null', since: {column: changed, start: 2026-01-01, overlap: 10m}}",
			task.Since{Column: "changed", Start: "2026-01-01", Overlap: 10 * time.Minute},
		},
		{
			"sql: {connection: w, query: 'select id from t where id > :since', since: {column: id, start: 0, overlap: 100}}",
			task.Since{Column: "id", Start: "0", OverlapCount: 100},
		},
		{
			"http: {connection: w, path: '/a?x={params.since}&y=1', since: {column: Changed On, overlap: 2d}}",
			task.Since{Column: "Changed On", Overlap: 48 * time.Hour, Digits: true},
		},
		{
			"imis: {connection: w, query: $/A, since: {column: UpdatedOn, prompt: Changed Since}}",
			task.Since{Column: "UpdatedOn", Prompt: "Changed Since", Digits: true},
		},
	} {
		def, err := Parse([]byte(sinceHead+"source:\n  "+c.source+"\n"+upsertTail), "test.yaml")
		if err != nil {
			t.Errorf("%s: %v", c.source, err)
			continue
		}
		if got := def.Since(); !reflect.DeepEqual(*got, c.want) {
			t.Errorf("%s: %+v, want %+v", c.source, *got, c.want)
		}
		if start := def.ExpressionParams(nil)[task.SinceParam]; start != c.want.Start {
			t.Errorf("%s: params.since is %v", c.source, start)
		}
		if _, err := def.Resolve([]task.Given{{Key: "since", GivenValue: task.GivenValue{Kind: task.GivenString, Text: "x"}}}); err == nil || strings.Contains(err.Error(), "did you mean") {
			t.Errorf("%s: a caller may pass since: %v", c.source, err)
		}
	}
	// An expression may be all that uses it.
	if _, err := Parse([]byte(sinceHead+"source:\n  http: {connection: w, path: /a, since: {column: id}}\nwhere: params.since == \"\" || id > int(params.since)\n"+upsertTail), "test.yaml"); err != nil {
		t.Error(err)
	}
}

func TestSinceRefuses(t *testing.T) {
	t.Parallel()
	const query = "sql: {connection: w, query: 'select id from t where id > :since', since: "
	for _, c := range []struct{ source, tail, want string }{
		{query + "{start: 1}}", upsertTail, "source.sql.since.column is missing"},
		{query + "{column: id, start: yesterday}}", upsertTail, "test.yaml:4: source.sql.since.start is neither a number nor a date like 2026-01-31"},
		{query + "{column: id, overlap: soon}}", upsertTail, "source.sql.since.overlap must be a time from 1s to 366d, such as 10m, or a whole number for a column of numbers, not \"soon\""},
		{query + "{column: id, overlap: 0}}", upsertTail, "source.sql.since.overlap must be"},
		{query + "{column: id, overlap: 400d}}", upsertTail, "source.sql.since.overlap must be"},
		{query + "{column: id, start: 1, overlap: 10m}}", upsertTail, "source.sql.since.overlap is a time, and start is a number; write a number, such as 100"},
		{query + "{column: id, start: 2026-01-01, overlap: 10}}", upsertTail, "source.sql.since.overlap is a number, and start is a date; write a time, such as 10m"},
		{query + "{column: id, overlap: 10m}}", insertTail, "source.sql.since.overlap reads rows again, and the table t would insert them twice"},
		{query + "{column: id}}", insertTail + "concurrency: 2\n", "runs at the same time (concurrency: 2) read the same rows, and the table t would insert them twice"},
		{query + "{column: id}}", insertTail + "parameters: [{name: State}]\n", "a run that is given values for parameters may not read all rows"},
		{query + "{column: id}}", upsertTail + "parameters: [{name: Since}]\n", "source.sql.since gives the parameter since its value, so no caller can; call the task's parameter Since something else"},
		{"sql: {connection: w, query: select id from t, since: {column: id}}", upsertTail, "source.sql.since changes nothing, because nothing uses its value: put it into the query, as in where :since is null or changed > :since"},
		{"sql: {connection: w, query: 'select id from t where id > :since'}", upsertTail, "source.sql.query: :since is no parameter; the task has none"},
		{"http: {connection: w, path: /a, since: {column: id}}", upsertTail, "put it into the path, as in /people?changed_after={params.since}"},
		{"http: {connection: w, path: '/a/{params.since}', since: {column: id}}", upsertTail, "{params.since} goes behind the question mark"},
		{"imis: {connection: w, query: $/A, since: {column: id}}", upsertTail, "name the prompt of the IQA that gets it, as in prompt: ChangedSince"},
		{"imis: {connection: w, query: $/A, since: {column: id, prompt: limit}}", upsertTail, "a prompt named \"limit\" cannot be passed by its name"},
		{"imis: {connection: w, query: $/A, endpoint: iqa, since: {column: id, prompt: P}}", upsertTail, "endpoint: iqa takes prompts by position alone"},
		{"imis: {connection: w, query: $/A, since: {column: id, prompt: p}}", upsertTail + "parameters: [{name: P}]\n", "\"p\" is a parameter of the task, whose value callers pass"},
		{"csv: {connection: w, path: a.csv, since: {column: id}}", upsertTail, "unknown field \"since\" in source.csv"},
	} {
		_, err := Parse([]byte(sinceHead+"source:\n  "+c.source+"\n"+c.tail), "test.yaml")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s:\n%v\nwant %s", c.source, err, c.want)
		}
	}
}

package taskfile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"runhook/shared/task"
)

var sqlSource = form[task.Source]{
	kind: task.SQL, read: readSQLSource, draft: draftSQLSource,
	meaning: "a query of a database",
	fields: []field{
		connectionField("warehouse", "database connection it reads"),
		{
			name: "query", kind: kindProse, example: "select * from members", required: true,
			meaning: "one select; :State is the parameter State, null if it has no value",
		},
		{
			name: "order_by", kind: kindTextOrTexts, max: maxKeyColumns, example: "[id]",
			meaning: "columns of the query that order the rows; if they are unique, an interrupted run can continue, at best by numbers or dates",
		},
		sinceField("`:since`, null if there is none"),
	},
}

var sqlDestination = form[task.Destination]{
	kind: task.SQL, read: readSQLDestination, draft: draftSQLDestination,
	meaning: "a table of a database",
	fields: []field{
		connectionField("warehouse", "database connection it is in"),
		{
			name: "table", kind: kindText, example: "members", required: true,
			meaning: "the table's name",
		},
		{
			name: "key", kind: kindTexts, max: maxKeyColumns, example: "[id]", starter: true,
			meaning: "the columns of mapping that identify a row; needed unless action is insert",
		},
		{
			name: "action", kind: kindChoice, example: string(task.Upsert), required: true,
			values:  []string{string(task.Insert), string(task.Update), string(task.Upsert), string(task.Delete)},
			meaning: "the action for each row: insert, update, upsert or delete",
		},
		{
			name: "create", kind: kindFlag, byDefault: "false", example: "true", starter: true,
			meaning: "true creates a missing table from the mapping, with key as primary key",
		},
	},
}

func readSQLSource(r *reader, given content, def *task.Definition) task.Source {
	sql := given.section
	source := &task.SQLSource{Connection: sql.text("connection"), Query: sql.text("query"), OrderBy: sql.contents["order_by"].texts}
	query, ok := sql.field("query")
	if !ok {
		return source
	}
	_, names, err := task.CutQuery(query.text, func(int) string { return "?" })
	if err != nil {
		r.report(query.line, "source.sql.query: %v", err)
	}
	source.Since = r.readSince(sql, "source.sql.since", false, err != nil || slices.Contains(names, task.SinceParam),
		"put it into the query, as in where :since is null or changed > :since")
	for _, name := range names {
		if name == task.SinceParam && (source.Since != nil || sql.refused["since"]) {
			continue
		}
		r.checkParameter(def, query.line, "source.sql.query: :"+name, name, `a query takes one value; name it in where instead, as in "x" in params.`+name)
	}
	return source
}

// checkKey holds the key against the action and the mapping. A mapping that could not be read is
// empty, and has its own problem.
func (r *reader) checkKey(sql *fieldSet, d *task.SQLDestination, columns []task.Column) {
	line := cmp.Or(sql.contents["key"].line, sql.line)
	if d.Action == "" || sql.refused["key"] {
		return // reported
	}
	if len(d.Key) == 0 && d.Action != task.Insert {
		r.report(line, "destination.sql.key is missing: %s needs the columns that identify a row, like key: [id]", d.Action)
		return
	}
	if columns == nil {
		return
	}
	names := r.columnNames(columns, "a database")
	r.checkColumns(line, "destination.sql.key", d.Key, names)
	if d.Action == task.Update && !slices.ContainsFunc(names, func(n string) bool { return !slices.Contains(d.Key, n) }) {
		r.report(line, "destination.sql: update has nothing to write; mapping needs a column that is not in key")
	}
}

func readSQLDestination(r *reader, given content, def *task.Definition) task.Destination {
	sql := given.section
	to := &task.SQLDestination{
		Connection: sql.text("connection"), Table: sql.text("table"), Key: sql.contents["key"].texts,
		Action: task.Action(sql.text("action")), Create: sql.contents["create"].on,
	}
	r.checkKey(sql, to, def.Mapping)
	return to
}

func draftSQLSource(source task.Source) []string {
	from := source.(*task.SQLSource)
	return []string{fmt.Sprintf("sql: {connection: %s, query: %s}", scalar(from.Connection), scalar(from.Query))}
}

func draftSQLDestination(destination task.Destination) []string {
	to := destination.(*task.SQLDestination)
	if len(to.Key) == 0 {
		return []string{
			"# Every run adds all rows. To update what is there, name the columns that identify a row and write",
			"# key: [id], action: upsert",
			fmt.Sprintf("sql: {connection: %s, table: %s, action: %s, create: %t}", scalar(to.Connection), scalar(to.Table), to.Action, to.Create),
		}
	}
	keys := make([]string, len(to.Key))
	for i, key := range to.Key {
		keys[i] = scalar(key)
	}
	return []string{fmt.Sprintf("sql: {connection: %s, table: %s, key: [%s], action: %s, create: %t}",
		scalar(to.Connection), scalar(to.Table), strings.Join(keys, ", "), to.Action, to.Create)}
}

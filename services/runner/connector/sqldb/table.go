package sqldb

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"

	"runhook/services/runner/check"
	"runhook/services/runner/connector"
	"runhook/shared/nearest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// table is what the database says of the destination's table.
type table struct {
	connection string
	name       string
	columns    []tableColumn
	// unique are the columns of each unique index that holds for all rows.
	unique [][]string
	// target are the columns that the mapping writes, in its order, and key the positions in it of
	// those that identify a row.
	target []tableColumn
	key    []int
	// keyed: rows are found by their key, so that it must not be empty.
	keyed bool
}

type tableColumn struct {
	name string
	kind kind
	// notNull: the column takes no null. required: nor has it a default.
	notNull, required bool
	// inKey is the column's place in the primary key from 1, 0 for none.
	inKey int
	// computed columns cannot be written.
	computed bool
}

// openTable reads the table, makes it where the task wants that, and holds the mapping against it.
func openTable(ctx context.Context, conn *sql.Conn, to *task.SQLDestination, columns []connector.Column) (*table, error) {
	t := &table{connection: to.Connection, name: to.Table, keyed: to.Action != task.Insert}
	names := connector.Names(columns)
	var faults check.Report
	found, err := t.read(ctx, conn)
	if err == nil && !found && !to.Create {
		return nil, t.missing(ctx, conn)
	}
	if err == nil && !found {
		checkKey(to, names, &faults)
		if err := faults.Err(); err != nil {
			return nil, err
		}
		if _, err = conn.ExecContext(ctx, t.createStatement(to.Key, columns)); err == nil {
			_, err = t.read(ctx, conn)
		}
	}
	if err != nil {
		return nil, t.explain(ctx, err)
	}
	t.match(to, names, &faults)
	return t, faults.Err()
}

func (t *table) explain(ctx context.Context, err error) error { return explain(ctx, err, t.connection) }

func (t *table) read(ctx context.Context, conn *sql.Conn) (found bool, err error) {
	var kind string
	err = conn.QueryRowContext(ctx, `SELECT type, name FROM sqlite_schema WHERE name = ? COLLATE NOCASE AND type IN ('table', 'view')`, t.name).Scan(&kind, &t.name)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if kind == "view" {
		return false, run.Failf("destination.sql.table: %s in connection %s is a view; name a table", t.name, t.connection)
	}
	rows, err := conn.QueryContext(ctx, `SELECT name, type, "notnull", dflt_value IS NOT NULL, pk, hidden FROM pragma_table_xinfo(?)`, t.name)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	t.columns = nil
	for rows.Next() {
		var c tableColumn
		var declared string
		var notNull, byDefault bool
		var hidden int
		if err := rows.Scan(&c.name, &declared, &notNull, &byDefault, &c.inKey, &hidden); err != nil {
			return false, err
		}
		c.kind, c.computed = kindOf(declared), hidden != 0
		// An INTEGER PRIMARY KEY makes its own numbers.
		c.notNull = notNull && (c.inKey == 0 || c.kind != integerKind)
		c.required = c.notNull && !byDefault
		t.columns = append(t.columns, c)
	}
	if err := rows.Err(); err != nil {
		return false, err
	}
	return true, t.readUnique(ctx, conn)
}

// readUnique reads the unique indexes. One that is partial or over an expression identifies no row.
func (t *table) readUnique(ctx context.Context, conn *sql.Conn) error {
	rows, err := conn.QueryContext(ctx, `SELECT l.name, coalesce(i.name, '') FROM pragma_index_list(?) l, pragma_index_info(l.name) i WHERE l."unique" AND NOT l.partial ORDER BY l.seq, i.seqno`, t.name)
	if err != nil {
		return err
	}
	defer rows.Close()
	last := ""
	t.unique = nil
	for rows.Next() {
		var index, column string
		if err := rows.Scan(&index, &column); err != nil {
			return err
		}
		if index != last {
			t.unique = append(t.unique, nil)
			last = index
		}
		t.unique[len(t.unique)-1] = append(t.unique[len(t.unique)-1], column)
	}
	return rows.Err()
}

func (t *table) missing(ctx context.Context, conn *sql.Conn) error {
	var names []string
	rows, err := conn.QueryContext(ctx, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`)
	if err != nil {
		return t.explain(ctx, err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return t.explain(ctx, err)
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil {
		return t.explain(ctx, err)
	}
	return run.Failf("there is no table %s in connection %s%s Set create: true in the task to have it made", t.name, t.connection, cmp.Or(nearest.Hint(t.name, names), "."))
}

// checkKey sees to it that a new table can have the key.
func checkKey(to *task.SQLDestination, columns []string, found *check.Report) {
	for _, key := range to.Key {
		if !slices.ContainsFunc(columns, func(name string) bool { return strings.EqualFold(name, key) }) {
			keyIsMissing(key, columns, found)
		}
	}
}

func (t *table) createStatement(key []string, columns []connector.Column) string {
	var sql strings.Builder
	sql.WriteString("CREATE TABLE IF NOT EXISTS " + quoteName(t.name) + " (")
	for i, c := range columns {
		if i > 0 {
			sql.WriteString(", ")
		}
		sql.WriteString(quoteName(c.Name) + " " + declaredType(c.Kind))
		if slices.ContainsFunc(key, func(k string) bool { return strings.EqualFold(k, c.Name) }) {
			// A primary key of SQLite takes nulls unless told not to.
			sql.WriteString(" NOT NULL")
		}
	}
	if len(key) > 0 {
		sql.WriteString(", PRIMARY KEY (" + quoteNames(key) + ")")
	}
	sql.WriteString(")")
	return sql.String()
}

// match finds the mapping's columns and the key in the table, and reports all that no row could pass.
func (t *table) match(to *task.SQLDestination, columns []string, found *check.Report) {
	var names []string
	for _, c := range t.columns {
		names = append(names, c.name)
	}
	t.target = make([]tableColumn, 0, len(columns))
	for _, name := range columns {
		field := check.At("mapping", name)
		at := slices.IndexFunc(t.columns, func(have tableColumn) bool { return strings.EqualFold(have.name, name) })
		switch {
		case at < 0:
			found.Errorf(field, "the table %s in connection %s has no column %s%s", t.name, t.connection, name, nearest.Hint(name, names))
			t.target = append(t.target, tableColumn{name: name})
			continue
		case t.columns[at].computed:
			found.Errorf(field, "the column %s of the table %s is computed by the database; take it out of the mapping", name, t.name)
		case slices.Contains(t.target, t.columns[at]):
			found.Errorf(field, "the mapping writes the column %s of the table %s twice", name, t.name)
		}
		t.target = append(t.target, t.columns[at])
	}
	t.matchKey(to, columns, found)
	if to.Action == task.Insert || to.Action == task.Upsert {
		for _, c := range t.columns {
			if c.required && !c.computed && !slices.Contains(t.target, c) {
				found.Errorf(check.At("mapping"), "the column %s of the table %s must not be empty and has no default; add it to the mapping", c.name, t.name)
			}
		}
	}
}

// matchKey finds the key in the mapping, and sees to it that it identifies rows where it has to.
func (t *table) matchKey(to *task.SQLDestination, columns []string, found *check.Report) {
	missing := false
	for _, key := range to.Key {
		at := slices.IndexFunc(t.target, func(c tableColumn) bool { return strings.EqualFold(c.name, key) })
		if at < 0 {
			keyIsMissing(key, columns, found)
			missing = true
			continue
		}
		t.key = append(t.key, at)
		missing = missing || !slices.Contains(t.columns, t.target[at])
	}
	switch {
	case to.Action != task.Insert && len(to.Key) == 0:
		found.Errorf(keyField, "destination.sql.key is missing: %s needs the columns that identify a row", to.Action)
	case to.Action == task.Upsert && !missing && !t.identifies(to.Key):
		found.Errorf(keyField, "upsert needs a primary key or a unique index of the table %s on exactly %s; make one, or correct destination.sql.key", t.name, strings.Join(to.Key, ", "))
	}
}

var keyField = check.At("destination", "sql", "key")

func keyIsMissing(key string, columns []string, found *check.Report) {
	found.Errorf(keyField, "destination.sql.key: the mapping has no column %s%s", key, nearest.Hint(key, columns))
}

// identifies reports whether the columns are the primary key or those of a unique index.
func (t *table) identifies(key []string) bool {
	same := func(columns []string) bool {
		return len(columns) == len(key) && !slices.ContainsFunc(key, func(k string) bool {
			return !slices.ContainsFunc(columns, func(c string) bool { return strings.EqualFold(c, k) })
		})
	}
	return same(t.primaryKey()) || slices.ContainsFunc(t.unique, same)
}

// primaryKey returns the columns of the primary key.
func (t *table) primaryKey() []string {
	var names []string
	for _, c := range t.columns {
		if c.inKey > 0 {
			names = append(names, c.name)
		}
	}
	return names
}

// onlyUnique names the columns of the unique index that is not the primary key, if there is just one.
func (t *table) onlyUnique() string {
	key := t.primaryKey()
	var others []string
	for _, columns := range t.unique {
		if !slices.Equal(slices.Sorted(slices.Values(columns)), slices.Sorted(slices.Values(key))) {
			others = append(others, strings.Join(columns, ", "))
		}
	}
	if len(others) != 1 {
		return ""
	}
	return others[0]
}

func quoteNames(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = quoteName(name)
	}
	return strings.Join(quoted, ", ")
}

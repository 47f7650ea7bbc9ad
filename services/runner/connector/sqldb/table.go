package sqldb

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"runhook/services/runner/check"
	"runhook/services/runner/connector"
	"runhook/services/runner/row"
	"runhook/shared/nearest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// table is the destination's table, and what the mapping writes to it.
type table struct {
	dialect    dialect
	connection string
	relation
	// target are the columns that the mapping writes, in its order, and key the positions in it of
	// those that identify a row.
	target []tableColumn
	key    []int
	// collations are those by which the key's unique index compares, in the key's order; nil where there is
	// no such index, or it compares as the columns do.
	collations []string
	// keyed: rows are found by their key, so that it must not be empty. uniqueKey: no two rows have the same.
	keyed, uniqueKey bool
}

func newTable(d dialect, to *task.SQLDestination) *table {
	return &table{dialect: d, connection: to.Connection, relation: relation{name: to.Table, sql: d.place(to.Table)}, keyed: to.Action != task.Insert}
}

type tableColumn struct {
	name string
	// declared is the type that it is declared with.
	declared string
	kind     kind
	// storage is what else the database makes of the column's values; nil if it keeps what it is given.
	storage storage
	// notNull: the column takes no null. required: nor has it a default.
	notNull, required bool
	// inKey is the column's place in the primary key from 1, 0 for none.
	inKey int
	// computed columns cannot be written. numbered columns are given numbers by the database; one that a row
	// brings can only tell which row it is.
	computed, numbered bool
	// numbersItself: a row that brings null or nothing is given a number.
	numbersItself bool
	// cast is the type that a text is made for the column, and exact the one that it is stored as.
	cast, exact string
	// collation is how the column compares, as statements name it; empty if it has none.
	collation string
	// plain: two values that are stored differently are never equal, but for letter case.
	plain bool
	// identifies: the column is one of those that tell the task's rows apart, or of the primary key.
	identifies bool
}

// openTable reads the table, makes it where the task wants that, and holds the mapping against it.
func openTable(ctx context.Context, d dialect, conn *sql.Conn, to *task.SQLDestination, columns []connector.Column) (*table, error) {
	t := newTable(d, to)
	names := connector.Names(columns)
	var faults check.Report
	if t.checkNames(to, names, &faults); faults.Failed() {
		return nil, faults.Err()
	}
	found, err := t.read(ctx, conn)
	if err == nil && !found && !to.Create {
		return nil, t.missing(ctx, conn)
	}
	if err == nil && !found {
		checkKey(to, names, &faults)
		if err := faults.Err(); err != nil {
			return nil, err
		}
		_, err = conn.ExecContext(ctx, t.createStatement(to.Key, columns))
		// Another run may have made it at the same moment.
		if found, again := t.read(ctx, conn); err == nil || found {
			err = again
		}
	}
	if err != nil {
		return nil, t.explain(ctx, err)
	}
	t.match(to, names, &faults)
	for i, c := range columns {
		t.takeCopies(i, c.Stored, c.Declared)
	}
	return t, faults.Err()
}

// takeCopies has a column take whatever a column of the same type has, if that is what the mapping passes to it.
func (t *table) takeCopies(at int, stored bool, declared string) {
	if c := &t.target[at]; stored && t.dialect.copies(*c, declared) {
		c.kind, c.storage = anyKind, nil
	}
}

func (t *table) explain(ctx context.Context, err error) error { return explain(ctx, t.dialect, err) }

// refused returns what is wrong with the row when the database refused it for the row's own sake,
// and nil when the error is another.
func (t *table) refused(err error) *row.Fault {
	if fault, ok := errors.AsType[*row.Fault](err); ok {
		return fault
	}
	return t.dialect.fault(err, t)
}

func (t *table) read(ctx context.Context, conn *sql.Conn) (found bool, err error) {
	known, err := t.dialect.relation(ctx, conn, t.name)
	if err != nil || known == nil {
		return false, err
	}
	t.relation = *known
	if t.odd != "" {
		return false, run.Failf("destination.sql.table: %s in connection %s %s", t.name, t.connection, t.odd)
	}
	return true, nil
}

// checkNames reports the names that the database would cut, and so take for others.
func (t *table) checkNames(to *task.SQLDestination, columns []string, found *check.Report) {
	longest := t.dialect.longestName()
	if longest == 0 {
		return
	}
	for _, part := range strings.Split(to.Table, ".") {
		if len(part) > longest {
			found.Errorf(check.At("destination", "sql", "table"), "destination.sql.table: the name has more than %d bytes, and the database would cut it", longest)
		}
	}
	for _, name := range columns {
		if len(name) > longest {
			found.Errorf(check.At("mapping", name), "the column's name %s has more than %d bytes, and the database would cut it", name, longest)
		}
	}
}

func (t *table) missing(ctx context.Context, conn *sql.Conn) error {
	names, err := namesOf(ctx, conn, t.dialect.tables())
	if err != nil {
		return t.explain(ctx, err)
	}
	return run.Failf("there is no table %s in connection %s%s Set create: true in the task to have it made", t.name, t.connection, cmp.Or(nearest.Hint(t.name, names), "."))
}

// namesOf are the names that a query returns.
func namesOf(ctx context.Context, conn *sql.Conn, query string) (names []string, err error) {
	rows, err := conn.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
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
	begin, end := t.dialect.creates(t.sql)
	sql.WriteString(begin + " (")
	for i, c := range columns {
		if i > 0 {
			sql.WriteString(", ")
		}
		inKey := slices.ContainsFunc(key, func(k string) bool { return strings.EqualFold(k, c.Name) })
		sql.WriteString(t.dialect.quote(c.Name) + " " + t.dialect.columnType(c, inKey))
		if inKey {
			// The primary key of some databases takes nulls unless told not to.
			sql.WriteString(" NOT NULL")
		}
	}
	if len(key) > 0 {
		sql.WriteString(", PRIMARY KEY (" + quoteNames(t.dialect, key) + ")")
	}
	sql.WriteString(")" + end)
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
		at := t.at(name)
		switch {
		case at < 0:
			found.Errorf(field, "the table %s in connection %s has no column %s%s", t.name, t.connection, name, t.unfit(to, nearest.Hint(name, names), "ALTER TABLE "+t.sql+" ADD COLUMN "+t.dialect.quote(name)+" TEXT"))
			t.target = append(t.target, tableColumn{name: name})
			continue
		case t.columns[at].computed, t.columns[at].numbered && !slices.ContainsFunc(to.Key, func(key string) bool { return t.at(key) == at }):
			found.Errorf(field, "the column %s of the table %s is computed by the database; take it out of the mapping", name, t.name)
		case slices.Contains(t.target, t.columns[at]):
			found.Errorf(field, "the mapping writes the column %s of the table %s twice", name, t.name)
		}
		t.target = append(t.target, t.columns[at])
	}
	t.matchKey(to, columns, found)
	t.matchRights(to.Action, found)
	if to.Action == task.Insert || to.Action == task.Upsert {
		for _, c := range t.columns {
			if c.required && !c.computed && !slices.Contains(t.target, c) {
				found.Errorf(check.At("mapping"), "the column %s of the table %s must not be empty and has no default; add it to the mapping", c.name, t.name)
			}
		}
	}
	for i := range t.target {
		t.target[i].identifies = t.target[i].inKey > 0 || slices.Contains(t.key, i)
	}
}

// at is the place of a column in the table, -1 if there is none. A database may have names that differ in
// letter case alone.
func (t *table) at(name string) int {
	if at := slices.IndexFunc(t.columns, func(c tableColumn) bool { return c.name == name }); at >= 0 {
		return at
	}
	return slices.IndexFunc(t.columns, func(c tableColumn) bool { return strings.EqualFold(c.name, name) })
}

// matchRights reports what the account may not do to the table, of what the action does.
func (t *table) matchRights(action task.Action, found *check.Report) {
	needs := map[task.Action][]string{
		task.Insert: {"INSERT"}, task.Update: {"SELECT", "UPDATE"}, task.Upsert: {"SELECT", "INSERT", "UPDATE"}, task.Delete: {"SELECT", "DELETE"},
	}[action]
	if t.triggers {
		needs = append(needs, "SELECT")
	}
	lacking := slices.DeleteFunc(slices.Clone(t.lacks), func(right string) bool { return !slices.Contains(needs, right) })
	if len(lacking) > 0 {
		found.Errorf(check.At("destination", "sql", "table"), "the account of connection %s has no right to %s on the table %s, which %s needs; grant it", t.connection, strings.Join(lacking, ", "), t.name, action)
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
	t.uniqueKey = t.identify(to.Key)
	switch {
	case to.Action != task.Insert && len(to.Key) == 0:
		found.Errorf(keyField, "destination.sql.key is missing: %s needs the columns that identify a row", to.Action)
	case to.Action == task.Upsert && !missing && !t.uniqueKey:
		found.Errorf(keyField, "upsert needs a primary key or a unique index of the table %s on exactly %s; make one, or correct destination.sql.key%s", t.name, strings.Join(to.Key, ", "), t.unfit(to, "", "CREATE UNIQUE INDEX "+t.dialect.quote(t.name+"_key")+" ON "+t.sql+" ("+quoteNames(t.dialect, to.Key)+")"))
	}
}

// unfit goes on after what the table lacks: with the hint, and, if a run may have made the table for an earlier
// mapping, with the statement that changes it.
func (t *table) unfit(to *task.SQLDestination, hint, change string) string {
	if !to.Create {
		return hint
	}
	return hint + fmt.Sprintf("\nThe table is there, and create: true changes none that is. Change it, as with %s, or drop it or name another, which the next run makes.", change)
}

var keyField = check.At("destination", "sql", "key")

func keyIsMissing(key string, columns []string, found *check.Report) {
	found.Errorf(keyField, "destination.sql.key: the mapping has no column %s%s", key, nearest.Hint(key, columns))
}

// identify finds the unique index on exactly the key, and takes note of how it compares. It is false if there
// is none.
func (t *table) identify(key []string) bool {
	for _, index := range t.unique {
		if collations, same := index.on(key); same {
			t.collations = collations
			return true
		}
	}
	return false
}

// on reports whether the index is on exactly the key, and returns its collations in the key's order.
func (x uniqueIndex) on(key []string) (collations []string, same bool) {
	if len(x.columns) != len(key) {
		return nil, false
	}
	for _, k := range key {
		at := slices.IndexFunc(x.columns, func(c string) bool { return strings.EqualFold(c, k) })
		if at < 0 {
			return nil, false
		}
		if x.collations != nil {
			collations = append(collations, x.collations[at])
		}
	}
	return collations, true
}

// primaryKey returns the columns of the primary key.
func (r *relation) primaryKey() []string {
	var names []string
	for _, c := range r.columns {
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
	for _, index := range t.unique {
		if !slices.Equal(slices.Sorted(slices.Values(index.columns)), slices.Sorted(slices.Values(key))) {
			others = append(others, strings.Join(index.columns, ", "))
		}
	}
	if len(others) != 1 {
		return ""
	}
	return others[0]
}

func quoteNames(d dialect, names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = d.quote(name)
	}
	return strings.Join(quoted, ", ")
}

// take makes of a row's values, in place, what the columns store, unless that was done.
func (t *table) take(r *row.Row) *row.Fault {
	if r.Prepared {
		return nil
	}
	return t.convert(r.Values)
}

// convert makes of the mapping's values, in place, what the columns store.
func (t *table) convert(values []any) *row.Fault {
	for i := range t.target {
		c := &t.target[i]
		value := values[i]
		if known, ok := c.storage.(knowing); ok {
			if converted, knows := known.knows(value); knows {
				values[i] = converted
				continue
			}
		}
		if c.identifies {
			value = oneForm(value)
		}
		converted, problem := c.kind.convert(value)
		if problem == "" && c.storage != nil {
			converted, problem = c.storage.hold(converted)
		}
		if problem == "" && c.identifies {
			problem = keepsKey(value, converted)
		}
		if problem != "" {
			return row.Faultf(c.name, "%s", problem)
		}
		if converted == nil && c.notNull {
			return row.Faultf(c.name, "must not be empty")
		}
		values[i] = converted
	}
	if t.keyed {
		for _, at := range t.key {
			if values[at] == nil || values[at] == "" {
				return row.Faultf(t.target[at].name, "must not be empty: it is the key")
			}
		}
	}
	return nil
}

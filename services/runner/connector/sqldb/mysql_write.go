package sqldb

import (
	"context"
	"database/sql"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"runhook/services/runner/row"
	"runhook/shared/run"
	"runhook/shared/task"
)

// Rows that have to be found in the table are put into a temporary one first, of the same types: the connection's own,
// which goes with it.

const (
	// mysqlStage is the temporary table, and mysqlNumberOf its column with the rows' numbers.
	mysqlStage    = "`runhook_rows`"
	mysqlNumberOf = "`runhook row`"
)

// The bounds of one statement that brings rows: how many, how many values, and about how many bytes, which every
// server takes.
const (
	mysqlRows   = 500
	mysqlValues = 60_000
	mysqlSize   = 512 << 10
)

func (d mysqlDialect) sets(t *table, action task.Action) (sets, bool) {
	w := &mysqlWriter{d: d, t: t}
	s := sets{counted: true, again: w.again}
	if action == task.Insert {
		if s.held = w.heldInserted(); s.held == "" {
			s.put = w.put
			return s, true
		}
	} else {
		s.look = w.look(action)
	}
	s.open, s.stage = w.open, w.stage
	switch action {
	case task.Insert:
		s.insert = w.insert()
	case task.Upsert:
		s.insert, s.update = w.insert(), w.update()
	case task.Update:
		s.update = w.update()
	case task.Delete:
		s.remove = w.remove()
	}
	if t.triggers && action != task.Insert {
		s.held = w.held(action)
	}
	return s, true
}

// mysqlWriter makes the statements that write rows to a table.
type mysqlWriter struct {
	d mysqlDialect
	t *table
	// many are the statements that bring so many rows, by what they begin with and how many it is.
	many map[string]string
	args []any
}

// open makes the temporary table.
func (w *mysqlWriter) open(ctx context.Context, conn *sql.Conn) error {
	columns := []string{mysqlNumberOf + " int NOT NULL PRIMARY KEY"}
	for _, c := range w.t.target {
		columns = append(columns, w.d.quote(c.name)+" "+c.cast+" NULL")
	}
	for _, statement := range []string{"DROP TEMPORARY TABLE IF EXISTS " + mysqlStage, "CREATE TEMPORARY TABLE " + mysqlStage + " (" + strings.Join(columns, ", ") + ") ENGINE=InnoDB"} {
		_, err := conn.ExecContext(ctx, statement)
		if known := mysqlError(err); known != nil && (known.Number == 1044 || known.Number == 1142) {
			return run.Failf("the account of connection %s has no right to CREATE TEMPORARY TABLES in its database, which the rows of %s go through; grant it", w.t.connection, w.t.name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// stage puts rows into the temporary table, in place of those that are there, with their numbers from 1.
func (w *mysqlWriter) stage(ctx context.Context, conn *sql.Conn, rows []*row.Row) error {
	if _, err := conn.ExecContext(ctx, "DELETE FROM "+mysqlStage); err != nil {
		return err
	}
	_, err := w.bring(ctx, conn, mysqlStage, rows, true)
	return err
}

// put inserts rows into the table itself.
func (w *mysqlWriter) put(ctx context.Context, conn *sql.Conn, _ bool, rows []*row.Row) (int64, error) {
	return w.bring(ctx, conn, w.t.sql, rows, false)
}

// bring inserts rows, by as few statements as fit.
func (w *mysqlWriter) bring(ctx context.Context, conn *sql.Conn, into string, rows []*row.Row, numbered bool) (inserted int64, err error) {
	most := max(1, min(mysqlRows, mysqlValues/(len(w.t.target)+1)))
	for at := 0; at < len(rows); {
		w.args = w.args[:0]
		size, from := 0, at
		for ; at < len(rows) && at-from < most && (size < mysqlSize || at == from); at++ {
			if numbered {
				w.args = append(w.args, int64(at+1))
			}
			for _, value := range rows[at].Values {
				value = mysqlBound(value)
				switch v := value.(type) {
				case string:
					size += len(v)
				case []byte:
					size += len(v)
				}
				w.args = append(w.args, value)
			}
		}
		n, err := affected(conn.ExecContext(ctx, w.bringing(into, at-from, numbered), w.args...))
		if err != nil {
			return inserted, err
		}
		inserted += n
	}
	clear(w.args)
	return inserted, nil
}

// bringing is the statement that brings so many rows.
func (w *mysqlWriter) bringing(into string, rows int, numbered bool) string {
	name := into + strconv.Itoa(rows)
	if known := w.many[name]; known != "" {
		return known
	}
	var names []string
	if numbered {
		names = append(names, mysqlNumberOf)
	}
	for _, c := range w.t.target {
		names = append(names, w.d.quote(c.name))
	}
	one := "(" + strings.TrimSuffix(strings.Repeat("?,", len(names)), ",") + ")"
	text := "INSERT INTO " + into + " (" + strings.Join(names, ", ") + ") VALUES " + strings.TrimSuffix(strings.Repeat(one+",", rows), ",")
	if w.many == nil || len(w.many) > 20 {
		w.many = map[string]string{}
	}
	w.many[name] = text
	return text
}

// mysqlBound is a converted value as the driver takes it: numbers that are none of whole are text, which the column
// reads in all its digits.
func mysqlBound(value any) any {
	switch v := value.(type) {
	case float64, json.Number:
		return boundText(v)
	case mysqlMoment:
		return string(v)
	case bool:
		if v {
			return int64(1)
		}
		return int64(0)
	}
	return value
}

// again reports whether an insert was refused because another writer has put a row with the task's key there.
func (w *mysqlWriter) again(err error) bool {
	known := mysqlError(err)
	if known == nil || known.Number != 1062 || !w.t.uniqueKey {
		return false
	}
	name := mysqlKeyOf(known.Message)
	return slices.ContainsFunc(w.t.unique, func(index uniqueIndex) bool {
		_, same := index.on(w.keyNames())
		return index.name == name && same
	})
}

func (w *mysqlWriter) keyNames() (names []string) {
	for _, at := range w.t.key {
		names = append(names, w.t.target[at].name)
	}
	return names
}

// sameKey is the condition that a row x of the table has the key of t, by those columns.
func (w *mysqlWriter) sameKey(names []string) string {
	var equal []string
	for _, name := range names {
		equal = append(equal, "x."+w.d.quote(name)+" = t."+w.d.quote(name))
	}
	return strings.Join(equal, " AND ")
}

// differs is the condition that a column of x has another value than t. Of texts the letters are compared, and not what
// their collation makes of them.
func (w *mysqlWriter) differs(at int) string {
	c := w.t.target[at]
	have, value := "x."+w.d.quote(c.name), "t."+w.d.quote(c.name)
	if known, ok := c.storage.(mysqlType); ok && known.isText() {
		if known.name == "json" {
			have, value = "CAST("+have+" AS CHAR)", "CAST("+value+" AS CHAR)"
		}
		have, value = "CAST("+have+" AS BINARY)", "CAST("+value+" AS BINARY)"
	}
	return w.d.differs(have, value)
}

// anyDiffers is the condition that a column beside the key differs; empty if there is none.
func (w *mysqlWriter) anyDiffers() string {
	var differs []string
	for i := range w.t.target {
		if !slices.Contains(w.t.key, i) {
			differs = append(differs, w.differs(i))
		}
	}
	return strings.Join(differs, " OR ")
}

// keys are the key's columns in t.
func (w *mysqlWriter) keys(of string) string {
	var names []string
	for _, name := range w.keyNames() {
		names = append(names, of+"."+w.d.quote(name))
	}
	return strings.Join(names, ", ")
}

// look holds the rows that it finds, so that they stay as it has seen them.
func (w *mysqlWriter) look(action task.Action) string {
	differs := w.anyDiffers()
	if action == task.Delete || differs == "" {
		differs = "false"
	}
	first := "x." + w.d.quote(w.keyNames()[0])
	earlier := "(SELECT s.*, coalesce(lag(s." + mysqlNumberOf + ") OVER (PARTITION BY " + w.keys("s") + " ORDER BY s." + mysqlNumberOf + "), 0) AS `runhook earlier` FROM " + mysqlStage + " AS s) AS t"
	return "SELECT t." + mysqlNumberOf + ", t.`runhook earlier`, CASE WHEN " + first + " IS NULL THEN 0 WHEN " + differs + " THEN 2 ELSE 1 END FROM " +
		earlier + " LEFT JOIN " + w.t.sql + " AS x ON " + w.sameKey(w.keyNames()) + " ORDER BY t." + mysqlNumberOf + " FOR UPDATE"
}

func (w *mysqlWriter) insert() string {
	var names, values []string
	for _, c := range w.t.target {
		names, values = append(names, w.d.quote(c.name)), append(values, "t."+w.d.quote(c.name))
	}
	return "INSERT INTO " + w.t.sql + " (" + strings.Join(names, ", ") + ") SELECT " + strings.Join(values, ", ") + " FROM " + mysqlStage + " AS t ORDER BY t." + mysqlNumberOf
}

func (w *mysqlWriter) update() string {
	differs := w.anyDiffers()
	if differs == "" {
		return ""
	}
	var set []string
	for i, c := range w.t.target {
		if !slices.Contains(w.t.key, i) {
			set = append(set, "x."+w.d.quote(c.name)+" = t."+w.d.quote(c.name))
		}
	}
	return "UPDATE " + w.t.sql + " AS x JOIN " + mysqlStage + " AS t ON " + w.sameKey(w.keyNames()) + " SET " + strings.Join(set, ", ") + " WHERE " + differs
}

func (w *mysqlWriter) remove() string {
	return "DELETE x FROM " + w.t.sql + " AS x JOIN " + mysqlStage + " AS t ON " + w.sameKey(w.keyNames())
}

func (w *mysqlWriter) held(action task.Action) string {
	given := "(SELECT s.*, row_number() OVER (PARTITION BY " + w.keys("s") + " ORDER BY s." + mysqlNumberOf + " DESC) AS `runhook later` FROM " + mysqlStage + " AS s)"
	if action == task.Delete {
		given = "(SELECT s.*, 1 AS `runhook later` FROM " + mysqlStage + " AS s)"
	}
	return w.holding(given, w.keyNames(), func(i int, _ tableColumn) string {
		if action == task.Delete || slices.Contains(w.t.key, i) {
			return "false"
		}
		return w.differs(i)
	}) + " GROUP BY t." + mysqlNumberOf + " ORDER BY t." + mysqlNumberOf
}

// heldInserted finds inserted rows by their primary key; it is empty if the table has no triggers, or the mapping leaves
// a part of the key to the table, so that nobody can tell which row was which.
func (w *mysqlWriter) heldInserted() string {
	var found []string
	for _, c := range w.t.target {
		if c.inKey > 0 && !c.numbersItself {
			found = append(found, c.name)
		}
	}
	if !w.t.triggers || len(found) == 0 || len(found) != len(w.t.primaryKey()) {
		return ""
	}
	return w.holding("(SELECT s.*, 1 AS `runhook later` FROM "+mysqlStage+" AS s)", found, func(i int, c tableColumn) string {
		if c.inKey > 0 {
			return "false"
		}
		return w.differs(i)
	}) + " GROUP BY t." + mysqlNumberOf + " ORDER BY t." + mysqlNumberOf
}

func (w *mysqlWriter) holding(given string, key []string, differs func(i int, c tableColumn) string) string {
	there := "x." + w.d.quote(key[0]) + " IS NOT NULL"
	columns := []string{"t." + mysqlNumberOf, "max(" + there + ")"}
	for i, c := range w.t.target {
		columns = append(columns, "max("+there+" AND ("+differs(i, c)+"))")
	}
	return "SELECT " + strings.Join(columns, ", ") + " FROM " + given + " AS t LEFT JOIN " + w.t.sql + " AS x ON " + w.sameKey(key) + " WHERE t.`runhook later` = 1"
}

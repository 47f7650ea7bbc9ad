package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"runhook/services/runner/check"
	"runhook/services/runner/connection"
	"runhook/shared/mapping"
	"runhook/shared/task"
)

// Check looks at the database and the table of a destination, and reports all that would keep rows
// out, without a change to either. columns are the mapping's. What the table takes is nil where there is
// none. The error is ctx's.
func Check(ctx context.Context, connections *connection.Set, to *task.SQLDestination, columns []check.Column, found *check.Report) (check.Takes, error) {
	atConnection := check.At("destination", "sql", "connection")
	where, err := connections.SQLite(to.Connection)
	if err != nil {
		found.Fail(atConnection, err)
		return nil, nil
	}
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name
	}
	there, err := findFile(where, to.Create)
	if err != nil {
		found.Fail(atConnection, err)
		return nil, nil
	}
	checkRights(where, there, found)
	t := &table{connection: to.Connection, name: to.Table, keyed: to.Action != task.Insert}
	if there {
		if there, err = t.look(ctx, where, to.Create); err != nil {
			found.Fail(check.At("destination", "sql", "table"), err)
			return nil, ctx.Err()
		}
	}
	if !there {
		checkKey(to, names, found)
		found.Notef(check.At("destination", "sql", "table"), "there is no table %s in connection %s yet; the first run makes it", to.Table, to.Connection)
		return nil, nil
	}
	t.match(to, names, found)
	for i, c := range columns {
		k := t.target[i].kind
		found.Fit(c, k.takes(c.Kind), "the column "+t.target[i].name+" of the table "+t.name, k.problem())
	}
	return t.convert, nil
}

// look reads the table over a connection that cannot write. The error is a [*run.Failure] or ctx's.
func (t *table) look(ctx context.Context, where connection.SQLite, create bool) (found bool, err error) {
	db, err := openToRead(ctx, where)
	if err != nil {
		return false, err
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return false, t.explain(ctx, err)
	}
	defer conn.Close()
	if found, err = t.read(ctx, conn); err != nil {
		return false, t.explain(ctx, err)
	}
	if !found && !create {
		return false, t.missing(ctx, conn)
	}
	return found, nil
}

// checkRights reports what the runner may not write: the database's file, or its folder, where the
// journal has to be. there says that there is a file.
func checkRights(where connection.SQLite, there bool, found *check.Report) {
	at := check.At("destination", "sql", "connection")
	if there {
		file, err := os.OpenFile(where.Path, os.O_RDWR, 0)
		if err != nil {
			found.Errorf(at, "the database of connection %s may not be written by this user; correct the permissions of its file", where.Name)
		} else {
			_ = file.Close() // nothing was written
		}
	}
	if !check.Writable(filepath.Dir(where.Path)) {
		found.Errorf(at, "the folder of the database of connection %s may not be written by this user, and the database's journal has to be in it; correct its permissions", where.Name)
	}
}

// takes is what convert makes of values of a kind, before any is there.
func (k kind) takes(values check.Kind) check.Fit {
	if k == anyKind || k == textKind {
		return check.Always
	}
	isTime := k == dateKind || k == dateTimeKind || k == timeKind
	switch values {
	case check.Text:
		return check.Perhaps
	case check.Whole:
		if k == booleanKind {
			return check.Perhaps
		}
		return check.Unless(isTime, check.Never)
	case check.Number:
		if k == integerKind || k == booleanKind {
			return check.Perhaps
		}
		return check.Unless(isTime, check.Never)
	case check.Boolean:
		return check.Unless(isTime, check.Never)
	case check.Moment:
		if k == dateKind {
			return check.Perhaps
		}
		return check.Unless(k != dateTimeKind, check.Never)
	case check.Binary:
		return check.Never
	}
	return check.Always
}

// CheckSource asks the database for the query's columns, and reports what is wrong with the query. It
// returns no columns where there are none to be had, and the first rows. The error is ctx's.
func CheckSource(ctx context.Context, connections *connection.Set, from *task.SQLSource, params map[string]any, found *check.Report) (mapping.Columns, []check.Column, []check.Cells, error) {
	none := mapping.Columns{Unknown: true}
	where, err := connections.SQLite(from.Connection)
	if err != nil {
		found.Fail(check.At("source", "sql", "connection"), err)
		return none, nil, nil, nil
	}
	s := &Source{connection: from.Connection}
	query, err := s.bind(from.Query, params)
	if err != nil {
		found.Fail(check.At("source", "sql", "query"), err)
		return none, nil, nil, nil
	}
	if s.db, err = openToRead(ctx, where); err != nil {
		found.Fail(check.At("source", "sql", "connection"), err)
		return none, nil, nil, ctx.Err()
	}
	defer s.db.Close()
	if err := s.prepare(ctx, query); err != nil {
		found.Fail(check.At("source", "sql", "query"), err)
		return none, nil, nil, ctx.Err()
	}
	before := len(found.Findings)
	s.checkOrder(from.OrderBy, found)
	if len(from.OrderBy) > 0 && len(found.Findings) == before {
		s.checkTies(ctx, query, from.OrderBy, found)
	}
	columns := make([]check.Column, len(s.columns))
	for i, name := range s.columns {
		columns[i] = declaredColumn(name, s.declared[i])
	}
	defer func() {
		if s.rows != nil {
			s.rows.Close()
		}
	}()
	return s.Columns(), columns, check.First(ctx, len(columns), s.Next), ctx.Err()
}

// tiesTime bounds the search for rows that order_by does not tell apart, which may have to read them
// all.
const tiesTime = 10 * time.Second

// checkTies warns of rows that order_by does not tell apart.
func (s *Source) checkTies(ctx context.Context, query string, orderBy []string, found *check.Report) {
	limited, cancel := context.WithTimeout(ctx, tiesTime)
	defer cancel()
	at := check.At("source", "sql", "order_by")
	names := strings.Join(orderBy, ", ")
	var one int
	err := s.db.QueryRowContext(limited, "select 1 from (\n"+query+"\n) group by "+quoteNames(orderBy)+" having count(*) > 1 limit 1", s.args...).Scan(&one)
	switch {
	case errors.Is(err, sql.ErrNoRows):
	case err == nil:
		found.Warnf(at, "several rows have the same %s, and their order is then not fixed; add the columns that tell each row from all others", names)
	case ctx.Err() == nil:
		found.Notef(at, "whether %s tells each row from all others was not found out in %s; if it does not, add the columns that do", names, tiesTime)
	}
}

// declaredLength is the length that a type declares for texts: VARCHAR(20).
var declaredLength = regexp.MustCompile(`(?i)char[a-z ]*\(\s*(\d+)\s*\)`)

// declaredColumn is what a column's declared type says of its values. SQLite keeps what it is given
// all the same, so that of a text nothing is said but its length.
func declaredColumn(name, declared string) check.Column {
	c := check.Column{Name: name}
	switch kindOf(declared) {
	case integerKind:
		c.Kind = check.Whole
	case realKind:
		c.Kind = check.Number
	case booleanKind:
		c.Kind = check.Boolean
	}
	if match := declaredLength.FindStringSubmatch(declared); match != nil {
		c.Length, _ = strconv.Atoi(match[1])
	}
	return c
}

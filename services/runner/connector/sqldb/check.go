package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"runhook/services/runner/check"
	"runhook/services/runner/connector"
)

// Check looks at the database and the table, without a change to either.
func (DestinationKind) Check(ctx context.Context, job connector.Job, columns []check.Column, found *check.Report) (check.Takes, error) {
	to := destination(job)
	atConnection := check.At("destination", "sql", "connection")
	database, err := dialectOf(job.Connections, to.Connection)
	if err != nil {
		found.Fail(atConnection, err)
		return nil, nil
	}
	names := check.Names(columns)
	there, err := database.find(to.Create)
	if err != nil {
		found.Fail(atConnection, err)
		return nil, nil
	}
	database.checkRights(there, found)
	t := newTable(database, to)
	if there {
		if there, err = t.look(ctx, to.Create); err != nil {
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
	if err := t.bounded(job.Task.Expect); err != nil {
		found.Fail(keyField, err)
	}
	for i, c := range columns {
		t.takeCopies(i, c.Stored, c.Declared)
		k := t.target[i].kind
		found.Fit(c, k.takes(c.Kind), "the column "+t.target[i].name+" of the table "+t.name, k.problem())
	}
	return t.convert, nil
}

// look reads the table over a connection that cannot write. The error is a [*run.Failure] or ctx's.
func (t *table) look(ctx context.Context, create bool) (found bool, err error) {
	db, err := t.dialect.open(ctx, toRead)
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

// Check asks the database for the query's columns and its first rows.
func (SourceKind) Check(ctx context.Context, job connector.Job, found *check.Report) (connector.Looked, error) {
	from := source(job)
	atConnection, atQuery := check.At("source", "sql", "connection"), check.At("source", "sql", "query")
	database, err := dialectOf(job.Connections, from.Connection)
	if err != nil {
		found.Fail(atConnection, err)
		return connector.Unseen(), nil
	}
	s := &Source{connection: from.Connection, dialect: database, brief: true}
	query, err := s.bind(from.Query, job.Task.ExpressionParams(job.Parameters))
	if err != nil {
		found.Fail(atQuery, err)
		return connector.Unseen(), nil
	}
	if err := s.connect(ctx); err != nil {
		found.Fail(atConnection, err)
		return connector.Unseen(), ctx.Err()
	}
	defer s.Close()
	if err := s.prepare(ctx, query); err != nil {
		found.Fail(atQuery, err)
		return connector.Unseen(), ctx.Err()
	}
	s.writeSince(from.Since)
	before := len(found.Findings)
	s.checkOrder(from.OrderBy, found)
	if len(from.OrderBy) > 0 && len(found.Findings) == before {
		s.checkTies(ctx, query, from.OrderBy, found)
		s.order(from.OrderBy)
	}
	return connector.Looked{Columns: s.Columns(), Types: s.types, First: check.First(ctx, len(s.columns), s.Next)}, ctx.Err()
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
	db, err := s.dialect.open(limited, toRead) // the time that is over may cost the connection
	if err != nil {
		return
	}
	defer db.Close()
	if interrupt, err := s.dialect.interrupter(limited, db); err == nil {
		defer interruptAtEnd(limited, interrupt)()
	}
	err = db.QueryRowContext(limited, "select 1 from (\n"+query+"\n) as q group by "+quoteNames(s.dialect, orderBy)+" having count(*) > 1 limit 1", s.args...).Scan(&one)
	switch {
	case errors.Is(err, sql.ErrNoRows):
	case err == nil:
		found.Warnf(at, "several rows have the same %s, and their order is then not fixed; add the columns that tell each row from all others", names)
	case ctx.Err() == nil:
		found.Notef(at, "whether %s tells each row from all others was not found out in %s; if it does not, add the columns that do", names, tiesTime)
	}
}

package sqldb

import (
	"cmp"
	"context"
	"database/sql"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"runhook/services/runner/check"
	"runhook/services/runner/connection"
	"runhook/services/runner/row"
	"runhook/shared/mapping"
	"runhook/shared/nearest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// maxCell bounds the memory that one cell may take. The database gives no longer one.
const maxCell = 16 << 20

// Source reads the rows of one query, over a connection that cannot write. It belongs to one
// goroutine. Whole numbers are int64, other numbers float64, booleans of a column declared so true or
// false, and everything else text as it is stored, dates too.
type Source struct {
	connection string
	dialect    dialect
	db         *sql.DB
	conn       *sql.Conn
	columns    []string
	// types are what is known of the columns' values, and read makes cells of them; nil for a column whose values
	// are cells.
	types []check.Column
	read  []func(value any) any
	// query is what gives the rows, and args are its parameters. It begins with the first Next: the
	// destination may be the same database, and must not wait for it.
	query string
	args  []any
	// since are those of args that are the value from which the run reads.
	since []int
	rows  *sql.Rows
	// selects, within and by are what query is made of: what it selects, from what, and in which order. ordered are the
	// columns of that order.
	selects, within, by string
	ordered             []int
	// plain is the query as it was given, which is executed if nothing is to be put behind it and its own order
	// would be lost within another; empty if it would not.
	plain string
	// interrupt ends the query while it computes a row, and release sees to it that it is not called any more.
	interrupt, release func()
	// skip is how many rows the query passes over.
	skip int64
	// brief: only the first rows are read, so that nobody waits long for the database meanwhile.
	brief bool
	// cells point to the values that a row is scanned into.
	cells  []any
	values []any
}

// OpenSource connects, and asks the database for the query's columns. params are the task's
// parameters as expressions see them. Whatever is wrong is a [*run.Failure], before the first row.
func OpenSource(ctx context.Context, connections *connection.Set, from *task.SQLSource, params map[string]any) (*Source, error) {
	database, err := dialectOf(connections, from.Connection)
	if err != nil {
		return nil, err
	}
	s := &Source{connection: from.Connection, dialect: database}
	query, err := s.bind(from.Query, params)
	if err != nil {
		return nil, err
	}
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	if err := s.prepareInOrder(ctx, query, from.OrderBy); err != nil {
		s.Close()
		return nil, err
	}
	s.writeSince(from.Since)
	return s, nil
}

// SelectAll is the query of all rows and columns of a table of a connection, as a task names it. What is wrong with
// the connection is told when it is opened.
func SelectAll(connections *connection.Set, name, table string) string {
	database, _ := dialectOf(connections, name)
	return "select * from " + database.place(table)
}

// connect opens the database to read it. The error is a [*run.Failure] or ctx's.
func (s *Source) connect(ctx context.Context) (err error) {
	if s.db, err = s.dialect.open(ctx, toRead); err != nil {
		return err
	}
	if s.interrupt, err = s.dialect.interrupter(ctx, s.db); err == nil { // while nothing else has the connection
		s.conn, err = s.db.Conn(ctx)
	}
	if err == nil {
		err = execute(ctx, s.conn, s.dialect.reads())
	}
	if err != nil {
		s.Close()
		return explain(ctx, s.dialect, err)
	}
	return nil
}

// bind takes a query's arguments from the task's parameters, and returns the query as the database
// gets it.
func (s *Source) bind(query string, params map[string]any) (string, error) {
	query, err := s.withSince(query, params)
	if err != nil {
		return "", err
	}
	query, names, err := s.dialect.cut(query)
	if err != nil {
		return "", run.Failf("source.sql.query: %v", err)
	}
	for _, name := range names {
		value, err := argument(name, params)
		if err != nil {
			return "", err
		}
		if name == task.SinceParam {
			s.since = append(s.since, len(s.args))
		}
		s.args = append(s.args, value)
	}
	return query, nil
}

// argument is what a parameter is in the query: text, or null where it has no value.
func argument(name string, params map[string]any) (any, error) {
	switch value := params[name].(type) {
	case nil:
		return nil, run.Failf("source.sql.query: :%s is no parameter of the task", name)
	case string:
		if value != "" {
			return value, nil
		}
		return nil, nil
	}
	return nil, run.Failf("source.sql.query: :%s is a parameter with several values, and a query takes one; name it in where instead, as in \"x\" in params.%s", name, name)
}

// prepareInOrder is prepare with the task's order.
func (s *Source) prepareInOrder(ctx context.Context, query string, orderBy []string) error {
	if err := s.prepare(ctx, query); err != nil {
		return err
	}
	var faults check.Report
	s.checkOrder(orderBy, &faults)
	s.order(orderBy)
	return faults.Err()
}

// order has the query give its rows in the task's order.
func (s *Source) order(orderBy []string) {
	if len(orderBy) > 0 {
		s.plain = ""
	}
	separator := " order by "
	for _, name := range orderBy {
		s.by += separator + "q." + s.dialect.quote(name)
		separator = ", "
		if at := slices.Index(s.columns, name); at >= 0 { // else it is a fault
			s.ordered = append(s.ordered, at)
		}
	}
	s.query += s.by
}

// checkOrder reports what of the order is no column of the query.
func (s *Source) checkOrder(orderBy []string, found *check.Report) {
	for _, name := range orderBy {
		if !slices.Contains(s.columns, name) {
			found.Errorf(check.At("source", "sql", "order_by"), "source.sql.order_by: the query has no column %s%s", name, cmp.Or(nearest.Hint(name, s.columns), "; it has "+strings.Join(s.columns, ", ")))
		}
	}
}

// prepare asks for the columns, without any row, and makes of the query the one that is executed:
// whose values come as they are stored.
func (s *Source) prepare(ctx context.Context, query string) error {
	asked, err := s.dialect.described(ctx, s.conn, query)
	if err != nil {
		return s.refuse(ctx, err)
	}
	rows, err := s.conn.QueryContext(ctx, asked, s.args...)
	if err != nil {
		return s.refuse(ctx, err)
	}
	defer rows.Close()
	types, err := rows.ColumnTypes()
	if err != nil {
		return explain(ctx, s.dialect, err)
	}
	var selected []string
	for _, column := range types {
		name := column.Name()
		if first, again := s.dialect.repeated(name, s.columns); again {
			return run.Failf("source.sql.query gives two columns named %s; give one another name with as", first)
		}
		s.columns = append(s.columns, name)
		s.types = append(s.types, s.dialect.column(column))
		s.read = append(s.read, s.dialect.cell(column))
		selected = append(selected, s.dialect.stored("q."+s.dialect.quote(name)))
	}
	s.selects, s.within = "select "+strings.Join(selected, ", "), " from (\n"+query+"\n) as q"
	s.query = s.selects + s.within
	if !s.dialect.keepsOrder() {
		s.plain = query
	}
	s.values = make([]any, len(s.columns))
	for i := range s.values {
		s.cells = append(s.cells, &s.values[i])
	}
	return rows.Err()
}

// refuse says why the database does not take the query. Its words then are about the query and its
// tables: it has not seen a row.
func (s *Source) refuse(ctx context.Context, err error) error {
	words := s.dialect.words(err)
	if ctx.Err() != nil || words == "" {
		return explain(ctx, s.dialect, err)
	}
	return run.Failf("source.sql.query is refused by the database of connection %s: %s", s.connection, words)
}

// Columns are those of the query. Cells are typed.
func (s *Source) Columns() mapping.Columns { return mapping.Columns{Names: s.columns} }

// Types are those that the database declares.
func (s *Source) Types() []check.Column { return s.types }

// Next reads the next row into cells; see connector.Source.
func (s *Source) Next(ctx context.Context, cells []any) (size int, err error) {
	if s.rows == nil {
		if err := s.begin(ctx); err != nil {
			return 0, explain(ctx, s.dialect, err)
		}
	}
	if !s.rows.Next() {
		if err := s.rows.Err(); err != nil {
			return 0, explain(ctx, s.dialect, err)
		}
		return 0, io.EOF
	}
	if err := s.rows.Scan(s.cells...); err != nil {
		return 0, explain(ctx, s.dialect, err)
	}
	for i, read := range s.read {
		if read != nil && s.values[i] != nil {
			s.values[i] = read(s.values[i])
		}
	}
	copy(cells, s.values)
	for i, value := range s.values {
		length := 0
		switch v := value.(type) {
		case int64:
			if s.types[i].Kind == check.Boolean && (v == 0 || v == 1) {
				cells[i] = v == 1
			}
		case []byte:
			if length = len(v); length == 0 {
				cells[i] = []byte{} // a driver may give a nil one, which it would take for null
			}
		case string:
			if length = len(v); !utf8.ValidString(v) {
				return size, row.Faultf(s.columns[i], "is text that is not valid UTF-8")
			}
		}
		size += length
	}
	return size, nil
}

// begin begins the query. A destination, of this run or another, may write to the database while its rows
// are read.
func (s *Source) begin(ctx context.Context) (err error) {
	query, args := s.query, s.args
	switch {
	case s.skip > 0:
		query += s.dialect.behind(s.skip)
	case s.plain != "":
		query = s.plain
	}
	if !s.brief {
		copied, err := s.dialect.aside(ctx, s.conn, len(s.columns), query, args)
		if err != nil {
			return err
		}
		if copied != "" {
			query, args = copied, nil
		}
	}
	if s.interrupt != nil {
		s.release = interruptAtEnd(ctx, s.interrupt)
	}
	s.rows, err = s.conn.QueryContext(ctx, query, args...)
	return err
}

// interruptAtEnd has the end of ctx interrupt a statement, until release.
func interruptAtEnd(ctx context.Context, interrupt func()) (release func()) {
	called := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(called)
		interrupt()
	})
	return func() {
		if !stop() {
			<-called
		}
	}
}

// Version is not known: what the rows are is the database's.
func (s *Source) Version() (string, error) { return "", nil }

// Skip has the query pass over rows; see connector.Source.
func (s *Source) Skip(_ context.Context, rows int64) error {
	s.skip = rows
	return nil
}

// Progress is not known: to count the rows could take as long as to read them.
func (s *Source) Progress() (part float64, total int64) { return 0, 0 }

// Close ends the query and closes the database.
func (s *Source) Close() error {
	if s.release != nil {
		s.release()
	}
	if s.rows != nil {
		s.rows.Close()
	}
	if s.conn != nil {
		s.conn.Close()
	}
	return s.db.Close()
}

// Package sqldb reads the rows of a query from a database, and writes rows to a table of one, through
// database/sql. All that depends on the database's make is in its dialect.
package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"runhook/services/runner/check"
	"runhook/services/runner/connector"
	"runhook/services/runner/row"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/watermark"
)

// dialect is one connection's database, in what it has of its own: how it is opened, its SQL, its
// catalog, its types and its errors.
type dialect interface {
	// find reports whether the database is there. It is an error if the database cannot be used or, when
	// create is set, be made. The error is a [*run.Failure].
	find(create bool) (found bool, err error)
	// open opens the database, with one connection at most. The error is a [*run.Failure] or ctx's.
	open(ctx context.Context, to use) (*sql.DB, error)
	// interrupter returns what ends the statement that is under way on the connection of a database: the driver ends one
	// with its context only until its first row has come. It must not be called once the database is closed.
	interrupter(ctx context.Context, db *sql.DB) (func(), error)
	// checkRights reports what keeps the runner from writing to the database, which find has found or not.
	checkRights(found bool, report *check.Report)

	// reads is the statement with which a connection begins that only reads; empty for none.
	reads() string
	// scratched is the dialect of what scratch opens.
	scratched() dialect

	// quote writes a name so that SQL takes it as one, whatever is in it.
	quote(name string) string
	// place is a table in statements, by the name that a task has for it.
	place(table string) string
	// longestName is how many bytes a name may have that is given to the database, 0 for any number.
	longestName() int
	// sets are the statements that write several rows at once; ok is false if rows are written one by one.
	sets(t *table, action task.Action) (s sets, ok bool)
	// cut is [task.CutQuery] with the database's parameters: the names are those of its first, its second, and so
	// on, which may be one.
	cut(query string) (text string, names []string, err error)
	// parameter is a statement's parameter by its number, from 1.
	parameter(n int) string
	// inOrder is parameter(n) in a statement that has each parameter once, in their order: many of them
	// may cost less then.
	inOrder(n int) string
	// begin are the statements that begin a transaction that writes.
	begin() []string
	// commit commits a transaction, unless the database has given that up. Nothing is left of it after an error,
	// but for one that is unclear.
	commit(ctx context.Context, conn *sql.Conn) error
	// unclear reports whether nobody can tell from the error of commit whether the transaction was committed.
	unclear(err error) bool
	// again reports whether the transaction may be taken when it is begun once more: it was in the way of others.
	again(err error) bool
	// waits is the statement that bounds how long the connection's further statements wait for others; empty if
	// one that others make wait for too long cannot be tried again.
	waits(longest time.Duration) string
	// locks reports whether who writes to the database keeps others from reading it.
	locks(ctx context.Context, on session) (bool, error)
	// settles is the statement after which the connection's close has nothing left to write; empty if there is
	// never anything.
	settles() string
	// missingOnly makes an insert leave out the rows whose key is there. key are quoted names.
	missingOnly(insert, key string) string
	// equals is the condition that a column has the value of a parameter, as an index with that collation
	// compares; with none, as the column does.
	equals(column, parameter, collation string) string
	// differs is the condition that a column has another value than a parameter. Letter case differs too,
	// whatever the column's collation, and null from all but null.
	differs(column, parameter string) string
	// described is a query that gives the columns of another one without any row, and so without computing one. It is
	// an error if that other is none that can stand within a query.
	described(ctx context.Context, on session, query string) (string, error)
	// keepsOrder reports whether the rows of a query within another one keep their order.
	keepsOrder() bool
	// compares tells how values of a query's column are compared, by its declared type: single is that they are numbers
	// of single precision, whose digits are not all of them; moments, that they are dates or moments, and no texts.
	compares(declared string) (single, moments bool)
	// writeMoment is a date or moment as a parameter that is compared with a column of a declared type.
	writeMoment(declared string, value watermark.Value) string
	// nullsLast reports whether nulls come behind all values in an order.
	nullsLast() bool
	// behind is what a query ends with that passes over a number of rows.
	behind(rows int64) string
	// aside copies a query's rows, in their order, to where reading them keeps nobody from writing to the
	// database, and returns the query that reads them there; empty if the query itself keeps nobody.
	aside(ctx context.Context, on session, columns int, query string, args []any) (copied string, err error)
	// stored selects a column so that its values come as they are stored.
	stored(column string) string
	// makeCheckpoints makes the checkpoint table, if it is not there, within the transaction that is open.
	makeCheckpoints(ctx context.Context, conn *sql.Conn) error
	// checkpoints are the statements on the checkpoint table.
	checkpoints() checkpointSQL

	// relation reads what the catalog has under a name, in any letter case; nil for nothing.
	relation(ctx context.Context, conn *sql.Conn, name string) (*relation, error)
	// tables asks for the names of all tables.
	tables() string
	// repeated reports whether a query's column has a name that an earlier one has, and which that is.
	repeated(name string, earlier []string) (first string, again bool)
	// cell makes a cell of what the driver gives of a query's column; nil if it is one.
	cell(c *sql.ColumnType) func(value any) any
	// column is what the type of a query's column says of its values.
	column(c *sql.ColumnType) check.Column
	// creates is what the statement begins and ends with that makes a table, if it is not there, at its place in
	// statements.
	creates(place string) (begin, end string)
	// columnType is the type of a column that is made for the mapping's, and may be one of its primary key.
	columnType(c connector.Column, inKey bool) string
	// copies reports whether a column keeps whatever another one has that is declared with a type.
	copies(to tableColumn, declared string) bool

	// failure turns any error of the driver into a [*run.Failure] that holds none of its words, for they
	// may quote a row.
	failure(err error) error
	// fault is what is wrong with a row that the database refused for the row's own sake; nil for any
	// other error.
	fault(err error, t *table) *row.Fault
	// words are what the database says of a statement that it cannot execute, whatever the rows are;
	// empty for any other error.
	words(err error) string
	// busy reports whether the error is that another writer had the database for too long.
	busy(err error) bool
}

// use is what a database is opened for.
type use int

const (
	toRead   use = iota // nothing can be written
	toWrite             // the database has to be there
	toCreate            // toWrite, but a missing database is made
	toTry               // toWrite, but nothing is changed by opening it
	toForget            // toWrite, but others are waited for no longer than forgetWait
	scratch             // an empty database in its place, which goes when it is closed
)

// relation is a table or a view, as the catalog has it.
type relation struct {
	name string
	// sql is the table in statements.
	sql string
	// odd goes on after the name of what is no table that rows can be written to: "is a view; name a table".
	odd     string
	columns []tableColumn
	// lacks are the rights that the account has not, of SELECT, INSERT, UPDATE and DELETE, in this order.
	lacks []string
	// guarded: the table may refuse a row because of who writes it.
	guarded bool
	// onConflict goes on after INSERT and UPDATE: a row that breaks a rule of the table is an error, whatever
	// else the table itself would have become of it.
	onConflict string
	// deferred: the table has rules that may be checked only when a transaction is committed.
	deferred bool
	// triggers: the table has some, so that what a statement has written may be something else when it ends.
	triggers bool
	// numbered: the table gives its rows numbers, of which the driver knows that of the last insert. identity is
	// what tells a row from all others: its number, or its primary key.
	numbered bool
	identity string
	// unique are the unique indexes that hold for all rows, and tell them apart in every statement; others are
	// those that do not.
	unique, others []uniqueIndex
}

// storage is what a database makes of the values that a column is given.
type storage interface {
	// hold returns what is bound for a converted value, and says what is wrong with one that would not come
	// back as it is. What it has returned it leaves as it is. Two of one kind are equal.
	hold(value any) (held any, problem string)
}

// knowing is a storage of values that the column's kind does not have, such as the infinite day.
type knowing interface {
	// knows returns what is bound for such a value, which is not null; ok is false for any other.
	knows(value any) (held any, ok bool)
}

// uniqueIndex is an index of which no two rows are equal. Its collations, one a column, may differ from
// those of the columns themselves; nil if it compares as they do.
type uniqueIndex struct {
	name                string
	columns, collations []string
}

// session is a connection to a database, or the database whose only connection it is.
type session interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
}

// within is a query within one that gives no row of it. It ends with its line: a comment may be the last of it.
func within(query string) string { return "select * from (\n" + query + "\n) as q limit 0" }

// settle is called before a connection that has written is closed: what its close would write, it would write while
// nobody else can open the database.
func settle(ctx context.Context, d dialect, on session) {
	for _, statement := range []string{d.waits(lockLook), d.settles()} {
		// With others in the way, it is left to whoever closes last.
		_ = execute(ctx, on, statement)
	}
}

// execute executes a statement, if there is one.
func execute(ctx context.Context, on session, statement string) error {
	if statement == "" {
		return nil
	}
	_, err := on.ExecContext(ctx, statement)
	return err
}

// commitError is an error of a commit. It is none that a further commit could follow: the transaction is gone.
type commitError struct{ error }

// errGivenUp: the database had given the transaction up before its commit.
var errGivenUp = errors.New("the transaction was rolled back instead of committed")

// repeatable is a failure of a transaction that may be taken when it is begun once more.
type repeatable struct{ failure error }

func (r repeatable) Error() string { return r.failure.Error() }
func (r repeatable) Unwrap() error { return r.failure }

// explain turns an error into one that ends the run. A failure stays what it is.
func explain(ctx context.Context, d dialect, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if _, ok := errors.AsType[*run.Failure](err); ok {
		return err
	}
	if d.again(err) {
		return repeatable{d.failure(err)}
	}
	return d.failure(err)
}

package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"runhook/services/runner/connection"
	"runhook/services/runner/connector"
	"runhook/services/runner/row"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/wait"
)

// maxParameters bounds how many values one statement that inserts several rows takes; more are not
// faster.
const maxParameters = 250

// mostRows and mostValues bound a batch of which a few statements write all rows: each of them costs for itself as much
// as some thousand rows do.
const (
	mostRows   = 4000
	mostValues = 40_000
)

// cancelCheck is after how many rows a transaction looks whether its run goes on.
const cancelCheck = 128

// Destination writes rows to one table, a batch in a transaction. It belongs to one goroutine.
type Destination struct {
	action  task.Action
	dialect dialect
	table   *table
	db      *sql.DB
	conn    *sql.Conn
	// interrupt ends the statement that is under way.
	interrupt func()
	// trial: no transaction is committed.
	trial bool
	// patience is how long a transaction waits for others, lockWait but in tests.
	patience time.Duration
	// sets are the statements that write many rows at once, nil if rows are written one by one.
	sets *sets
	// written and given are the memory of the rows of a batch and of a statement, for the next, and places are all that
	// rows of a batch have had.
	written []written
	given   []*row.Row
	places  []int
	// careful: the batch that is written has a row that the database refuses, so that it goes by savepoints.
	careful bool
	// late: the transaction begins with the first statement in it that writes rows.
	late bool
	// recorded is the state that Record wrote last.
	recorded string
	// fence is that of the run whose checkpoint is kept in the database, with record to write it; nil
	// before Raise, and where nothing is kept.
	fence  *connector.Fence
	record *sql.Stmt

	// Prepared statements; nil where the action does not need them. held looks at what a table with triggers
	// has of a row that was written, and finds it by the number of numbers if it was inserted.
	insert, insertMany, update, remove, look, apart, held *sql.Stmt

	// several is how many rows insertMany takes; together holds those that wait for it, with their
	// values in values.
	several  int
	together []*row.Row
	values   []any
	// streak is how many rows upsert has found missing without one that was there: rows go together
	// only where that is likely.
	streak int
	// same: the last row that change came to was unchanged.
	same bool
	// key holds the values of a row's key while a statement looks for it.
	key []any
	// numbers are those of the batch's inserted rows, in their order, if the table has triggers and numbers.
	numbers []int64
	// altered are the batch's values that triggers have changed, from the last row to the first, and changed
	// those of the run, by the column's place in the mapping.
	altered []alteration
	changed []changes
}

// Open opens the database, makes a missing table where the task wants that, and holds the mapping's
// columns against the table. Whatever is wrong is a [*run.Failure], before the first row.
func Open(ctx context.Context, connections *connection.Set, to *task.SQLDestination, columns []connector.Column) (*Destination, error) {
	database, err := dialectOf(connections, to.Connection)
	if err != nil {
		return nil, err
	}
	purpose := toWrite
	if to.Create {
		purpose = toCreate
	}
	d, err := connect(ctx, database, purpose, to)
	if err != nil {
		return nil, err
	}
	return d.begin(ctx, to, columns)
}

// Try is Open for a dry run: the database and the table are left as they are.
//
// Into a table that is there each batch is written and rolled back, so that other writers wait no
// longer than for a real run. A row is therefore held against the table as it was before the run:
// one whose key came in an earlier batch counts as if it were the first, and a rule that is checked
// only when a transaction is committed is not checked. A table that would be made is made in a
// temporary database instead, where all rows stay until the end.
func Try(ctx context.Context, connections *connection.Set, to *task.SQLDestination, columns []connector.Column) (*Destination, error) {
	database, err := dialectOf(connections, to.Connection)
	if err != nil {
		return nil, err
	}
	found, err := database.find(to.Create)
	if err != nil {
		return nil, err
	}
	if found {
		d, err := connect(ctx, database, toTry, to)
		if err != nil {
			return nil, err
		}
		known := newTable(database, to)
		if found, err = known.read(ctx, d.conn); err != nil {
			d.Close()
			return nil, known.explain(ctx, err)
		}
		if found || !to.Create {
			d.trial = true
			return d.begin(ctx, to, columns)
		}
		d.Close()
	}
	d, err := connect(ctx, database.scratched(), scratch, to)
	if err != nil {
		return nil, err
	}
	return d.begin(ctx, to, columns)
}

// connect opens the database, and nothing in it.
func connect(ctx context.Context, database dialect, purpose use, to *task.SQLDestination) (*Destination, error) {
	db, err := database.open(ctx, purpose)
	if err != nil {
		return nil, err
	}
	interrupt, err := database.interrupter(ctx, db) // while nothing else has the connection
	var conn *sql.Conn
	if err == nil {
		conn, err = db.Conn(ctx)
	}
	if err != nil {
		db.Close()
		return nil, explain(ctx, database, err)
	}
	return &Destination{action: to.Action, dialect: database, db: db, conn: conn, interrupt: interrupt, patience: lockWait}, nil
}

// begin gets the destination ready on its open connection, or closes it.
func (d *Destination) begin(ctx context.Context, to *task.SQLDestination, columns []connector.Column) (_ *Destination, err error) {
	if d.table, err = openTable(ctx, d.dialect, d.conn, to, columns); err != nil {
		d.Close()
		return nil, err
	}
	err = d.prepare(ctx)
	if err == nil {
		err = execute(ctx, d.conn, d.dialect.waits(lockLook))
	}
	if err != nil {
		d.Close()
		if words := d.dialect.words(err); words != "" && ctx.Err() == nil {
			return nil, run.Failf("the table %s in connection %s cannot be written: %s", d.table.name, to.Connection, words)
		}
		return nil, d.table.explain(ctx, err)
	}
	return d, nil
}

func (d *Destination) prepare(ctx context.Context) error {
	t := d.table
	if s, ok := d.dialect.sets(t, d.action); ok {
		d.sets = &s
		return d.prepareSets(ctx)
	}
	d.several = max(1, maxParameters/len(t.target))
	statements := map[**sql.Stmt]string{}
	switch d.action {
	case task.Insert:
		statements[&d.insert] = t.insertStatement(1)
		statements[&d.insertMany] = t.insertStatement(d.several)
	case task.Upsert:
		statements[&d.insert] = t.insertMissingStatement(1)
		statements[&d.insertMany] = t.insertMissingStatement(d.several)
		statements[&d.update], statements[&d.look] = t.updateStatement(), t.lookStatement()
		d.streak = d.several // a first load is the likely case
	case task.Update:
		statements[&d.update], statements[&d.look] = t.updateStatement(), t.lookStatement()
	case task.Delete:
		statements[&d.remove], statements[&d.look] = t.deleteStatement(), t.existsStatement()
	}
	if t.triggers {
		statements[&d.insertMany] = "" // each row is looked for
		if d.action != task.Delete {
			statements[&d.held] = t.heldStatement(d.action == task.Insert)
		}
	}
	return d.prepareAll(ctx, statements)
}

// prepareAll prepares statements, but for empty ones.
func (d *Destination) prepareAll(ctx context.Context, statements map[**sql.Stmt]string) error {
	for at, text := range statements {
		if text == "" {
			continue
		}
		statement, err := d.conn.PrepareContext(ctx, text)
		if err != nil {
			return err
		}
		*at = statement
	}
	return nil
}

// BatchRows is more than the usual number where a batch goes by statements of a cost of their own.
func (d *Destination) BatchRows() int {
	if d.sets == nil {
		return row.MaxRows
	}
	return max(row.MaxRows, min(mostRows, mostValues/len(d.table.target)))
}

// Prepare makes of a row's values what the columns store.
func (d *Destination) Prepare(values []any) *row.Fault { return d.table.convert(values) }

// errRefused is how a transaction ends in which the database refused a row.
var errRefused = errors.New("the database refused a row")

// Write writes the batch's rows in one transaction. Where the database refuses a row, the whole is
// taken back and done again with a savepoint for each, so that only that row fails. before is called
// ahead of the commit; its error, like any other, leaves nothing of the batch.
func (d *Destination) Write(ctx context.Context, batch *row.Batch, before func(row int64) error) error {
	if d.sets != nil {
		return d.writeAgain(ctx, batch, before)
	}
	err := d.transaction(ctx, batch, before, d.writeFast)
	if errors.Is(err, errRefused) {
		err = d.transaction(ctx, batch, before, d.writeCarefully)
	}
	if err == nil {
		d.noteAltered()
	}
	return err
}

// lockLook is how often a transaction that waits for others looks whether its run goes on.
const lockLook = 100 * time.Millisecond

// beginTransaction takes the lock of the one who writes.
func (d *Destination) beginTransaction(ctx context.Context) error {
	return d.wait(ctx, func() error {
		for _, statement := range d.dialect.begin() {
			if err := execute(ctx, d.conn, statement); err != nil {
				return err
			}
		}
		return nil
	})
}

// begun begins the transaction that is to begin late, unless it has.
func (d *Destination) begun(ctx context.Context) error {
	if !d.late {
		return nil
	}
	d.late = false
	if err := d.beginTransaction(ctx); err != nil {
		return d.table.explain(ctx, err)
	}
	return nil
}

// commit is not interrupted, because nobody could tell then whether it came to its end. Where readers are in
// its way it is tried again, with all that the transaction holds.
func (d *Destination) commit(ctx context.Context) error {
	whole := context.WithoutCancel(ctx)
	return d.wait(ctx, func() error { return d.dialect.commit(whole, d.conn) })
}

// wait tries until others are not in the way any more.
func (d *Destination) wait(ctx context.Context, try func() error) error {
	limit := time.Now().Add(d.patience)
	for {
		err := try()
		switch {
		case !d.dialect.busy(err) || time.Now().After(limit):
			return err
		case !wait.For(ctx, 10*time.Millisecond): // the database may have said so at once
			return ctx.Err()
		}
	}
}

// transaction is all that one batch does to the database.
func (d *Destination) transaction(ctx context.Context, batch *row.Batch, before func(row int64) error, write func(context.Context, *row.Batch) error) (err error) {
	if d.late = d.sets != nil && d.sets.begins && !d.careful; !d.late {
		if err := d.beginTransaction(ctx); err != nil {
			return d.table.explain(ctx, err)
		}
	}
	whole := context.WithoutCancel(ctx)
	committed := false
	defer func() {
		if !committed {
			// Without a transaction, which some errors end by themselves, there is nothing to roll back.
			_, _ = d.conn.ExecContext(whole, "ROLLBACK")
		}
	}()
	release := d.interruptible(ctx)
	err = write(ctx, batch)
	release()
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := before(batch.Last()); err != nil {
		return err
	}
	if d.trial {
		return nil
	}
	err = d.commit(ctx)
	if err != nil && d.dialect.unclear(err) {
		err = d.settleCommit(ctx, err, batch.Last())
	}
	if err != nil {
		return d.refusedTogether(ctx, err, batch.Last())
	}
	committed = true
	return nil
}

// refusedTogether explains an error that came when all rows were written.
func (d *Destination) refusedTogether(ctx context.Context, err error, last int64) error {
	if d.table.refused(err) != nil {
		return run.Failf("the rows up to %d break a rule of the table %s that is checked when they are committed together; none of this batch was written", last, d.table.name)
	}
	return d.table.explain(ctx, err)
}

// interruptAgain is how often a statement is interrupted: an interruption between two statements is of none.
const interruptAgain = 20 * time.Millisecond

// interruptible has the end of ctx interrupt the statements of a batch, until release. They are executed without ctx,
// because to have the driver watch each of them costs more than most of them do; one on a table with triggers, or
// whose rows are looked for without an index, may take minutes.
func (d *Destination) interruptible(ctx context.Context) (release func()) {
	released, ended := make(chan struct{}), make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		again := time.NewTicker(interruptAgain)
		defer again.Stop()
		for {
			d.interrupt()
			select {
			case <-released:
				return
			case <-again.C:
			}
		}
	})
	return func() {
		close(released)
		if !stop() {
			<-ended
		}
	}
}

// writeFast writes the rows on the understanding that the database takes them all.
func (d *Destination) writeFast(ctx context.Context, batch *row.Batch) error {
	d.together, d.values, d.numbers = d.together[:0], d.values[:0], d.numbers[:0]
	whole := context.WithoutCancel(ctx)
	count := 0
	for r := range batch.Pending() {
		if count++; count%cancelCheck == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if fault := d.table.take(r); fault != nil {
			r.Fail(fault)
			continue
		}
		var err error
		if d.insertMany != nil && (d.action == task.Insert || d.streak >= d.several) {
			err = d.putTogether(whole, r)
		} else {
			err = d.putOne(whole, r)
		}
		if err != nil {
			return d.refusedOr(ctx, err)
		}
	}
	if err := d.putEach(whole); err != nil {
		return d.refusedOr(ctx, err)
	}
	return d.lookAgain(ctx, batch, func(*row.Row, *row.Fault) error { return errRefused })
}

func (d *Destination) refusedOr(ctx context.Context, err error) error {
	if errors.Is(err, errRefused) || d.table.refused(err) != nil {
		return errRefused
	}
	return d.table.explain(ctx, err)
}

// putTogether has the row wait for others, and inserts them all at once when there are enough.
func (d *Destination) putTogether(ctx context.Context, r *row.Row) error {
	d.together = append(d.together, r)
	d.values = append(d.values, r.Values...)
	r.Outcome = row.Inserted
	if len(d.together) < d.several {
		return nil
	}
	if d.action == task.Insert {
		inserted, err := affected(d.insertMany.ExecContext(ctx, d.values...))
		if err == nil && inserted != int64(len(d.together)) {
			return errRefused
		}
		d.together, d.values = d.together[:0], d.values[:0]
		return err
	}
	if _, err := d.conn.ExecContext(ctx, "SAVEPOINT together"); err != nil {
		return err
	}
	inserted, err := affected(d.insertMany.ExecContext(ctx, d.values...))
	if err != nil {
		return err
	}
	if inserted != int64(len(d.together)) {
		// Some were there. Which ones is found out row by row.
		if _, err := d.conn.ExecContext(ctx, "ROLLBACK TO together"); err != nil {
			return err
		}
		if err := d.putEach(ctx); err != nil {
			return err
		}
	}
	d.together, d.values = d.together[:0], d.values[:0]
	_, err = d.conn.ExecContext(ctx, "RELEASE together")
	return err
}

// putEach writes the rows that wait one by one. If the table takes one of them not, which may have to end
// the run at that row, nothing behind it must be written with it.
func (d *Destination) putEach(ctx context.Context) error {
	for _, r := range d.together {
		if err := d.putOne(ctx, r); err != nil {
			return err
		}
	}
	d.together, d.values = d.together[:0], d.values[:0]
	return nil
}

// writeCarefully writes the rows so that one that the database refuses is the only one to fail.
func (d *Destination) writeCarefully(ctx context.Context, batch *row.Batch) error {
	whole := context.WithoutCancel(ctx)
	d.numbers = d.numbers[:0]
	count := 0
	for r := range batch.Pending() {
		if count++; count%cancelCheck == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if fault := d.table.take(r); fault != nil {
			r.Fail(fault)
			continue
		}
		if _, err := d.conn.ExecContext(whole, "SAVEPOINT one"); err != nil {
			return d.table.explain(ctx, err)
		}
		numbered := len(d.numbers)
		err := d.putOne(whole, r)
		if err == nil && d.table.triggers && r.Outcome != row.Skipped {
			err = d.stays(whole, r)
		}
		if err != nil {
			d.numbers = d.numbers[:numbered]
			fault := d.table.refused(err)
			if fault == nil {
				return d.table.explain(ctx, err)
			}
			r.Fail(fault)
			if _, err := d.conn.ExecContext(whole, "ROLLBACK TO one"); err != nil {
				return run.Failf("the table %s ends the whole transaction when it refuses a row (ON CONFLICT ROLLBACK, or a trigger), so row %d cannot fail alone; nothing of its batch was written", d.table.name, r.Number)
			}
		}
		if _, err := d.conn.ExecContext(whole, "RELEASE one"); err != nil {
			return d.table.explain(ctx, err)
		}
	}
	return d.lookAgain(ctx, batch, func(r *row.Row, fault *row.Fault) error {
		r.Fail(fault)
		return nil
	})
}

// Finish has nothing left to do: every batch is committed.
func (d *Destination) Finish(context.Context) error { return nil }

// closeStatements closes what was prepared.
func (d *Destination) closeStatements() {
	for _, statement := range []**sql.Stmt{&d.insert, &d.insertMany, &d.update, &d.remove, &d.look, &d.apart, &d.held, &d.record} {
		if *statement != nil {
			(*statement).Close()
			*statement = nil
		}
	}
}

// Close closes the database. The batches that were committed are kept.
func (d *Destination) Close() (kept bool) {
	// Of a connection with open statements the database's files stay open.
	d.closeStatements()
	if !d.trial {
		settle(context.Background(), d.dialect, d.conn)
	}
	d.conn.Close()
	d.db.Close()
	return true
}

package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"runhook/services/runner/row"
	"runhook/shared/task"
	"runhook/shared/wait"
)

// Rows are written many at a time where each statement goes over a network: one statement looks which rows are
// there, one inserts, one updates. A span of rows is written behind a savepoint. If the database refuses any of
// them, or writes fewer than were given to it, the span is taken back, and its halves are written one after the
// other: so a row that is refused is found, its neighbors are written, and rows that depend on each other come in
// their order. A whole batch is written without a savepoint first, on the understanding that nothing is refused;
// otherwise its transaction begins anew.

// sets are the statements that write several rows at once. Each takes what bind makes of the rows, and numbers
// them from 1, in their order. Those that the action does not need are empty.
type sets struct {
	// look returns for each row its number, the number of the last row before it with the same key, 0 if there is
	// none, and what the table has: 0 for no row with the key, 1 for one that has its values, 2 for any other.
	look string
	// apart is look for rows of which distinct has said that no two have one key; empty if look is as good.
	apart    string
	distinct func(rows []*row.Row) bool
	// few: look and apart leave out the rows that the table has with their values and that no row before them has the
	// key of.
	few bool
	// insert inserts the rows; one whose key is there it leaves out. If identify is set, it returns what tells
	// each of them from all others, in their order, and held takes that behind the rows.
	insert   string
	identify bool
	// update changes the rows that have the key and other values, and remove removes those that have the key.
	// Both return the numbers of the rows for which they did.
	update, remove string
	// held returns for each row its number, whether the table has it, and for each column whether it has another
	// value there. Of several rows with one key it looks at the last alone, unless they are to be removed. It is
	// empty where nothing changes a row but its statement.
	held string
	// counted: update and remove return nothing, and the database says how many rows of the table they came to.
	counted bool
	// open gets the connection ready for the statements, nil if there is nothing to do. stage brings the rows of a
	// statement to where it finds them, in place of those before; nil if it takes them with it.
	open  func(ctx context.Context, conn *sql.Conn) error
	stage func(ctx context.Context, conn *sql.Conn, rows []*row.Row) error
	// put inserts rows in place of insert, nil if that does. begins: if begin is set, it begins the transaction itself,
	// which saves a way to the server and back.
	put    func(ctx context.Context, conn *sql.Conn, begin bool, rows []*row.Row) (inserted int64, err error)
	begins bool
	// again reports whether an upsert's insert failed because another writer has put such a row there; nil if it
	// leaves those out.
	again func(err error) bool
	// settle has all rules of the database checked now that wait for the commit otherwise.
	settle string
	// bind makes the arguments of a statement.
	bind func(rows []*row.Row) []any
	// named makes the arguments behind the rows of what insert has returned.
	named func(identities [][]string) []any
}

func (d *Destination) prepareSets(ctx context.Context) error {
	if d.sets.open != nil {
		if err := d.sets.open(ctx, d.conn); err != nil {
			return err
		}
	}
	return d.prepareAll(ctx, map[**sql.Stmt]string{
		&d.look: d.sets.look, &d.apart: d.sets.apart, &d.insert: d.sets.insert, &d.update: d.sets.update, &d.remove: d.sets.remove, &d.held: d.sets.held,
	})
}

// writeAgain writes a batch, and again if it was in the way of other writers and the database gave it up.
func (d *Destination) writeAgain(ctx context.Context, batch *row.Batch, before func(row int64) error) error {
	d.careful = false
	limit := time.Now().Add(d.patience)
	pause := wait.Backoff{Least: 10 * time.Millisecond, Most: time.Second}
	for {
		err := d.transaction(ctx, batch, before, d.writeSets)
		again, ok := errors.AsType[repeatable](err)
		switch {
		case err == nil:
			d.noteAltered()
			return nil
		case errors.Is(err, errRefused):
			d.careful = true
			continue
		case !ok:
			return err
		case time.Now().After(limit):
			return again.failure
		case !pause.Wait(ctx):
			return ctx.Err()
		}
	}
}

// written is a row of the batch that is written, and what became of it.
type written struct {
	row     *row.Row
	outcome row.Outcome
	fault   *row.Fault
	// identity is what insert has returned of it.
	identity []string
	// there is how many rows of the table look has found of it: those that an update is to change, or all.
	there int64
}

// spans writes the rows of one batch.
type spans struct {
	d     *Destination
	ctx   context.Context
	whole context.Context
	// rows are those to be written, and failed the numbers of all that have failed so far, in their order: with one
	// more than limit the batch ends, unless that is negative.
	rows   []written
	failed []int64
	limit  int
	// given are the rows of a statement, held while it is executed, and staged the places of those that stage has
	// brought; nil for none.
	given  []*row.Row
	staged []int
}

// errPassed is how a span ends of which the database has left out a row without an error.
var errPassed = errors.New("the database left out a row")

// writeSets writes the rows of a batch within a transaction.
func (d *Destination) writeSets(ctx context.Context, batch *row.Batch) error {
	s := spans{d: d, ctx: ctx, whole: context.WithoutCancel(ctx), limit: batch.Limit, rows: d.written[:0], given: d.given[:0]}
	defer func() { d.written, d.given = s.rows, s.given }()
	faults := map[int64]*row.Fault{}
	for r := range batch.Pending() {
		if fault := d.table.take(r); fault != nil {
			faults[r.Number] = fault
			r.Fail(fault)
			continue
		}
		s.rows = append(s.rows, written{row: r})
	}
	for _, r := range batch.Reached() {
		if r.Outcome == row.Failed {
			s.failed = append(s.failed, r.Number)
		}
	}
	d.altered = d.altered[:0]
	if err := s.write(0, len(s.rows)); err != nil {
		return err
	}
	if err := d.begun(ctx); err != nil { // of no row
		return err
	}
	late, err := s.end()
	if err != nil {
		return err
	}
	next := 0
	for r := range batch.Pending() {
		if fault := faults[r.Number]; fault != nil {
			r.Fail(fault)
			continue
		}
		became := &s.rows[next]
		next++
		if r.Outcome = became.outcome; became.fault != nil {
			r.Fail(became.fault)
		}
	}
	for r, fault := range late {
		r.Fail(fault)
	}
	return nil
}

// reach is the place of the first row that must not be written any more, because too many before it have failed.
func (s *spans) reach() int {
	if s.limit < 0 || len(s.failed) <= s.limit {
		return len(s.rows)
	}
	last := s.failed[s.limit]
	at, _ := slices.BinarySearchFunc(s.rows, last, func(w written, number int64) int { return int(w.row.Number - number) })
	if at < len(s.rows) && s.rows[at].row.Number == last {
		at++
	}
	return at
}

// write writes the rows from one place to another, each of which has its outcome then.
func (s *spans) write(from, to int) error {
	if to = min(to, s.reach()); from >= to {
		return nil
	}
	whole := !s.d.careful && from == 0 && to == len(s.rows)
	if !whole {
		if err := s.d.begun(s.ctx); err != nil {
			return err
		}
		if err := s.execute("SAVEPOINT span"); err != nil {
			return err
		}
	}
	ends, err := s.put(from, to)
	if err == nil {
		if !whole {
			if err := s.execute("RELEASE SAVEPOINT span"); err != nil {
				return err
			}
		}
		for _, end := range ends {
			if err := s.write(from, end); err != nil {
				return err
			}
			from = end
		}
		return nil
	}
	fault := s.d.table.refused(err)
	passed := errors.Is(err, errPassed)
	if fault == nil && !passed || s.ctx.Err() != nil {
		return s.d.table.explain(s.ctx, err)
	}
	if whole {
		return errRefused
	}
	s.staged = nil
	if err := s.execute("ROLLBACK TO SAVEPOINT span"); err != nil {
		return err
	}
	if err := s.execute("RELEASE SAVEPOINT span"); err != nil {
		return err
	}
	if to-from == 1 {
		if passed {
			fault = row.Faultf("", "was passed over by a trigger, a rule or a row security policy of the table, which gives no reason")
		}
		s.fail(from, fault)
		return nil
	}
	middle := from + (to-from)/2
	if err := s.write(from, middle); err != nil {
		return err
	}
	return s.write(middle, to)
}

func (s *spans) fail(at int, fault *row.Fault) {
	w := &s.rows[at]
	w.outcome, w.fault = row.Failed, fault
	place, _ := slices.BinarySearch(s.failed, w.row.Number)
	s.failed = slices.Insert(s.failed, place, w.row.Number)
}

func (s *spans) execute(statement string) error {
	if _, err := s.d.conn.ExecContext(s.ctx, statement); err != nil {
		return s.d.table.explain(s.ctx, err)
	}
	return nil
}

// mostTries is how often one row is tried that others write at the same moment.
const mostTries = 5

// put writes rows of which no two have one key. If two have, nothing is written, and ends are the places at which the
// rows are to be cut.
func (s *spans) put(from, to int) (ends []int, err error) {
	if s.d.action == task.Insert {
		return nil, s.insert(s.all(from, to), from, to)
	}
	for try := 1; ; try++ {
		there, ends, err := s.look(from, to)
		if err != nil || len(ends) > 1 {
			return ends, err
		}
		err = s.change(there, from, to)
		if !errors.Is(err, errPassed) || to-from > 1 || try == mostTries || s.ctx.Err() != nil {
			return nil, err
		}
	}
}

// all are the places from one to another, which nobody may change.
func (s *spans) all(from, to int) []int {
	for at := len(s.d.places); at < to; at++ {
		s.d.places = append(s.d.places, at)
	}
	return s.d.places[from:to]
}

// What the table has of a row.
const (
	missing = iota
	same
	different
)

// look returns what the table has of each row, and where the rows are to be cut so that no two of a part have one
// key.
func (s *spans) look(from, to int) (there []int, ends []int, err error) {
	there = make([]int, to-from)
	if s.d.sets.few {
		for i := range there {
			there[i] = same
		}
	}
	places := s.all(from, to)
	look := s.d.look
	if s.d.apart != nil && s.d.sets.distinct(s.at(places)) {
		look = s.d.apart
	}
	start, last := 0, 0
	err = s.query(look, places, nil, func(rows *sql.Rows) error {
		var number, earlier, has int
		if err := rows.Scan(&number, &earlier, &has); err != nil {
			return err
		}
		w := &s.rows[from+number-1]
		if number == last { // one more row of the table with its key
			there[number-1] = max(there[number-1], has)
		} else {
			last, there[number-1], w.there = number, has, 0
			if earlier > start {
				ends = append(ends, from+number-1)
				start = number - 1
			}
		}
		if has == different || has == same && s.d.action == task.Delete {
			w.there++
		}
		return nil
	})
	return there, append(ends, to), err
}

// change does to rows whose keys differ what the action says.
func (s *spans) change(there []int, from, to int) error {
	var insert, update, remove []int
	for i, has := range there {
		w := &s.rows[from+i]
		w.outcome = row.Ready
		switch {
		case has == missing && s.d.action == task.Upsert:
			insert = append(insert, from+i)
		case has == missing:
			w.outcome = row.Skipped
		case s.d.action == task.Delete:
			remove = append(remove, from+i)
		case has == same:
			w.outcome = row.Unchanged
		default:
			update = append(update, from+i)
		}
	}
	if err := s.returned(s.d.update, update, row.Updated); err != nil {
		return err
	}
	if err := s.returned(s.d.remove, remove, row.Deleted); err != nil {
		return err
	}
	if len(insert) > 0 {
		return s.insert(insert, from, to)
	}
	return s.stay(from, to)
}

// returned executes a statement that returns the rows that it came to, and expects all.
func (s *spans) returned(statement *sql.Stmt, places []int, outcome row.Outcome) error {
	if len(places) == 0 {
		return nil
	}
	if s.d.sets.counted {
		return s.counted(statement, places, outcome)
	}
	came := 0
	err := s.query(statement, places, nil, func(rows *sql.Rows) error {
		var number int
		if err := rows.Scan(&number); err != nil {
			return err
		}
		if w := &s.rows[places[number-1]]; w.outcome != outcome { // several rows of the table may have one key
			w.outcome = outcome
			came++
		}
		return nil
	})
	if err == nil && came != len(places) {
		return errPassed
	}
	return err
}

// counted executes a statement on the rows that look has seen, of which it comes to these alone, and expects it to
// come to as many of the table as look has found.
func (s *spans) counted(statement *sql.Stmt, places []int, outcome row.Outcome) error {
	expected := int64(0)
	for _, at := range places {
		expected += s.rows[at].there
		s.rows[at].outcome = outcome
	}
	came, err := affected(statement.ExecContext(s.ctx))
	if err == nil && came != expected {
		return errPassed
	}
	return err
}

// insert inserts rows, which are among those from one place to another.
func (s *spans) insert(places []int, from, to int) error {
	for _, at := range places {
		s.rows[at].outcome = row.Inserted
	}
	if !s.d.sets.identify {
		inserted, err := s.insertAll(places)
		if err == nil && inserted != int64(len(places)) || err != nil && s.d.action == task.Upsert && s.d.sets.again != nil && s.d.sets.again(err) {
			return errPassed
		}
		if err != nil {
			return err
		}
		return s.stay(from, to)
	}
	came := 0
	err := s.query(s.d.insert, places, nil, func(rows *sql.Rows) error {
		columns, err := rows.Columns()
		if err != nil || came == len(places) {
			return err
		}
		identity := make([]string, len(columns))
		into := make([]any, len(columns))
		for i := range into {
			into[i] = &identity[i]
		}
		s.rows[places[came]].identity = identity
		came++
		return rows.Scan(into...)
	})
	if err == nil && came != len(places) {
		return errPassed
	}
	if err != nil {
		return err
	}
	return s.stay(from, to)
}

func (s *spans) insertAll(places []int) (inserted int64, err error) {
	if s.d.sets.put != nil {
		begin := s.d.late
		s.d.late = false
		return s.d.sets.put(s.ctx, s.d.conn, begin, s.at(places))
	}
	args, err := s.take(places)
	if err != nil {
		return 0, err
	}
	return affected(s.d.insert.ExecContext(s.ctx, args...))
}

// stay looks whether the triggers of the table have left the rows that were written or removed.
func (s *spans) stay(from, to int) error {
	if s.d.held == nil {
		return nil
	}
	lost := 0
	err := s.hold(s.all(from, to), func(at int, altered []bool) {
		// It is as it was written only because the trigger of a row before it had not changed it yet.
		if to-from > 1 && s.rows[at].outcome == row.Unchanged && slices.Contains(altered, true) {
			lost++
		}
	}, func(int) { lost++ })
	switch {
	case err != nil || lost == 0:
		return err
	case to-from > 1:
		return errPassed
	case s.rows[from].outcome == row.Deleted:
		return row.Faultf("", "is in the table after it was deleted: a trigger of the table put it back"+instead)
	case s.d.action == task.Insert:
		return row.Faultf("", "is not in the table as it was written: a trigger of the table took it away or changed its key; correct the trigger, or write to the table that it writes to")
	}
	return row.Faultf("", "is not in the table after it was written: a trigger of the table took it away or changed its key; correct the trigger, or write to the table that it writes to")
}

// hold looks at what the table has of those rows among some that were written or removed. found is told each that is
// as it was left, with the columns that have other values, and lost any other.
func (s *spans) hold(places []int, found func(at int, altered []bool), lost func(at int)) error {
	places = slices.DeleteFunc(slices.Clone(places), func(at int) bool {
		outcome := s.rows[at].outcome
		return outcome == row.Failed || outcome == row.Skipped || outcome == row.Ready
	})
	if len(places) == 0 {
		return nil
	}
	var more []any
	if s.d.sets.identify {
		identities := make([][]string, len(places))
		for i, at := range places {
			identities[i] = s.rows[at].identity
		}
		more = s.d.sets.named(identities)
	}
	removed := s.d.action == task.Delete
	altered := make([]bool, len(s.d.table.target))
	return s.query(s.d.held, places, more, func(rows *sql.Rows) error {
		var number int
		var there bool
		into := []any{&number, &there}
		for i := range altered {
			into = append(into, &altered[i])
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if at := places[number-1]; there == removed {
			lost(at)
		} else {
			found(at, altered)
		}
		return nil
	})
}

// end has all rules checked, and looks for all rows of the batch once more if the table has triggers: one of a later
// row may have changed an earlier one. late are those that have failed only now, with all behind them written.
func (s *spans) end() (late map[*row.Row]*row.Fault, err error) {
	reached := s.rows[:s.reach()]
	if len(reached) == 0 {
		return nil, nil
	}
	if err := execute(s.ctx, s.d.conn, s.d.sets.settle); err != nil {
		return nil, s.d.refusedTogether(s.ctx, err, reached[len(reached)-1].row.Number)
	}
	if s.d.held == nil {
		return nil, nil
	}
	late = map[*row.Row]*row.Fault{}
	err = s.hold(s.all(0, len(reached)), func(at int, altered []bool) {
		for column, other := range altered {
			if other {
				s.d.altered = append(s.d.altered, alteration{s.rows[at].row, column})
			}
		}
	}, func(at int) {
		fault := row.Faultf("", "is not in the table any more at the end of its batch: a trigger of the table took it away or changed its key when a later row was written; correct that")
		if s.d.action == task.Delete {
			fault = row.Faultf("", "is in the table again at the end of its batch: a trigger of the table put it back when a later row was deleted"+instead)
		}
		late[s.rows[at].row] = fault
	})
	if err != nil {
		return nil, s.d.table.explain(s.ctx, err)
	}
	// From the last row to the first, as others take note of them.
	slices.SortStableFunc(s.d.altered, func(a, b alteration) int { return int(b.row.Number - a.row.Number) })
	return late, nil
}

// at are the rows at those places, until the next call.
func (s *spans) at(places []int) []*row.Row {
	s.given = s.given[:0]
	for _, at := range places {
		s.given = append(s.given, s.rows[at].row)
	}
	return s.given
}

// take brings a statement the rows at those places: with the arguments that it returns, or ahead of the statement.
func (s *spans) take(places []int) (args []any, err error) {
	if s.d.sets.stage == nil {
		return s.d.sets.bind(s.at(places)), nil
	}
	if slices.Equal(s.staged, places) {
		return nil, nil
	}
	s.staged = nil
	if err := s.d.sets.stage(s.ctx, s.d.conn, s.at(places)); err != nil {
		return nil, err
	}
	s.staged = slices.Clone(places)
	return nil, nil
}

// query executes a statement on the rows at those places, and has each read that it returns.
func (s *spans) query(statement *sql.Stmt, places []int, more []any, read func(rows *sql.Rows) error) error {
	args, err := s.take(places)
	if err != nil {
		return err
	}
	rows, err := statement.QueryContext(s.ctx, append(args, more...)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := read(rows); err != nil {
			return err
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}

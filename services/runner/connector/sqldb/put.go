package sqldb

import (
	"context"
	"database/sql"
	"errors"

	"runhook/services/runner/row"
	"runhook/shared/task"
)

// putOne writes one row. The counts of the database are believed only as far as the row is there: the error is a
// [*row.Fault] if it was passed over.
func (d *Destination) putOne(ctx context.Context, r *row.Row) (err error) {
	r.Outcome, err = d.put(ctx, r.Values)
	if err != nil || r.Outcome != row.Failed {
		return err
	}
	if d.action == task.Delete {
		return row.Faultf("", "was passed over by a trigger of the table (RAISE(IGNORE)), which keeps the row and gives no reason"+instead)
	}
	return row.Faultf("", "was passed over by a trigger of the table or a rule of it (ON CONFLICT IGNORE), which gives no reason; if the trigger writes it to another table, write to that")
}

// put writes one row. Failed is the outcome of a row that is not written although the database says no error.
func (d *Destination) put(ctx context.Context, values []any) (row.Outcome, error) {
	switch d.action {
	case task.Insert:
		result, err := d.insert.ExecContext(ctx, values...)
		inserted, err := affected(result, err)
		if inserted > 0 && d.table.triggers && d.table.numbered {
			var number int64
			number, err = result.LastInsertId()
			d.numbers = append(d.numbers, number)
		}
		return outcome(inserted, row.Inserted, row.Failed), err
	case task.Upsert:
		return d.upsert(ctx, values)
	case task.Delete:
		key := d.keyOf(values)
		deleted, err := affected(d.remove.ExecContext(ctx, key...))
		if deleted > 0 || err != nil {
			return row.Deleted, err
		}
		return d.found(d.look.QueryRowContext(ctx, key...), row.Skipped)
	}
	return d.change(ctx, values, row.Skipped)
}

// upsert tries the previous row's operation first, insert or update.
func (d *Destination) upsert(ctx context.Context, values []any) (row.Outcome, error) {
	insertFirst := d.streak > 0
	if insertFirst {
		inserted, err := affected(d.insert.ExecContext(ctx, values...))
		if inserted > 0 || err != nil {
			d.streak++
			return row.Inserted, err
		}
		d.streak = 0
	}
	changed, err := d.change(ctx, values, row.Ready)
	switch {
	case err != nil || changed != row.Ready:
		return changed, err
	case insertFirst: // it is not there, and was not put there either
		return row.Failed, nil
	}
	inserted, err := affected(d.insert.ExecContext(ctx, values...))
	d.streak += int(inserted)
	return outcome(inserted, row.Inserted, row.Failed), err
}

// change updates the row that has the key, if a value of it differs; missing is the outcome if there is no such
// row. It updates first if the previous row was no unchanged one: a look is all that such a row needs.
func (d *Destination) change(ctx context.Context, values []any, missing row.Outcome) (row.Outcome, error) {
	updateFirst := d.update != nil && !d.same
	if updateFirst {
		changed, err := affected(d.update.ExecContext(ctx, values...))
		if changed > 0 || err != nil {
			return row.Updated, err
		}
	}
	found, err := d.found(d.look.QueryRowContext(ctx, values...), missing)
	d.same = found == row.Unchanged
	if found != row.Failed || updateFirst {
		return found, err
	}
	changed, err := affected(d.update.ExecContext(ctx, values...))
	return outcome(changed, row.Updated, row.Failed), err
}

// found is the outcome of a row that a statement left as it was, by what look sees: missing if there is no row
// with its key, and Failed if there is one that the statement had to change.
func (d *Destination) found(look *sql.Row, missing row.Outcome) (row.Outcome, error) {
	var differs int64
	switch err := look.Scan(&differs); {
	case errors.Is(err, sql.ErrNoRows):
		return missing, nil
	case err != nil:
		return row.Ready, err
	}
	return outcome(differs, row.Failed, row.Unchanged), nil
}

// outcome is some for a count above 0, else none.
func outcome(count int64, some, none row.Outcome) row.Outcome {
	if count > 0 {
		return some
	}
	return none
}

// keyOf returns the values of a row's key, until the next call.
func (d *Destination) keyOf(values []any) []any {
	d.key = d.key[:0]
	for _, at := range d.table.key {
		d.key = append(d.key, values[at])
	}
	return d.key
}

func affected(result sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

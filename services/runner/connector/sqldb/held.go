package sqldb

import (
	"context"
	"fmt"
	"slices"

	"runhook/services/runner/connector"
	"runhook/services/runner/row"
	"runhook/shared/run"
	"runhook/shared/task"
)

// instead is what to do about a trigger that keeps the rows that a task deletes.
const instead = "; if the trigger only marks rows as deleted, have the task set the mark: action: update, with the column in the mapping"

// alteration is a value that a trigger has changed of a row that was written.
type alteration struct {
	row    *row.Row
	column int
}

// changes are the rows of which triggers have changed a column.
type changes struct {
	rows  int64
	first string
}

// stays looks whether the triggers of the table have left a row that was written or deleted; the error is a
// [*row.Fault] if they have not.
func (d *Destination) stays(ctx context.Context, r *row.Row) error {
	there, _, _, err := d.holds(ctx, r, len(d.numbers)-1)
	switch {
	case err != nil || there == (r.Outcome != row.Deleted):
		return err
	case there:
		return row.Faultf("", "is in the table after it was deleted: a trigger of the table put it back"+instead)
	}
	return row.Faultf("", "is not in the table after it was written: a trigger of the table took it away or changed its key; correct the trigger, or write to the table that it writes to")
}

// lookAgain looks, in a table with triggers, for all rows of the batch once more when the last is written, and
// takes note of the values that triggers have changed. lost is told each row that was written and is not there,
// or was deleted and is there again.
func (d *Destination) lookAgain(ctx context.Context, batch *row.Batch, lost func(*row.Row, *row.Fault) error) error {
	d.altered = d.altered[:0]
	if !d.table.triggers {
		return nil
	}
	whole := context.WithoutCancel(ctx)
	rows, number := batch.Reached(), len(d.numbers)
	// From the last to the first: what a later row has written is no change of a trigger's.
	seen := map[any]bool{}
	for i := range slices.Backward(rows) {
		if i%cancelCheck == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		r := &rows[i]
		switch r.Outcome {
		case row.Failed, row.Skipped:
			continue
		case row.Inserted:
			number--
		}
		there, identity, altered, err := d.holds(whole, r, number)
		if err != nil {
			return d.table.explain(ctx, err)
		}
		again := seen[identity]
		switch {
		case r.Outcome == row.Deleted && there:
			err = lost(r, row.Faultf("", "is in the table again at the end of its batch: a trigger of the table put it back when a later row was deleted"+instead))
		case r.Outcome == row.Deleted:
		case !there, again && d.action == task.Insert:
			err = lost(r, row.Faultf("", "is not in the table any more at the end of its batch: a trigger of the table, or a rule of it (ON CONFLICT REPLACE), took it away when a later row was written; correct that"))
		case !again:
			seen[identity] = true
			for _, column := range altered {
				d.altered = append(d.altered, alteration{r, column})
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// holds looks for a row: whether it is there, what identifies it in the table, and which of its values are others
// there. number is the place of its number if it was inserted.
func (d *Destination) holds(ctx context.Context, r *row.Row, number int) (there bool, identity any, altered []int, err error) {
	if d.action == task.Delete {
		found, err := d.found(d.look.QueryRowContext(ctx, d.keyOf(r.Values)...), row.Skipped)
		return found != row.Skipped, nil, nil, err
	}
	args := r.Values
	if d.action == task.Insert && d.table.numbered {
		args = append(slices.Clone(r.Values), d.numbers[number])
	}
	var count int64
	differs := make([]bool, len(d.table.target))
	into := []any{&count, &identity}
	for i := range differs {
		into = append(into, &differs[i])
	}
	if err := d.held.QueryRowContext(ctx, args...).Scan(into...); err != nil {
		return false, nil, nil, err
	}
	for i, other := range differs {
		if other {
			altered = append(altered, i)
		}
	}
	return count > 0, identity, altered, nil
}

// noteAltered counts what triggers have changed of a batch that was written.
func (d *Destination) noteAltered() {
	if len(d.altered) > 0 && d.changed == nil {
		d.changed = make([]changes, len(d.table.target))
	}
	for _, a := range slices.Backward(d.altered) {
		known := &d.changed[a.column]
		if known.rows++; known.rows == 1 {
			known.first = run.PlaceOf(a.row.Number, a.row.Line)
		}
	}
}

// Warnings are about values that triggers of the table have changed; see [connector.Warner].
func (d *Destination) Warnings() (warnings []string) {
	for i, known := range d.changed {
		column := d.table.target[i].name
		switch {
		case known.rows == 1:
			warnings = append(warnings, fmt.Sprintf("a trigger of the table changed column %s of 1 row: %s", column, known.first))
		case known.rows > 1:
			warnings = append(warnings, fmt.Sprintf("a trigger of the table changed column %s of %d rows, first %s", column, known.rows, known.first))
		}
	}
	return warnings[:min(len(warnings), connector.MostWarnings)]
}

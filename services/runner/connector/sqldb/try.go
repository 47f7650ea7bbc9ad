package sqldb

import (
	"context"

	"runhook/services/runner/connection"
	"runhook/services/runner/connector"
	"runhook/shared/task"
)

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
	d, err := connect(ctx, database, scratch, to)
	if err != nil {
		return nil, err
	}
	return d.begin(ctx, to, columns)
}

package sqldb

import (
	"context"
	"time"

	"runhook/services/runner/connector"
	"runhook/shared/run"
	"runhook/shared/wait"
)

// settleCommit finds out whether a transaction was committed whose commit had no clear answer: by the checkpoint
// that was written in it. It returns nil if it was, and the next batch goes over a new connection. after is the
// commit's error.
func (d *Destination) settleCommit(ctx context.Context, after error, last int64) error {
	if d.fence == nil {
		return run.Failf("the connection to the database of connection %s was lost while the rows up to %d were committed; whether they are in the table %s cannot be told", d.table.connection, last, d.table.name)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.patience)
	defer cancel()
	for {
		token, state, err := d.readAgain(ctx)
		switch {
		case err != nil && wait.For(ctx, 200*time.Millisecond):
		case err != nil:
			return run.Passingf("the connection to the database of connection %s was lost while the rows up to %d were committed, and did not come back; the next attempt at the run finds out whether they were", d.table.connection, last)
		case token != int64(d.fence.Token):
			return connector.ErrLost
		case state != d.recorded:
			return after
		default:
			return nil
		}
	}
}

// readAgain reads the run's checkpoint over a new connection, with which the destination goes on.
func (d *Destination) readAgain(ctx context.Context) (token int64, state string, err error) {
	d.closeStatements()
	d.conn.Close()
	conn, err := d.db.Conn(ctx)
	if err != nil {
		return 0, "", err
	}
	d.conn = conn
	err = d.conn.QueryRowContext(ctx, d.dialect.checkpoints().settle, fenceKey(d.fence)[:3]...).Scan(&token, &state)
	if err != nil {
		return 0, "", err
	}
	if err := d.prepare(ctx); err != nil {
		return 0, "", err
	}
	d.record, err = d.conn.PrepareContext(ctx, d.dialect.checkpoints().write)
	return token, state, err
}

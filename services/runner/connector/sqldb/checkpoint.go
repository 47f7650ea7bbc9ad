package sqldb

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"runhook/services/runner/connector"
	"runhook/shared/run"
)

// checkpointTable holds, beside the rows themselves, how far each unfinished run is.
const checkpointTable = "runhook_checkpoint"

// checkpointSQL are the statements on it, with a fence's key as their first parameters. A run's row
// belongs to the attempt with the highest token that came by.
type checkpointSQL struct {
	// make makes the table if it is not there.
	make string
	// raise makes the key's token the run's, with an empty state for a new run, unless the run has a higher one.
	raise string
	// read returns the run's token and state.
	read string
	// write sets the run's state to the parameter behind the key, and remove removes its row, if the
	// key's token is the run's.
	write, remove string
	// settle returns the run's token and state, once a transaction that may still write them has ended; empty
	// where a commit is never unclear.
	settle string
}

// forgetWait is how long a checkpoint's removal waits for other writers of the database.
const forgetWait = 2 * time.Second

// fenceKey is what the statements are given of a fence.
func fenceKey(f *connector.Fence) []any {
	return []any{f.Store, string(f.Task), int64(f.Number), int64(f.Token)}
}

// Raise makes this attempt the one that may write, in one transaction with reading what earlier ones
// had written; found is false where they have left nothing. It returns ErrLost when there was a later
// attempt.
func (d *Destination) Raise(ctx context.Context, fence *connector.Fence) (at run.Checkpoint, found bool, err error) {
	for {
		at, found, err = d.raise(ctx, fence)
		if !fence.Takeover || !d.dialect.busy(err) || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		return at, false, d.explainCheckpoint(ctx, err)
	}
	d.fence = fence
	d.record, err = d.conn.PrepareContext(ctx, d.dialect.checkpoints().write)
	if err != nil {
		return at, false, d.explainCheckpoint(ctx, err)
	}
	return at, found, nil
}

func (d *Destination) raise(ctx context.Context, fence *connector.Fence) (at run.Checkpoint, found bool, err error) {
	if err := d.beginTransaction(ctx); err != nil {
		return at, false, err
	}
	whole := context.WithoutCancel(ctx)
	left := ended.take(d.dialect)
	defer func() {
		if err != nil {
			_, _ = d.conn.ExecContext(whole, "ROLLBACK")
			ended.leave(d.dialect, left...)
		}
	}()
	statements := d.dialect.checkpoints()
	if err := d.dialect.makeCheckpoints(whole, d.conn); err != nil {
		return at, false, err
	}
	for _, key := range left {
		if _, err := d.conn.ExecContext(whole, statements.remove, key...); err != nil {
			return at, false, err
		}
	}
	if _, err := d.conn.ExecContext(whole, statements.raise, fenceKey(fence)...); err != nil {
		return at, false, err
	}
	var token int64
	var state string
	if err := d.conn.QueryRowContext(whole, statements.read, fenceKey(fence)[:3]...).Scan(&token, &state); err != nil {
		return at, false, err
	}
	if token != int64(fence.Token) {
		return at, false, connector.ErrLost
	}
	if state != "" {
		if err := json.Unmarshal([]byte(state), &at); err != nil {
			return at, false, run.Failf("the table %s in connection %s has something for this run that is no checkpoint; look at what was written, delete its row (run %d), and POST again", checkpointTable, d.table.connection, fence.Number)
		}
	}
	return at, state != "", d.commit(ctx)
}

// Record makes a checkpoint part of the transaction of the batch that is being written. It returns
// connector.ErrLost when this attempt may not write any more.
func (d *Destination) Record(ctx context.Context, at run.Checkpoint) error {
	state, err := json.Marshal(at)
	if err != nil {
		return err
	}
	d.recorded = string(state)
	written, err := affected(d.record.ExecContext(context.WithoutCancel(ctx), append(fenceKey(d.fence), string(state))...))
	if err != nil {
		return d.explainCheckpoint(ctx, err)
	}
	if written != 1 {
		return connector.ErrLost
	}
	return nil
}

// explainCheckpoint says why the table of checkpoints cannot be used.
func (d *Destination) explainCheckpoint(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, connector.ErrLost):
		return err
	case isPassing(d.dialect.failure(err)): // such as a replica, to which the server has come meanwhile
		return d.table.explain(ctx, err)
	case ctx.Err() != nil, d.dialect.words(err) == "" && d.table.refused(err) == nil:
		return d.table.explain(ctx, err)
	}
	return run.Failf("the runner keeps in the table %[1]s of connection %[2]s how far a run is, and cannot make or use it there; let its account create and write that table, or, where a table or view of another make has that name, rename it. The table is made by: %[3]s", checkpointTable, d.table.connection, d.dialect.checkpoints().make)
}

func isPassing(err error) bool {
	failure, ok := errors.AsType[*run.Failure](err)
	return ok && failure.Passing
}

// Overtake is Raise without the rest of a destination. A database that is not there has nothing of the run.
func (DestinationKind) Overtake(ctx context.Context, job connector.Job) (at run.Checkpoint, found bool, err error) {
	to := destination(job)
	database, err := dialectOf(job.Connections, to.Connection)
	if err != nil {
		return at, false, err
	}
	if there, err := database.find(true); err != nil || !there {
		return at, false, err
	}
	d, err := connect(ctx, database, toForget, to)
	if err != nil {
		return at, false, err
	}
	defer d.Close()
	d.table = newTable(database, to)
	if err := execute(ctx, d.conn, database.waits(lockLook)); err != nil {
		return at, false, explain(ctx, database, err)
	}
	return d.Raise(ctx, job.Fence)
}

// Forget removes what Raise and Record have left of the run, or has the next run remove it.
func (DestinationKind) Forget(ctx context.Context, job connector.Job) error {
	database, err := dialectOf(job.Connections, destination(job).Connection)
	if err != nil {
		return err
	}
	db, err := database.open(ctx, toForget)
	if err != nil {
		return err
	}
	defer db.Close()
	locks, err := database.locks(ctx, db)
	if err != nil {
		return explain(ctx, database, err)
	}
	if locks {
		ended.leave(database, fenceKey(job.Fence))
		return nil
	}
	if _, err := db.ExecContext(ctx, database.checkpoints().remove, fenceKey(job.Fence)...); err != nil {
		return explain(ctx, database, err)
	}
	settle(ctx, database, db)
	return nil
}

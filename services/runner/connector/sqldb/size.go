package sqldb

import (
	"context"

	"runhook/shared/run"
	"runhook/shared/task"
)

// Size counts the rows of the table.
func (d *Destination) Size(ctx context.Context) (rows int64, err error) {
	err = d.conn.QueryRowContext(ctx, "SELECT count(*) FROM "+d.table.sql).Scan(&rows)
	if err != nil {
		return 0, d.table.explain(ctx, err)
	}
	return rows, nil
}

// bounded refuses a task that bounds what it changes, in rows of the source, if each of them may change any
// number of the table's.
func (t *table) bounded(expect task.Expect) error {
	if expect.MaxDelete == nil && expect.MaxChange == nil || !t.keyed || t.uniqueKey {
		return nil
	}
	return run.Failf("destination.sql.key: expect cannot bound what is changed in the table %s, because one row may change several: the key is no primary key and no unique index of it; make the index, or take max_delete and max_change out of expect", t.name)
}

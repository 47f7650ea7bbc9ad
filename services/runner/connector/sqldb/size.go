package sqldb

import "context"

// Size counts the rows of the table.
func (d *Destination) Size(ctx context.Context) (rows int64, err error) {
	err = d.conn.QueryRowContext(ctx, "SELECT count(*) FROM "+d.dialect.quote(d.table.name)).Scan(&rows)
	if err != nil {
		return 0, d.table.explain(ctx, err)
	}
	return rows, nil
}

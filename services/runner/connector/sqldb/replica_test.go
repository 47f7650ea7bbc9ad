package sqldb

import (
	"context"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"

	"runhook/shared/task"
)

// A server that writes nothing any more, as after a failover, may be another one at the next attempt.
func TestAReplicaIsATemporaryFault(t *testing.T) {
	to := &task.SQLDestination{Connection: "crm", Table: "members"}
	for _, c := range []struct {
		dialect dialect
		err     error
	}{
		{postgresDialect{}, &pgconn.PgError{Code: "25006", Message: "cannot execute INSERT in a read-only transaction"}},
		{mysqlDialect{}, &mysql.MySQLError{Number: 1290, SQLState: [5]byte([]byte("HY000")), Message: "The MariaDB server is running with the --read-only option"}},
		{mysqlDialect{}, &mysql.MySQLError{Number: 1836, SQLState: [5]byte([]byte("HY000")), Message: "Running in read-only mode"}},
	} {
		d := &Destination{dialect: c.dialect, table: newTable(c.dialect, to)}
		for name, err := range map[string]error{
			"of a row": d.table.explain(context.Background(), c.err), "of the checkpoint": d.explainCheckpoint(context.Background(), c.err),
			"of the commit": d.refusedTogether(context.Background(), commitError{c.err}, 1),
		} {
			if !isPassing(err) {
				t.Errorf("%T, %s: %v", c.dialect, name, err)
			}
		}
	}
}

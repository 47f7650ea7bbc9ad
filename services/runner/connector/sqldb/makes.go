package sqldb

import "runhook/services/runner/connection"

// dialectOf returns the dialect of the connection of that name.
func dialectOf(connections *connection.Set, name string) (dialect, error) {
	at, err := connections.Database(name)
	switch {
	case err == nil && at.Postgres != "":
		return postgresDialect{at: at}, nil
	case err == nil && at.MySQL != "":
		return mysqlDialect{at: at}, nil
	}
	return sqliteDialect{at}, err
}

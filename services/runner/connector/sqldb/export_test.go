package sqldb

import "context"

// LockWait is how long a transaction waits for others.
const LockWait = lockWait

// TakesLoose reports whether a column of a type that SQLite does not know takes a text.
func TakesLoose(text string) bool {
	_, problem := looseTexts{}.hold(text)
	return problem == ""
}

// Ask returns what a query gives on the destination's own connection.
func (d *Destination) Ask(ctx context.Context, query string) (answer string, err error) {
	err = d.conn.QueryRowContext(ctx, query).Scan(&answer)
	return answer, err
}

package csvfile

import (
	"context"

	"runhook/services/runner/connection"
	"runhook/services/runner/row"
	"runhook/shared/task"
)

// Trial is the Destination of a dry run: it makes every row's text and writes nothing.
type Trial struct {
	to *Destination
}

// Try is Create for a dry run. It makes no file: of a folder it is only seen that it is there.
func Try(connections *connection.Set, to *task.CSVDestination, columns []string) (*Trial, error) {
	d, err := prepare(connections, to, columns)
	if err != nil {
		return nil, err
	}
	return &Trial{d}, nil
}

// Write gives every row the outcome that it would have.
func (t *Trial) Write(ctx context.Context, batch *row.Batch, _ func(row int64) error) error {
	t.to.encode(batch)
	t.to.buffer = t.to.buffer[:0]
	return ctx.Err()
}

// Finish has nothing to do.
func (t *Trial) Finish(context.Context) error { return nil }

// Close releases the folder. The counts are those that a real run would have kept.
func (t *Trial) Close() (kept bool) {
	t.to.Close()
	return true
}

package csvfile

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"

	"runhook/services/runner/connection"
	"runhook/services/runner/row"
	"runhook/shared/run"
	"runhook/shared/task"
)

// Trial is the Destination of a dry run: it makes every row's text and writes nothing.
type Trial struct {
	to *Destination
}

// Try is Create for a dry run. It makes no file: of a folder it is only seen that it is there.
func Try(connections *connection.Set, to *task.CSVDestination, columns []string) (*Trial, error) {
	d, err := locate(connections, to, columns)
	if err != nil {
		return nil, err
	}
	if to.Action == task.Append {
		err = d.tryAppend()
	} else {
		err = d.tryReplace()
	}
	if err != nil {
		d.Close()
		return nil, err
	}
	return &Trial{d}, nil
}

// tryReplace refuses what is no file, and a folder that is not there.
func (d *Destination) tryReplace() error {
	switch info, err := d.root.Stat(d.path); {
	case err == nil && !info.Mode().IsRegular():
		return run.Failf("%s is not a file, and cannot be replaced", d.place)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return d.explain(err)
	case err != nil:
		if _, err := d.root.Stat(filepath.Dir(d.path)); err != nil {
			return d.explain(err)
		}
	}
	return nil
}

// Write gives every row the outcome that it would have.
func (t *Trial) Write(ctx context.Context, batch *row.Batch, _ func(row int64) error) error {
	for r := range batch.Pending() {
		var fault *row.Fault
		if t.to.buffer, fault = t.to.appendRow(t.to.buffer[:0], r.Values); fault != nil {
			r.Fail(fault)
			continue
		}
		r.Outcome = row.Inserted
	}
	return ctx.Err()
}

// Finish has nothing to do.
func (t *Trial) Finish(context.Context) error { return nil }

// Close releases the folder. The counts are those that a real run would have kept.
func (t *Trial) Close() (kept bool) {
	t.to.Close()
	return true
}

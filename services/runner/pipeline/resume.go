package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strconv"

	"runhook/services/runner/connector"
	"runhook/services/runner/row"
	"runhook/shared/run"
	"runhook/shared/task"
)

// errMoved: the source is not what it was, or has no order, and the run may start over.
var errMoved = errors.New("there is nothing to continue")

// beginning decides where this attempt begins, and sets the meter there: at what the destination
// itself keeps, else at the checkpoint that the meter began with.
func beginning(ctx context.Context, job Job, m *Meter, to connector.Destination) (from run.Checkpoint, err error) {
	from = m.Snapshot().Confirmed
	if kept, ok := to.(connector.Ledger); ok && job.Fence != nil {
		there, found, err := kept.Raise(ctx, job.Fence)
		if err != nil {
			return from, err
		}
		// Whoever took the run from us before the fence stood would not have met it.
		if job.Confirm != nil {
			if err := job.Confirm(ctx); err != nil {
				return from, err
			}
		}
		if !found && from.Row > 0 && !job.over && !job.Task.Destination.Traits().Restartable {
			return from, interrupted(job.Task.Destination, from.Row, "the table runhook_checkpoint says nothing of this run any more")
		}
		if !found && from.Row > 0 {
			m.Begin(from)
			m.restart()
		}
		from = there
	}
	if job.over {
		return run.Checkpoint{}, nil
	}
	m.Begin(from)
	if from.Row == 0 && !from.Writing || job.Task.Continues() {
		if file, ok := to.(connector.Appended); ok && (from.Row > 0 || from.Writing) {
			file.ContinueBehind(from.Length)
		}
		return from, nil
	}
	if !job.Task.Destination.Traits().Restartable {
		return from, interrupted(job.Task.Destination, from.Row, "the source has no order to continue in")
	}
	m.restart()
	return run.Checkpoint{}, nil
}

// continueAt takes the source to the row behind the checkpoint, and makes sure that it is the source
// that the checkpoint was made of.
func (r *reader) continueAt(job Job, from run.Checkpoint, version string) error {
	same := version == from.Source
	if same {
		err := r.skipTo(from)
		if err != nil && !errors.Is(err, errMoved) {
			return err
		}
		same = err == nil
	}
	switch {
	case same:
		r.passedOver = from.Row
		return nil
	case job.Task.Destination.Traits().Restartable:
		return errMoved
	}
	return interrupted(job.Task.Destination, from.Row, "the source has changed since, so that the run cannot continue in it")
}

// skipTo passes over the rows up to the checkpoint's, of which the last must be the one that it was.
func (r *reader) skipTo(from run.Checkpoint) error {
	found := false
	if placed, ok := r.from.(connector.Placed); ok && from.Place != "" {
		var err error
		if found, err = placed.SkipTo(r.ctx, from.Place); err != nil {
			return err
		}
	}
	if !found {
		if err := r.from.Skip(r.ctx, from.Row-1); err != nil {
			return movedAt(err)
		}
	}
	_, err := r.next()
	if _, own := row.Own(err); err != nil && !own {
		return movedAt(err)
	}
	if markOf(r.record()) != from.Mark {
		return errMoved
	}
	return nil
}

// movedAt is the error of a source that has become shorter.
func movedAt(err error) error {
	if errors.Is(err, io.EOF) {
		return errMoved
	}
	return err
}

// markOf is a hash of a row.
func markOf(record row.Record) string {
	hash := sha256.New()
	for _, text := range record.Texts() {
		hash.Write([]byte(strconv.Itoa(len(text)) + ":" + text))
	}
	return hex.EncodeToString(hash.Sum(nil)[:12])
}

// interrupted is how a run ends that cannot go on without writing rows twice, or starting over without.
func interrupted(to task.Destination, last int64, why string) error {
	rows := "Rows of the source from the first on may have been written"
	if last > 0 {
		rows = "Rows 1 to " + strconv.FormatInt(last, 10) + " of the source were written, and later ones may have been"
		if !to.Traits().AtLeastOnce {
			rows = "Rows 1 to " + strconv.FormatInt(last, 10) + " of the source were written"
		}
	}
	return run.Failf("The run was interrupted, and %s. %s; starting over would %s them twice. Look at the destination, remove what is there, and POST again.", why, rows, to.Traits().Repeats)
}

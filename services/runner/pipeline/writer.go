package pipeline

import (
	"context"
	"slices"
	"sync"

	"runhook/services/runner/connector"
	"runhook/services/runner/row"
	"runhook/shared/run"
	"runhook/shared/task"
)

// writer writes the batches, keeps the checkpoint in step with them, and decides what failed rows do to
// the run.
type writer struct {
	job    Job
	meter  *Meter
	limits *bounds
	to     connector.Destination
	// ledger is to where that keeps the checkpoint itself, else nil.
	ledger connector.Ledger
	// columns are the source's of which failed rows are kept, at their places kept, and version is what the
	// source is.
	columns []string
	kept    []int
	version string
	failed  int
	keys    *keys
	// highest is nil for a task that reads all rows.
	highest *highest

	// earlier names the rejected rows of the attempts before this one, stored those of this one that
	// belong to batches that are written. waiting: there are others.
	earlier, stored run.RejectedSet
	waiting         bool
	// last is the mark of the last row reached, and place where placed has it, where marks are made.
	last, place string
	marks       bool
	placed      connector.Placed // nil if the source has no places
}

func newWriter(job Job, m *Meter, limits *bounds, columns []string, used []bool, version string, begin run.Checkpoint) *writer {
	w := &writer{
		job: job, meter: m, limits: limits, to: limits.to, keys: newKeys(job.Task), version: version,
		failed: int(begin.Counts.Failed), earlier: begin.Rejected, last: begin.Mark, place: begin.Place,
		marks: job.Task.Continues() && !job.DryRun,
	}
	for i, name := range columns {
		if used[i] || job.Task.RejectedRows.AllColumns {
			w.columns, w.kept = append(w.columns, name), append(w.kept, i)
		}
	}
	if job.Fence != nil {
		w.ledger, _ = w.to.(connector.Ledger)
	}
	return w
}

// writeAll writes what r reads, until it ends or fails.
func (w *writer) writeAll(ctx context.Context, r *reader) (err error) {
	defer catchPanic(&err)
	if err := w.endedBefore(); err != nil {
		return err
	}
	w.meter.say("Writing to " + w.job.Task.Destination.Place())
	read := w.readBeside
	if r.atHand {
		read = w.readHere
	}
	if err := read(ctx, r); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := w.limits.end(); err != nil {
		return err
	}
	if w.ledger == nil && w.job.Confirm != nil {
		if err := w.job.Confirm(ctx); err != nil {
			return err
		}
	}
	return w.to.Finish(ctx)
}

// readBeside has r read on a goroutine of its own while batches are written.
func (w *writer) readBeside(ctx context.Context, r *reader) error {
	// From here on the source is the reader's alone.
	var reading sync.WaitGroup
	var readErr error
	reading.Go(func() {
		defer close(r.read)
		defer catchPanic(&readErr)
		readErr = r.run()
	})
	// Also on the way out of a panic: the reader uses what Run closes.
	defer reading.Wait()
	defer r.stop()

	for batch := range r.read {
		if err := w.write(ctx, batch); err != nil {
			return err
		}
		r.recycle(batch)
	}
	reading.Wait()
	return readErr
}

// readHere reads and writes in turn.
func (w *writer) readHere(ctx context.Context, r *reader) error {
	r.write = w.write
	return r.fill()
}

// write writes a batch. Where the destination keeps the checkpoint, that is part of the batch; elsewhere
// it follows once the rejected rows are stored.
func (w *writer) write(ctx context.Context, batch *row.Batch) error {
	if err := w.highest.look(batch); err != nil {
		return err
	}
	batch.Limit = 0
	if w.job.Task.OnRowError != task.StopOnRowError {
		batch.Limit = max(0, w.job.Task.MaxRowErrors-w.failed)
	}
	recorded := false
	var next Snapshot
	if batch.Writable() {
		var stored run.RejectedSet
		before := func(last int64) (err error) {
			if err := w.limits.batch(batch); err != nil {
				return err
			}
			w.begun()
			if w.job.BeforeWrite != nil {
				if err := w.job.BeforeWrite(ctx, last); err != nil {
					return err
				}
			}
			if w.ledger != nil {
				next, stored, err = w.record(ctx, batch)
				recorded = err == nil
			}
			return err
		}
		if err := proceed(ctx, w.job, w.job.Task.Destination); err != nil {
			return err
		}
		if err := w.to.Write(ctx, batch, before); err != nil {
			return err
		}
		w.keys.note(batch)
		if recorded {
			w.meter.set(next)
			w.stored = stored
			return w.verdict(batch)
		}
		if w.job.DryRun { // where before may not have been called
			if err := w.limits.batch(batch); err != nil {
				return err
			}
		}
	} else {
		for range batch.Pending() {
		}
	}
	next = w.after(batch)
	w.meter.set(next)
	w.mark(batch)
	// The batch is written and counted, so the end of the run does not keep its failed rows from being kept.
	lasting, done := outlast(ctx)
	defer done()
	if err := w.reject(lasting, batch); err != nil {
		return err
	}
	if w.ledger == nil {
		if err := w.confirm(ctx, next); err != nil {
			return err
		}
	}
	return w.verdict(batch)
}

// record stores the batch's rejected rows, and puts the checkpoint behind it into its transaction.
func (w *writer) record(ctx context.Context, batch *row.Batch) (next Snapshot, stored run.RejectedSet, err error) {
	// Those of batches before, of which nothing was to be written, stay if this one is taken back.
	if err := w.storeWaiting(ctx); err != nil {
		return next, nil, err
	}
	defer func() {
		if err != nil { // those of the batch itself go with it
			w.waiting = false
		}
	}()
	if err := w.reject(ctx, batch); err != nil {
		return next, nil, err
	}
	stored = w.stored
	if w.waiting {
		if stored, _, err = w.job.Stored(ctx, true); err != nil {
			return next, nil, err
		}
		w.waiting = false
	}
	w.mark(batch)
	next = w.after(batch)
	next.Confirmed = next.checkpoint(w.version, w.last, w.place, w.named(stored))
	return next, stored, w.ledger.Record(ctx, next.Confirmed)
}

// confirm moves the checkpoint behind the batch that was written, unless rejected rows still wait to be
// stored.
func (w *writer) confirm(ctx context.Context, next Snapshot) error {
	if w.waiting {
		stored, all, err := w.job.Stored(ctx, false)
		if err != nil || !all {
			return err
		}
		w.stored, w.waiting = stored, false
	}
	at := next.checkpoint(w.version, w.last, w.place, w.named(w.stored))
	if file, ok := w.to.(connector.Appended); ok {
		at.Length = file.Length()
	}
	w.meter.confirm(at)
	return nil
}

// begun puts into the first checkpoint, which is of no row yet, that rows may be written now, and where.
func (w *writer) begun() {
	at := w.meter.Snapshot().Confirmed
	if w.ledger != nil || at.Row > 0 || at.Writing {
		return
	}
	if file, ok := w.to.(connector.Appended); ok {
		at.Length = file.Length()
	}
	at.Writing = true
	w.meter.confirm(at)
}

// storeRest stores the rejected rows that still wait when the run has come to an end of its own.
func (w *writer) storeRest(ctx context.Context) error {
	if !w.waiting {
		return nil
	}
	if err := w.storeWaiting(ctx); err != nil {
		return err
	}
	now := w.meter.Snapshot()
	if w.ledger == nil {
		return w.confirm(ctx, now)
	}
	now.Confirmed.Rejected = w.named(w.stored)
	w.meter.confirm(now.Confirmed)
	return nil
}

func (w *writer) storeWaiting(ctx context.Context) (err error) {
	if w.waiting {
		if w.stored, _, err = w.job.Stored(ctx, true); err == nil {
			w.waiting = false
		}
	}
	return err
}

// named are the rejected rows of all attempts so far, with those of this one.
func (w *writer) named(stored run.RejectedSet) run.RejectedSet {
	return slices.Concat(w.earlier, stored)
}

// after is what the meter shows once the batch is written.
func (w *writer) after(batch *row.Batch) Snapshot {
	next := w.meter.after(batch)
	next.Highest = w.highest.reached(batch)
	return next
}

// mark takes note of the last row of the batch that the run reached.
func (w *writer) mark(batch *row.Batch) {
	if reached := batch.Reached(); len(reached) > 0 && w.marks {
		record := reached[len(reached)-1].Record
		w.last, w.place = markOf(record), ""
		if cells, ok := record.(row.Cells); ok && w.placed != nil {
			w.place = w.placed.Place(cells)
		}
	}
}

// reject hands on the rows of the batch that failed.
func (w *writer) reject(ctx context.Context, batch *row.Batch) error {
	if w.job.Reject == nil {
		return nil
	}
	for _, r := range batch.Reached() {
		if r.Outcome != row.Failed {
			continue
		}
		w.waiting = w.job.Stored != nil
		err := w.job.Reject(ctx, w.columns, run.RejectedRow{
			Row: r.Number, Column: r.Fault.Column, Reason: r.Fault.Reason(), Cells: w.cells(r.Record),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// cells are those of a failed row that are kept.
func (w *writer) cells(record row.Record) []string {
	all := record.Texts()
	cells := make([]string, len(w.kept))
	for i, at := range w.kept {
		if at < len(all) { // of a row that could not be read there may be less
			cells[i] = all[at]
		}
	}
	return cells
}

// verdict counts the batch's failed rows, and says why they end the run, if they do.
func (w *writer) verdict(batch *row.Batch) (end error) {
	for _, r := range batch.Reached() {
		if r.Outcome != row.Failed {
			continue
		}
		w.failed++
		switch {
		case end != nil: // a service that is sent many rows at once refuses more than the one
		case w.job.Task.OnRowError == task.StopOnRowError:
			end = stoppedAt(r.Number, r.Fault)
		case w.failed > w.job.Task.MaxRowErrors:
			end = run.Failf("more failed rows than max_row_errors allows (%d); the last is row %d: %v", w.job.Task.MaxRowErrors, r.Number, r.Fault)
		}
	}
	return end
}

// endedBefore is the verdict of an earlier attempt that had no time to tell it.
func (w *writer) endedBefore() error {
	first := w.meter.Snapshot().Errors
	switch {
	case w.job.Task.OnRowError == task.StopOnRowError && len(first) > 0:
		return stoppedAt(first[0].Row, row.Faultf(first[0].Column, "%s", first[0].Message))
	case w.failed > w.job.Task.MaxRowErrors:
		return run.Failf("more failed rows than max_row_errors allows (%d)", w.job.Task.MaxRowErrors)
	}
	return nil
}

func stoppedAt(number int64, fault *row.Fault) error {
	return run.Failf("stopped at row %d, as on_row_error asks: %v", number, fault)
}

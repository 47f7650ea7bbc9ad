// Package pipeline executes a task: it reads rows from the source, maps them, and writes them to
// the destination in batches, while reading goes on beside the writing. It holds a few batches in
// memory, however many rows there are.
package pipeline

import (
	"context"
	"sync"

	"runhook/services/runner/connection"
	"runhook/services/runner/row"
	"runhook/services/runner/subject"
	"runhook/shared/run"
	"runhook/shared/task"
)

// Job is what one attempt at a run executes.
type Job struct {
	Task        *task.Definition
	Parameters  task.Values
	Connections *connection.Set
	// DryRun: everything is done but the writing. The destination is checked, and what it says of
	// each row counts, as far as it can be told without writing.
	DryRun bool
	// BeforeWrite, when set, is called before each batch is committed, or its bytes are written to a
	// file, with the number of the last source row that the batch reaches. An error from it stops
	// the attempt, nothing of that batch is written, and Run returns the error.
	BeforeWrite func(ctx context.Context, row int64) error
	// Reject, when set, is given each row that fails, whole, in the order of the source, with the
	// source's columns. An error from it stops the attempt, and Run returns the error.
	Reject func(ctx context.Context, columns []string, rejected run.RejectedRow) error
	// Run names the run to services and streams that drop what they are sent again: the same for
	// every attempt at the run, and for no other.
	Run string
	// Publish is what a nats destination publishes with.
	Publish subject.Publish
}

// Run executes the job and counts in m, whose zero value is expected, as it goes. It returns nil for
// success; an error that is a [*run.Failure] when the run failed, for good and with the reason for
// its status document; ctx's error when ctx ended; or BeforeWrite's. Whatever it returns, the counts
// are those of what is in the destination, and no goroutine is left.
func Run(ctx context.Context, job Job, m *Meter) (err error) {
	// Deferred first, to come last: it also gets what the other deferred calls do.
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = ctx.Err()
		}
		err = sentence(err)
	}()
	defer catchPanic(&err)

	m.say("Opening the source")
	from, err := openSource(ctx, job)
	if err != nil {
		return err
	}
	defer from.Close()
	rows, err := compile(job, from.Columns())
	if err != nil {
		return err
	}
	if lines, ok := from.(recorder); ok {
		lines.Use(rows.scope.Used())
	}

	m.say("Opening the destination")
	to, err := openDestination(ctx, job, rows)
	if err != nil {
		return err
	}
	return transfer(ctx, job, m, from, rows, to)
}

// transfer moves all rows, and closes the destination.
func transfer(ctx context.Context, job Job, m *Meter, from source, rows *mapper, to destination) (err error) {
	defer func() {
		if kept := to.Close(); !kept && err != nil {
			m.withdraw()
		}
	}()
	defer catchPanic(&err)

	ctx, stop := context.WithCancel(ctx)
	r := newReader(job, from, rows, m)
	// From here on the source is the reader's alone.
	w := &writer{job: job, meter: m, to: to, columns: from.Columns().Names}
	var reading sync.WaitGroup
	var readErr error
	reading.Go(func() {
		defer close(r.read)
		defer catchPanic(&readErr)
		readErr = r.run(ctx)
	})
	// Also on the way out of a panic: the reader uses what Run closes.
	defer reading.Wait()
	defer stop()

	m.say("Writing to " + destinationName(job.Task))
	for batch := range r.read {
		if err := w.write(ctx, batch); err != nil {
			return err
		}
		r.recycle(batch)
	}
	reading.Wait()
	if readErr != nil {
		return readErr
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := to.Finish(ctx); err != nil {
		return err
	}
	m.finish()
	return nil
}

// writer writes the batches and decides what failed rows do to the run.
type writer struct {
	job    Job
	meter  *Meter
	to     destination
	failed int
	// columns are the source's.
	columns []string
}

func (w *writer) write(ctx context.Context, batch *row.Batch) error {
	stop := w.job.Task.OnRowError == task.StopOnRowError
	if !stop {
		batch.Limit = max(0, w.job.Task.MaxRowErrors-w.failed)
	} else {
		batch.Limit = 0
	}
	if batch.Writable() {
		before := func(row int64) error { return nil }
		if w.job.BeforeWrite != nil {
			before = func(row int64) error { return w.job.BeforeWrite(ctx, row) }
		}
		if err := w.to.Write(ctx, batch, before); err != nil {
			return err
		}
	} else {
		for range batch.Pending() {
		}
	}
	w.meter.add(batch)
	var end error
	for _, r := range batch.Reached() {
		if r.Outcome != row.Failed {
			continue
		}
		w.failed++
		if err := w.reject(ctx, r); err != nil {
			return err
		}
		switch {
		case end != nil: // a service that is sent many rows at once refuses more than the one
		case stop:
			end = row.Failf("stopped at row %d, as on_row_error asks: %v", r.Number, r.Fault)
		case w.failed > w.job.Task.MaxRowErrors:
			end = row.Failf("more than %d rows failed, the limit that max_row_errors sets; the last at row %d: %v", w.job.Task.MaxRowErrors, r.Number, r.Fault)
		}
	}
	return end
}

// reject hands on a row that failed.
func (w *writer) reject(ctx context.Context, r row.Row) error {
	if w.job.Reject == nil {
		return nil
	}
	return w.job.Reject(ctx, w.columns, run.RejectedRow{
		Row: r.Number, Column: r.Fault.Column, Reason: r.Fault.Reason(), Cells: r.Record.Texts(),
	})
}

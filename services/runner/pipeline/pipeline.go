// Package pipeline executes a task: it reads rows from the source, maps them, and writes them to
// the destination in batches, while reading goes on beside the writing. It holds a few batches in
// memory, however many rows there are.
package pipeline

import (
	"context"
	"errors"
	"strconv"
	"time"

	"runhook/services/runner/connector"
	"runhook/shared/run"
	"runhook/shared/task"
)

// Job is what one attempt at a run executes.
type Job struct {
	connector.Job
	// Kinds are those that the task's source and destination are looked up in.
	Kinds connector.Kinds
	// BeforeWrite, when set, is called before each batch is committed, or its bytes are written to a
	// file, with the number of the last source row that the batch reaches. An error from it stops
	// the attempt, nothing of that batch is written, and Run returns the error.
	BeforeWrite func(ctx context.Context, row int64) error
	// Reject, when set, is given each row that fails, in the order of the source: the source's columns of
	// which the task keeps failed rows, and the row's cells of these. An error from it stops the attempt, and Run returns the error.
	Reject func(ctx context.Context, columns []string, rejected run.RejectedRow) error
	// Stored, when set, returns the chunks in which the rows given to Reject are stored. now: those that
	// wait are stored first; otherwise all is false while any waits for more.
	Stored func(ctx context.Context, now bool) (set run.RejectedSet, all bool, err error)
	// Confirm, when set, says whether the run is still this attempt's. It is called once the Fence stands,
	// before the first row, or else before Finish.
	Confirm func(ctx context.Context) error
	// over: the run starts over, whatever earlier attempts have left.
	over bool
}

// storeTime bounds how long a run that is ended by its context may still store the rows that it rejected.
const storeTime = 10 * time.Second

// endsRun reports whether a context's cause is how the run ends, whose rows were ours until then: it is canceled, or
// its time is over.
func endsRun(cause error) bool {
	_, failed := errors.AsType[*run.Failure](cause)
	_, canceled := errors.AsType[*run.Cancel](cause)
	return failed || canceled
}

// outlast returns a context that lasts a while longer than ctx, until done, if ctx ends with the run.
func outlast(ctx context.Context) (lasting context.Context, done func()) {
	lasting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if endsRun(context.Cause(ctx)) {
			time.AfterFunc(storeTime, cancel)
			return
		}
		cancel()
	})
	return lasting, func() { stop(); cancel() }
}

// Run executes the job, from where m is, and counts in m as it goes. It returns nil for success; an error
// that is a [*run.Failure] when the run failed, for good and with the reason for its status document;
// ctx's error when ctx ended, where a [*run.Failure] or [*run.Cancel] as its cause says that this is how the run ends;
// [connector.ErrLost] when a later attempt has taken the destination over; or
// BeforeWrite's or Confirm's. Whatever it returns, the counts are those of what is in the destination,
// and no goroutine is left.
func Run(ctx context.Context, job Job, m *Meter) (err error) {
	// Deferred first, to come last: it also gets what the other deferred calls do.
	defer func() { err = told(ctx, err) }()
	if err = execute(ctx, job, m); errors.Is(err, errMoved) {
		m.restart()
		job.over = true
		err = execute(ctx, job, m)
	}
	return err
}

// execute is one way through the source.
func execute(ctx context.Context, job Job, m *Meter) (err error) {
	defer catchPanic(&err)

	// Source and destination are often in the same folder.
	var release func()
	job.Connections, release = job.Connections.Keep()
	defer release()
	for _, name := range job.Task.Connections() {
		if err := job.Connections.Proceed(ctx, name); err != nil {
			return err
		}
	}
	m.say("Opening the source")
	job.Total = m.total
	from, err := openSource(ctx, job.Kinds, job.Job)
	if err != nil {
		return err
	}
	defer from.Close()
	rows, err := compile(job.Job, from)
	if err != nil {
		return err
	}
	if err := rows.check(ctx); err != nil {
		return err
	}
	if _, err := newHighest(job, from, ""); err != nil { // before a destination changes anything
		return err
	}
	m.say("Opening the destination")
	kind, err := job.Kinds.Destination(job.Task.Destination)
	if err != nil {
		return err
	}
	limits := &bounds{job: job, meter: m}
	job.Allow = limits.allow
	if limits.to, err = kind.Open(ctx, job.Job, rows.target(from)); err != nil {
		return err
	}
	return transfer(ctx, job, m, from, rows, limits)
}

// proceed returns when an end of the task, its source or its destination, may be used.
func proceed(ctx context.Context, job Job, end any) error {
	if connected, ok := end.(task.Connected); ok {
		return job.Connections.Proceed(ctx, connected.Uses())
	}
	return nil
}

// openSource opens the job's source, of whatever kind.
func openSource(ctx context.Context, kinds connector.Kinds, job connector.Job) (connector.Source, error) {
	kind, err := kinds.Source(job.Task.Source)
	if err != nil {
		return nil, err
	}
	return kind.Open(ctx, job)
}

// transfer moves all rows, and closes the destination.
func transfer(ctx context.Context, job Job, m *Meter, from connector.Source, rows *mapper, limits *bounds) (err error) {
	to := limits.to
	defer func() {
		if kept := to.Close(); !kept && err != nil {
			m.withdraw()
		}
	}()
	defer catchPanic(&err)

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	version := ""
	if job.Task.Continues() && !job.DryRun {
		if version, err = from.Version(); err != nil {
			return err
		}
	}
	begin, err := beginning(ctx, job, m, to)
	if err != nil {
		return err
	}
	if err := limits.begin(ctx, begin.Row == 0 && !begin.Writing); err != nil {
		return err
	}
	r := newReader(ctx, job, from, to, rows, m)
	defer r.stop()
	w := newWriter(job, m, limits, from.Columns().Names, rows.scope.Used(), version, begin)
	w.placed, _ = from.(connector.Placed)
	if w.highest, err = newHighest(job, from, begin.Highest); err != nil {
		return err
	}
	if begin.Row > 0 {
		m.say("Going on behind row " + strconv.FormatInt(begin.Row, 10))
		if err := r.continueAt(job, begin, version); err != nil {
			return err
		}
	}
	err = w.writeAll(ctx, r)
	warnings := append(w.keys.add(r), connector.Warnings(to)...)
	if err == nil {
		warnings = limits.warn(warnings)
	}
	m.warn(warnings)
	_, failed := errors.AsType[*run.Failure](err)
	storing, done := outlast(ctx)
	defer done()
	failed = failed || endsRun(context.Cause(ctx))
	if err == nil || failed {
		if storeErr := w.storeRest(storing); storeErr != nil {
			return storeErr
		}
	}
	if err == nil {
		m.finish()
	}
	return err
}

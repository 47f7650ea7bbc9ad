package pipeline

import (
	"context"
	"fmt"

	"runhook/services/runner/connector"
	"runhook/services/runner/row"
	"runhook/shared/run"
	"runhook/shared/task"
)

// bounds hold a run to what its task expects of it. They ask the meter what earlier batches and attempts did.
type bounds struct {
	job   Job
	meter *Meter
	to    connector.Destination
	// size is how many rows the destination had before the run, if a bound is a part of them.
	size int64
}

// begin asks the destination how many rows it has. Before the first row of a run it also reads as much of the
// source as it takes to see that there are enough rows, unless nothing lasts that a run writes before its end.
func (b *bounds) begin(ctx context.Context, fresh bool) error {
	expect, keeps := b.job.Task.Expect, b.job.Task.Destination.Traits().Continues
	if b.needsSize() {
		sized, ok := b.to.(connector.Sized)
		if !ok {
			return run.Failf("expect: how many rows %s has is not known; give a number of rows instead of a percentage", b.job.Task.Destination.Place())
		}
		size, err := sized.Size(ctx)
		if err != nil {
			return err
		}
		counts := b.meter.Snapshot().Counts
		b.size = size + counts.Deleted - counts.Inserted
	}
	if expect.MinRows == 0 || !fresh || !keeps {
		return nil
	}
	b.meter.say(fmt.Sprintf("Looking whether the source has %d rows", expect.MinRows))
	ready := int64(0)
	ended, _, err := browse(ctx, b.job.Kinds, b.job.Job, func(r *row.Row) bool {
		if r.Outcome == row.Ready {
			ready++
		}
		return ready < expect.MinRows
	})
	if ended && ready < expect.MinRows {
		return b.tooFew(ready)
	}
	return err
}

func (b *bounds) needsSize() bool {
	expect := b.job.Task.Expect
	for _, bound := range []*task.Bound{expect.MaxDelete, expect.MaxChange} {
		if bound != nil && bound.Percent > 0 {
			return true
		}
	}
	return expect.MaxDelete != nil && b.replaces()
}

// replaces reports whether the run puts a whole in the place of what the destination has.
func (b *bounds) replaces() bool { return !b.job.Task.Destination.Traits().Continues }

func (b *bounds) tooFew(ready int64) error {
	return run.Failf("the source has %d rows to write, and expect.min_rows wants %d; nothing was written", ready, b.job.Task.Expect.MinRows)
}

// allow says why a row may not be updated or deleted now; see connector.Job.
func (b *bounds) allow(what row.Outcome) error {
	switch what {
	case row.Deleted:
		return b.within(1, 0)
	case row.Updated:
		return b.within(0, 1)
	}
	return nil
}

// batch says why the batch, whose rows have their outcomes, goes beyond the bounds.
func (b *bounds) batch(batch *row.Batch) error {
	if b.job.Task.Expect.MaxDelete == nil && b.job.Task.Expect.MaxChange == nil {
		return nil
	}
	var deleted, updated int64
	for _, r := range batch.Reached() {
		switch r.Outcome {
		case row.Deleted:
			deleted++
		case row.Updated:
			updated++
		}
	}
	return b.within(deleted, updated)
}

// within is nil if so many more rows may be deleted and updated.
func (b *bounds) within(deleted, updated int64) error {
	expect, counts := b.job.Task.Expect, b.meter.Snapshot().Counts
	if bound := expect.MaxDelete; bound != nil && deleted > 0 && counts.Deleted+deleted > bound.Of(b.size) {
		return run.Failf("stopped by expect.max_delete: the run would delete more than %s; %d were deleted before", b.most(*bound), counts.Deleted)
	}
	if bound := expect.MaxChange; bound != nil && updated > 0 && counts.Updated+updated > bound.Of(b.size) {
		return run.Failf("stopped by expect.max_change: the run would update more than %s; %d were updated before", b.most(*bound), counts.Updated)
	}
	return nil
}

// most says what a bound allows.
func (b *bounds) most(bound task.Bound) string {
	if bound.Percent == 0 {
		return fmt.Sprintf("%d rows", bound.Rows)
	}
	return fmt.Sprintf("%d rows, %v of the %d that %s had", bound.Of(b.size), bound, b.size, b.job.Task.Destination.Place())
}

// end says why a run whose rows have all been dealt with must not succeed: because none was taken, or
// because what it would put in the place of what is there is too little.
func (b *bounds) end() error {
	expect, now := b.job.Task.Expect, b.meter.Snapshot()
	counts := now.Counts
	switch bound := expect.MaxDelete; {
	case counts.Failed > 0 && counts.Processed() == 0:
		skipped := ""
		if counts.Skipped > 0 {
			skipped = fmt.Sprintf(", %d were skipped", counts.Skipped)
		}
		return run.Failf("no row was written: %d failed%s; the first, row %d: %v", counts.Failed, skipped, now.Errors[0].Row,
			row.Faultf(now.Errors[0].Column, "%s", now.Errors[0].Message))
	case !b.replaces():
		return nil
	case counts.Processed() < expect.MinRows:
		return b.tooFew(counts.Processed())
	case bound != nil && b.size-counts.Processed() > bound.Of(b.size):
		return run.Failf("stopped by expect.max_delete, which allows %v: %s has %d rows, and would have %d; nothing was written",
			bound, b.job.Task.Destination.Place(), b.size, counts.Processed())
	}
	return nil
}

// warn adds that the run has left the destination without rows, because where kept none.
func (b *bounds) warn(said []string) []string {
	counts := b.meter.Snapshot().Counts
	if !b.replaces() || b.job.Task.Where == "" || counts.Retrieved == 0 || counts.Processed() > 0 {
		return said
	}
	has := "has none now"
	if b.job.DryRun {
		has = "would have none"
	}
	return append(said, fmt.Sprintf("No row was kept of the %d that the source has (where), so that %s %s; with expect: {min_rows: 1} the run fails and leaves it as it was", counts.Retrieved, b.job.Task.Destination.Place(), has))
}

package runner

import (
	"context"
	"errors"
	"slices"
	"time"

	"runhook/services/runner/pipeline"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/wait"
)

// A chunk of rejected rows is stored when it has this many rows or about this many bytes.
const (
	chunkRows  = 256
	chunkBytes = 1 << 20
)

// storeAfter is how long rejected rows may wait for more, where a checkpoint waits for them.
const storeAfter = checkpointInterval

// rejectedRows gathers the rows that an attempt rejects and stores them in chunks. It belongs to the
// pipeline's goroutine.
type rejectedRows struct {
	attempt *attempt
	chunk   run.RejectedChunk
	bytes   int64
	// until is when they are removed. max is how many bytes of them the run keeps, and kept how many it has, from
	// the first that this attempt rejects on.
	until     time.Time
	max, kept int64
	// set names what is stored, and last is when anything was.
	set  run.RejectedSet
	last time.Time
}

func (a *attempt) rejectedRows(def *task.Definition) *rejectedRows {
	return &rejectedRows{
		attempt: a, chunk: run.RejectedChunk{Delimiter: string(def.Source.Separator())}, last: time.Now(),
		until: a.begun.StartedOn.Add(def.RejectedRows.KeepOf(a.request.DryRun)), max: def.RejectedRows.Max, kept: -1,
	}
}

// stored names the chunks that are stored; see the pipeline's job.
func (r *rejectedRows) stored(ctx context.Context, now bool) (set run.RejectedSet, all bool, err error) {
	if now || time.Since(r.last) >= storeAfter {
		err = r.flush(ctx)
	}
	return r.set, len(r.chunk.Rows) == 0, err
}

// add takes a row, unless the run keeps enough of them, and stores the chunk that it fills.
func (r *rejectedRows) add(ctx context.Context, columns []string, rejected run.RejectedRow) error {
	size := int64(len(rejected.Column) + len(rejected.Reason))
	for _, cell := range rejected.Cells {
		size += int64(len(cell))
	}
	if r.kept < 0 { // an attempt that starts over drops those of attempts before
		_, r.kept = r.attempt.meter.Snapshot().Confirmed.Rejected.Rows()
	}
	if r.kept+size > r.max {
		return nil
	}
	r.chunk.Columns = columns
	r.chunk.Rows = append(r.chunk.Rows, rejected)
	r.bytes += size
	r.kept += size
	if len(r.chunk.Rows) < chunkRows && r.bytes < chunkBytes {
		return nil
	}
	return r.flush(ctx)
}

// notKept is how many of the rows that failed are not kept, 0 if an older version has stored some of them.
func notKept(now pipeline.Snapshot) int64 {
	rejected := now.Confirmed.Rejected
	if slices.ContainsFunc(rejected, func(some run.RejectedChunks) bool { return some.Rows == 0 }) {
		return 0
	}
	kept, _ := rejected.Rows()
	return now.Counts.Failed - kept
}

// flush stores the rows that wait, for as long as it takes while the store is away.
func (r *rejectedRows) flush(ctx context.Context) error {
	if len(r.chunk.Rows) == 0 {
		return nil
	}
	data, err := r.chunk.Encode()
	if err != nil {
		return err
	}
	a := r.attempt
	next := a.chunks + 1
	pause := wait.Backoff{Least: 50 * time.Millisecond, Most: 5 * time.Second}
	for {
		err := a.hold.claim.StoreRejected(ctx, next, data, r.until)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !errors.Is(err, run.ErrUnavailable) {
			a.log.Error().Err(err).Msg("rejected rows cannot be stored")
			return run.Failf("The rows that failed cannot be stored; the runner's log says why. Correct that, and POST again.")
		}
		if pause.First() {
			a.log.Warn().Err(err).Msg("rejected rows cannot be stored now, trying again")
		}
		if !pause.Wait(ctx) {
			return ctx.Err()
		}
	}
	a.chunks = next
	r.set = r.set.With(a.hold.claim.Token, next, int64(len(r.chunk.Rows)), r.bytes)
	clear(r.chunk.Rows)
	r.chunk.Rows, r.bytes, r.last = r.chunk.Rows[:0], 0, time.Now()
	return nil
}

// sweepRejected removes the chunks that count no more, of this attempt and of the one before: those of
// rows that were gone through again, and those that no checkpoint came to name.
func (a *attempt) sweepRejected(ctx context.Context) {
	keep := a.meter.Snapshot().Confirmed.Rejected
	tokens := map[uint64]bool{a.hold.before: true}
	if a.chunks > 0 {
		tokens[a.hold.claim.Token] = true
	}
	for _, some := range a.begun.Checkpoint.Rejected {
		tokens[some.Token] = true
	}
	for token := range tokens {
		if err := a.hold.claim.DropRejected(ctx, token, keep); err != nil {
			a.log.Debug().Err(err).Msg("rejected rows that do not count stay until they expire")
		}
	}
}

package runner

import (
	"cmp"
	"context"
	"errors"
	"time"

	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/task"
)

// A chunk of rejected rows is stored when it has this many rows or about this many bytes.
const (
	chunkRows  = 256
	chunkBytes = 1 << 20
)

// rejectedRows gathers the rows that an attempt rejects and stores them in chunks. The pipeline's
// goroutine adds; what is stored is told to the attempt, whose checkpoint names it.
type rejectedRows struct {
	attempt *attempt
	chunk   run.RejectedChunk
	bytes   int
}

func (a *attempt) rejectedRows(def *task.Definition) *rejectedRows {
	delimiter := ','
	if csv := def.Source.CSV; csv != nil {
		delimiter = cmp.Or(csv.Delimiter, delimiter)
	}
	return &rejectedRows{attempt: a, chunk: run.RejectedChunk{Delimiter: string(delimiter)}}
}

// add takes a row, and stores the chunk that it fills.
func (r *rejectedRows) add(ctx context.Context, columns []string, rejected run.RejectedRow) error {
	r.chunk.Columns = columns
	r.chunk.Rows = append(r.chunk.Rows, rejected)
	for _, cell := range rejected.Cells {
		r.bytes += len(cell)
	}
	r.bytes += len(rejected.Reason)
	if len(r.chunk.Rows) < chunkRows && r.bytes < chunkBytes {
		return nil
	}
	return r.flush(ctx)
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
	next := a.stored().Chunks + 1
	pause := newBackoff(50*time.Millisecond, 5*time.Second)
	for {
		err := a.claim.StoreRejected(ctx, next, data)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !errors.Is(err, bus.ErrUnavailable) {
			a.log.Error().Err(err).Msg("rejected rows cannot be stored")
			return &run.Failure{Message: "The rows that failed cannot be stored; the runner's log says why. Correct that, and POST again."}
		}
		if pause.first() {
			a.log.Warn().Err(err).Msg("rejected rows cannot be stored now, trying again")
		}
		if !pause.wait(ctx) {
			return ctx.Err()
		}
	}
	a.writing.Lock()
	a.rejected = run.RejectedSet{Token: a.claim.Token, Chunks: next}
	a.writing.Unlock()
	clear(r.chunk.Rows)
	r.chunk.Rows, r.bytes = r.chunk.Rows[:0], 0
	return nil
}

// stored names the chunks of this attempt that are stored.
func (a *attempt) stored() run.RejectedSet {
	a.writing.Lock()
	defer a.writing.Unlock()
	return a.rejected
}

// dropEarlier removes what the attempt before this one stored: the run starts over.
func (a *attempt) dropEarlier(ctx context.Context) {
	if err := a.claim.DropRejected(ctx, a.earlier); err != nil {
		a.log.Debug().Err(err).Msg("rejected rows of an earlier attempt stay until they expire")
	}
}

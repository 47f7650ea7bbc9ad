package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/run"
	"runhook/shared/task"
)

// StoreRejected stores a chunk, counted from 1, of the rows that this claim's holder rejected. It
// means nothing until a checkpoint or the final document names it. To store a chunk again replaces
// it. ErrUnavailable means that it could not be stored now; any other error will not pass by itself.
func (c *Claim) StoreRejected(ctx context.Context, chunk int, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	_, err := c.bus.rows.PutBytes(ctx, rejectedName(c.task, c.number, c.Token, chunk), data)
	if err != nil {
		return fmt.Errorf("store the rejected rows of run %s: %w", c.number, explain(err))
	}
	return nil
}

// DropRejected removes the chunks of an attempt that counts no more, those that were stored and not
// yet named too. What an error leaves behind is ignored, and expires.
func (c *Claim) DropRejected(ctx context.Context, of run.RejectedSet) error {
	for chunk := 1; of.Token != 0; chunk++ {
		limited, cancel := context.WithTimeout(ctx, writeTimeout)
		err := c.bus.rows.Delete(limited, rejectedName(c.task, c.number, of.Token, chunk))
		cancel()
		if errors.Is(err, jetstream.ErrObjectNotFound) && chunk > of.Chunks {
			return nil
		}
		if err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
			return fmt.Errorf("remove the rejected rows of an earlier attempt at run %s: %w", c.number, explain(err))
		}
	}
	return nil
}

// RejectedRows is the rejected rows of a run that has ended.
type RejectedRows struct {
	bus    *Bus
	task   task.ID
	number run.Number
	set    run.RejectedSet
}

// RejectedRows finds the rejected rows of a run. It returns ErrNotEnded, or the errors of Lookup.
func (b *Bus) RejectedRows(ctx context.Context, id task.ID, n run.Number) (*RejectedRows, error) {
	status, err := b.Lookup(ctx, id, n)
	if err != nil {
		return nil, err
	}
	if !status.Final {
		return nil, ErrNotEnded
	}
	final, err := b.confirmLast(ctx, b.finals, runsBucket, finalSubject(id, n))
	if errors.Is(err, errMissing) {
		return nil, ErrRunGone
	}
	if err != nil {
		return nil, err
	}
	set, err := parseRejected(final.header.Get(headerRejected))
	if err != nil {
		return nil, fmt.Errorf("read which rows run %s rejected: %w", n, err)
	}
	return &RejectedRows{bus: b, task: id, number: n, set: set}, nil
}

// Chunks is how many there are; 0 when no row was rejected.
func (r *RejectedRows) Chunks() int { return r.set.Chunks }

// Chunk reads a chunk, counted from 1. ErrUnavailable means that it cannot be read now.
func (r *RejectedRows) Chunk(ctx context.Context, chunk int) (run.RejectedChunk, error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	data, err := r.bus.rows.GetBytes(ctx, rejectedName(r.task, r.number, r.set.Token, chunk))
	if err != nil {
		// It outlives the document that names it, so a replica that does not have it lags.
		return run.RejectedChunk{}, fmt.Errorf("%w: read the rejected rows of run %s: %w", ErrUnavailable, r.number, err)
	}
	return run.DecodeRejectedChunk(data)
}

func formatRejected(set run.RejectedSet) string { return fmt.Sprintf("%d %d", set.Token, set.Chunks) }

func parseRejected(text string) (set run.RejectedSet, err error) {
	if text == "" {
		return set, nil
	}
	_, err = fmt.Sscanf(text, "%d %d", &set.Token, &set.Chunks)
	return set, err
}

package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/task"
)

// StoreRejected stores a chunk, counted from 1, of the rows that this claim's holder rejected, until a
// moment. It means nothing until a checkpoint or the final document names it. To store a chunk again
// replaces it. run.ErrUnavailable means that it could not be stored now; any other error will not pass by itself.
func (c *Claim) StoreRejected(ctx context.Context, chunk int, data []byte, until time.Time) error {
	if err := c.store.Writable(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, jet.WriteTimeout)
	defer cancel()
	name := jet.RejectedName(c.task, c.number, c.Token, chunk)
	if err := c.store.PutRows(ctx, name, data, until); err != nil {
		return fmt.Errorf("store the rejected rows of run %s: %w", c.number, jet.Explain(err))
	}
	return nil
}

// DropRejected removes the chunks that one attempt at the run, with that token, stored and keep does not
// name, those too that no checkpoint came to name. What an error leaves behind is ignored, and expires.
func (c *Claim) DropRejected(ctx context.Context, token uint64, keep run.RejectedSet) error {
	named, last := map[int]bool{}, 0
	for _, some := range keep {
		for chunk := some.From; some.Token == token && chunk <= some.To; chunk++ {
			named[chunk] = true
			last = max(last, chunk)
		}
	}
	for chunk := 1; token != 0; chunk++ {
		if named[chunk] {
			continue
		}
		limited, cancel := context.WithTimeout(ctx, jet.WriteTimeout)
		err := c.store.Rows.Delete(limited, jet.RejectedName(c.task, c.number, token, chunk))
		cancel()
		if errors.Is(err, jetstream.ErrObjectNotFound) && chunk > last {
			return nil
		}
		if err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
			return fmt.Errorf("remove rejected rows of run %s that do not count: %w", c.number, jet.Explain(err))
		}
	}
	return nil
}

// RejectedRows is the rejected rows of a run that has ended.
type RejectedRows struct {
	store  *jet.Store
	task   task.ID
	number run.Number
	set    run.RejectedSet
}

// RejectedRows finds the rejected rows of a run. It returns run.ErrNotEnded, run.ErrRowsGone, or the errors of
// Lookup.
func (r *Runs) RejectedRows(ctx context.Context, id task.ID, n run.Number) (*RejectedRows, error) {
	status, err := r.Lookup(ctx, id, n)
	if err != nil {
		return nil, err
	}
	if !status.Final {
		return nil, run.ErrNotEnded
	}
	results, err := r.store.ResultsOf(ctx, n)
	if err != nil {
		return nil, err
	}
	final, err := results.ConfirmFinal(ctx, id, n)
	if errors.Is(err, jet.ErrMissing) {
		return nil, run.ErrRunGone
	}
	if err != nil {
		return nil, err
	}
	set, err := parseRejected(final.Header.Get(jet.HeaderRejected))
	if err != nil {
		return nil, fmt.Errorf("read which rows run %s rejected: %w", n, err)
	}
	if len(set) > 0 {
		if err := r.keepsRows(ctx, status.Document); err != nil {
			return nil, err
		}
	}
	return &RejectedRows{store: r.store, task: id, number: n, set: set}, nil
}

// keepsRows returns run.ErrRowsGone if the rejected rows of an ended run are past the time that its task had for
// them.
func (r *Runs) keepsRows(ctx context.Context, doc run.Document) error {
	request, err := r.Request(ctx, doc.ExecuteID, doc.ImportID)
	if err != nil {
		return err
	}
	def, err := r.Definition(ctx, doc.ExecuteID, request.Definition)
	if err != nil {
		return err
	}
	if doc.StartedOn != nil && time.Since(time.Time(*doc.StartedOn)) > def.RejectedRows.KeepOf(request.DryRun) {
		return run.ErrRowsGone
	}
	return nil
}

// Chunks is how many there are; 0 when no row was rejected.
func (r *RejectedRows) Chunks() int { return r.set.Chunks() }

// Chunk reads a chunk, counted from 1. run.ErrUnavailable means that it cannot be read now, any other error
// that it is lost.
func (r *RejectedRows) Chunk(ctx context.Context, chunk int) (run.RejectedChunk, error) {
	token, number, ok := r.set.Chunk(chunk)
	if !ok {
		return run.RejectedChunk{}, fmt.Errorf("run %s has no chunk %d of rejected rows", r.number, chunk)
	}
	ctx, cancel := context.WithTimeout(ctx, jet.WriteTimeout)
	defer cancel()
	name := jet.RejectedName(r.task, r.number, token, number)
	data, err := r.store.Rows.GetBytes(ctx, name)
	var read run.RejectedChunk
	switch {
	case err == nil:
		read, err = run.DecodeRejectedChunk(data)
	case !errors.Is(err, jetstream.ErrBadObjectMeta) && !errors.Is(err, jetstream.ErrDigestMismatch) && !errors.Is(err, jetstream.ErrInvalidDigestFormat):
		// It outlives the document that names it, so a replica that does not have it lags.
		return read, fmt.Errorf("%w: read the rejected rows of run %s: %w", run.ErrUnavailable, r.number, err)
	}
	if err != nil {
		r.store.PassOverRows(ctx, name, err)
		return read, fmt.Errorf("another program has overwritten rejected rows of run %s: %w", r.number, err)
	}
	return read, nil
}

// formatRejected writes a set as token, first and last chunk, and so on.
func formatRejected(set run.RejectedSet) string {
	var words []string
	for _, some := range set {
		words = append(words, fmt.Sprintf("%d %d %d", some.Token, some.From, some.To))
	}
	return strings.Join(words, " ")
}

func parseRejected(text string) (set run.RejectedSet, err error) {
	for rest := strings.NewReader(text); rest.Len() > 0; {
		var some run.RejectedChunks
		if _, err := fmt.Fscan(rest, &some.Token, &some.From, &some.To); err != nil {
			return nil, err
		}
		set = append(set, some)
	}
	return set, set.Check()
}

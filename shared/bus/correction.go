package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/task"
)

// StoreCorrection stores a chunk, counted from 1, of corrected rows of a task's run, until a moment. They mean nothing
// until a request names them. To store a chunk again replaces it. run.ErrUnavailable means that it could not be stored
// now.
func (r *Runs) StoreCorrection(ctx context.Context, id task.ID, c run.Correction, chunk int, data []byte, until time.Time) error {
	if err := r.store.Writable(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, jet.WriteTimeout)
	defer cancel()
	if err := r.store.PutRows(ctx, jet.CorrectionName(id, c, chunk), data, until); err != nil {
		return fmt.Errorf("store corrected rows of run %s: %w", c.Of, jet.Explain(err))
	}
	return nil
}

// Corrected reads a chunk, counted from 1, of the corrected rows that a run reads. run.ErrRowsGone means that they are
// not there any more, and run.ErrUnavailable that they cannot be read now; any other error is that another program has
// overwritten them.
func (w *Work) Corrected(ctx context.Context, id task.ID, c run.Correction, chunk int) (read run.RejectedChunk, err error) {
	ctx, cancel := context.WithTimeout(ctx, jet.WriteTimeout)
	defer cancel()
	name := jet.CorrectionName(id, c, chunk)
	data, err := w.store.Rows.GetBytes(ctx, name)
	switch {
	case err == nil:
		read, err = run.DecodeRejectedChunk(data)
	case errors.Is(err, jetstream.ErrObjectNotFound):
		return read, run.ErrRowsGone
	case !errors.Is(err, jetstream.ErrBadObjectMeta) && !errors.Is(err, jetstream.ErrDigestMismatch) && !errors.Is(err, jetstream.ErrInvalidDigestFormat):
		return read, fmt.Errorf("%w: read the corrected rows of run %s: %w", run.ErrUnavailable, c.Of, err)
	}
	if err != nil {
		w.store.PassOverRows(ctx, name, err)
		return read, fmt.Errorf("another program has overwritten corrected rows of run %s: %w", c.Of, err)
	}
	return read, nil
}

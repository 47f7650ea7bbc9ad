package bus

import (
	"context"
	"errors"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
)

// What becomes of a run that has a message of another program in its place, which decodes to nothing of
// ours. (What is around it does not see it: every reader passes it over.)

// EndForeign ends a delivery that is no run request, so that it does not stand in the list of runs for
// ever. doc is its final document. ErrClaimed means that it has ended.
func (w *Work) EndForeign(ctx context.Context, d *Delivery, doc run.Document) error {
	return w.endDelivered(ctx, d, doc)
}

// Settle writes the final document of a run that has something else in the place of one, so that
// subscribers hear of its end, too. It does nothing to a run that has ended as it should.
func (c claims) Settle(ctx context.Context, request run.Request, n run.Number) error {
	results, err := c.store.ResultsOf(ctx, n)
	var final jet.Record
	if err == nil {
		final, err = results.LeaderLast(ctx, results.FinalSubject(request.Task, n))
	}
	if errors.Is(err, jet.ErrMissing) || errors.Is(err, run.ErrRunGone) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := run.DecodeFinal(final.Data, request.Task, n); err == nil {
		return nil
	}
	err = c.end(ctx, request.Task, n, final.Sequence, run.UnreadableDocument(request, n, final.Time), nil)
	if errors.Is(err, ErrClaimed) { // somebody else was faster
		return nil
	}
	return err
}

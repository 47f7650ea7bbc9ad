package bus

import (
	"context"
	"errors"
	"time"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/watermark"
)

// Watermarks are how far the tasks that read incrementally have read, see [watermark.Record]. They are safe for
// concurrent use, by any number of processes.
type Watermarks struct{ store *jet.Store }

// Watermarks returns those that runs move.
func (w *Work) Watermarks() *Watermarks { return &Watermarks{w.store} }

// Watermarks returns those that operators set.
func (s *Tasks) Watermarks() *Watermarks { return &Watermarks{s.store} }

// ErrForeignWatermark: another program has overwritten the watermark of a task.
var ErrForeignWatermark = errors.New("the watermark of the task was overwritten by another program; set it with `runhook task since`")

// Watermarked is a watermark as it is stored, settled. Revision is 0 if there is none.
type Watermarked struct {
	watermark.Record
	Revision uint64
	// unsettled: what is stored is not settled yet.
	unsettled bool
}

// Read returns the watermark of a task, as the leader has it. The error is run.ErrUnavailable or ErrForeignWatermark.
func (v *Watermarks) Read(ctx context.Context, id task.ID) (Watermarked, error) {
	stored, err := v.store.Control.LeaderLast(ctx, jet.WatermarkSubject(id))
	if errors.Is(err, jet.ErrMissing) {
		return Watermarked{}, v.store.Control.Vouch(ctx)
	}
	if err != nil {
		return Watermarked{}, err
	}
	record, err := watermark.Decode(stored.Data)
	if err != nil {
		v.store.Control.PassOver(stored, err)
		return Watermarked{Revision: stored.Sequence}, ErrForeignWatermark
	}
	w := Watermarked{Revision: stored.Sequence}
	w.Record, w.unsettled, err = record.Settled(func(p watermark.Pending) (watermark.Fate, error) { return v.fate(ctx, id, p) })
	if err == nil {
		err = v.store.Control.Vouch(ctx)
	}
	return w, err
}

// fate is what became of a run that was about to succeed.
func (v *Watermarks) fate(ctx context.Context, id task.ID, p watermark.Pending) (watermark.Fate, error) {
	results, err := v.store.ResultsOf(ctx, p.Run)
	var final jet.Record
	if err == nil {
		final, err = results.LeaderFinal(ctx, id, p.Run)
	}
	switch {
	case errors.Is(err, run.ErrRunGone):
		return watermark.Passed, nil
	case errors.Is(err, jet.ErrMissing):
		return v.unended(ctx, results, id, p.Run)
	case err != nil:
		return watermark.Open, err
	}
	doc, err := run.DecodeFinal(final.Data, id, p.Run)
	if err == nil && doc.Outcome() == run.Success && final.Header.Get(jet.HeaderHold) == p.Hold {
		return watermark.Succeeded, nil
	}
	return watermark.Passed, nil
}

// unended is the fate of a run without a final document: it was erased, or goes on.
func (v *Watermarks) unended(ctx context.Context, results *jet.Results, id task.ID, n run.Number) (watermark.Fate, error) {
	ended, err := v.store.Ended(ctx, id, n)
	if ended || err != nil {
		return watermark.Passed, err
	}
	if results != nil {
		err = results.Vouch(ctx)
	}
	return watermark.Open, err
}

// Settle stores what is known of a task's pending runs. It may be left undone: whoever reads the watermark knows it too.
func (v *Watermarks) Settle(ctx context.Context, id task.ID) (Watermarked, error) {
	now, err := v.Read(ctx, id)
	if err != nil || !now.unsettled {
		return now, err
	}
	revision, err := v.write(ctx, id, now.Record, now.Revision)
	if errors.Is(err, ErrChanged) {
		return v.Read(ctx, id)
	}
	if err == nil {
		now.Revision, now.unsettled = revision, false
	}
	return now, err
}

// Moving is a run that has seen a value and is about to succeed.
type Moving struct {
	store    *Watermarks
	task     task.ID
	record   watermark.Record
	revision uint64
}

// Move writes, before the final document of a claim, that its run moves the watermark to a value of a column if it
// succeeds; nil if it does not move it, also because an operator has set it since the run began, when it was set that
// often. The run must not succeed before Move has returned without an error. After an error it may be called again.
func (v *Watermarks) Move(ctx context.Context, c *Claim, column, value string, set uint64) (*Moving, error) {
	for {
		now, err := v.Read(ctx, c.task)
		if errors.Is(err, ErrForeignWatermark) || err == nil && !now.Moves(column, value, set) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		next := now.With(watermark.Pending{Run: c.number, Hold: c.mark(), Column: column, Value: value, On: time.Now().UTC()})
		revision, err := v.write(ctx, c.task, next, now.Revision)
		if err == nil {
			return &Moving{v, c.task, next, revision}, nil
		}
		if !errors.Is(err, ErrChanged) {
			return nil, err
		}
	}
}

// Done stores that the run has succeeded, if nothing else has changed the watermark meanwhile; see Settle.
func (m *Moving) Done(ctx context.Context, c *Claim) error {
	next, _, _ := m.record.Settled(func(p watermark.Pending) (watermark.Fate, error) {
		if p.Run == c.number && p.Hold == c.mark() {
			return watermark.Succeeded, nil
		}
		return watermark.Open, nil
	})
	_, err := m.store.write(ctx, m.task, next, m.revision)
	return err
}

// Set sets the watermark of a task by hand, also one that cannot be read: to a value of a column, or to none. was is what
// it was before.
func (v *Watermarks) Set(ctx context.Context, id task.ID, column, value, by string) (was Watermarked, err error) {
	for {
		was, err = v.Read(ctx, id)
		if err != nil && !errors.Is(err, ErrForeignWatermark) {
			return was, err
		}
		now := time.Now().UTC()
		next := was.SetTo(column, value, by, now)
		if err != nil { // how often it was set is not known
			next.Set = uint64(now.UnixNano())
		}
		_, err = v.write(ctx, id, next, was.Revision)
		if !errors.Is(err, ErrChanged) {
			return was, err
		}
	}
}

// write stores a record in the place of the one with a revision, 0 for none. ErrChanged means that there is another one
// by now.
func (v *Watermarks) write(ctx context.Context, id task.ID, record watermark.Record, inPlaceOf uint64) (revision uint64, err error) {
	return writeRecord(ctx, v.store, "the watermark of a task", jet.WatermarkSubject(id), record.Encode, inPlaceOf)
}

package runner

import (
	"context"
	"errors"
	"time"

	"runhook/shared/bus"
	"runhook/shared/run"
)

const (
	// progressInterval is how often the live document is written at most: four times a second.
	progressInterval = 250 * time.Millisecond
	// checkpointInterval is how often a claim is renewed at most because its checkpoint moved.
	checkpointInterval = time.Second
)

// startKeeper has the claim, the lease and the live document of a running attempt kept until stop is
// called, which returns when nothing more is done. Most runs are over before there is anything to keep.
func (a *attempt) startKeeper(ctx context.Context, cancel context.CancelCauseFunc) (stop func()) {
	extended := a.renewedAt()
	stopping, stopped := make(chan struct{}), make(chan struct{})
	first := time.AfterFunc(progressInterval, func() {
		defer close(stopped)
		a.keep(ctx, extended, stopping, cancel)
	})
	return func() {
		if !first.Stop() {
			close(stopping)
			<-stopped
		}
	}
}

// keep keeps the claim, the lease, which was extended at that moment, and the live document, four times a
// second, until stop is closed or ctx ends. It cancels the attempt when the claim is lost, and when it
// could not be renewed for as long as the lease: from then on another runner may rightly take the run.
func (a *attempt) keep(ctx context.Context, extended time.Time, stop <-chan struct{}, cancel context.CancelCauseFunc) {
	ticker := time.NewTicker(progressInterval)
	defer ticker.Stop()
	var shown pipelineState
	for {
		lease := a.Bus.Lease()
		if time.Since(extended) >= lease/3 {
			a.extend()
			extended = time.Now()
		}
		if err := a.renewWhenDue(ctx, lease); errors.Is(err, bus.ErrLost) {
			cancel(errLostClaim)
			return
		}
		if time.Since(a.renewedAt()) >= lease {
			cancel(errOutOfTouch)
			return
		}
		doc := a.document()
		// Whoever is paused right here must not show anything when another has taken the run over.
		if state := stateOf(doc); state != shown && time.Since(a.renewedAt()) < lease/2 {
			err := a.progress.Write(ctx, doc)
			if errors.Is(err, bus.ErrLost) { // somebody else shows progress: is the claim still ours?
				a.due()
			}
			if err == nil {
				shown = state
			}
		}
		select {
		case <-stop:
			return
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// renewWhenDue renews the claim when its checkpoint moved, and at least three times in a lease.
func (a *attempt) renewWhenDue(ctx context.Context, lease time.Duration) error {
	a.writing.Lock()
	defer a.writing.Unlock()
	since := time.Since(a.renewed)
	moved := a.meter.Snapshot().Confirmed.Row != a.state.Checkpoint.Row
	if since < lease/3 && (!moved || since < checkpointInterval) {
		return nil
	}
	return a.renew(ctx, a.state)
}

// renew writes the claim as next with the present checkpoint; the caller holds writing.
func (a *attempt) renew(ctx context.Context, next run.Claim) error {
	began := time.Now()
	next = a.present(next)
	if err := a.claim.Renew(ctx, next); err != nil {
		return err
	}
	a.state, a.renewed = next, began
	return nil
}

// present is a claim's state with the present checkpoint; the caller holds writing.
func (a *attempt) present(state run.Claim) run.Claim {
	now := a.meter.Snapshot()
	state.Token = a.claim.Token
	state.EarlierErrors = a.earlier.EarlierErrors + now.Dropped
	writing := state.Checkpoint.Writing
	state.Checkpoint = now.Confirmed
	state.Checkpoint.Writing = writing || now.Confirmed.Writing
	state.Checkpoint.Percent = max(now.Confirmed.Percent, a.state.Checkpoint.Percent)
	return state
}

// due makes the next tick renew the claim, whatever its age.
func (a *attempt) due() {
	a.writing.Lock()
	defer a.writing.Unlock()
	a.renewed = a.renewed.Add(-a.Bus.Lease() / 3)
}

func (a *attempt) renewedAt() time.Time {
	a.writing.Lock()
	defer a.writing.Unlock()
	return a.renewed
}

// document is the live document of this moment.
func (a *attempt) document() run.Document {
	now := a.meter.Snapshot()
	a.writing.Lock()
	state := a.state
	a.writing.Unlock()
	doc := run.QueuedDocument(a.request, a.number)
	doc.Begin(state.StartedOn, time.Now(), state.Executions)
	doing := now.Message
	if state.Pause != nil {
		doing = state.Pause.Message(state.Tried)
	}
	if doing != "" {
		doc.Message = doing
		if a.request.DryRun {
			doc.Message = "Dry run: " + doing
		}
	}
	doc.SetCounts(now.Counts)
	// No more than the claim has is shown: the live document dies with its server, and the percentage
	// never goes backwards.
	doc.PercentComplete = state.Checkpoint.Percent
	doc.Errors = append(doc.Errors, now.Errors...)
	doc.CurrentErrorCount = now.Counts.Failed
	doc.TotalErrorCount = a.earlier.EarlierErrors + now.Dropped + now.Counts.Failed
	return doc
}

// pipelineState is what of a document is worth a write of the live document.
type pipelineState struct {
	percent float64
	message string
	rows    int64
	failed  int64
}

func stateOf(d run.Document) pipelineState {
	return pipelineState{d.PercentComplete, d.Message, d.RowsRetrieved, d.RowsFailed}
}

func (a *attempt) extend() {
	if err := a.delivered().Extend(); err != nil {
		a.log.Debug().Err(err).Msg("the lease could not be extended now")
	}
}

package runner

import (
	"context"
	"errors"
	"time"

	"runhook/shared/bus"
	"runhook/shared/run"
)

// progressInterval is how often the live document is written at most: four times a second.
const progressInterval = 250 * time.Millisecond

// startKeeper has the hold and the live document of a running attempt kept until stop is called, which
// returns when nothing more is done. Most runs are over before there is anything to keep.
func (a *attempt) startKeeper(ctx context.Context, cancel context.CancelCauseFunc) (stop func()) {
	stopping, stopped := make(chan struct{}), make(chan struct{})
	first := time.AfterFunc(progressInterval, func() {
		defer close(stopped)
		a.keep(ctx, stopping, cancel)
	})
	return func() {
		if !first.Stop() {
			close(stopping)
			<-stopped
		}
	}
}

// keep keeps the hold and the live document, four times a second, until stop is closed or ctx ends. It
// cancels the attempt when the claim is lost, and when it could not be renewed for as long as the lease:
// from then on another runner may rightly take the run.
func (a *attempt) keep(ctx context.Context, stop <-chan struct{}, cancel context.CancelCauseFunc) {
	ticker := time.NewTicker(progressInterval)
	defer ticker.Stop()
	var shown progress
	for {
		if err := a.hold.renew(ctx); errors.Is(err, bus.ErrLost) {
			cancel(errLostClaim)
			return
		}
		if a.hold.age() >= a.hold.lease() {
			cancel(errOutOfTouch)
			return
		}
		doc := a.document()
		// Whoever is paused right here must not show anything when another has taken the run over.
		if now := progressOf(doc); now != shown && a.hold.age() < a.hold.lease()/2 {
			err := a.live.Write(ctx, doc)
			if errors.Is(err, bus.ErrLost) { // somebody else shows progress: is the claim still ours?
				a.hold.doubt()
			}
			if err == nil {
				shown = now
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

// document is the live document of this moment.
func (a *attempt) document() run.Document {
	now, claim := a.meter.Snapshot(), a.hold.last()
	doc := run.QueuedDocument(a.request, a.hold.number)
	doc.Begin(claim.StartedOn, time.Now(), claim.Executions)
	doing := now.Message
	if claim.Pause != nil {
		doing = claim.Pause.Message(claim.Tried)
	}
	if doing != "" {
		doc.Message = doing
		if a.request.DryRun {
			doc.Message = "Dry run: " + doing
		}
	}
	if on, waits := a.waits.now(); waits {
		doc.WaitFor(on)
	} else if claim.Pause != nil {
		doc.WaitFor(claim.Pause.Waiting(claim.Tried))
	}
	doc.SetCounts(now.Counts)
	// No more than the claim has is shown: the live document dies with its server, and the percentage
	// never goes backwards.
	doc.PercentComplete = claim.Checkpoint.Percent
	doc.Errors = append(doc.Errors, now.Errors...)
	doc.CurrentErrorCount = now.Counts.Failed
	doc.TotalErrorCount = now.Dropped + now.Counts.Failed
	doc.CancelRequestedOn = a.hold.canceling.asked()
	return doc
}

// progress is what of a document is worth a write of the live document.
type progress struct {
	percent float64
	message string
	rows    int64
	failed  int64
}

func progressOf(d run.Document) progress {
	return progress{d.PercentComplete, d.Message, d.RowsRetrieved, d.RowsFailed}
}

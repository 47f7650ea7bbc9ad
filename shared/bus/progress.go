package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/run"
	"runhook/shared/task"
)

// Progress is the live document of one run. It stands in memory only: losing it loses nothing.
type Progress struct {
	bus      *Bus
	subject  string
	revision uint64
	opened   bool
}

// Progress opens the live document of a run for its holder.
func (b *Bus) Progress(id task.ID, n run.Number) *Progress {
	return &Progress{bus: b, subject: progressSubject(id, n)}
}

// Write replaces the live document, unless somebody else wrote it since: then ErrLost, and the
// holder should look at its claim. Any other error only means that nobody can see this progress.
func (p *Progress) Write(ctx context.Context, doc run.Document) error {
	data, err := doc.Encode()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if !p.opened { // an earlier attempt may have left one
		earlier, err := p.bus.leaderLast(ctx, progressBucket, p.subject)
		if err != nil && !errors.Is(err, errMissing) {
			return err
		}
		p.revision, p.opened = earlier.sequence, true
	}
	ack, err := p.bus.js.PublishMsg(ctx, &nats.Msg{Subject: p.subject, Data: data},
		jetstream.WithExpectStream(progressBucket), jetstream.WithExpectLastSequencePerSubject(p.revision))
	switch {
	case err == nil:
		p.revision = ack.Sequence
		return nil
	case refused(err):
		p.opened = false // the bucket may also have been emptied by a restart; look again next time
		return ErrLost
	}
	p.opened = false
	return fmt.Errorf("%w: write progress: %w", ErrUnavailable, err)
}

// Remove deletes the live document after the final one is written. The message itself goes: a
// delete marker would be republished to followers as an empty document.
func (p *Progress) Remove(ctx context.Context) error {
	if !p.opened {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	err := p.bus.progress.Purge(ctx, jetstream.WithPurgeSubject(p.subject))
	if err != nil {
		return fmt.Errorf("remove progress: %w", err)
	}
	return nil
}

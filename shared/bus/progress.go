package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/task"
)

// Progress is the live document of one run. It stands in memory only: losing it loses nothing. A single server that is
// restarted has lost all of them, until [Tasks.Keep] sees it.
type Progress struct {
	store    *jet.Store
	subject  string
	revision uint64
	opened   bool
}

// Progress opens the live document of a run for its holder.
func (w *Work) Progress(id task.ID, n run.Number) *Progress {
	return &Progress{store: w.store, subject: jet.ProgressSubject(id, n)}
}

// Write replaces the live document, unless somebody else wrote it since: then ErrLost, and the
// holder should look at its claim. Any other error only means that nobody can see this progress.
func (p *Progress) Write(ctx context.Context, doc run.Document) error {
	data, err := doc.Encode()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, jet.ReadTimeout)
	defer cancel()
	if !p.opened { // an earlier attempt may have left one
		earlier, err := p.store.Progress.LeaderLast(ctx, p.subject)
		if err != nil && !errors.Is(err, jet.ErrMissing) {
			return err
		}
		p.revision, p.opened = earlier.Sequence, true
	}
	ack, err := p.store.JS.PublishMsg(ctx, &nats.Msg{Subject: p.subject, Data: data},
		jetstream.WithExpectLastSequencePerSubject(p.revision))
	if err == nil {
		p.revision = ack.Sequence
		return nil
	}
	p.opened = false // whatever it was: look again next time
	if jet.Refused(err) {
		return ErrLost
	}
	return fmt.Errorf("write progress: %w", jet.Explain(err))
}

// Remove deletes the live document after the final one is written. The message itself goes: a
// delete marker would be republished to followers as an empty document.
func (p *Progress) Remove(ctx context.Context) error {
	if !p.opened {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, jet.ReadTimeout)
	defer cancel()
	if err := p.store.Progress.Purge(ctx, jetstream.WithPurgeSubject(p.subject)); err != nil {
		return fmt.Errorf("remove progress: %w", err)
	}
	return nil
}

// remakeProgress makes the bucket of live documents again after a restart of a single server has lost it. Whoever opens
// the store does, and whoever keeps it: progress stays unseen until then.
func remakeProgress(ctx context.Context, s *jet.Store) (jetstream.Stream, error) {
	runs, err := s.JS.Stream(ctx, jet.RunsStream)
	if err != nil {
		return nil, err
	}
	stream, err := s.JS.CreateOrUpdateStream(ctx, storedTopology(runs.CachedInfo().Config).progress())
	if err != nil {
		return nil, fmt.Errorf("make stream %s again: %w", jet.ProgressStream, jet.Explain(err))
	}
	return stream, nil
}

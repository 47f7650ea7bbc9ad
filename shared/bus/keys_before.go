package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
)

// rememberKeys has the bucket of keys know those that a former program has left to the ids of RUNS, and then
// lets the server know ids no longer than it must. Until it has come to its end the server knows them: a POST
// that comes meanwhile is told, and a next call begins anew.
func (b *Bus) rememberKeys(ctx context.Context, window time.Duration) error {
	runs, err := b.store.Runs.Info(ctx)
	if err != nil {
		return fmt.Errorf("open stream %s: %w", jet.RunsStream, jet.Explain(err))
	}
	next := runs.Config
	if next.Duplicates = min(knownIDs, window); next.Duplicates >= runs.Config.Duplicates {
		return nil
	}
	b.store.Log.Info().Msg("reading over the Idempotency-Keys of an earlier version")
	noted, err := b.noteIDs(ctx, time.Now().Add(-window))
	if err != nil {
		return fmt.Errorf("read over the idempotency keys of an earlier version: %w", jet.Explain(err))
	}
	if _, err := b.store.JS.UpdateStream(ctx, next); err != nil {
		return fmt.Errorf("change stream %s: %w", next.Name, jet.Explain(err))
	}
	b.store.Log.Info().Int("keys", noted).Msg("the Idempotency-Keys of an earlier version are read over")
	return nil
}

// noteIDs writes an entry for each id of a request since then that has none.
func (b *Bus) noteIDs(ctx context.Context, since time.Time) (noted int, err error) {
	var writes []jetstream.PubAckFuture
	err = b.store.Runs.Scan(ctx, jet.Range{Subjects: []string{jet.Requests}, HeadersOnly: true, Since: since}, func(request jet.Record) error {
		k, ok := keyOfMessage(request.Header.Get(jetstream.MsgIDHeader))
		id, isTask := jet.TaskOfRequest(request.Subject)
		if !ok || !isTask {
			return nil
		}
		entry := keyEntry{From: request.Sequence - 1, Run: b.store.Numbers.Of(request.Sequence), Since: request.Time}
		if id != k.id {
			entry.Task = id
		}
		msg, err := entry.message(k, 0)
		if err != nil {
			return err
		}
		write, err := b.Work.publisher.PublishMsgAsync(msg, jetstream.WithStallWait(jet.WriteTimeout))
		writes = append(writes, write)
		return err
	})
	if err != nil {
		return 0, err
	}
	for _, write := range writes {
		select {
		case <-write.Ok():
			noted++
		case err := <-write.Err():
			if !jet.Refused(err) {
				return noted, err
			}
		case <-ctx.Done():
			return noted, ctx.Err()
		}
	}
	return noted, nil
}

package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
)

// publishWindow is how many messages may wait for their acknowledgement at once.
const publishWindow = 512

// publisher publishes without waiting for each acknowledgement, and gives each up after a write's time.
func publisher(nc *nats.Conn) (jetstream.JetStream, error) {
	return jetstream.New(nc, jetstream.WithDefaultTimeout(jet.WriteTimeout),
		jetstream.WithPublishAsyncTimeout(jet.WriteTimeout), jetstream.WithPublishAsyncMaxPending(publishWindow))
}

// ErrRefused: the subject takes no such messages, for a reason that will not pass by itself.
var ErrRefused = errors.New("the message was refused")

// Publish publishes JSON messages to a subject that is none of Runhook's own, each under an id. Where
// a stream listens on the subject it returns when the stream has acknowledged them all; the stream
// drops those whose ids it has seen within its duplicate window. Where none does, nobody acknowledges:
// it returns when the server has them, and who is not subscribed then will not get them.
//
// tooLarge holds, by index, the messages that were not taken because of their size, with the reason.
// After an error, ErrRefused or run.ErrUnavailable, any part of the others may have been published.
func (w *Work) Publish(ctx context.Context, subject string, ids []string, messages [][]byte) (tooLarge map[int]string, err error) {
	before := w.store.NC.LastError()
	tooLarge = map[int]string{}
	limited, cancel := context.WithTimeout(ctx, jet.ReadTimeout)
	_, err = w.store.JS.StreamNameBySubject(limited, subject)
	cancel()
	switch {
	case err == nil:
		err = w.publishToStream(ctx, subject, ids, messages, tooLarge)
	case errors.Is(err, jetstream.ErrStreamNotFound):
		err = w.publishPlain(ctx, subject, ids, messages, tooLarge)
	default:
		err = jet.Explain(err)
	}
	// The server tells of a subject that may not be published to beside everything else.
	if now := w.store.NC.LastError(); now != before && errors.Is(now, nats.ErrPermissionViolation) {
		return nil, fmt.Errorf("%w: publish to %s: %w", ErrRefused, subject, now)
	}
	if err != nil {
		return nil, fmt.Errorf("publish to %s: %w", subject, err)
	}
	return tooLarge, nil
}

func message(subject, id string, data []byte) *nats.Msg {
	return &nats.Msg{Subject: subject, Data: data, Header: nats.Header{
		jetstream.MsgIDHeader: {id}, "content-type": {"application/json"},
	}}
}

func (w *Work) publishPlain(ctx context.Context, subject string, ids []string, messages [][]byte, tooLarge map[int]string) error {
	for i, data := range messages {
		err := w.store.NC.PublishMsg(message(subject, ids[i], data))
		if errors.Is(err, nats.ErrMaxPayload) {
			tooLarge[i] = err.Error()
		} else if err != nil {
			return jet.Explain(err)
		}
	}
	limited, cancel := context.WithTimeout(ctx, jet.WriteTimeout)
	defer cancel()
	if err := w.store.NC.FlushWithContext(limited); err != nil {
		return jet.Explain(err)
	}
	return nil
}

func (w *Work) publishToStream(ctx context.Context, subject string, ids []string, messages [][]byte, tooLarge map[int]string) error {
	waiting := make([]jetstream.PubAckFuture, len(messages))
	for i, data := range messages {
		future, err := w.publisher.PublishMsgAsync(message(subject, ids[i], data), jetstream.WithStallWait(jet.WriteTimeout))
		if errors.Is(err, nats.ErrMaxPayload) {
			tooLarge[i] = err.Error()
		} else if err != nil {
			return fmt.Errorf("%w: %w", run.ErrUnavailable, err)
		}
		waiting[i] = future
	}
	for i, future := range waiting {
		if future == nil {
			continue
		}
		select {
		case <-future.Ok():
		case err := <-future.Err():
			// Acknowledgements that are still to come are not waited for: they time out by themselves.
			if tooLarge[i], err = forItsSize(err); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// forItsSize sorts a refused message: it is too large for the stream, or the stream takes none.
func forItsSize(err error) (reason string, other error) {
	api, ok := errors.AsType[*jetstream.APIError](err)
	switch {
	case ok && api.ErrorCode == jetstream.JSErrCodeStreamMessageExceedsMaximum:
		return api.Description, nil
	case ok && api.Code < 500:
		return "", fmt.Errorf("%w: %w", ErrRefused, api)
	}
	return "", fmt.Errorf("%w: %w", run.ErrUnavailable, err)
}

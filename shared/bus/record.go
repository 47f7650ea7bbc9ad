package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"runhook/shared/run"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// errMissing: no message under that subject or sequence, as far as the reader can see.
var errMissing = errors.New("no such message")

// readTimeout bounds one read; a poll must not hang on a server that went away.
const readTimeout = 2 * time.Second

// record is one stored message.
type record struct {
	subject  string
	sequence uint64
	header   nats.Header
	data     []byte
	time     time.Time
}

// last reads the newest message of a subject from any replica: cheap, and it may lag.
func (b *Bus) last(ctx context.Context, stream jetstream.Stream, subject string) (record, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	msg, err := stream.GetLastMsgForSubject(ctx, subject)
	return fromRaw(msg, err)
}

// at reads a message by its sequence from any replica.
func (b *Bus) at(ctx context.Context, stream jetstream.Stream, sequence uint64) (record, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	msg, err := stream.GetMsg(ctx, sequence)
	return fromRaw(msg, err)
}

func fromRaw(msg *jetstream.RawStreamMsg, err error) (record, error) {
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return record{}, errMissing
	case err != nil:
		return record{}, fmt.Errorf("%w: %w", run.ErrUnavailable, err)
	}
	return record{msg.Subject, msg.Sequence, msg.Header, msg.Data, msg.Time}, nil
}

// leaderLast is last, answered by the stream's leader: it sees every acknowledged write.
func (b *Bus) leaderLast(ctx context.Context, stream, subject string) (record, error) {
	return b.fromLeader(ctx, stream, map[string]any{"last_by_subj": subject})
}

// leaderAt is at, answered by the stream's leader.
func (b *Bus) leaderAt(ctx context.Context, stream string, sequence uint64) (record, error) {
	return b.fromLeader(ctx, stream, map[string]any{"seq": sequence})
}

// confirmLast repeats a read that missed: from the leader where replicas may lag, else as before.
func (b *Bus) confirmLast(ctx context.Context, stream jetstream.Stream, name, subject string) (record, error) {
	if b.replicated {
		return b.leaderLast(ctx, name, subject)
	}
	return b.last(ctx, stream, subject)
}

// fromLeader asks the stream's leader through the JetStream API, which the client library only does
// for streams without direct get.
func (b *Bus) fromLeader(ctx context.Context, stream string, query map[string]any) (record, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	body, err := json.Marshal(query)
	if err != nil {
		return record{}, fmt.Errorf("encode a read: %w", err)
	}
	reply, err := b.nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+stream, body)
	if err != nil {
		return record{}, fmt.Errorf("%w: %w", run.ErrUnavailable, err)
	}
	var answer struct {
		Error   *jetstream.APIError
		Message *struct {
			Subject string
			Seq     uint64
			Hdrs    []byte
			Data    []byte
			Time    time.Time
		}
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return record{}, fmt.Errorf("decode a read from %s: %w", stream, err)
	}
	switch {
	case answer.Error != nil && answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return record{}, errMissing
	case answer.Error != nil:
		return record{}, fmt.Errorf("%w: %w", run.ErrUnavailable, answer.Error)
	case answer.Message == nil:
		return record{}, errMissing
	}
	m := answer.Message
	r := record{subject: m.Subject, sequence: m.Seq, data: m.Data, time: m.Time}
	if len(m.Hdrs) > 0 {
		if r.header, err = nats.DecodeHeadersMsg(m.Hdrs); err != nil {
			return record{}, fmt.Errorf("decode the headers of a message of %s: %w", stream, err)
		}
	}
	return r, nil
}

// refused reports a failed compare-and-set: the message was not stored because another one is newer.
func refused(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

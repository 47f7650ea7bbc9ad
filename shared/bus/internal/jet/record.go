package jet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/run"
)

// ErrMissing: no message under that subject or sequence, as far as the reader can see.
var ErrMissing = errors.New("no such message")

const (
	// ReadTimeout bounds one read; a poll must not hang on a server that went away.
	ReadTimeout = 2 * time.Second
	// WriteTimeout bounds one write before it is read back or given up.
	WriteTimeout = 5 * time.Second
)

// Record is one stored message.
type Record struct {
	Subject  string
	Sequence uint64
	Header   nats.Header
	Data     []byte
	Time     time.Time
}

// Last reads the newest message of a subject from any replica: cheap, and it may lag. The errors of all
// reads are ErrMissing and run.ErrUnavailable, and run.ErrRunGone of a slice that is not there any more.
func (s *Stream) Last(ctx context.Context, subject string) (Record, error) {
	return s.direct(ctx, map[string]any{"last_by_subj": subject})
}

// At reads a message by its sequence from any replica.
func (s *Stream) At(ctx context.Context, sequence uint64) (Record, error) {
	return s.direct(ctx, map[string]any{"seq": sequence})
}

// Following reads the first message of a subject at a sequence or behind it, from any replica.
func (s *Stream) Following(ctx context.Context, subject string, sequence uint64) (Record, error) {
	return s.direct(ctx, map[string]any{"seq": sequence, "next_by_subj": subject})
}

// unread is the error of a read that the server has answered with one.
func (s *Stream) unread(ctx context.Context, err error) error {
	if api, ok := errors.AsType[*jetstream.APIError](err); errors.Is(err, jetstream.ErrMsgNotFound) || ok && api.ErrorCode == jetstream.JSErrCodeMessageNotFound {
		return ErrMissing
	}
	if err = s.gone(ctx, "", err); errors.Is(err, run.ErrRunGone) {
		return err
	}
	return fmt.Errorf("%w: %w", run.ErrUnavailable, err)
}

// LeaderLast is Last, answered by the stream's leader: it sees every acknowledged write.
func (s *Stream) LeaderLast(ctx context.Context, subject string) (Record, error) {
	return s.fromLeader(ctx, map[string]any{"last_by_subj": subject})
}

// LeaderAt is At, answered by the stream's leader.
func (s *Stream) LeaderAt(ctx context.Context, sequence uint64) (Record, error) {
	return s.fromLeader(ctx, map[string]any{"seq": sequence})
}

// ConfirmLast repeats a read that missed: from the leader where replicas may lag, else as before.
func (s *Stream) ConfirmLast(ctx context.Context, subject string) (Record, error) {
	if s.store.Replicated {
		return s.LeaderLast(ctx, subject)
	}
	return s.Last(ctx, subject)
}

// noRollup is no value of the header for rollups, and rollupRefused what the server answers to it.
const (
	noRollup      = "none"
	rollupRefused = jetstream.ErrorCode(10111)
)

// answers asks whether a message may be published to a subject that the stream takes. The question is one
// that no stream takes, because of a header.
func (s *Stream) answers(ctx context.Context, subject string) error {
	_, err := publishAcknowledged(ctx, s.store, s.name, &nats.Msg{Subject: subject, Header: nats.Header{jetstream.MsgRollup: {noRollup}}})
	if api, isAPI := errors.AsType[*jetstream.APIError](err); isAPI && api.ErrorCode == rollupRefused {
		return nil
	}
	return err
}

// fromLeader asks the stream's leader through the JetStream API, which the client library only does
// for streams without direct get.
func (s *Stream) fromLeader(ctx context.Context, query map[string]any) (Record, error) {
	ctx, cancel := context.WithTimeout(ctx, ReadTimeout)
	defer cancel()
	body, err := json.Marshal(query)
	if err != nil {
		return Record{}, fmt.Errorf("encode a read: %w", err)
	}
	reply, err := s.store.request(ctx, &nats.Msg{Subject: "$JS.API.STREAM.MSG.GET." + s.name, Data: body})
	if err != nil {
		return Record{}, s.unread(ctx, err)
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
		return Record{}, fmt.Errorf("decode a read from %s: %w", s.name, err)
	}
	switch {
	case answer.Error != nil:
		return Record{}, s.unread(ctx, answer.Error)
	case answer.Message == nil:
		return Record{}, ErrMissing
	}
	m := answer.Message
	// Headers that do not decode are none of ours: whoever looks for one does not find it.
	header, _ := nats.DecodeHeadersMsg(m.Hdrs)
	return record(m.Subject, m.Seq, header, m.Data, m.Time), nil
}

// Refused reports a failed compare-and-set: the message was not stored because another one is newer.
func Refused(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// ErrNotMade: the store, or a part of it, is not there yet.
var ErrNotMade = errors.New("the store is not made")

// marked is an error that also is another, of which its text says nothing.
type marked struct {
	error
	as error
}

func (m marked) Is(target error) bool { return target == m.as }
func (m marked) Unwrap() error        { return m.error }

// As marks an error as another, for errors.Is, and leaves its text.
func As(as, err error) error { return marked{err, as} }

// Explain adds what to do to errors of the JetStream API that a user can cause, and marks those that
// mean that NATS cannot be reached.
func Explain(err error) error {
	switch {
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return As(run.ErrUnavailable, fmt.Errorf("%w: start the NATS server with JetStream (-js), and enable it for this account", err))
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return fmt.Errorf("%w: no answer from JetStream; is the cluster's leader up?", run.ErrUnavailable)
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrNoStreamResponse),
		errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrConnectionClosed),
		errors.Is(err, nats.ErrDisconnected), errors.Is(err, nats.ErrConnectionReconnecting):
		return fmt.Errorf("%w: %w", run.ErrUnavailable, err)
	}
	if api, ok := errors.AsType[*jetstream.APIError](err); ok && api.Code == 503 {
		return As(run.ErrUnavailable, err)
	}
	return err
}

// LeaderFollowing is Following, answered by the stream's leader.
func (s *Stream) LeaderFollowing(ctx context.Context, subject string, sequence uint64) (Record, error) {
	return s.fromLeader(ctx, map[string]any{"seq": sequence, "next_by_subj": subject})
}

// LeaderSince is the first message of a subject that was stored at a time or later, as the stream's leader has it.
func (s *Stream) LeaderSince(ctx context.Context, subject string, at time.Time) (Record, error) {
	return s.fromLeader(ctx, map[string]any{"start_time": at.UTC(), "next_by_subj": subject})
}

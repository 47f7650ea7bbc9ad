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
	"runhook/shared/wait"
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

const (
	// HeardOf is about how long the servers of a cluster take to tell each other who listens, and
	// NotHeardOf how long that may take at most.
	HeardOf    = 20 * time.Millisecond
	NotHeardOf = 10 * time.Second
)

// scanned is how many messages a scan asks for at once; each time the server makes a consumer anew.
const scanned = 4096

// ErrEnough ends a scan before the stream's end.
var ErrEnough = errors.New("enough was read")

// Scan passes the stream's messages to each, in their order, up to the present end or until each
// returns ErrEnough.
func (s *Stream) Scan(ctx context.Context, config jetstream.OrderedConsumerConfig, each func(Record) error) error {
	consumer, err := s.OrderedConsumer(ctx, config)
	if err != nil {
		return Explain(err)
	}
	if err := s.scan(ctx, consumer, config, each); err != nil {
		return err // the server removes its consumer by itself
	}
	// Else it would stay for five minutes, and be told of each message that comes.
	if info := consumer.CachedInfo(); info != nil && s.name != EventsStream { // where status may remove none
		ctx, cancel := context.WithTimeout(ctx, ReadTimeout)
		defer cancel()
		_ = s.DeleteConsumer(ctx, info.Name)
	}
	return nil
}

// scan is Scan with a consumer.
func (s *Stream) scan(ctx context.Context, consumer jetstream.Consumer, config jetstream.OrderedConsumerConfig, each func(Record) error) error {
	last, unheard := max(config.OptStartSeq, 1)-1, time.Now().Add(NotHeardOf)
	pass := func(message Record) error {
		if message.Sequence <= last {
			return nil
		}
		last = message.Sequence
		return each(message)
	}
	for {
		batch, err := consumer.FetchNoWait(scanned)
		if err != nil {
			return Explain(err)
		}
		got := uint64(0)
		for msg := range batch.Messages() {
			meta, err := msg.Metadata()
			for got++; err == nil && got < meta.Sequence.Consumer; got++ {
				err = s.passKept(ctx, config, last, pass)
			}
			if err == nil {
				err = pass(record(msg.Subject(), meta.Sequence.Stream, msg.Headers(), msg.Data(), meta.Timestamp))
			}
			if errors.Is(err, ErrEnough) {
				return nil
			}
			if err != nil {
				return err
			}
		}
		err = batch.Error()
		if err == nil && got > 0 {
			unheard = time.Now().Add(NotHeardOf)
			continue
		}
		// The library takes a second without an answer for an empty batch too, so only a consumer that has
		// nothing left, and has sent nothing that did not arrive, tells that this is the end.
		if err == nil {
			info, err := infoOf(ctx, consumer)
			if err != nil {
				return Explain(err)
			}
			if info.NumPending == 0 && info.Delivered.Consumer == 0 {
				return nil
			}
		}
		before := last
		kept := s.passKept(ctx, config, last, pass)
		switch {
		case errors.Is(kept, ErrEnough):
			return nil
		case kept != nil && last > before:
			return kept
		case last > before:
			config.DeliverPolicy, config.OptStartSeq, config.OptStartTime = jetstream.DeliverByStartSequencePolicy, last+1, nil
			if consumer, err = s.OrderedConsumer(ctx, config); err != nil {
				return Explain(err)
			}
			continue
		case errors.Is(err, nats.ErrNoResponders) && time.Now().Before(unheard) && wait.For(ctx, HeardOf):
			// Where a server has just made the consumer, the one that this process is connected to may not
			// have heard of it yet.
			continue
		case err != nil:
			return Explain(err)
		}
		if time.Now().Before(unheard) && wait.For(ctx, HeardOf) {
			continue
		}
		// What a server counts can be above what it has (seen after a full disk with nats-server 2.15.2).
		next, err := s.leaderFollowing(ctx, config.FilterSubjects, last+1)
		if errors.Is(err, ErrMissing) || err == nil && config.OptStartTime != nil && next.Time.Before(*config.OptStartTime) {
			return nil
		}
		if err != nil {
			return err
		}
		return fmt.Errorf("%w: message %d of %s was not sent within %s", run.ErrUnavailable, next.Sequence, s.name, NotHeardOf)
	}
}

// passKept passes the message behind the last one if the client library keeps it back: one that has the header of a
// status is an answer of the server to it.
func (s *Stream) passKept(ctx context.Context, config jetstream.OrderedConsumerConfig, last uint64, pass func(Record) error) error {
	next, err := s.leaderFollowing(ctx, config.FilterSubjects, last+1)
	if errors.Is(err, ErrMissing) {
		return nil
	}
	if err != nil || next.Header.Get("Status") == "" || config.OptStartTime != nil && next.Time.Before(*config.OptStartTime) {
		return err
	}
	return pass(next)
}

// infoOf asks about a consumer. The client library waits for the answer of an ordered one for as long as ctx lasts
// (findings/nats-go-ordered-info-without-end.sh).
func infoOf(ctx context.Context, consumer jetstream.Consumer) (*jetstream.ConsumerInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, ReadTimeout)
	defer cancel()
	return consumer.Info(ctx)
}

// LeaderFollowing is Following, answered by the stream's leader.
func (s *Stream) LeaderFollowing(ctx context.Context, subject string, sequence uint64) (Record, error) {
	return s.fromLeader(ctx, map[string]any{"seq": sequence, "next_by_subj": subject})
}

// LeaderSince is the first message of a subject that was stored at a time or later, as the stream's leader has it.
func (s *Stream) LeaderSince(ctx context.Context, subject string, at time.Time) (Record, error) {
	return s.fromLeader(ctx, map[string]any{"start_time": at.UTC(), "next_by_subj": subject})
}

// leaderFollowing is the first message of any of some subjects, or of all, at a sequence or behind it, as
// the stream's leader has it.
func (s *Stream) leaderFollowing(ctx context.Context, subjects []string, sequence uint64) (first Record, err error) {
	if len(subjects) == 0 {
		subjects = []string{">"}
	}
	for _, subject := range subjects {
		next, err := s.LeaderFollowing(ctx, subject, sequence)
		switch {
		case errors.Is(err, ErrMissing):
		case err != nil:
			return Record{}, err
		case first.Sequence == 0 || next.Sequence < first.Sequence:
			first = next
		}
	}
	if first.Sequence == 0 {
		return Record{}, ErrMissing
	}
	return first, nil
}

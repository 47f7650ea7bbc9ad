package jet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/run"
	"runhook/shared/wait"
)

const (
	// HeardOf is about how long the servers of a cluster take to tell each other who listens, and
	// NotHeardOf how long that may take at most.
	HeardOf    = 20 * time.Millisecond
	NotHeardOf = 10 * time.Second
)

const (
	// scanned is how many messages a scan asks for at once: all of them may lie in memory.
	scanned = 500
	// forgotten is how long the server keeps the consumer of a scan that nothing asks.
	forgotten = time.Minute
	// young is how old a consumer is that a server may not have heard of.
	young = time.Second
)

// Range is a part of a stream. The zero Range is all of it.
type Range struct {
	// Subjects are what to pass; empty for all.
	Subjects []string
	// From is the first sequence, 0 for the stream's first message.
	From uint64
	// Since is when the first message was stored, the zero time for any. It goes before From.
	Since time.Time
	// HeadersOnly leaves the messages' data out, but for a few that the server sends in another way.
	HeadersOnly bool
}

// ErrEnough ends a scan before the stream's end.
var ErrEnough = errors.New("enough was read")

// Scan passes the messages of a range to each, in their order and each once, up to the present end or until each
// returns ErrEnough. It fails with run.ErrUnavailable where a server does not send what it has within NotHeardOf.
func (s *Stream) Scan(ctx context.Context, of Range, each func(Record) error) error {
	scan := scan{stream: s, of: of, each: each, last: max(of.From, 1) - 1}
	err := scan.all(ctx)
	// Else it would stay for a while, and be told of each message that comes.
	if scan.consumer != nil && s.name != EventsStream && !errors.Is(err, run.ErrUnavailable) { // where status may remove none
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ReadTimeout)
		defer cancel()
		_ = s.DeleteConsumer(ctx, scan.consumer.CachedInfo().Name)
	}
	if errors.Is(err, ErrEnough) {
		return nil
	}
	return err
}

// scan is one Scan. Its consumer is a plain one: what the client library has for reading in order makes a consumer for
// each batch, and tries to without end while no server answers (findings/nats-go-ordered-fetch-without-end.sh).
type scan struct {
	stream *Stream
	of     Range
	each   func(Record) error
	last   uint64 // the sequence of the last message that was passed

	consumer jetstream.Consumer // nil where one is to be made
	made     time.Time
	heard    uint64 // how many of the consumer's messages have come
}

// all passes everything up to the present end.
func (s *scan) all(ctx context.Context) error {
	unheard := time.Now().Add(NotHeardOf)
	for {
		if s.consumer == nil {
			if err := s.begin(ctx); err != nil {
				return Explain(err)
			}
		}
		before := s.last
		lost, err := s.batch(ctx)
		if err != nil {
			return err
		}
		if lost == nil && s.last > before {
			unheard = time.Now().Add(NotHeardOf)
			continue
		}
		left := gone
		if lost == nil {
			if left, err = s.left(ctx); left == nothing || err != nil {
				return err
			}
		}
		next, err := s.following(ctx)
		if errors.Is(err, ErrMissing) {
			return nil // what a server counts can be above what it has (seen after a full disk with nats-server 2.15.2)
		}
		if err == nil && next.Header.Get("Status") != "" {
			err = s.pass(next) // the client library takes it for an answer of the server, and keeps it back
		}
		if err != nil {
			return err
		}
		if s.last > before {
			unheard = time.Now().Add(NotHeardOf)
		} else if time.Now().After(unheard) || !wait.For(ctx, HeardOf) {
			return fmt.Errorf("%w: message %d of %s was not sent within %s", run.ErrUnavailable, next.Sequence, s.stream.name, NotHeardOf)
		}
		// Where a server has just made the consumer, the one that this process is connected to may not have heard of it
		// yet.
		if left == gone && !(errors.Is(lost, nats.ErrNoResponders) && time.Since(s.made) < young) {
			s.consumer = nil
		}
	}
}

// begin makes a consumer that begins behind the last message.
func (s *scan) begin(ctx context.Context) error {
	config := jetstream.ConsumerConfig{
		Name:      uuid.NewString(), // so long that it is known for a name where the right to make it lacks
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: forgotten,
		FilterSubjects: s.of.Subjects, HeadersOnly: s.of.HeadersOnly,
	}
	switch {
	case s.last > 0:
		config.DeliverPolicy, config.OptStartSeq = jetstream.DeliverByStartSequencePolicy, s.last+1
	case !s.of.Since.IsZero():
		config.DeliverPolicy, config.OptStartTime = jetstream.DeliverByStartTimePolicy, &s.of.Since
	}
	if len(s.of.Subjects) == 1 {
		config.FilterSubject, config.FilterSubjects = s.of.Subjects[0], nil
	}
	ctx, cancel := context.WithTimeout(ctx, WriteTimeout)
	defer cancel()
	var err error
	s.consumer, err = s.stream.CreateConsumer(ctx, config)
	s.made, s.heard = time.Now(), 0
	return err
}

// batch passes the next messages. lost is why the server sends no more of them, nil where it has none or does not say.
func (s *scan) batch(ctx context.Context) (lost, err error) {
	batch, err := s.consumer.FetchNoWait(scanned)
	if err != nil {
		return nil, Explain(err)
	}
	for msg := range batch.Messages() {
		meta, err := msg.Metadata()
		if err != nil {
			return nil, err
		}
		if s.heard++; s.heard < meta.Sequence.Consumer {
			err = s.fill(ctx, meta.Sequence.Stream)
			s.heard = meta.Sequence.Consumer
		}
		if err == nil {
			err = s.pass(record(msg.Subject(), meta.Sequence.Stream, msg.Headers(), msg.Data(), meta.Timestamp))
		}
		if err != nil {
			return nil, err
		}
	}
	return batch.Error(), nil
}

// fill passes what lies before a sequence and did not come.
func (s *scan) fill(ctx context.Context, until uint64) error {
	for {
		next, err := s.following(ctx)
		if errors.Is(err, ErrMissing) || err == nil && next.Sequence >= until {
			return nil
		}
		if err == nil {
			err = s.pass(next)
		}
		if err != nil {
			return err
		}
	}
}

func (s *scan) pass(message Record) error {
	if message.Sequence <= s.last {
		return nil
	}
	s.last = message.Sequence
	return s.each(message)
}

// What a consumer has left: nothing, more to send, or it is gone, or has sent what did not come.
type left int

const (
	nothing left = iota
	more
	gone
)

// left asks what the consumer has left. An empty batch alone does not tell that it is nothing: the client library takes
// a second without an answer for one (findings/nats-go-fetchnowait-late-answer.sh).
func (s *scan) left(ctx context.Context) (left, error) {
	ctx, cancel := context.WithTimeout(ctx, ReadTimeout)
	defer cancel()
	info, err := s.consumer.Info(ctx)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		return gone, nil
	case err != nil:
		return gone, Explain(err)
	case info.Delivered.Consumer != s.heard:
		return gone, nil
	case info.NumPending > 0:
		return more, nil
	}
	return nothing, nil
}

// following is the first message of the range behind the last one, as the stream's leader has it.
func (s *scan) following(ctx context.Context) (first Record, err error) {
	subjects := s.of.Subjects
	if len(subjects) == 0 {
		subjects = []string{">"}
	}
	for _, subject := range subjects {
		var next Record
		if s.last == 0 && !s.of.Since.IsZero() {
			next, err = s.stream.LeaderSince(ctx, subject, s.of.Since)
		} else {
			next, err = s.stream.LeaderFollowing(ctx, subject, s.last+1)
		}
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

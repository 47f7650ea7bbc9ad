package jet

import (
	"context"
	"fmt"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/rs/zerolog"

	"runhook/shared/seldom"
)

// foreign tells of stored messages that are not what their subjects say. Whoever may publish to the store
// can put anything in any place, and one such message must not stop what is around it: each reader passes
// it over and tells of it here.
type foreign struct {
	// lines are bounded: a flood of them is counted.
	lines   *seldom.Log
	counter *prometheus.CounterVec
	// told are the messages that were told of; the same one is met again and again.
	told *lru.Cache[place, struct{}]
}

// place is where a message is stored. The sequences of a bucket in memory begin anew with its server.
type place struct {
	stream, subject string
	sequence        uint64
}

// remembered is how many messages foreign knows to have told of.
const remembered = 10_000

func newForeign(log zerolog.Logger, metrics prometheus.Registerer) (*foreign, error) {
	told, err := lru.New[place, struct{}](remembered)
	if err != nil {
		return nil, err
	}
	counter := promauto.With(metrics).NewCounterVec(prometheus.CounterOpts{
		Name: "runhook_messages_passed_over_total",
		Help: "Stored messages passed over because they do not decode or do not belong where they are, by stream.",
	}, []string{"stream"})
	return &foreign{lines: seldom.New(log), counter: counter, told: told}, nil
}

// PassOver tells once of a stored message that does not decode or does not belong where it is, with the
// reason.
func (s *Store) PassOver(stream, subject string, sequence uint64, reason error) {
	if known, _ := s.foreign.told.ContainsOrAdd(place{stream, subject, sequence}, struct{}{}); known {
		return
	}
	label := stream
	if _, ok := s.Layout.Named(stream); ok {
		label = "KV_" + beforeBucket // all slices count as one
	}
	s.foreign.counter.WithLabelValues(label).Inc()
	cause := fmt.Sprintf("message %d of %s, %s", sequence, stream, subject)
	s.foreign.lines.Line(zerolog.WarnLevel, cause).Str("stream", stream).Str("subject", subject).Uint64("sequence", sequence).Err(reason).
		Msg("a stored message is not what its subject says, and is passed over: another program published it")
}

// PassOver is [Store.PassOver] for a message that was read from the stream.
func (s *Stream) PassOver(message Record, reason error) {
	s.store.PassOver(s.name, message.Subject, message.Sequence, reason)
}

// PassOverRows is [Store.PassOver] for a chunk of rejected rows. If its message cannot be read now, the next
// reader tells of it.
func (s *Store) PassOverRows(ctx context.Context, name string, reason error) {
	if described, err := s.rows.Last(ctx, rowsSubject(name)); err == nil {
		s.rows.PassOver(described, reason)
	}
}

package jet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/run"
)

// toldBy are the headers in which a replica tells of the message that it has read: behind those that are stored with
// it, so what they say is said last.
var toldBy = []string{jetstream.StreamHeader, jetstream.SubjectHeader, jetstream.SequenceHeader, jetstream.TimeStampHeaer}

// record is a message as it is stored. Nothing that Runhook writes has the headers of an answer: of such a message
// there is no content, and whoever reads it passes it over.
func record(subject string, sequence uint64, header nats.Header, data []byte, stored time.Time) Record {
	if IsAnswer(header) {
		data = nil
	}
	return Record{subject, sequence, header, data, stored}
}

// IsAnswer reports whether a stored message has headers that only the answer to a read has.
func IsAnswer(stored nats.Header) bool {
	return slices.ContainsFunc(toldBy, func(name string) bool { return len(stored[name]) > 0 })
}

// direct asks any replica for a message. It is the client library's GetMsg, but for messages that have headers such
// as those of the answer, or some that do not decode.
func (s *Stream) direct(ctx context.Context, query map[string]any) (Record, error) {
	if !s.CachedInfo().Config.AllowDirect {
		return s.fromLeader(ctx, query)
	}
	limited, cancel := context.WithTimeout(ctx, ReadTimeout)
	defer cancel()
	ask := &nats.Msg{Subject: "$JS.API.DIRECT.GET." + s.name}
	if subject, ok := query["last_by_subj"].(string); ok {
		ask.Subject += "." + subject
	} else {
		var err error
		if ask.Data, err = json.Marshal(query); err != nil {
			return Record{}, fmt.Errorf("encode a read: %w", err)
		}
	}
	answer, err := s.store.request(limited, ask)
	if errors.Is(err, nats.ErrNoResponders) { // nobody answers, or the message has the header that says so
		return s.fromLeader(ctx, query)
	}
	if err != nil {
		return Record{}, s.unread(limited, err)
	}
	if found, ok := s.read(answer); ok {
		return found, nil
	}
	switch status := answer.Header.Get("Status"); status {
	case "404":
		return Record{}, ErrMissing
	case "": // the message has headers that do not decode
		return s.fromLeader(ctx, query)
	default:
		return Record{}, fmt.Errorf("%w: read from %s: %s %s", run.ErrUnavailable, s.name, status, answer.Header.Get("Description"))
	}
}

// batched is how many messages After asks for at once.
const batched = 256

// After passes the messages of a subject that are behind a sequence to each, in their order, as any replica has them,
// and returns the sequence of the last one. It needs no consumer.
func (s *Stream) After(ctx context.Context, subject string, last uint64, each func(Record)) (uint64, error) {
	return s.AfterWhile(ctx, subject, last, func(message Record) bool { each(message); return true })
}

// AfterWhile is After for as long as more says so.
func (s *Stream) AfterWhile(ctx context.Context, subject string, last uint64, more func(Record) bool) (uint64, error) {
	enough := false
	each := func(message Record) {
		if !enough {
			last, enough = message.Sequence, !more(message)
		}
	}
	for {
		before := last
		ended, err := s.batch(ctx, subject, last, each)
		if err != nil || enough || ended && last == before {
			return last, err
		}
		if ended {
			continue
		}
		next, err := s.LeaderFollowing(ctx, subject, last+1) // one with headers that do not decode
		if errors.Is(err, ErrMissing) {
			return last, nil
		}
		if err != nil {
			return last, err
		}
		if each(next); enough {
			return last, nil
		}
	}
}

// batch passes some messages of a subject that are behind a sequence to each; ended is false where it met one that
// it cannot read.
func (s *Stream) batch(ctx context.Context, subject string, last uint64, each func(Record)) (ended bool, err error) {
	body, err := json.Marshal(map[string]any{"seq": last + 1, "next_by_subj": subject, "batch": batched})
	if err != nil {
		return false, fmt.Errorf("encode a read: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, ReadTimeout, nats.ErrTimeout)
	defer cancel()
	arriving, denied := make(chan *nats.Msg, batched+8), make(chan error, 1)
	inbox, err := s.store.NC.ChanSubscribe(s.store.NC.NewInbox(), arriving)
	if err != nil {
		return false, s.unread(ctx, err)
	}
	defer func() { _ = inbox.Unsubscribe() }() // fails only with the connection
	ask := "$JS.API.DIRECT.GET." + s.name
	defer s.store.Denials.Await(ask, func(err error) { denied <- err })()
	if err := s.store.NC.PublishRequest(ask, inbox.Subject, body); err != nil {
		return false, s.unread(ctx, err)
	}
	for {
		select {
		case <-ctx.Done():
			return false, s.unread(ctx, context.Cause(ctx))
		case err := <-denied:
			return false, s.unread(ctx, err)
		case answer := <-arriving:
			message, ok := s.read(answer)
			if ok {
				each(message)
				continue
			}
			switch status := answer.Header.Get("Status"); status {
			case "204", "404":
				return true, nil
			case "503":
				return false, s.unread(ctx, nats.ErrNoResponders)
			case "":
				return false, nil
			default:
				return false, fmt.Errorf("%w: read from %s: %s %s", run.ErrUnavailable, s.name, status, answer.Header.Get("Description"))
			}
		}
	}
}

// read is the message in the answer of a replica; ok is false where there is none.
func (s *Stream) read(answer *nats.Msg) (_ Record, ok bool) {
	told := make([]string, len(toldBy))
	for i, name := range toldBy {
		all := answer.Header[name]
		if len(all) == 0 {
			return Record{}, false
		}
		told[i] = all[len(all)-1]
		if answer.Header[name] = all[:len(all)-1]; len(all) == 1 {
			delete(answer.Header, name)
		}
	}
	sequence, err := strconv.ParseUint(told[2], 10, 64)
	if err != nil || told[0] != s.name {
		return Record{}, false
	}
	stored, err := time.Parse(time.RFC3339Nano, told[3])
	if err != nil {
		return Record{}, false
	}
	return record(told[1], sequence, answer.Header, answer.Data, stored), true
}

// operation is the header of a marker that a key of a bucket was removed.
const operation = "KV-Operation"

// Removed reports whether the message is a marker that the key of a bucket was removed, which anybody can do with the
// tools of NATS.
func (r Record) Removed() bool {
	switch r.Header.Get(operation) {
	case "DEL", "PURGE":
		return true
	}
	return r.Header.Get(jetstream.MarkerReasonHeader) != ""
}

// stillPending is the header in which a replica says how many messages are behind the one that it has read.
const stillPending = "Nats-Num-Pending"

// Behind counts the messages of a subject that are behind a sequence, as any replica has them.
func (s *Stream) Behind(ctx context.Context, subject string, sequence uint64) (count int, err error) {
	first, err := s.direct(ctx, map[string]any{"seq": sequence + 1, "next_by_subj": subject, "batch": 1})
	if errors.Is(err, ErrMissing) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	told := first.Header[stillPending]
	if len(told) == 0 { // the leader was asked
		return 1, nil
	}
	more, err := strconv.Atoi(told[len(told)-1])
	if err != nil {
		return 0, fmt.Errorf("%w: read from %s: it counts to %q", run.ErrUnavailable, s.name, told[len(told)-1])
	}
	return more + 1, nil
}

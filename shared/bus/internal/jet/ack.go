package jet

import (
	"bytes"
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

// pubAck is a stream's answer to a message that was published to it.
type pubAck struct {
	Error     *jetstream.APIError `json:"error"`
	Stream    string              `json:"stream"`
	Sequence  uint64              `json:"seq"`
	Duplicate bool                `json:"duplicate"`
	Batch     string              `json:"batch"`
	Count     int                 `json:"count"`
}

// While nobody listens for a stream, as when it changes its leader, a message is sent again so often.
const (
	unheardRetries = 2
	unheardWait    = 250 * time.Millisecond
)

// publishAcknowledged publishes to a stream and waits for its acknowledgement. It is jetstream's
// PublishMsg, with its errors, but for reading the acknowledgement in less time, and for what is denied. That
// it was the stream that took the message its answer tells: a header for it would be stored with each.
func publishAcknowledged(ctx context.Context, s *Store, stream string, msg *nats.Msg) (Receipt, error) {
	answer, err := s.request(ctx, msg)
	for range unheardRetries {
		if !errors.Is(err, nats.ErrNoResponders) {
			break
		}
		wait.For(ctx, unheardWait)
		answer, err = s.request(ctx, msg)
	}
	if errors.Is(err, nats.ErrNoResponders) {
		return Receipt{}, jetstream.ErrNoStreamResponse
	}
	if err != nil {
		return Receipt{}, err
	}
	ack, err := readAck(answer.Data)
	switch {
	case err != nil, ack.Error == nil && ack.Stream != stream:
		return Receipt{}, jetstream.ErrInvalidJSAck
	case ack.Error != nil:
		return Receipt{}, fmt.Errorf("nats: %w", ack.Error)
	}
	return Receipt{Sequence: ack.Sequence, Duplicate: ack.Duplicate}, nil
}

// notAtTheMoment is a cluster's answer while it has no leader of its own.
const notAtTheMoment = jetstream.ErrorCode(10008)

// Passes reports whether a write has failed because of something that mostly is over within seconds: NATS is out of
// reach, a cluster looks for a leader, or others were faster. A lack of room or of a right is not.
func Passes(err error) bool {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		return Refused(err) || api.ErrorCode == DuplicateInProcess || api.ErrorCode == notAtTheMoment
	}
	return errors.Is(err, run.ErrUnavailable) && !errors.Is(err, run.ErrFull) && !errors.Is(err, run.ErrDenied)
}

func readAck(data []byte) (pubAck, error) {
	if ack, ok := plainAck(data); ok {
		return ack, nil
	}
	var ack pubAck
	err := json.Unmarshal(data, &ack)
	return ack, err
}

// plainAck reads what the server writes from a template when a message is stored, which is nearly
// every answer: {"stream":"RUNS","domain":"hub","seq":7,"duplicate": true}, without the second and
// the last where they say nothing. It leaves everything else to encoding/json.
func plainAck(data []byte) (ack pubAck, ok bool) {
	rest, ok := bytes.CutPrefix(data, []byte(`{"stream":"`))
	if !ok {
		return pubAck{}, false
	}
	stream, rest, ok := cutPlain(rest)
	if !ok {
		return pubAck{}, false
	}
	if inDomain, has := bytes.CutPrefix(rest, []byte(`,"domain":"`)); has {
		if _, rest, ok = cutPlain(inDomain); !ok {
			return pubAck{}, false
		}
	}
	rest, ok = bytes.CutPrefix(rest, []byte(`,"seq":`))
	if !ok || len(rest) == 0 || rest[0] == '0' {
		return pubAck{}, false
	}
	digits := 0
	for ; digits < len(rest) && '0' <= rest[digits] && rest[digits] <= '9'; digits++ {
		ack.Sequence = 10*ack.Sequence + uint64(rest[digits]-'0')
	}
	if digits == 0 || digits > 19 { // 19 digits always fit
		return pubAck{}, false
	}
	ack.Stream = string(stream)
	switch string(rest[digits:]) {
	case `}`:
		return ack, true
	case `,"duplicate": true}`:
		ack.Duplicate = true
		return ack, true
	}
	return pubAck{}, false
}

// cutPlain cuts a JSON string without escapes after its closing quote.
func cutPlain(data []byte) (text, rest []byte, ok bool) {
	for i, c := range data {
		switch {
		case c == '"':
			return data[:i], data[i+1:], true
		case c < ' ', c == '\\', c > '~':
			return nil, nil, false
		}
	}
	return nil, nil, false
}

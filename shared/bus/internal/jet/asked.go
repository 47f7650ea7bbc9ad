package jet

import (
	"context"
	"errors"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// apiLevel is the header in which a client says what the server must be able to.
const apiLevel = "Nats-Required-Api-Level"

// MakeAskedConsumer has the server make or change a consumer of events that an integration asked for, by the body of
// the request, and returns the server's answer.
func (s *Store) MakeAskedConsumer(ctx context.Context, asked *nats.Msg, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, WriteTimeout)
	defer cancel()
	subject := "$JS.API.CONSUMER.CREATE." + EventsStream + "." + strings.TrimPrefix(asked.Subject, AskedConsumer)
	request := &nats.Msg{Subject: subject, Data: body, Header: nats.Header{}}
	if level := asked.Header.Get(apiLevel); level != "" {
		request.Header.Set(apiLevel, level)
	}
	answer, err := s.request(ctx, request)
	if err != nil {
		return nil, Explain(err)
	}
	return answer.Data, nil
}

// HasRoomForConsumer reports whether the consumer of a request is there, or the events have fewer than some.
func (s *Store) HasRoomForConsumer(ctx context.Context, asked *nats.Msg, most int) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, ReadTimeout)
	defer cancel()
	info, err := s.Events.Info(ctx)
	if err != nil {
		return false, Explain(err)
	}
	if info.State.Consumers < most {
		return true, nil
	}
	_, err = s.Events.Consumer(ctx, AskedName(asked.Subject))
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return false, nil
	}
	return err == nil, Explain(err)
}

// AskedName is the name of the consumer that a request asks for, by its subject.
func AskedName(subject string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(subject, AskedConsumer), ".")
	return name
}

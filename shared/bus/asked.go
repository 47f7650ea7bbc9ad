package bus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/seldom"
)

// An integration asks this process for a consumer of events, not the server, and is given one that it pulls from.
// Messages that a server sends by itself would be sent in the account of the store.

const (
	// mostAsked is how many requests of integrations may wait; more are not answered.
	mostAsked = 256
	// mostConsumersOfEvents is how many consumers the events may have before integrations get no new one.
	mostConsumersOfEvents = 1000
)

// AnswerIntegrations makes the consumers of events that integrations ask for, until ctx ends; then stopped is closed.
// It returns once they can ask. Several processes may answer.
func (b *Bus) AnswerIntegrations(ctx context.Context) (stopped <-chan struct{}, err error) {
	asked, refusals, ended := make(chan *nats.Msg, mostAsked), seldom.New(b.store.Log), make(chan struct{})
	subscription, err := b.store.NC.ChanQueueSubscribe(jet.AskedConsumers, "runhook", asked)
	if err == nil {
		if err = b.store.NC.FlushTimeout(jet.ReadTimeout); err != nil {
			_ = subscription.Unsubscribe() // the next call makes another
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: answer integrations: %w", run.ErrUnavailable, err)
	}
	go func() {
		defer close(ended)
		defer func() { _ = subscription.Unsubscribe() }() // fails only with the connection
		for {
			select {
			case <-ctx.Done():
				return
			case msg := <-asked:
				if err := msg.Respond(b.makeAsked(ctx, msg, refusals)); err != nil {
					b.store.Log.Debug().Err(err).Msg("an integration could not be answered")
				}
			}
		}
	}()
	return ended, nil
}

// makeAsked makes the consumer that a request asks for, and returns the answer.
func (b *Bus) makeAsked(ctx context.Context, msg *nats.Msg, refusals *seldom.Log) []byte {
	body, err := askedConsumer(msg.Data)
	if err == nil {
		var room bool
		if room, err = b.store.HasRoomForConsumer(ctx, msg, mostConsumersOfEvents); err == nil && !room {
			err = &refusedConsumer{jetstream.JSErrCodeMaximumConsumersLimit, fmt.Sprintf("%s has %d consumers: remove some first", jet.EventsStream, mostConsumersOfEvents)}
		}
	}
	var answer []byte
	if err == nil {
		answer, err = b.store.MakeAskedConsumer(ctx, msg, body)
	}
	if err == nil {
		return answer
	}
	refused, ok := errors.AsType[*refusedConsumer](err)
	code := 400
	if !ok {
		refused, code = &refusedConsumer{jetstream.JSErrCodeConsumerCreate, "the server could not be asked: try again"}, 503
	}
	refusals.Line(zerolog.WarnLevel, refused.why).Err(err).Str("consumer", jet.AskedName(msg.Subject)).Msg("an integration is refused a consumer of events")
	return refused.answer(code)
}

// refusedConsumer is why an integration is refused a consumer.
type refusedConsumer struct {
	code jetstream.ErrorCode
	why  string
}

func (r *refusedConsumer) Error() string { return r.why }

func (r *refusedConsumer) answer(code int) []byte {
	answer, _ := json.Marshal(map[string]any{ // has nothing that cannot be encoded
		"type":  "io.nats.jetstream.api.v1.consumer_create_response",
		"error": map[string]any{"code": code, "err_code": r.code, "description": r.why},
	})
	return answer
}

// askedKey is a key as the server writes it: it would read others for the same.
var askedKey = regexp.MustCompile(`^[a-z_]{1,40}$`)

// pushing are the settings of a consumer that sends by itself, and those of one that the server has for itself.
var pushing = []string{"deliver_subject", "deliver_group", "flow_control", "idle_heartbeat", "direct", "sourcing"}

// askedConsumer is a request for a consumer as it may be passed on. It is written anew, so that the server reads in
// it what was read here.
func askedConsumer(data []byte) ([]byte, error) {
	refuse := func(why string) ([]byte, error) { return nil, &refusedConsumer{jetstream.JSErrCodeBadRequest, why} }
	var request map[string]any
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(&request); err != nil || decoder.More() {
		return refuse("the request for a consumer is not one JSON object")
	}
	config, ok := request["config"].(map[string]any)
	if !ok {
		return refuse("the request for a consumer has no config")
	}
	for _, key := range slices.AppendSeq(slices.Collect(maps.Keys(request)), maps.Keys(config)) {
		if !askedKey.MatchString(key) {
			return refuse("a key in the request for a consumer is none of NATS")
		}
	}
	for _, key := range pushing {
		switch config[key] {
		case nil, "", false, json.Number("0"):
			delete(config, key)
		default:
			return refuse(fmt.Sprintf("an integration pulls its events: leave out %s", key))
		}
	}
	body, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("encode the request for a consumer: %w", err)
	}
	return body, nil
}

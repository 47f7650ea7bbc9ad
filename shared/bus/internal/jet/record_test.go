package jet_test

import (
	"context"
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus"
	"runhook/shared/bus/internal/jet"
	"runhook/shared/bustest"
	"runhook/shared/run"
)

// busyServer answers the first question of a consumer for messages too late: not within the second after
// which the library gives an empty batch and no error.
type busyServer struct{ jetstream.Stream }

func (s busyServer) OrderedConsumer(ctx context.Context, config jetstream.OrderedConsumerConfig) (jetstream.Consumer, error) {
	consumer, err := s.Stream.OrderedConsumer(ctx, config)
	return &lateConsumer{Consumer: consumer}, err
}

type lateConsumer struct {
	jetstream.Consumer
	asked bool
}

func (c *lateConsumer) FetchNoWait(batch int) (jetstream.MessageBatch, error) {
	if !c.asked {
		c.asked = true
		return silence{}, nil
	}
	return c.Consumer.FetchNoWait(batch)
}

type silence struct{}

func (silence) Error() error { return nil }

func (silence) Messages() <-chan jetstream.Msg {
	none := make(chan jetstream.Msg)
	close(none)
	return none
}

// What a server did not send in time is not taken for the stream's end.
func TestScanOfABusyServerReadsAll(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	bustest.Submit(t, store.Bus, request)
	bustest.Submit(t, store.Bus, request)
	busy := store.Jet().Runs.Over(busyServer{store.Jet().Runs.Stream})
	for name, wanted := range map[string]int{jet.RequestSubject(request.Task): 2, jet.RequestSubject("nobody"): 0} {
		found := 0
		err := busy.Scan(t.Context(), jetstream.OrderedConsumerConfig{FilterSubjects: []string{name}}, func(jet.Record) error {
			found++
			return nil
		})
		if err != nil || found != wanted {
			t.Errorf("%s: %d records, %v, want %d", name, found, err, wanted)
		}
	}
}

// strayServer counts one message too many, as after a full disk, and may keep its messages to itself.
type strayServer struct {
	jetstream.Stream
	silent bool
}

func (s strayServer) OrderedConsumer(ctx context.Context, config jetstream.OrderedConsumerConfig) (jetstream.Consumer, error) {
	consumer, err := s.Stream.OrderedConsumer(ctx, config)
	return strayConsumer{consumer, s.silent}, err
}

type strayConsumer struct {
	jetstream.Consumer
	silent bool
}

func (c strayConsumer) FetchNoWait(batch int) (jetstream.MessageBatch, error) {
	if c.silent {
		return silence{}, nil
	}
	return c.Consumer.FetchNoWait(batch)
}

func (c strayConsumer) Info(ctx context.Context) (*jetstream.ConsumerInfo, error) {
	info, err := c.Consumer.Info(ctx)
	if err == nil {
		info.NumPending++
	}
	return info, err
}

// A scan ends where the server counts more than it has, and fails where it does not send what it has.
func TestScanOfAServerThatCountsTooMany(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	bustest.Submit(t, store.Bus, request)
	for _, silent := range []bool{false, true} {
		t.Run(map[bool]string{false: "sends all", true: "sends nothing"}[silent], func(t *testing.T) {
			t.Parallel()
			found := 0
			stray := store.Jet().Runs.Over(strayServer{store.Jet().Runs.Stream, silent})
			err := stray.Scan(t.Context(), jetstream.OrderedConsumerConfig{FilterSubjects: []string{jet.RequestSubject(request.Task)}}, func(jet.Record) error {
				found++
				return nil
			})
			if silent && !errors.Is(err, run.ErrUnavailable) || !silent && (err != nil || found != 1) {
				t.Errorf("%d records, %v", found, err)
			}
		})
	}
}

// deafServer has not heard of the consumer that it has made, or sends nothing to it. What is asked of it is
// counted, and ends the context of whoever asks.
type deafServer struct {
	jetstream.Stream
	answer error
	asked  *int
	leave  func()
}

func (s deafServer) OrderedConsumer(context.Context, jetstream.OrderedConsumerConfig) (jetstream.Consumer, error) {
	return deafConsumer{server: s}, nil
}

type deafConsumer struct {
	jetstream.Consumer
	server deafServer
}

func (c deafConsumer) FetchNoWait(int) (jetstream.MessageBatch, error) {
	*c.server.asked++
	if c.server.answer != nil {
		c.server.leave()
	}
	return failure{err: c.server.answer}, nil
}

func (c deafConsumer) Info(context.Context) (*jetstream.ConsumerInfo, error) {
	c.server.leave()
	return &jetstream.ConsumerInfo{NumPending: 1}, nil
}

type failure struct {
	silence
	err error
}

func (f failure) Error() error { return f.err }

// A scan does not wait for a server any longer once its context has ended.
func TestScanEndsWithItsContext(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	for _, answer := range []error{nats.ErrNoResponders, nil} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		asked := 0
		deaf := store.Jet().Runs.Over(deafServer{store.Jet().Runs.Stream, answer, &asked, cancel})
		if err := deaf.Scan(ctx, jetstream.OrderedConsumerConfig{}, nil); !errors.Is(err, run.ErrUnavailable) || asked != 1 {
			t.Errorf("of a server that answers %v the scan asked %d times: %v", answer, asked, err)
		}
	}
}

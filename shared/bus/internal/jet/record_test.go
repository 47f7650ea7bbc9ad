package jet_test

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus"
	"runhook/shared/bus/internal/jet"
	"runhook/shared/bustest"
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
	busy := &jet.Stream{Stream: busyServer{store.Jet().Runs.Stream}}
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

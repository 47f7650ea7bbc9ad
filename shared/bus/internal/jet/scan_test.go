package jet_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus"
	"runhook/shared/bus/internal/jet"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// busyServer answers the first question of a consumer for messages too late: not within the second after
// which the library gives an empty batch and no error.
type busyServer struct {
	jetstream.Stream
	asked *bool
}

func (s busyServer) CreateConsumer(ctx context.Context, config jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	consumer, err := s.Stream.CreateConsumer(ctx, config)
	return lateConsumer{consumer, s.asked}, err
}

type lateConsumer struct {
	jetstream.Consumer
	asked *bool
}

func (c lateConsumer) FetchNoWait(batch int) (jetstream.MessageBatch, error) {
	if !*c.asked {
		*c.asked = true
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
	for name, wanted := range map[string]int{jet.RequestSubject(request.Task): 2, jet.RequestSubject("nobody"): 0} {
		found := 0
		busy := store.Jet().Runs.Over(busyServer{store.Jet().Runs.Stream, new(bool)})
		err := busy.Scan(t.Context(), jet.Range{Subjects: []string{name}}, func(jet.Record) error {
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

func (s strayServer) CreateConsumer(ctx context.Context, config jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	consumer, err := s.Stream.CreateConsumer(ctx, config)
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
			err := stray.Scan(t.Context(), jet.Range{Subjects: []string{jet.RequestSubject(request.Task)}}, func(jet.Record) error {
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

func (s deafServer) CreateConsumer(context.Context, jetstream.ConsumerConfig) (jetstream.Consumer, error) {
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
		if err := deaf.Scan(ctx, jet.Range{}, nil); !errors.Is(err, run.ErrUnavailable) || asked != 1 {
			t.Errorf("of a server that answers %v the scan asked %d times: %v", answer, asked, err)
		}
	}
}

// A scan ends, and says why, when the server goes away under it: whoever scans could not stop otherwise.
func TestScanEndsWithTheServer(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	bustest.Submit(t, store.Bus, request)
	done := make(chan error, 1)
	go func() {
		done <- store.Jet().Runs.Scan(t.Context(), jet.Range{}, func(jet.Record) error {
			store.Broker.Stop()
			return nil
		})
	}()
	select {
	case err := <-done:
		if !errors.Is(err, run.ErrUnavailable) {
			t.Errorf("the scan ended with %v", err)
		}
	case <-time.After(proctest.Limit):
		t.Fatal("the scan goes on without a server")
	}
}

// lossyServer loses messages on their way: where each says so by their place in the batch.
type lossyServer struct {
	jetstream.Stream
	lost    func(batch, place int) bool
	batches *int
}

func (s lossyServer) CreateConsumer(ctx context.Context, config jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	consumer, err := s.Stream.CreateConsumer(ctx, config)
	return lossyConsumer{consumer, s.lost, s.batches}, err
}

type lossyConsumer struct {
	jetstream.Consumer
	lost    func(batch, place int) bool
	batches *int
}

func (c lossyConsumer) FetchNoWait(size int) (jetstream.MessageBatch, error) {
	batch, err := c.Consumer.FetchNoWait(size)
	if err != nil {
		return nil, err
	}
	var came []jetstream.Msg
	place := 0
	for msg := range batch.Messages() {
		if !c.lost(*c.batches, place) {
			came = append(came, msg)
		}
		place++
	}
	*c.batches++
	return arrived{failure{err: batch.Error()}, came}, nil
}

type arrived struct {
	failure
	came []jetstream.Msg
}

func (a arrived) Messages() <-chan jetstream.Msg {
	messages := make(chan jetstream.Msg, len(a.came))
	for _, msg := range a.came {
		messages <- msg
	}
	close(messages)
	return messages
}

// A scan passes each message once and in order, whatever is lost on the way, and though its consumer is gone.
func TestScanPassesWhatDidNotCome(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	const wanted = 520 // more than a batch
	for range wanted {
		bustest.Submit(t, store.Bus, request)
	}
	nothing := func(int, int) bool { return false }
	for name, test := range map[string]struct {
		lost  func(batch, place int) bool
		since time.Time
		gone  bool
	}{
		"nothing is lost":            {lost: nothing},
		"the first":                  {lost: func(batch, place int) bool { return batch == 0 && place == 0 }},
		"the first since":            {lost: func(batch, place int) bool { return batch == 0 && place == 0 }, since: time.Unix(1, 0)},
		"some in the middle":         {lost: func(_, place int) bool { return place == 3 || place == 4 }},
		"the last":                   {lost: func(batch, place int) bool { return batch == 1 && place == wanted-500-1 }},
		"the first batch":            {lost: func(batch, _ int) bool { return batch == 0 }},
		"the consumer in the middle": {lost: nothing, gone: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var read []uint64
			var made []jetstream.Consumer
			lossy := store.Jet().Runs.Over(seenServer{lossyServer{store.Jet().Runs.Stream, test.lost, new(int)}, &made})
			err := lossy.Scan(t.Context(), jet.Range{Subjects: []string{jet.Requests}, Since: test.since}, func(r jet.Record) error {
				if read = append(read, r.Sequence); test.gone && len(read) == 1 {
					return store.Jet().Runs.DeleteConsumer(t.Context(), made[0].CachedInfo().Name)
				}
				return nil
			})
			if err != nil || !slices.IsSorted(read) || len(read) != wanted || len(slices.Compact(read)) != wanted {
				t.Errorf("%d messages of %d, %v", len(read), wanted, err)
			}
			for _, consumer := range made[len(made)-1:] {
				if _, err := consumer.Info(t.Context()); !errors.Is(err, jetstream.ErrConsumerNotFound) {
					t.Errorf("the scan has left its consumer: %v", err)
				}
			}
		})
	}
}

// seenServer shows the consumers that are made.
type seenServer struct {
	jetstream.Stream
	made *[]jetstream.Consumer
}

func (s seenServer) CreateConsumer(ctx context.Context, config jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	consumer, err := s.Stream.CreateConsumer(ctx, config)
	*s.made = append(*s.made, consumer)
	return consumer, err
}

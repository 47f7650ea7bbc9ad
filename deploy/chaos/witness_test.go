//go:build chaos

package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/run"
)

// witness is an integration of somebody else, which keeps a durable consumer on the completion
// events, and an observer that notes what it can see of each run for the story of one that went wrong.
type witness struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	ledger *ledger

	mu sync.Mutex
	// events are the stream sequences under which each ce-id came.
	events map[string]map[uint64]bool
	// last is when an event that was new came last.
	last time.Time
	// notes are what was seen of each run.
	notes     map[run.Number][]string
	elections int
	stop      context.CancelFunc
	all       sync.WaitGroup
}

// consumerName is the integration's durable consumer.
const consumerName = "chaos-integration"

// witnesses connects and begins; it survives whatever happens to the servers.
func witnesses(ctx context.Context, urls string, l *ledger) (*witness, error) {
	nc, err := nats.Connect(urls, nats.Name("chaos"), nats.MaxReconnects(-1), nats.ReconnectWait(200*time.Millisecond),
		nats.PingInterval(2*time.Second), nats.MaxPingsOutstanding(2), nats.Timeout(2*time.Second), nats.RetryOnFailedConnect(true))
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(10*time.Second))
	if err != nil {
		return nil, err
	}
	w := &witness{nc: nc, js: js, ledger: l, events: map[string]map[uint64]bool{}, notes: map[run.Number][]string{}}
	ctx, w.stop = context.WithCancel(ctx)
	for subject, note := range map[string]func(*nats.Msg){
		"$KV.runs.>":     w.noteWrite,
		"$KV.progress.>": w.noteProgress,
		"$JS.ACK.>":      w.noteAck,
		"$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED.>": func(*nats.Msg) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.elections++
		},
	} {
		if _, err := nc.Subscribe(subject, note); err != nil {
			return nil, err
		}
	}
	w.all.Go(func() { w.consume(ctx) })
	return w, nil
}

func (w *witness) close() {
	w.stop()
	w.all.Wait()
	w.nc.Close()
}

// consume takes the events as they come.
func (w *witness) consume(ctx context.Context) {
	pause := func() {
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
	var consumer jetstream.Consumer
	for ctx.Err() == nil {
		if consumer == nil {
			made, err := w.js.CreateOrUpdateConsumer(ctx, "EVENTS", jetstream.ConsumerConfig{
				Durable: consumerName, AckPolicy: jetstream.AckExplicitPolicy, AckWait: 5 * time.Second, MaxAckPending: 2000,
			})
			if err != nil {
				pause()
				continue
			}
			consumer = made
		}
		batch, err := consumer.Fetch(100, jetstream.FetchMaxWait(2*time.Second))
		if err != nil {
			pause()
			continue
		}
		for msg := range batch.Messages() {
			meta, err := msg.Metadata()
			if err != nil {
				continue
			}
			w.event(msg.Headers().Get("ce-id"), meta.Sequence.Stream)
			_ = msg.Ack() // one that is not heard brings the event again, which the ce-id tells
		}
		if batch.Error() != nil && !errors.Is(batch.Error(), nats.ErrTimeout) {
			pause()
		}
	}
}

func (w *witness) event(id string, sequence uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.events[id] == nil {
		w.events[id] = map[uint64]bool{}
	}
	if !w.events[id][sequence] {
		w.events[id][sequence] = true
		w.last = time.Now()
		w.ledger.happened(runOf(id))
	}
}

func (w *witness) eventCount() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.events)
}

func (w *witness) note(n run.Number, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	notes := append(w.notes[n], time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
	if len(notes) > 80 {
		notes = append(notes[:20], notes[len(notes)-50:]...)
	}
	w.notes[n] = notes
}

func runOf(subject string) run.Number {
	n, _ := strconv.ParseUint(subject[strings.LastIndexByte(subject, '.')+1:], 10, 64)
	return run.Number(n)
}

// noteWrite sees every write of a claim or a final document that was tried, refused ones too.
func (w *witness) noteWrite(msg *nats.Msg) {
	expected := msg.Header.Get("Nats-Expected-Last-Subject-Sequence")
	if strings.HasPrefix(msg.Subject, "$KV.runs.final.") {
		doc, _ := run.DecodeDocument(msg.Data)
		w.note(runOf(msg.Subject), "final (if sequence is %s): %s %q, %d rows, execution %d", expected, doc.StatusDescription, doc.Message, doc.RowsProcessed, doc.ExecutionCount)
		return
	}
	w.note(runOf(msg.Subject), "claim (if sequence is %s): %s", expected, msg.Data)
}

func (w *witness) noteProgress(msg *nats.Msg) {
	doc, err := run.DecodeDocument(msg.Data)
	if err == nil {
		w.note(runOf(msg.Subject), "progress: %v%% %d rows, execution %d, %s", doc.PercentComplete, doc.RowsRetrieved, doc.ExecutionCount, doc.Message)
	}
}

// noteAck sees the acknowledgements of deliveries: $JS.ACK[.domain.account].RUNS.<task>.<delivered>.<run>.…
func (w *witness) noteAck(msg *nats.Msg) {
	tokens := strings.Split(msg.Subject, ".")
	for i, token := range tokens {
		if token == "RUNS" && i+3 < len(tokens) {
			w.note(runOf(tokens[i+3]), "delivery %s: %s", tokens[i+2], msg.Data)
			return
		}
	}
}

// stored is everything that the store holds of the runs.
type stored struct {
	requests map[run.Number]run.Request
	// ids are how many requests are stored under each message id.
	ids    map[string]int
	finals map[run.Number]run.Document
	bytes  map[run.Number][]byte
	// events are how many messages of EVENTS each run has.
	events map[run.Number]int
}

// read reads the streams whole.
func (w *witness) read(ctx context.Context) (s stored, err error) {
	s = stored{
		requests: map[run.Number]run.Request{}, ids: map[string]int{},
		finals: map[run.Number]run.Document{}, bytes: map[run.Number][]byte{}, events: map[run.Number]int{},
	}
	err = errors.Join(
		w.each(ctx, "RUNS", "run.request.*", func(msg jetstream.Msg, sequence uint64) error {
			var request run.Request
			if err := json.Unmarshal(msg.Data(), &request); err != nil {
				return err
			}
			s.requests[run.Number(sequence)] = request
			if id := msg.Headers().Get(jetstream.MsgIDHeader); id != "" {
				s.ids[id]++
			}
			return nil
		}),
		w.each(ctx, "KV_runs", "$KV.runs.final.>", func(msg jetstream.Msg, _ uint64) error {
			doc, err := run.DecodeDocument(msg.Data())
			n := runOf(msg.Subject())
			s.finals[n], s.bytes[n] = doc, msg.Data()
			return err
		}),
		w.each(ctx, "EVENTS", ">", func(msg jetstream.Msg, _ uint64) error {
			id := msg.Headers().Get("ce-id")
			s.events[runOf(id)]++
			return nil
		}),
	)
	return s, err
}

// open counts the stored runs of some tasks that have not ended.
func (w *witness) open(ctx context.Context, works []*work) (n int, err error) {
	all, err := w.read(ctx)
	for number, request := range all.requests {
		if _, ended := all.finals[number]; !ended && slices.ContainsFunc(works, func(w *work) bool { return w.id == request.Task }) {
			n++
		}
	}
	return n, err
}

var errMissing = errors.New("the server does not send them")

// each reads a stream from its beginning to its present end.
func (w *witness) each(ctx context.Context, name, filter string, take func(msg jetstream.Msg, sequence uint64) error) error {
	stream, err := w.js.Stream(ctx, name)
	if err != nil {
		return fmt.Errorf("stream %s: %w", name, err)
	}
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		FilterSubject: filter, AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: time.Minute,
	})
	if err != nil {
		return fmt.Errorf("stream %s: %w", name, err)
	}
	defer func() { _ = stream.DeleteConsumer(ctx, consumer.CachedInfo().Name) }()
	// How many there are is the consumer's to say: after a full disk and a restart the server's counts by
	// subject can be above the messages that the stream has (nats-server 2.15.2).
	left := consumer.CachedInfo().NumPending
	// A fetch that brings nothing is no error, so the limit counts from the last message.
	for limit := time.Now().Add(time.Minute); left > 0; {
		batch, err := consumer.Fetch(int(min(left, 500)), jetstream.FetchMaxWait(2*time.Second))
		if err == nil {
			for msg := range batch.Messages() {
				meta, err := msg.Metadata()
				if err != nil {
					return err
				}
				if err := take(msg, meta.Sequence.Stream); err != nil {
					return fmt.Errorf("stream %s, message %d: %w", name, meta.Sequence.Stream, err)
				}
				left--
				limit = time.Now().Add(time.Minute)
			}
			err = batch.Error()
		}
		if time.Now().After(limit) {
			info, _ := consumer.Info(ctx)
			return fmt.Errorf("stream %s: %d messages are missing at the end, the consumer is %+v: %w", name, left, info, errors.Join(err, errMissing))
		}
	}
	return nil
}

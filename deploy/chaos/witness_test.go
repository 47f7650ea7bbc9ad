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
	// past are the last sequences of streams that nobody asks about.
	past map[string]uint64

	mu sync.Mutex
	// events are the stream sequences under which each ce-id came.
	events map[string]map[uint64]bool
	// last is when an event that was new came last.
	last time.Time
	// notes are what was seen of each run.
	notes map[run.Number][]string
	// foreign are the numbers of requests that are none of ours.
	foreign map[run.Number]bool
	// moves are by how much run numbers are ahead of the sequences behind one.
	moves     [][2]uint64
	elections int
	stop      context.CancelFunc
	all       sync.WaitGroup
}

// consumerName is the integration's durable consumer.
const consumerName = "chaos-integration"

// witnesses connects and begins; it survives whatever happens to the servers.
func witnesses(ctx context.Context, urls string, past map[string]uint64, l *ledger) (*witness, error) {
	nc, err := nats.Connect(urls, nats.Name("chaos"), nats.MaxReconnects(-1), nats.ReconnectWait(200*time.Millisecond),
		nats.PingInterval(2*time.Second), nats.MaxPingsOutstanding(2), nats.Timeout(2*time.Second), nats.RetryOnFailedConnect(true))
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(10*time.Second))
	if err != nil {
		return nil, err
	}
	w := &witness{nc: nc, js: js, past: past, ledger: l, events: map[string]map[uint64]bool{}, notes: map[run.Number][]string{}, foreign: map[run.Number]bool{}}
	ctx, w.stop = context.WithCancel(ctx)
	for subject, note := range map[string]func(*nats.Msg){
		"$KV.*.claim.>":  w.noteWrite,
		"$KV.*.final.>":  w.noteWrite,
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
				DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: w.past["EVENTS"] + 1,
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
			if msg.Headers().Get(foreign) == "" {
				w.event(msg.Headers().Get("ce-id"), meta.Sequence.Stream)
			}
			_ = msg.Ack() // one that is not heard brings the event again, which the ce-id tells
		}
		if batch.Error() != nil && !errors.Is(batch.Error(), nats.ErrTimeout) {
			consumer = nil // a restored store may lack it
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

// strange notes that a number was given to a request that is none of ours; how that ends is not of
// interest.
func (w *witness) strange(n run.Number) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.foreign[n] = true
}

// renumber reads how far each restore has moved the run numbers on: RUNS has "behind+by" of each, a
// sequence and the distance of the numbers behind it.
func (w *witness) renumber(metadata string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.moves = nil
	for field := range strings.FieldsSeq(metadata) {
		var behind, by uint64
		if _, err := fmt.Sscanf(field, "%d+%d", &behind, &by); err != nil {
			return fmt.Errorf("run numbers %q: %w", metadata, err)
		}
		w.moves = append(w.moves, [2]uint64{behind, by})
	}
	return nil
}

// number is the run number of a request.
func (w *witness) number(sequence uint64) run.Number {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := sequence
	for _, move := range w.moves {
		if sequence > move[0] {
			n = sequence + move[1]
		}
	}
	return run.Number(n)
}

func (w *witness) isStrange(n run.Number) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.foreign[n]
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
	if strings.Contains(msg.Subject, ".final.") {
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
			s.requests[w.number(sequence)] = request
			if id := msg.Headers().Get(jetstream.MsgIDHeader); id != "" {
				s.ids[id]++
			}
			return nil
		}),
		w.eachSlice(ctx, func(msg jetstream.Msg, _ uint64) error {
			n := runOf(msg.Subject())
			if w.isStrange(n) {
				return nil
			}
			doc, err := run.DecodeDocument(msg.Data())
			s.finals[n], s.bytes[n] = doc, msg.Data()
			return err
		}),
		w.each(ctx, "EVENTS", ">", func(msg jetstream.Msg, _ uint64) error {
			if n := runOf(msg.Headers().Get("ce-id")); !w.isStrange(n) {
				s.events[n]++
			}
			return nil
		}),
		w.readBundles(ctx, &s),
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

// eachSlice is each for the final documents of all slices.
func (w *witness) eachSlice(ctx context.Context, take func(msg jetstream.Msg, sequence uint64) error) error {
	names, err := slicesOf(ctx, w.js)
	for _, name := range names {
		err = errors.Join(err, w.each(ctx, name, "$KV."+strings.TrimPrefix(name, "KV_")+".final.>", take))
	}
	return err
}

// slicesOf are the streams of the slices.
func slicesOf(ctx context.Context, js jetstream.JetStream) (all []string, err error) {
	names := js.StreamNames(ctx, jetstream.WithStreamListSubject("$KV.>"))
	for name := range names.Name() {
		if name == "KV_runs" || strings.HasPrefix(name, "KV_runs_") {
			all = append(all, name)
		}
	}
	return all, names.Err()
}

// newestSlice is the stream that the next run's results go to.
func (w *witness) newestSlice(ctx context.Context) string {
	stream, err := w.js.Stream(ctx, "RUNS")
	if err != nil || w.renumber(stream.CachedInfo().Config.Metadata["runhook-numbers"]) != nil {
		return ""
	}
	return sliceOf(w.number(stream.CachedInfo().State.LastSeq + 1))
}

// sliceOf is the stream of a run's results.
func sliceOf(n run.Number) string { return fmt.Sprintf("KV_runs_%d", n/slice) }

var errMissing = errors.New("the server does not send them")

// each reads a stream from its beginning to its present end.
func (w *witness) each(ctx context.Context, name, filter string, take func(msg jetstream.Msg, sequence uint64) error) error {
	stream, err := w.js.Stream(ctx, name)
	if err != nil {
		return fmt.Errorf("stream %s: %w", name, err)
	}
	if name == "RUNS" {
		if err := w.renumber(stream.CachedInfo().Config.Metadata["runhook-numbers"]); err != nil {
			return err
		}
	}
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		FilterSubject: filter, AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: time.Minute,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: w.past[name] + 1,
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
				left--
				limit = time.Now().Add(time.Minute)
				if msg.Headers().Get(foreign) != "" {
					if name == "RUNS" {
						w.strange(w.number(meta.Sequence.Stream))
					}
					continue
				}
				if err := take(msg, meta.Sequence.Stream); err != nil {
					return fmt.Errorf("stream %s, message %d: %w", name, meta.Sequence.Stream, err)
				}
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

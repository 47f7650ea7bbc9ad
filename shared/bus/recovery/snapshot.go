package recovery

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus"
	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/wait"
)

// backedUp are the streams of a backup, in the order in which they are read while the store is in use.
// What a message of one refers to in another is there when that is read:
//
//   - a request is read before its final document and the definition that it names;
//   - a request, before the entry of its key, which says that there is one or where to look;
//   - a queue that says acknowledged, before the final document that was written ahead of that;
//   - the final documents of a sealed slice, before their events: the restored store copies none from it;
//   - an event, before the final document of an open slice that it is a copy of: read later, it would let the
//     restored store pass over as many new ones;
//   - a claim or a final document, before the rejected rows that it names.
var backedUp = []string{jet.RunsStream, jet.KeysStream, sliceStreams, jet.EventsStream, sliceStreams, jet.RowsStream, jet.TasksStream, jet.ControlStream, jet.AuditStream}

// sliceStreams stands for the streams of slices, of which there are any number: of the sealed ones, then of the others.
const sliceStreams = ""

const (
	// snapshotChunk is the size of a backup's parts, below the smallest usual limit of a NATS message.
	snapshotChunk = 512 << 10
	// snapshotWait bounds the wait for the next part.
	snapshotWait = 30 * time.Second
	// snapshotTries is how often a stream is read at most.
	snapshotTries = 20
)

// Sink takes the parts of a backup.
type Sink interface {
	// Add takes the next part of a stream.
	Add(stream string, part []byte) error
	// Drop forgets the parts of a stream and of all behind it, which come anew.
	Drop(stream string) error
}

// Backup hands out everything that a store keeps on disk, part by part, while it is in use: all that
// was accepted before is in it, and of what comes meanwhile a part. Live progress is left out.
func Backup(ctx context.Context, b *bus.Bus, to Sink) error {
	s := storeOf(b)
	if err := s.backUpAll(ctx, to, jet.RunsStream, jet.KeysStream); err != nil {
		return err
	}
	sealed, _, err := s.slices(ctx)
	if err == nil {
		err = s.backUpSlices(ctx, to, sealed)
	}
	for whole := false; !whole && err == nil; {
		whole, err = s.backUpOpen(ctx, to, sealed)
	}
	if err != nil {
		return err
	}
	return s.backUpAll(ctx, to, jet.RowsStream, jet.TasksStream, jet.ControlStream, jet.AuditStream)
}

func (s *store) backUpAll(ctx context.Context, to Sink, names ...string) error {
	for _, name := range names {
		if _, err := s.JS.Stream(ctx, name); (name == jet.KeysStream || name == jet.AuditStream) && errors.Is(err, jetstream.ErrStreamNotFound) {
			continue // an earlier program had none
		}
		if err := s.backUp(ctx, name, to); err != nil {
			return fmt.Errorf("back up stream %s: %w", name, err)
		}
	}
	return nil
}

// backUpOpen reads the events, and the slices besides those that were read before. It is not whole where one was
// sealed meanwhile: the events that were read may lack some of it.
func (s *store) backUpOpen(ctx context.Context, to Sink, read []jet.Slice) (whole bool, err error) {
	before, _, err := s.slices(ctx)
	if err != nil {
		return false, err
	}
	if err := s.backUpAll(ctx, to, jet.EventsStream); err != nil {
		return false, err
	}
	_, all, err := s.slices(ctx)
	if err != nil {
		return false, err
	}
	in := func(some []jet.Slice) func(jet.Slice) bool {
		return func(slice jet.Slice) bool { return slices.Contains(some, slice) }
	}
	if err := s.backUpSlices(ctx, to, slices.DeleteFunc(all, in(read))); err != nil {
		return false, err
	}
	after, _, err := s.slices(ctx)
	if err != nil {
		return false, err
	}
	if len(slices.DeleteFunc(after, in(before))) == 0 {
		return true, nil
	}
	s.Log.Info().Msg("the backup reads the events once more: a slice of runs was sealed meanwhile")
	return false, to.Drop(jet.EventsStream)
}

// slices are the slices that there are now, and those of them that are sealed.
func (s *store) slices(ctx context.Context) (sealed, all []jet.Slice, err error) {
	if err := s.readLayout(ctx); err != nil {
		return nil, nil, err
	}
	there, err := s.Slices(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("list the slices of runs: %w", jet.Explain(err))
	}
	for _, slice := range there {
		stream, err := s.JS.Stream(ctx, slice.StreamName())
		if errors.Is(err, jetstream.ErrStreamNotFound) { // it was removed in this moment
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("open stream %s: %w", slice.StreamName(), jet.Explain(err))
		}
		all = append(all, slice)
		if _, is := jet.Sealed(stream.CachedInfo().Config); is {
			sealed = append(sealed, slice)
		}
	}
	return sealed, all, nil
}

func (s *store) backUpSlices(ctx context.Context, to Sink, some []jet.Slice) error {
	for _, slice := range some {
		err := s.backUp(ctx, slice.StreamName(), to)
		if errors.Is(err, jetstream.ErrStreamNotFound) { // it was removed in this moment
			err = to.Drop(slice.StreamName())
		}
		if err != nil {
			return fmt.Errorf("back up stream %s: %w", slice.StreamName(), err)
		}
	}
	return nil
}

// readLayout finds out which streams are slices, where the store was not opened with Check or Init.
func (s *store) readLayout(ctx context.Context) error {
	runs, err := s.JS.Stream(ctx, jet.RunsStream)
	if err != nil {
		return fmt.Errorf("open stream %s: %w", jet.RunsStream, jet.Explain(err))
	}
	layout, err := jet.ParseLayout(runs.CachedInfo().Config.Metadata)
	if err == nil && layout != s.Layout { // an opened store has it, and reads it while this goes on
		s.Layout = layout
	}
	return err
}

// backUp reads one stream, and once more when the server could not send all of it: a cluster's cannot if a
// consumer goes meanwhile, such as the one of a scan (nats-server 2.15.2), or if the leader changes.
func (s *store) backUp(ctx context.Context, name string, to Sink) error {
	pause := wait.Backoff{Least: 50 * time.Millisecond, Most: 2 * time.Second}
	for try := 1; ; try++ {
		err := s.snapshot(ctx, name, func(part []byte) error { return to.Add(name, part) })
		api, isAPI := errors.AsType[*jetstream.APIError](err)
		passing := errors.Is(err, run.ErrUnavailable) || isAPI && api.Code >= 500
		if err == nil || !passing || try == snapshotTries {
			return err
		}
		s.Log.Warn().Err(err).Str("stream", name).Msg("the backup reads a stream once more")
		if err := to.Drop(name); err != nil {
			return err
		}
		if !pause.Wait(ctx) {
			return ctx.Err()
		}
	}
}

// StoreID is the id of the store, where it was not opened with Check or Init.
func StoreID(ctx context.Context, b *bus.Bus) (string, error) {
	s := storeOf(b)
	if _, err := s.JS.Stream(ctx, jet.ControlStream); errors.Is(err, jetstream.ErrStreamNotFound) {
		return "", errors.New("there is no store of Runhook")
	}
	id, err := s.Control.LeaderLast(ctx, jet.StoreIDSubject)
	if err != nil {
		return "", fmt.Errorf("read the store id: %w", err)
	}
	return jet.StoreID(id.Data), nil
}

// stream is a stream as the server describes it in a snapshot: what restoring it takes.
type stream struct {
	Config map[string]json.RawMessage `json:"config"`
	State  json.RawMessage            `json:"state"`
}

// snapshot reads one stream with its consumers. The first part is its description.
// (Protocol: $JS.API.STREAM.SNAPSHOT; the server sends parts and waits for their acknowledgements, then
// an empty message with a status.)
func (s *store) snapshot(ctx context.Context, name string, add func([]byte) error) error {
	parts := make(chan *nats.Msg, 256)
	inbox, err := s.NC.ChanSubscribe(s.NC.NewInbox(), parts)
	if err != nil {
		return jet.Explain(err)
	}
	defer func() { _ = inbox.Unsubscribe() }() // gone with the connection
	reply, err := s.api(ctx, "STREAM.SNAPSHOT."+name, map[string]any{
		"deliver_subject": inbox.Subject, "chunk_size": snapshotChunk,
	})
	if err != nil {
		return err
	}
	if err := add(reply); err != nil {
		return err
	}
	idle := time.NewTimer(snapshotWait)
	defer idle.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-idle.C:
			return fmt.Errorf("%w: nothing came for %s", run.ErrUnavailable, snapshotWait)
		case part := <-parts:
			if len(part.Data) == 0 {
				if status := part.Header.Get("Status"); status != "" && status != "204" {
					return fmt.Errorf("%w: %s %s", run.ErrUnavailable, status, part.Header.Get("Description"))
				}
				return nil
			}
			if err := add(part.Data); err != nil {
				return err
			}
			if part.Reply != "" {
				if err := part.Respond(nil); err != nil {
					return jet.Explain(err)
				}
			}
			idle.Reset(snapshotWait)
		}
	}
}

// api calls the JetStream API where the client library has no method for it.
func (s *store) api(ctx context.Context, call string, request any) ([]byte, error) {
	data, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("encode a request: %w", err)
	}
	return s.ask(ctx, "$JS.API."+call, data)
}

// ask sends a request and returns its answer, unless that is an error.
func (s *store) ask(ctx context.Context, subject string, data []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, snapshotWait)
	defer cancel()
	reply, err := s.NC.RequestWithContext(ctx, subject, data)
	// The server that has just begun to listen may be another than this process is connected to.
	for late := time.Now().Add(jet.NotHeardOf); errors.Is(err, nats.ErrNoResponders) && time.Now().Before(late) && wait.For(ctx, jet.HeardOf); {
		reply, err = s.NC.RequestWithContext(ctx, subject, data)
	}
	if err != nil {
		return nil, jet.Explain(err)
	}
	var failed struct{ Error *jetstream.APIError }
	if len(reply.Data) > 0 {
		if err := json.Unmarshal(reply.Data, &failed); err != nil {
			return nil, fmt.Errorf("decode an answer of the JetStream API: %w", err)
		}
	}
	if failed.Error != nil {
		return nil, failed.Error
	}
	return reply.Data, nil
}

// ErrNotEmpty: a store is there already.
var ErrNotEmpty = errors.New("there is a store of Runhook already")

// Restore makes a store of the parts of a backup, where there is none: else it is ErrNotEmpty. next
// returns the parts as Backup gave them, and an error at the end, io.EOF or another, which Restore
// returns where it comes too early. replicas is for all streams; 0 leaves what they had, where that is
// one on a single server or more on a cluster: anything else is somebody's decision.
//
// The store gets an id of its own, and numbers that no run had before, whatever was accepted since madeOn,
// when the backup was begun: it is unknown to the store, and a signature or checkpoint of that time must
// not fit. Runs that were under way can be taken at once. After an error nothing of it is left.
func Restore(ctx context.Context, b *bus.Bus, replicas int, madeOn time.Time, next func() (stream string, part []byte, err error)) (err error) {
	s := storeOf(b)
	if err := s.isEmpty(ctx); err != nil {
		return err
	}
	name, part, err := next()
	if err == nil && replicas == 0 {
		err = s.fits(part)
	}
	if err != nil {
		return err
	}
	restored := []string{jet.ProgressStream}
	defer func() {
		if err == nil {
			return
		}
		for _, name := range restored {
			_ = s.JS.DeleteStream(context.WithoutCancel(ctx), name) // what is not there need not go
		}
	}()
	for place := 0; place < len(backedUp); {
		if errors.Is(err, io.EOF) && backedUp[place] == jet.AuditStream { // an earlier program had none
			break
		}
		if err != nil {
			return err
		}
		expected := backedUp[place]
		if name != expected && expected == jet.KeysStream { // an earlier program had none
			place++
			continue
		}
		if expected == sliceStreams {
			if _, isSlice := s.Layout.Named(name); !isSlice {
				place++
				continue
			}
			expected = name
		} else {
			place++
		}
		if name != expected {
			return fmt.Errorf("stream %q comes where %q has to: this program cannot restore the backup", name, expected)
		}
		restored = append(restored, name)
		if name, part, err = s.restoreStream(ctx, name, part, replicas, next); err != nil && name == expected {
			return fmt.Errorf("restore stream %s: %w", expected, err)
		}
		if expected == jet.RunsStream {
			if err := s.readLayout(ctx); err != nil {
				return err
			}
		}
	}
	if err := s.awaitReplicas(ctx, restored[1:]); err != nil {
		return err
	}
	if err := s.renew(ctx, madeOn); err != nil {
		return fmt.Errorf("make the restored store one of its own: %w", err)
	}
	return nil
}

// isEmpty refuses servers that have a store, or a part of one.
func (s *store) isEmpty(ctx context.Context) error {
	var there []string
	for _, name := range backedUp {
		_, err := s.JS.Stream(ctx, name)
		if name == sliceStreams || errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return jet.Explain(err)
		}
		there = append(there, name)
	}
	for _, s.Layout = range []jet.Layout{{}, {Width: 1}} { // whatever the width of its slices is
		all, err := s.Slices(ctx)
		if err != nil {
			return jet.Explain(err)
		}
		for _, slice := range all {
			there = append(there, slice.StreamName())
		}
	}
	if len(there) > 0 {
		return fmt.Errorf("%w: stream %s", ErrNotEmpty, there[0])
	}
	return nil
}

// fits refuses copies that would be more than the servers, or that a cluster would keep on one of them.
func (s *store) fits(description []byte) error {
	var of struct {
		Config jetstream.StreamConfig `json:"config"`
	}
	if err := json.Unmarshal(description, &of); err != nil {
		return fmt.Errorf("decode the backup's first stream: %w", err)
	}
	switch copies, cluster := of.Config.Replicas, s.NC.ConnectedClusterName() != ""; {
	case copies > 1 && !cluster:
		return fmt.Errorf("the backup is of a cluster with %d copies of everything, and this NATS is a single server: give --replicas 1", copies)
	case copies <= 1 && cluster:
		return errors.New("the backup is of a single server, and this NATS is a cluster: give --replicas 3, or as many copies of everything as you want")
	}
	return nil
}

// restoreStream makes one stream of its parts, and returns the first part of the one behind it, or
// its name with the error that kept it from being restored.
// (Protocol: $JS.API.STREAM.RESTORE answers with a subject that takes the parts, one request each, and
// an empty one at the end.)
func (s *store) restoreStream(ctx context.Context, name string, description []byte, replicas int,
	next func() (string, []byte, error),
) (string, []byte, error) {
	var of stream
	if err := json.Unmarshal(description, &of); err != nil {
		return name, nil, fmt.Errorf("decode its description: %w", err)
	}
	if replicas > 0 {
		of.Config["num_replicas"] = json.RawMessage(fmt.Sprint(replicas))
	}
	if sources := of.Config["sources"]; len(sources) > 0 {
		if err := json.Unmarshal(sources, &s.sources); err != nil {
			return name, nil, fmt.Errorf("decode what it copies: %w", err)
		}
	}
	delete(of.Config, "persist_mode") // what only the embedded server may do: see Topology.Embedded
	delete(of.Config, "sources")      // a source would be copied from its beginning: see resumeEvents
	reply, err := s.api(ctx, "STREAM.RESTORE."+name, of)
	if err != nil {
		return name, nil, err
	}
	var to struct {
		DeliverSubject string `json:"deliver_subject"`
	}
	if err := json.Unmarshal(reply, &to); err != nil {
		return name, nil, fmt.Errorf("decode where it is to be sent: %w", err)
	}
	for {
		following, part, nextErr := next()
		if nextErr != nil || following != name {
			if _, err := s.ask(ctx, to.DeliverSubject, nil); err != nil {
				return name, nil, err
			}
			return following, part, nextErr
		}
		if _, err := s.ask(ctx, to.DeliverSubject, part); err != nil {
			return name, nil, err
		}
	}
}

// awaitReplicas waits until each replica of the restored streams has what its leader has: who reads them
// next may ask any of them.
func (s *store) awaitReplicas(ctx context.Context, restored []string) error {
	for _, name := range restored {
		last, changed := "", time.Now()
		for {
			stream, err := s.JS.Stream(ctx, name)
			if err != nil {
				return fmt.Errorf("stream %s: %w", name, jet.Explain(err))
			}
			behind := lagging(stream.CachedInfo())
			if behind == "" {
				break
			}
			if behind != last {
				last, changed = behind, time.Now()
			}
			if time.Since(changed) > copyTime {
				return fmt.Errorf("%w: the replicas of stream %s do not get what was restored: %s", run.ErrUnavailable, name, behind)
			}
			if !wait.For(ctx, 50*time.Millisecond) {
				return ctx.Err()
			}
		}
	}
	return nil
}

// lagging says which replicas of a stream lack something; it is empty when none does.
func lagging(info *jetstream.StreamInfo) string {
	if info.Config.Replicas == 1 {
		return ""
	}
	if info.Cluster == nil || info.Cluster.Leader == "" || len(info.Cluster.Replicas) != info.Config.Replicas-1 {
		return "some are not there"
	}
	var behind []string
	for _, peer := range info.Cluster.Replicas {
		if !peer.Current || peer.Lag > 0 {
			behind = append(behind, fmt.Sprintf("%s lacks %d", peer.Name, peer.Lag))
		}
	}
	return strings.Join(behind, ", ")
}

// renew makes a restored store one of its own.
func (s *store) renew(ctx context.Context, madeOn time.Time) error {
	if _, err := s.JS.Publish(ctx, jet.StoreIDSubject, []byte(uuid.NewString())); err != nil {
		return fmt.Errorf("write the store id: %w", jet.Explain(err))
	}
	if err := s.bus.Fit(ctx, &bus.Topology{}); err != nil { // it may be the store of an earlier program
		return err
	}
	var err error
	if s.open, err = s.OpenSlices(ctx); err != nil {
		return err
	}
	if err := s.lookForBegins(ctx, s.sources, madeOn); err != nil {
		return err
	}
	if err := s.moveNumbers(ctx, madeOn); err != nil {
		return err
	}
	if err := s.resumeEvents(ctx); err != nil {
		return fmt.Errorf("go on with the completion events: %w", err)
	}
	if err := s.bus.Init(ctx, bus.Topology{}); err != nil {
		return err
	}
	finals, err := s.finals(ctx)
	if err != nil {
		return err
	}
	for _, slice := range s.open {
		if err := s.handBack(ctx, slice, finals); err != nil {
			return err
		}
	}
	return s.keepAlarms(ctx, finals)
}

// handBack has the runs of a slice be taken at once that have not ended: their holders do not know this store.
func (s *store) handBack(ctx context.Context, slice *jet.Results, finals map[ofTask]uint64) error {
	return slice.Scan(ctx, jet.Range{Subjects: []string{slice.Claims()}}, func(claim jet.Record) error {
		id, n, ok := slice.ClaimedRun(claim.Subject)
		if ok && finals[ofTask{id, n}] > 0 {
			return nil
		}
		state, err := run.DecodeClaim(claim.Data)
		if err != nil || !ok { // nobody holds the run by it
			slice.PassOver(claim, cmp.Or(err, errors.New("it is the claim of no run")))
			return nil
		}
		if ended, err := s.Ended(ctx, id, n); err != nil || ended || state.HandedBack {
			return err
		}
		state.HandedBack = true
		data, err := state.Encode()
		if err != nil {
			return err
		}
		_, err = s.JS.Publish(ctx, claim.Subject, data)
		return err
	})
}

const (
	// acceptedPerSecond is more runs than a store can accept in a second.
	acceptedPerSecond = 100_000
	// clocksApart is how far the clocks of the backup and of the restore may be apart.
	clocksApart = time.Hour
	// roundNumber divides the number that the next run would get right after a restore.
	roundNumber = 1_000_000
	// lastMovedTo leaves as many run numbers as there were, below 2^53: larger ones are not exact in JSON.
	lastMovedTo = 1 << 52
)

// moveNumbers has the requests behind the restored ones get numbers that were not given out after the
// backup, whoever accepted how many runs since.
func (s *store) moveNumbers(ctx context.Context, madeOn time.Time) error {
	info, err := s.Runs.Info(ctx)
	if err != nil {
		return jet.Explain(err)
	}
	restored := info.State.LastSeq
	var highest run.Number
	for _, slice := range s.open {
		number, err := s.highestNumber(ctx, slice, 1, s.Numbers.Of(restored))
		if err != nil {
			return err
		}
		highest = max(highest, number)
	}
	var seen uint64
	consumers := s.Runs.ListConsumers(ctx)
	for info := range consumers.Info() {
		seen = max(seen, info.Delivered.Stream) // a consumer never looks back behind that
	}
	if err := consumers.Err(); err != nil {
		return fmt.Errorf("list the queues: %w", jet.Explain(err))
	}
	next, err := s.advance(ctx, s.Runs, jet.SkippedRequests, seen)
	if err != nil {
		return err
	}
	highest = max(highest, s.Numbers.Of(next))
	seconds := max(0, time.Since(madeOn)).Seconds() + clocksApart.Seconds()
	number := (highest+run.Number(seconds*acceptedPerSecond))/roundNumber*roundNumber + roundNumber
	if number > lastMovedTo {
		return fmt.Errorf("the next run would get the number %s, which leaves too few that are exact in JSON: this machine's clock says %s, and the backup is of %s; set the clock right",
			number, time.Now().UTC().Format(time.DateTime), madeOn.UTC().Format(time.DateTime))
	}
	if info, err = s.Runs.Info(ctx); err != nil {
		return jet.Explain(err)
	}
	config := info.Config
	config.Metadata[jet.NumbersKey] = s.Numbers.Moved(restored, next, number).String()
	if _, err := s.JS.UpdateStream(ctx, config); err != nil {
		return fmt.Errorf("move the run numbers on: %w", jet.Explain(err))
	}
	return s.bus.Open(ctx)
}

// resumeEvents has the server copy final documents into the events again, behind the last that was
// restored. To the server a restored stream is another one than it was, which it copies from where it is told.
func (s *store) resumeEvents(ctx context.Context) error {
	copied := map[*jet.Results]uint64{}
	err := s.Events.Scan(ctx, jet.Range{HeadersOnly: true}, func(event jet.Record) error {
		if number, sequence := origin(event.Header); s.openOf(number) != nil {
			copied[s.openOf(number)] = max(copied[s.openOf(number)], sequence)
		}
		return nil
	})
	if err != nil {
		return err
	}
	events, err := s.Events.Info(ctx)
	if err != nil {
		return jet.Explain(err)
	}
	config := events.Config
	config.Subjects, config.Sources = nil, nil
	for _, slice := range s.open {
		// What was copied and is not in the backup any more is written over by nobody.
		if _, err := s.advance(ctx, slice.Stream, slice.Skipped(), copied[slice]); err != nil {
			return err
		}
		config.Sources = append(config.Sources, slice.Source(max(s.begins[slice.StreamName()], copied[slice]+1)))
	}
	_, err = s.JS.UpdateStream(ctx, config)
	return jet.Explain(err)
}

package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/run"
)

// backedUp are the streams of a backup, in the order in which they are read while the store is in use.
// What a message of one refers to in another is there when that is read:
//
//   - a request is read before its final document and the definition that it names;
//   - a queue that says acknowledged, before the final document that was written ahead of that;
//   - an event, before the final document that it is a copy of: read later, it would let the restored
//     store pass over as many new ones;
//   - a claim or a final document, before the rejected rows that it names.
var backedUp = []string{runsStream, eventsStream, runsBucket, rowsStream, tasksStream, controlBucket}

const (
	// snapshotChunk is the size of a backup's parts, below the smallest usual limit of a NATS message.
	snapshotChunk = 512 << 10
	// snapshotWait bounds the wait for the next part.
	snapshotWait = 30 * time.Second
)

// Backup hands out everything that a store keeps on disk, part by part, while it is in use: all that
// was accepted before is in it, and of what comes meanwhile a part. Live progress is left out.
func (b *Bus) Backup(ctx context.Context, add func(stream string, part []byte) error) error {
	for _, name := range backedUp {
		if err := b.snapshot(ctx, name, func(part []byte) error { return add(name, part) }); err != nil {
			return fmt.Errorf("back up stream %s: %w", name, err)
		}
	}
	return nil
}

// ReadStoreID is the id of the store, where it was not opened with Check or Init.
func (b *Bus) ReadStoreID(ctx context.Context) (string, error) {
	if _, err := b.js.Stream(ctx, controlBucket); errors.Is(err, jetstream.ErrStreamNotFound) {
		return "", errors.New("there is no store of Runhook")
	}
	id, err := b.leaderLast(ctx, controlBucket, storeIDSubject)
	if err != nil {
		return "", fmt.Errorf("read the store id: %w", err)
	}
	return string(id.data), nil
}

// stream is a stream as the server describes it in a snapshot: what restoring it takes.
type stream struct {
	Config map[string]json.RawMessage `json:"config"`
	State  json.RawMessage            `json:"state"`
}

// failure is the error in an answer of the JetStream API.
type failure struct {
	Error *jetstream.APIError `json:"error"`
}

// snapshot reads one stream with its consumers. The first part is its description.
// (Protocol: $JS.API.STREAM.SNAPSHOT; the server sends parts and waits for their acknowledgements, then
// an empty message with a status.)
func (b *Bus) snapshot(ctx context.Context, name string, add func([]byte) error) error {
	parts := make(chan *nats.Msg, 256)
	inbox, err := b.nc.ChanSubscribe(b.nc.NewInbox(), parts)
	if err != nil {
		return explain(err)
	}
	defer func() { _ = inbox.Unsubscribe() }() // gone with the connection
	reply, err := b.api(ctx, "STREAM.SNAPSHOT."+name, map[string]any{
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
					return explain(err)
				}
			}
			idle.Reset(snapshotWait)
		}
	}
}

// api calls the JetStream API where the client library has no method for it.
func (b *Bus) api(ctx context.Context, call string, request any) ([]byte, error) {
	data, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("encode a request: %w", err)
	}
	return b.ask(ctx, "$JS.API."+call, data)
}

// ask sends a request and returns its answer, unless that is an error.
func (b *Bus) ask(ctx context.Context, subject string, data []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, snapshotWait)
	defer cancel()
	reply, err := b.nc.RequestWithContext(ctx, subject, data)
	for late := time.Now().Add(notHeardOf); errors.Is(err, nats.ErrNoResponders) && time.Now().Before(late); {
		// The server that has just begun to listen may be another than this process is connected to.
		time.Sleep(heardOf)
		reply, err = b.nc.RequestWithContext(ctx, subject, data)
	}
	if err != nil {
		return nil, explain(err)
	}
	var failed failure
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
// The store gets an id of its own, and numbers that no run had before: what was accepted after the
// backup is unknown to it, and a signature or checkpoint of that time must not fit. Runs that were
// under way can be taken at once. After an error nothing of it is left.
func (b *Bus) Restore(ctx context.Context, replicas int, next func() (stream string, part []byte, err error)) (err error) {
	for _, name := range backedUp {
		if _, err := b.js.Stream(ctx, name); err == nil {
			return fmt.Errorf("%w: stream %s", ErrNotEmpty, name)
		} else if !errors.Is(err, jetstream.ErrStreamNotFound) {
			return explain(err)
		}
	}
	name, part, err := next()
	if err == nil && replicas == 0 {
		err = b.fits(part)
	}
	if err != nil {
		return err
	}
	defer func() {
		if err == nil {
			return
		}
		for _, name := range append(backedUp, progressBucket) {
			_ = b.js.DeleteStream(context.WithoutCancel(ctx), name) // what is not there need not go
		}
	}()
	for _, expected := range backedUp {
		if err != nil {
			return err
		}
		if name != expected {
			return fmt.Errorf("stream %q comes where %q has to: this program cannot restore the backup", name, expected)
		}
		if name, part, err = b.restoreStream(ctx, name, part, replicas, next); err != nil && name == expected {
			return fmt.Errorf("restore stream %s: %w", expected, err)
		}
	}
	if err := b.awaitReplicas(ctx); err != nil {
		return err
	}
	if err := b.renew(ctx); err != nil {
		return fmt.Errorf("make the restored store one of its own: %w", err)
	}
	return nil
}

// fits refuses copies that would be more than the servers, or that a cluster would keep on one of them.
func (b *Bus) fits(description []byte) error {
	var of struct {
		Config jetstream.StreamConfig `json:"config"`
	}
	if err := json.Unmarshal(description, &of); err != nil {
		return fmt.Errorf("decode the backup's first stream: %w", err)
	}
	switch copies, cluster := of.Config.Replicas, b.nc.ConnectedClusterName() != ""; {
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
func (b *Bus) restoreStream(ctx context.Context, name string, description []byte, replicas int,
	next func() (string, []byte, error),
) (string, []byte, error) {
	var of stream
	if err := json.Unmarshal(description, &of); err != nil {
		return name, nil, fmt.Errorf("decode its description: %w", err)
	}
	if replicas > 0 {
		of.Config["num_replicas"] = json.RawMessage(fmt.Sprint(replicas))
	}
	delete(of.Config, "persist_mode") // what only the embedded server may do: see Topology.Embedded
	delete(of.Config, "sources")      // a source would be copied from its beginning: see resumeEvents
	reply, err := b.api(ctx, "STREAM.RESTORE."+name, of)
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
			if _, err := b.ask(ctx, to.DeliverSubject, nil); err != nil {
				return name, nil, err
			}
			return following, part, nextErr
		}
		if _, err := b.ask(ctx, to.DeliverSubject, part); err != nil {
			return name, nil, err
		}
	}
}

// awaitReplicas waits until each replica of the restored streams has what its leader has: who reads them
// next may ask any of them.
func (b *Bus) awaitReplicas(ctx context.Context) error {
	for _, name := range backedUp {
		last, changed := "", time.Now()
		for {
			stream, err := b.js.Stream(ctx, name)
			if err != nil {
				return fmt.Errorf("stream %s: %w", name, explain(err))
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
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(50 * time.Millisecond):
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
func (b *Bus) renew(ctx context.Context) error {
	if _, err := b.js.Publish(ctx, storeIDSubject, []byte(uuid.NewString())); err != nil {
		return fmt.Errorf("write the store id: %w", explain(err))
	}
	if _, err := b.remakeProgress(ctx); err != nil {
		return err
	}
	if err := b.Check(ctx); err != nil {
		return err
	}
	if err := b.noteRestored(ctx); err != nil {
		return err
	}
	number, err := b.highestNumber(ctx)
	if err != nil {
		return err
	}
	event, err := b.leaderLast(ctx, eventsStream, "run.completed.*")
	if err != nil && !errors.Is(err, errMissing) {
		return err
	}
	_, copied := origin(event.header)
	if _, err := b.advance(ctx, b.runs, "run.schedule.skipped", number); err != nil {
		return err
	}
	if _, err := b.advance(ctx, b.finals, "$KV.runs.skipped", copied); err != nil {
		return err
	}
	if err := b.resumeEvents(ctx); err != nil {
		return fmt.Errorf("go on with the completion events: %w", err)
	}
	return b.scan(ctx, b.finals, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{"$KV.runs.claim.*.*"},
	}, func(msg jetstream.Msg) error {
		id, n, _ := claimedRun(msg.Subject())
		if ended, err := b.Ended(ctx, id, n); err != nil || ended {
			return err
		}
		var state run.Claim
		if err := json.Unmarshal(msg.Data(), &state); err != nil {
			return fmt.Errorf("decode the claim %s: %w", msg.Subject(), err)
		}
		if state.HandedBack {
			return nil
		}
		state.HandedBack = true // its holder does not know this store
		data, err := state.Encode()
		if err != nil {
			return err
		}
		_, err = b.js.Publish(ctx, msg.Subject(), data)
		return err
	})
}

// resumeEvents has the server copy final documents into the events again, behind the last that was
// restored. To the server a restored stream is another one than it was, which it copies from its
// beginning. So it is told where to begin until one event is there that is of the restored stream:
// the last one anew, in the place of its former copy.
func (b *Bus) resumeEvents(ctx context.Context) error {
	newest, err := b.leaderLast(ctx, eventsStream, "run.completed.*")
	if err != nil && !errors.Is(err, errMissing) {
		return err
	}
	_, copied := origin(newest.header)
	if err := b.sourceEvents(ctx, copied+1); err != nil {
		return err
	}
	if copied == 0 {
		return b.sourceEvents(ctx, 0)
	}
	doc, err := run.DecodeDocument(newest.data)
	if err != nil {
		return err
	}
	subject := finalSubject(doc.ExecuteID, doc.ImportID)
	final, err := b.leaderLast(ctx, runsBucket, subject)
	if err != nil && !errors.Is(err, errMissing) {
		return err
	}
	if err := b.writeFinal(ctx, subject, final.sequence, newest.header, newest.data); err != nil {
		return err
	}
	events, err := b.js.Stream(ctx, eventsStream)
	if err != nil {
		return explain(err)
	}
	limited, cancel := context.WithTimeout(ctx, copyTime)
	defer cancel()
	for {
		last, err := b.leaderLast(limited, eventsStream, "run.completed.*")
		if err != nil {
			return err
		}
		if now, err := run.DecodeDocument(last.data); err == nil && now.ImportID == doc.ImportID && last.sequence > newest.sequence {
			break
		}
		select {
		case <-limited.Done():
			return fmt.Errorf("%w: the server does not copy the final documents into %s", run.ErrUnavailable, eventsStream)
		case <-time.After(20 * time.Millisecond):
		}
	}
	if err := events.DeleteMsg(ctx, newest.sequence); err != nil {
		return explain(err)
	}
	return b.sourceEvents(ctx, 0)
}

// sourceEvents has the events copy the final documents, from a sequence where the server knows of none;
// 0 is the first.
func (b *Bus) sourceEvents(ctx context.Context, from uint64) error {
	events, err := b.js.Stream(ctx, eventsStream)
	if err != nil {
		return explain(err)
	}
	config := events.CachedInfo().Config
	config.Subjects = nil
	config.Sources = eventsSources()
	config.Sources[0].OptStartSeq = from
	_, err = b.js.UpdateStream(ctx, config)
	return explain(err)
}

package bustest

import (
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// Older is a store as the program made it when it had one bucket for the results of all runs, written as that
// program wrote it.
type Older struct {
	// Task is the only one.
	Task *task.Definition

	t     testing.TB
	js    jetstream.JetStream
	store string
	runs  jetstream.Stream
	queue jetstream.Consumer
}

// olderStreams are the streams as they were made by commit 7815224.
func olderStreams() []jetstream.StreamConfig {
	const year = 365 * 24 * time.Hour
	stream := func(name string, subjects ...string) jetstream.StreamConfig {
		return jetstream.StreamConfig{
			Name: name, Subjects: subjects, Storage: jetstream.FileStorage, Replicas: 1, Discard: jetstream.DiscardNew, AllowDirect: true,
			MaxMsgs: -1, MaxMsgsPerSubject: -1, MaxMsgSize: -1, MaxBytes: -1, MaxConsumers: -1,
		}
	}
	bucket := func(name, subjects string) jetstream.StreamConfig {
		config := stream(name, subjects)
		config.MaxMsgsPerSubject = 1
		return config
	}
	follow := func(source string) *jetstream.RePublish {
		return &jetstream.RePublish{Source: source, Destination: "run.status.{{wildcard(1)}}.{{wildcard(2)}}"}
	}
	requests := stream("RUNS", "run.request.*", "run.schedule.*")
	requests.MaxAge, requests.Duplicates, requests.MaxConsumers = year, 24*time.Hour, 100_000
	requests.AllowMsgTTL, requests.AllowAtomicPublish = true, true
	requests.Metadata = map[string]string{
		"runhook-lease": "30s", "runhook-synced": "false", "runhook-retention": "8760h0m0s", "runhook-idempotency-window": "24h0m0s",
		"runhook-max-bytes": "0", "runhook-max-consumers": "100000",
	}
	runs := bucket("KV_runs", "$KV.runs.>")
	runs.MaxAge, runs.RePublish, runs.AllowAtomicPublish = year, follow("$KV.runs.final.*.*"), true
	events := stream("EVENTS")
	events.MaxAge, events.Discard, events.PersistMode = year+24*time.Hour, jetstream.DiscardOld, jetstream.AsyncPersistMode
	events.Sources = []*jetstream.StreamSource{{Name: "KV_runs", SubjectTransforms: []jetstream.SubjectTransformConfig{{
		Source: "$KV.runs.final.*.*", Destination: "run.completed.{{wildcard(1)}}",
	}}}}
	progress := bucket("KV_progress", "$KV.progress.>")
	progress.MaxAge, progress.RePublish, progress.Storage = 24*time.Hour, follow("$KV.progress.*.*"), jetstream.MemoryStorage
	rows := stream("OBJ_rows", "$O.rows.C.>", "$O.rows.M.>")
	rows.MaxAge, rows.AllowRollup = year+24*time.Hour, true
	return []jetstream.StreamConfig{requests, runs, events, progress, bucket("KV_control", "$KV.control.>"), bucket("KV_tasks", "$KV.tasks.>"), rows}
}

// NewOlder makes such a store on a server that has none.
func NewOlder(t testing.TB, url string) *Older {
	t.Helper()
	o := &Older{t: t, js: JetStream(t, url), Task: Definition(t, "Older", 4), store: uuid.NewString()}
	for _, config := range olderStreams() {
		_, err := o.js.CreateStream(t.Context(), config)
		o.check(err)
	}
	o.publish("$KV.control.store", nil, []byte(o.store))
	var err error
	o.runs, err = o.js.Stream(t.Context(), "RUNS")
	o.check(err)
	o.queue, err = o.runs.CreateConsumer(t.Context(), jetstream.ConsumerConfig{
		Durable: string(o.Task.ID), FilterSubject: "run.request." + string(o.Task.ID), DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: 30 * time.Second, MaxDeliver: -1, MaxAckPending: 1000,
	})
	o.check(err)
	o.publish("$KV.tasks."+string(o.Task.ID)+"."+o.Task.Hash, nil, o.Task.Text)
	o.publish("$KV.tasks."+string(o.Task.ID), nil, fmt.Appendf(nil, `{"Text":%q,"Hash":%q,"AppliedOn":"2026-01-01T00:00:00Z"}`, base64.StdEncoding.EncodeToString(o.Task.Text), o.Task.Hash))
	return o
}

func (o *Older) check(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

func (o *Older) publish(subject string, header nats.Header, data []byte) {
	o.t.Helper()
	_, err := o.js.PublishMsg(o.t.Context(), &nats.Msg{Subject: subject, Header: header, Data: data})
	o.check(err)
}

// Submit accepts a run. Its request is Request.
func (o *Older) Submit() run.Number {
	o.t.Helper()
	request := o.Request()
	data, err := request.Encode()
	o.check(err)
	ack, err := o.js.Publish(o.t.Context(), "run.request."+string(o.Task.ID), data)
	o.check(err)
	return run.Number(ack.Sequence)
}

// Request is the request of every run.
func (o *Older) Request() run.Request {
	return run.Request{
		Task: o.Task.ID, TaskName: o.Task.Name, Definition: o.Task.Hash, Trigger: run.Webhook, RetryAfter: 30,
		CreatedOn: time.Date(2026, 1, 31, 6, 0, 0, 0, time.UTC), Base: "https://hooks.example.org", ParameterHash: "h1",
	}
}

// Claim claims a run.
func (o *Older) Claim(n run.Number, state run.Claim) {
	o.t.Helper()
	data, err := state.Encode()
	o.check(err)
	o.publish(fmt.Sprintf("$KV.runs.claim.%s.%s", o.Task.ID, n), nil, data)
}

// Finish ends a run, whose rejected rows are chunk, empty for none, and acknowledges it: runs end in their order.
func (o *Older) Finish(n run.Number, chunk []byte) run.Document {
	o.t.Helper()
	doc := run.QueuedDocument(o.Request(), n)
	doc.End(run.Success, "done before", time.Now())
	data, err := doc.Encode()
	o.check(err)
	header := nats.Header{
		"ce-specversion": {"1.0"}, "ce-id": {fmt.Sprintf("%s.%s", o.Task.ID, n)}, "ce-source": {"/" + o.store + "/task/" + string(o.Task.ID)},
		"ce-type": {"runhook.run.success"}, "ce-subject": {n.String()}, "ce-time": {time.Now().UTC().Format(time.RFC3339Nano)},
		"content-type": {"application/json"}, "Runhook-Hold": {"ABCDEFGHIJKLMNOP"},
	}
	if len(chunk) > 0 {
		rows, err := o.js.ObjectStore(o.t.Context(), "rows")
		o.check(err)
		_, err = rows.PutBytes(o.t.Context(), fmt.Sprintf("%s.%s.1.1", o.Task.ID, n), chunk)
		o.check(err)
		header["Runhook-Rejected"] = []string{"1 1 1"}
	}
	o.publish(fmt.Sprintf("$KV.runs.final.%s.%s", o.Task.ID, n), header, data)
	msg, err := o.queue.Next(jetstream.FetchMaxWait(proctest.Limit))
	o.check(err)
	o.check(msg.DoubleAck(o.t.Context()))
	return doc
}

// Lease has so many requests be delivered and not acknowledged.
func (o *Older) Lease(n int) {
	o.t.Helper()
	batch, err := o.queue.Fetch(n, jetstream.FetchMaxWait(proctest.Limit))
	o.check(err)
	for range batch.Messages() {
		n--
	}
	if n > 0 {
		o.t.Fatalf("%d requests were not delivered", n)
	}
}

package bus_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/run"
)

func TestFinalDocumentIsTheCompletionEvent(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	ctx := t.Context()
	outcomes := []run.Outcome{run.Success, run.Failed, run.Canceled}
	finals := map[string]run.Document{}
	for _, outcome := range outcomes {
		n := bustest.Submit(t, store.Bus, request)
		claim, err := store.Work.Claim(ctx, request.Task, n, run.Claim{Owner: "me", Executions: 1, StartedOn: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		doc := run.QueuedDocument(request, n)
		doc.End(outcome, "", time.Now())
		finals[string(request.Task)+"."+n.String()] = doc
		if err := claim.Finish(ctx, doc, run.RejectedSet{}); err != nil {
			t.Fatal(err)
		}
	}

	consumer, err := bustest.JetStream(t, store.Broker.URL()).CreateConsumer(ctx, "EVENTS", jetstream.ConsumerConfig{
		Durable: "integration", FilterSubject: "run.completed." + string(request.Task),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, outcome := range outcomes {
		msg, err := consumer.Next(jetstream.FetchContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		doc, err := run.DecodeDocument(msg.Data())
		if err != nil || doc.Outcome() != outcome {
			t.Errorf("event %s: %v, %v", outcome, doc.Outcome(), err)
		}
		id := msg.Headers().Get("ce-id")
		want := finals[id]
		for header, value := range map[string]string{
			"ce-specversion": "1.0",
			"ce-source":      "/" + store.StoreID() + "/task/" + string(request.Task),
			"ce-type":        "runhook.run." + strings.ToLower(string(outcome)),
			"ce-subject":     want.ImportID.String(),
			"ce-time":        time.Time(want.UpdatedOn).UTC().Format(time.RFC3339Nano),
			"content-type":   "application/json",
		} {
			if got := msg.Headers().Get(header); got != value {
				t.Errorf("event %s: %s = %q, want %q", outcome, header, got, value)
			}
		}
		status, err := store.Runs.Lookup(ctx, request.Task, want.ImportID)
		if err != nil || string(status.Bytes) != string(msg.Data()) {
			t.Errorf("the event's bytes are not the poller's:\n%s\n%s (%v)", msg.Data(), status.Bytes, err)
		}
		if err := msg.DoubleAck(ctx); err != nil {
			t.Fatal(err)
		}
	}
	info, err := consumer.Info(ctx)
	if err != nil || info.NumPending != 0 || info.Delivered.Stream != uint64(len(outcomes)) {
		t.Errorf("pending %d, delivered up to %d: an event is missing or doubled (%v)", info.NumPending, info.Delivered.Stream, err)
	}
}

func TestAnyClientFollowsARunLive(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	ctx := t.Context()
	n := bustest.Submit(t, store.Bus, request)
	js := bustest.JetStream(t, store.Broker.URL())
	live, err := js.Conn().SubscribeSync("run.status." + string(request.Task) + "." + n.String())
	if err != nil {
		t.Fatal(err)
	}
	if err := js.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	claim, err := store.Work.Claim(ctx, request.Task, n, run.Claim{Owner: "me", Executions: 1, StartedOn: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	doc := run.QueuedDocument(request, n)
	doc.Begin(time.Now(), time.Now(), 1)
	if err := store.Work.Progress(request.Task, n).Write(ctx, doc); err != nil {
		t.Fatal(err)
	}
	doc.End(run.Success, "", time.Now())
	if err := claim.Finish(ctx, doc, run.RejectedSet{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []run.Phase{run.InProgress, run.Done} {
		msg, err := live.NextMsgWithContext(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if doc, err := run.DecodeDocument(msg.Data); err != nil || doc.Status != want {
			t.Errorf("followed %s (%v), want %s", doc.Status, err, want)
		}
	}
}

// An old NATS server cannot be had here; its greeting can.
func TestOldServerIsRefused(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(conn, `INFO {"server_id":"X","version":"2.10.29","proto":1,"headers":true,"max_payload":1048576,"jetstream":true}`+"\r\n")
			lines := bufio.NewScanner(conn)
			for lines.Scan() {
				if lines.Text() == "PING" {
					fmt.Fprint(conn, "PONG\r\n")
				}
			}
			conn.Close()
		}
	}()
	_, err = bus.Connect(context.Background(), bus.Config{URLs: "nats://" + listener.Addr().String(), Log: zerolog.Nop()})
	if err == nil || !strings.Contains(err.Error(), "2.10.29") || !strings.Contains(err.Error(), "2.14.0") {
		t.Errorf("got %v, want a refusal with both versions", err)
	}
}

func TestNoServerSaysWhereItLooked(t *testing.T) {
	t.Parallel()
	_, err := bus.Connect(t.Context(), bus.Config{
		URLs: "nats://user:secret@127.0.0.1:1", Log: zerolog.Nop(), ConnectTimeout: time.Millisecond,
	})
	if err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v, want the address and no secret", err)
	}
}

func TestDryRunsAreMarked(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	events, err := bustest.JetStream(t, store.Broker.URL()).CreateConsumer(t.Context(), "EVENTS", jetstream.ConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for dry, want := range map[bool]string{true: "true", false: ""} {
		request.DryRun = dry
		n := bustest.Submit(t, store.Bus, request)
		claim, err := store.Work.Claim(t.Context(), request.Task, n, run.Claim{Owner: "me", Executions: 1, StartedOn: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		doc := run.QueuedDocument(request, n)
		doc.End(run.Success, "", time.Now())
		if err := claim.Finish(t.Context(), doc, run.RejectedSet{}); err != nil {
			t.Fatal(err)
		}
		msg, err := events.Next(jetstream.FetchContext(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		if got := msg.Headers().Get("ce-dryrun"); got != want {
			t.Errorf("dry run %v: ce-dryrun is %q", dry, got)
		}
	}
}

// Subscribe prints the completion event of every run, from the first that is still kept, and
// continues where it stopped when it is started again.
//
//	go run ./deploy/examples/subscribe nats://127.0.0.1:4222
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	url := nats.DefaultURL
	if len(os.Args) > 1 {
		url = os.Args[1]
	}
	if err := subscribe(ctx, url); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "subscribe:", err)
		os.Exit(1)
	}
}

func subscribe(ctx context.Context, url string) error {
	nc, err := nats.Connect(url)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	// A durable consumer: what happens while this program is down is delivered when it is back.
	consumer, err := js.CreateOrUpdateConsumer(ctx, "EVENTS", jetstream.ConsumerConfig{
		Durable: "go-example", FilterSubject: "run.completed.*", AckPolicy: jetstream.AckExplicitPolicy,
	})
	if err != nil {
		return err
	}
	for {
		event, err := consumer.Next(jetstream.FetchContext(ctx))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, nats.ErrTimeout) {
			continue // none came within one pull
		}
		if nc.IsClosed() {
			return err
		}
		if err != nil { // the connection is coming back
			time.Sleep(time.Second)
			continue
		}
		var run struct {
			TaskName, StatusDescription string
			ImportId, RowsProcessed     int64
		}
		if err := json.Unmarshal(event.Data(), &run); err != nil {
			return err
		}
		// ce-source and ce-id together name an event: an integration that has seen them ignores the double.
		fmt.Printf("%s %s: run %d of %q: %s, %d rows\n", event.Headers().Get("ce-type"),
			event.Headers().Get("ce-id"), run.ImportId, run.TaskName, run.StatusDescription, run.RowsProcessed)
		if err := event.DoubleAck(ctx); err != nil {
			return err
		}
	}
}

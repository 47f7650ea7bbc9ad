// Subscribe handles the completion event of each run, one at a time, from the first that is still kept, and continues
// where it stopped. It waits for a server that is away, as long as that takes.
//
//	go run ./deploy/examples/subscribe nats://127.0.0.1:4222
//
// NATS_USER and NATS_PASSWORD are its login, if the server asks for one.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var (
	name    = flag.String("name", "go-example", "of the consumer: that of the login, if there is one")
	task    = flag.String("task", "*", "the id of one task")
	since   = flag.String("since", "", "the first time (RFC 3339), for a consumer that is new")
	anew    = flag.Bool("anew", false, "begin again, instead of where it stopped")
	failed  = flag.Bool("failed", false, "pass over the runs that succeeded")
	takes   = flag.Duration("work", 0, "how long the work takes, to try it")
	ackWait = flag.Duration("ack-wait", 30*time.Second, "how long without a sign of life until an event comes again")
)

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	url := nats.DefaultURL
	if flag.NArg() > 0 {
		url = flag.Arg(0)
	}
	nc, err := nats.Connect(url, nats.UserInfo(os.Getenv("NATS_USER"), os.Getenv("NATS_PASSWORD")),
		nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1))
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Close()
	handled := make(map[string]bool)
	for ctx.Err() == nil {
		err := subscribe(ctx, nc, handled)
		if nc.IsClosed() {
			log.Fatal("the server refuses the login: ", nc.LastError())
		}
		if ctx.Err() == nil {
			log.Print("asking again: ", err)
			time.Sleep(time.Second)
		}
	}
}

func subscribe(ctx context.Context, nc *nats.Conn, handled map[string]bool) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	if *anew {
		if err := js.DeleteConsumer(ctx, "EVENTS", *name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return err
		}
		*anew = false
	}
	config := jetstream.ConsumerConfig{
		Durable: *name, FilterSubject: "run.completed." + *task, AckPolicy: jetstream.AckExplicitPolicy, AckWait: *ackWait,
	}
	if *since != "" {
		first, err := time.Parse(time.RFC3339, *since)
		if err != nil {
			log.Fatal(err)
		}
		config.DeliverPolicy, config.OptStartTime = jetstream.DeliverByStartTimePolicy, &first
	}
	// A durable consumer: what happens while this program is down is delivered when it is back.
	consumer, err := js.CreateOrUpdateConsumer(ctx, "EVENTS", config)
	if err != nil {
		return err
	}
	for {
		event, err := consumer.Next(jetstream.FetchMaxWait(10 * time.Second)) // one at a time: others do not grow old meanwhile
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, nats.ErrTimeout):
			continue // none came meanwhile
		case err != nil:
			return err
		}
		if err := handle(ctx, event, handled); err != nil {
			return err
		}
	}
}

func handle(ctx context.Context, event jetstream.Msg, handled map[string]bool) error {
	// ce-source and ce-id together name an event. A database keeps them in a unique column, in the transaction of the
	// work: then a double has no effect even if this program is killed.
	id := event.Headers().Get("ce-source") + " " + event.Headers().Get("ce-id")
	if !handled[id] {
		ended := make(chan error)
		go func() { ended <- work(event) }()
		for busy := true; busy; {
			select {
			case err := <-ended:
				if err != nil {
					log.Print("the work failed, and is done again in a minute: ", err)
					return event.NakWithDelay(time.Minute)
				}
				busy = false
			case <-time.After(*ackWait / 3):
				_ = event.InProgress() // if the server is away, the event comes again, and is known
			}
		}
		handled[id] = true
	}
	ctx, stop := context.WithTimeout(ctx, 5*time.Second)
	defer stop()
	return event.DoubleAck(ctx)
}

func work(event jetstream.Msg) error {
	if *failed && event.Headers().Get("ce-type") == "runhook.run.success" {
		return nil
	}
	time.Sleep(*takes)
	var run struct {
		TaskName, StatusDescription string
		ImportId, RowsProcessed     int64
	}
	if err := json.Unmarshal(event.Data(), &run); err != nil {
		return err
	}
	fmt.Printf("%s %s: run %d of %q: %s, %d rows\n", event.Headers().Get("ce-type"), event.Headers().Get("ce-id"),
		run.ImportId, run.TaskName, run.StatusDescription, run.RowsProcessed)
	return nil
}

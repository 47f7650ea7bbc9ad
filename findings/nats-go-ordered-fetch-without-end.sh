#!/usr/bin/env bash
# nats.go v1.55.0: a fetch of an ordered consumer does not return while the server is away.
#
# FetchNoWait asks for what is there and returns, and Fetch takes how long to wait: of the consumer of a stream both hold
# without a server too. Of an ordered consumer both first make the consumer anew, and repeat that without end where it
# fails, a limit of the fetch and of its context notwithstanding. So a reader that is in the middle of a stream when the
# server goes away cannot be ended: the calls take no context, and nothing ends them but the server's return.
# MaxResetAttempts in the configuration of the consumer bounds it; its default is no bound.
#
# Seen: the lines of "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func main() {
	s := must(server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, JetStream: true, StoreDir: os.Args[1]}))
	s.Start()
	if !s.ReadyForConnections(time.Minute) {
		panic("the server does not start")
	}
	js := must(jetstream.New(must(nats.Connect(s.ClientURL(), nats.MaxReconnects(-1)))))
	ctx := context.Background()
	stream := must(js.CreateStream(ctx, jetstream.StreamConfig{Name: "WORK", Subjects: []string{"work"}}))
	must(js.Publish(ctx, "work", nil))
	plain := must(stream.CreateConsumer(ctx, jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy}))
	noWait := must(stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{}))
	limited := must(stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{}))
	bounded := must(stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{MaxResetAttempts: 1}))
	s.Shutdown()
	s.WaitForShutdown()

	second, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for _, test := range []struct {
		name  string
		fetch func() (jetstream.MessageBatch, error)
	}{
		{"plain, FetchNoWait", func() (jetstream.MessageBatch, error) { return plain.FetchNoWait(1) }},
		{"ordered, FetchNoWait", func() (jetstream.MessageBatch, error) { return noWait.FetchNoWait(1) }},
		{"ordered, Fetch with a context of a second", func() (jetstream.MessageBatch, error) {
			return limited.Fetch(1, jetstream.FetchContext(second))
		}},
		{"ordered with one attempt, FetchNoWait", func() (jetstream.MessageBatch, error) { return bounded.FetchNoWait(1) }},
	} {
		ended := make(chan error, 1)
		go func() {
			_, err := test.fetch()
			ended <- err
		}()
		select {
		case err := <-ended:
			fmt.Printf("%s: returned, with an error %t\n", test.name, err != nil)
		case <-time.After(30 * time.Second):
			fmt.Printf("%s: no end in 30 seconds\n", test.name)
		}
	}
}
GO
cat >go.mod <<'MOD'
module finding

go 1.26.0

require (
	github.com/nats-io/nats-server/v2 v2.15.2
	github.com/nats-io/nats.go v1.55.0
)
MOD
go mod tidy >/dev/null 2>&1
GOFLAGS=-mod=mod go build -o finding .
mkdir store
./finding "$dir/store" | tee seen
want='plain, FetchNoWait: returned, with an error false
ordered, FetchNoWait: no end in 30 seconds
ordered, Fetch with a context of a second: no end in 30 seconds
ordered with one attempt, FetchNoWait: returned, with an error true'
[ "$(cat seen)" = "$want" ]

#!/usr/bin/env bash
# nats.go v1.55.0, jetstream: FetchNoWait takes one second without an answer for an empty batch.
#
# The stream has two messages and the consumer has two pending. The network holds back the server's answer
# for a second and a half. FetchNoWait gives no message and no error, as it does at the end of a stream.
# The consumer's state tells the two apart: its messages count as delivered, and none has arrived.
# A reader that scans a stream until a batch is empty stops in the middle of it on a busy server.
#
# Seen: batch: 0 messages, error <nil>; the consumer: 0 pending, 2 delivered
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
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
	s := must(server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: os.Args[1]}))
	s.Start()
	defer s.Shutdown()
	if !s.ReadyForConnections(30 * time.Second) {
		panic("the server does not start")
	}

	// A proxy that can hold back what the server sends.
	var passing sync.Mutex
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	go func() {
		client := must(listener.Accept())
		upstream := must(net.Dial("tcp", s.Addr().String()))
		go io.Copy(upstream, client)
		buffer := make([]byte, 1<<16)
		for {
			n, err := upstream.Read(buffer)
			if err != nil {
				return
			}
			passing.Lock()
			client.Write(buffer[:n])
			passing.Unlock()
		}
	}()

	ctx := context.Background()
	js := must(jetstream.New(must(nats.Connect("nats://" + listener.Addr().String()))))
	stream := must(js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}))
	for range 2 {
		must(js.Publish(ctx, "s", nil))
	}
	consumer := must(stream.CreateConsumer(ctx, jetstream.ConsumerConfig{AckPolicy: jetstream.AckExplicitPolicy}))

	passing.Lock()
	time.AfterFunc(1500*time.Millisecond, passing.Unlock)
	batch := must(consumer.FetchNoWait(10))
	messages := 0
	for range batch.Messages() {
		messages++
	}
	err := batch.Error()
	info := must(consumer.Info(ctx))
	fmt.Printf("batch: %d messages, error %v; the consumer: %d pending, %d delivered\n",
		messages, err, info.NumPending, info.Delivered.Consumer)
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
seen=$(GOFLAGS=-mod=mod go run . "$dir/store")
echo "$seen"
[ "$seen" = "batch: 0 messages, error <nil>; the consumer: 0 pending, 2 delivered" ]

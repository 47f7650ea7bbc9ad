#!/usr/bin/env bash
# nats.go v1.55.0: what is known of an ordered consumer is waited for without end.
#
# The package jetstream gives each request of its API a limit of 5 seconds where the caller's context has none. One is
# left out: Info of an ordered consumer. Where nobody answers, because the stream changes its leader at that moment or
# because the user lacks the right to ask, it returns when the context ends, which may be never. Info of the consumer
# of a stream returns after 5 seconds there.
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
	"errors"
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
	user := func(name string, denied ...string) *server.User {
		return &server.User{Username: name, Password: name, Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Allow: []string{">"}, Deny: denied}, Subscribe: &server.SubjectPermission{Allow: []string{">"}},
		}}
	}
	s := must(server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, NoSigs: true, JetStream: true, StoreDir: os.Args[1],
		Users: []*server.User{user("all"), user("some", "$JS.API.CONSUMER.INFO.>")},
	}))
	s.Start()
	if !s.ReadyForConnections(time.Minute) {
		panic("the server does not start")
	}
	connect := func(name string) jetstream.JetStream {
		return must(jetstream.New(must(nats.Connect(s.ClientURL(), nats.UserInfo(name, name), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})))))
	}
	ctx := context.Background()
	must(connect("all").CreateStream(ctx, jetstream.StreamConfig{Name: "WORK", Subjects: []string{"work"}}))
	js := connect("some")
	stream := must(js.Stream(ctx, "WORK"))
	plain := must(stream.CreateConsumer(ctx, jetstream.ConsumerConfig{}))
	ordered := must(stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{}))
	must(ordered.FetchNoWait(1)) // makes it
	for name, consumer := range map[string]jetstream.Consumer{"plain": plain, "ordered": ordered} {
		ended := make(chan error, 1)
		go func() {
			_, err := consumer.Info(ctx)
			ended <- err
		}()
		select {
		case err := <-ended:
			fmt.Printf("%s: ended, deadline exceeded %t\n", name, errors.Is(err, context.DeadlineExceeded))
		case <-time.After(20 * time.Second):
			fmt.Printf("%s: no end in 20 seconds\n", name)
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
./finding "$dir/store" | sort | tee seen
want='ordered: no end in 20 seconds
plain: ended, deadline exceeded true'
[ "$(cat seen)" = "$want" ]

#!/usr/bin/env bash
# nats-server v2.15.2: a source that has sent nothing yet costs a look through all messages of the stream that copies it.
#
# A stream copies others ("sources"), one of which is empty. The server remembers up to where it has copied each of
# them, and finds that out backwards from the last message: it stops where it has met every source. It never meets the
# empty one. So it reads the whole stream when the empty source is added, under the stream's lock, and again at each
# start after a kill, because what it remembered is written at a stop.
#
# The same source costs nothing when its first message is copied: the look ends there.
#
# Seen: the lines of "want" below. On the machine where they were seen it was about 10 microseconds a message.
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
	"os/exec"
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

func start(dir string) (*server.Server, jetstream.JetStream, time.Duration) {
	began := time.Now()
	s := must(server.NewServer(&server.Options{DontListen: true, NoSigs: true, JetStream: true, StoreDir: dir, JetStreamMaxMemory: 1 << 30, JetStreamMaxStore: 10 << 30}))
	s.Start()
	if !s.ReadyForConnections(10 * time.Minute) {
		panic("the server does not start")
	}
	took := time.Since(began)
	return s, must(jetstream.New(must(nats.Connect("", nats.InProcessServer(s))))), took
}

// times are how long it takes to add an empty source to a stream with so many messages, and to start after a kill
// before and after that, and once the source has sent a message.
func times(ctx context.Context, dir string, messages int) (added, with1, with2, used time.Duration) {
	s, js, _ := start(dir)
	config := jetstream.StreamConfig{Name: "COPY"}
	source := func(name string) {
		must(js.CreateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: []string{name + ".>"}}))
		config.Sources = append(config.Sources, &jetstream.StreamSource{Name: name})
	}
	copied := func(n int) {
		for must(js.Stream(ctx, "COPY")).CachedInfo().State.Msgs != uint64(n) {
			time.Sleep(10 * time.Millisecond)
		}
	}
	killed := func() time.Duration {
		copy := dir + "-killed"
		if err := exec.Command("cp", "-r", dir, copy).Run(); err != nil {
			panic(err)
		}
		defer os.RemoveAll(copy)
		other, _, took := start(copy)
		other.Shutdown()
		other.WaitForShutdown()
		return took
	}
	source("FULL")
	must(js.CreateStream(ctx, config))
	data := make([]byte, 500)
	for i := range messages {
		must(js.PublishAsync(fmt.Sprintf("FULL.%d", i%100), data))
		if i%1000 == 999 {
			<-js.PublishAsyncComplete()
		}
	}
	copied(messages)
	with1 = killed()
	source("EMPTY")
	began := time.Now()
	must(js.UpdateStream(ctx, config))
	added = time.Since(began)
	with2 = killed()
	must(js.Publish(ctx, "EMPTY.a", nil))
	copied(messages + 1)
	used = killed()
	s.Shutdown()
	s.WaitForShutdown()
	return added, with1, with2, used
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	few, _, _, _ := times(ctx, os.Args[1]+"/few", 20_000)
	many, full, empty, used := times(ctx, os.Args[1]+"/many", 400_000)
	fmt.Fprintln(os.Stderr, "add: 20,000 messages", few, "400,000", many, "start after a kill: full source", full, "empty source", empty, "one message later", used)
	fmt.Println("20 times the messages, more than 5 times as long to add an empty source:", many > 5*few)
	fmt.Println("with the empty source a start after a kill takes more than twice as long:", empty > 2*full)
	fmt.Println("once that source has sent a message it does not:", used <= 2*full)
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
want='20 times the messages, more than 5 times as long to add an empty source: true
with the empty source a start after a kill takes more than twice as long: true
once that source has sent a message it does not: true'
[ "$(cat seen)" = "$want" ]

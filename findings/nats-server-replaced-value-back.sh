#!/usr/bin/env bash
# nats-server v2.15.2: a message that was replaced is back after the newer one was deleted and the server was killed.
#
# A stream keeps one message a subject (max_msgs_per_subject: 1). "b" takes the place of "a": "a" cannot be read any
# more. Then "b" is deleted by its sequence, with its bytes overwritten, as erasing somebody's data asks for: the
# subject has nothing, and the stream one message less. The server is killed. At the next start it reads the file of
# the stream again: the deleted message has a mark there, the replaced one has none, so it counts as the newest of
# its subject, and the stream answers "a". After a clean stop the server reads its index instead, and the subject has
# nothing.
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
	s := must(server.NewServer(&server.Options{DontListen: true, NoSigs: true, JetStream: true, SyncAlways: true, StoreDir: os.Args[1]}))
	s.Start()
	if !s.ReadyForConnections(30 * time.Second) {
		panic("the server does not start")
	}
	ctx := context.Background()
	js := must(jetstream.New(must(nats.Connect("", nats.InProcessServer(s)))))
	stream := must(js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, MaxMsgsPerSubject: 1}))
	if os.Args[2] == "write" {
		must(js.Publish(ctx, "s.other", []byte("x")))
		must(js.Publish(ctx, "s.one", []byte("a")))
		newer := must(js.Publish(ctx, "s.one", []byte("b")))
		must(js.Publish(ctx, "s.third", []byte("y")))
		if err := stream.SecureDeleteMsg(ctx, newer.Sequence); err != nil {
			panic(err)
		}
	}
	info := must(stream.Info(ctx))
	last, err := stream.GetLastMsgForSubject(ctx, "s.one")
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		fmt.Printf("  %d messages, s.one: nothing\n", info.State.Msgs)
	case err != nil:
		panic(err)
	default:
		fmt.Printf("  %d messages, s.one: %s, sequence %d\n", info.State.Msgs, last.Data, last.Sequence)
	}
	if os.Args[3] == "stop" {
		s.Shutdown()
		s.WaitForShutdown()
	}
	os.Exit(0) // without a stop nothing more is written, as with a kill
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
for end in stop kill; do
	echo "$end"
	./finding "$end" write "$end"
	./finding "$end" read stop
done >seen 2>log || { cat log; exit 1; }
cat seen
want='stop
  2 messages, s.one: nothing
  2 messages, s.one: nothing
kill
  2 messages, s.one: nothing
  3 messages, s.one: a, sequence 2'
[ "$(cat seen)" = "$want" ]

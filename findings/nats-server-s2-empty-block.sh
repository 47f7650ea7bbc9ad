#!/usr/bin/env bash
# nats-server v2.15.2: a stream on a single server with S2 compression is gone after a full disk or a kill.
#
# A message does not fit in the block. The server makes a new block and compresses the old one in the
# background. The disk is full before the first message of the new block is whole. The next start removes the
# new block, since it has no message, and the compressed block is the last one again. The server writes new
# messages into it as they are, at their place in the uncompressed block. The start after that cannot unpack
# the block: the stream is not opened, and its directory is deleted.
#
# A kill or a power cut between the two does the same. Here a limit for the size of a file (ulimit -f) plays
# the full disk. The server syncs always. The same steps keep every message without compression.
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
	"strconv"
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

// Counts the messages that can be read, then publishes messages of the given sizes, and ends without a stop.
func main() {
	s := must(server.NewServer(&server.Options{DontListen: true, NoSigs: true, JetStream: true, SyncAlways: true, StoreDir: os.Args[1], MaxPayload: 16 << 20, MaxPending: 64 << 20, JetStreamMaxMemory: 1 << 30, JetStreamMaxStore: 1 << 30}))
	s.Start()
	if !s.ReadyForConnections(30 * time.Second) {
		panic("the server does not start")
	}
	ctx := context.Background()
	js := must(jetstream.New(must(nats.Connect("", nats.InProcessServer(s)))))
	stream, err := js.Stream(ctx, "S")
	if err != nil && os.Args[2] == "new" {
		compression := jetstream.NoCompression
		if os.Args[3] == "S2" {
			compression = jetstream.S2Compression
		}
		stream, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, Compression: compression})
	}
	if err != nil {
		fmt.Println("  the stream:", err)
		os.Exit(0)
	}
	state := stream.CachedInfo().State
	readable := 0
	for seq := uint64(1); seq <= state.LastSeq; seq++ {
		if _, err := stream.GetMsg(ctx, seq); err == nil {
			readable++
		}
	}
	fmt.Printf("  last sequence %d, %d messages can be read\n", state.LastSeq, readable)
	for _, size := range os.Args[4:] {
		short, stop := context.WithTimeout(ctx, 5*time.Second)
		ack, err := js.Publish(short, "s", make([]byte, must(strconv.Atoi(size))), jetstream.WithRetryAttempts(0))
		stop()
		if err != nil {
			fmt.Println("  publish: no acknowledgement")
		} else {
			fmt.Println("  publish: sequence", ack.Sequence)
		}
		time.Sleep(time.Second)
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
for compression in None S2; do
	echo "compression $compression"
	(trap '' XFSZ; ulimit -f 4096; ./finding "$compression" new "$compression" 1000 8388000)
	./finding "$compression" old "$compression" 1000
	./finding "$compression" old "$compression"
done >seen 2>log
cat seen
grep -h 'Error recreating' log || true
want='compression None
  last sequence 0, 0 messages can be read
  publish: sequence 1
  publish: no acknowledgement
  last sequence 1, 1 messages can be read
  publish: sequence 2
  last sequence 2, 2 messages can be read
compression S2
  last sequence 0, 0 messages can be read
  publish: sequence 1
  publish: no acknowledgement
  last sequence 1, 1 messages can be read
  publish: sequence 2
  the stream: nats: API error: code=404 err_code=10059 description=stream not found'
[ "$(cat seen)" = "$want" ]

#!/usr/bin/env bash
# nats-server v2.15.2: a repeated message id together with an expected last sequence that has passed.
#
# A publisher sends a message with Nats-Msg-Id and Nats-Expected-Last-Sequence, does not hear the answer, and
# sends the same message again. A stream on a single server refuses it: the sequence is looked at before the
# id. The same stream with one replica in a cluster refuses it too, and with three replicas it acknowledges
# the repeat as a duplicate. So the answer "wrong last sequence" does not tell on every server that somebody
# else was faster.
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
	"net"
	"os"
	"path/filepath"
	"strings"
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

func start(options *server.Options) *server.Server {
	options.Host, options.Port, options.JetStream = "127.0.0.1", -1, true
	s := must(server.NewServer(options))
	go s.Start()
	if !s.ReadyForConnections(30 * time.Second) {
		panic("a server does not start")
	}
	return s
}

func repeat(name, url string, replicas int) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	js := must(jetstream.New(must(nats.Connect(url))))
	for { // a cluster elects its leader first
		try, stop := context.WithTimeout(ctx, 2*time.Second)
		_, err := js.CreateStream(try, jetstream.StreamConfig{Name: fmt.Sprint("S", replicas), Subjects: []string{fmt.Sprint("s", replicas)}, Replicas: replicas})
		stop()
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			panic(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	send := func() (*jetstream.PubAck, error) {
		return js.Publish(ctx, fmt.Sprint("s", replicas), nil, jetstream.WithMsgID("a"), jetstream.WithExpectLastSequence(0))
	}
	must(send())
	ack, err := send()
	if err != nil {
		fmt.Printf("%s: refused: %v\n", name, err)
		return
	}
	fmt.Printf("%s: acknowledged, sequence %d, duplicate %t\n", name, ack.Sequence, ack.Duplicate)
}

func main() {
	single := start(&server.Options{StoreDir: filepath.Join(os.Args[1], "single")})
	repeat("single server", single.ClientURL(), 1)
	single.Shutdown()

	var ports [3]int
	var routes []string
	for i := range ports {
		listener := must(net.Listen("tcp", "127.0.0.1:0"))
		ports[i] = listener.Addr().(*net.TCPAddr).Port
		listener.Close()
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", ports[i]))
	}
	done := make(chan *server.Server)
	for i := range ports {
		go func() {
			done <- start(&server.Options{
				ServerName: fmt.Sprint("s", i), StoreDir: filepath.Join(os.Args[1], fmt.Sprint(i)),
				Cluster: server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: ports[i]}, Routes: server.RoutesFromStr(strings.Join(routes, ",")),
			})
		}()
	}
	var last *server.Server
	for range ports {
		last = <-done
		defer last.Shutdown()
	}
	repeat("cluster, one replica", last.ClientURL(), 1)
	repeat("cluster, three replicas", last.ClientURL(), 3)
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
want='single server: refused: nats: nats: API error: code=400 err_code=10071 description=wrong last sequence: 1
cluster, one replica: refused: nats: nats: API error: code=400 err_code=10071 description=wrong last sequence: 1
cluster, three replicas: acknowledged, sequence 1, duplicate true'
[ "$seen" = "$want" ]

#!/usr/bin/env bash
# nats-server v2.15.2: a stream with three replicas and S2 compression is gone after a kill of its servers.
#
# The servers sync always. Then a server that was not stopped cleanly cuts its copy of the stream back to the
# last snapshot when it starts, and plays its log. Here the cut is in a block that an earlier run compressed.
# The server does not remember after a restart that the block is compressed, and cuts the file at the place in
# the uncompressed block. The rest cannot be unpacked, and the next start cannot open the stream. All three
# servers do this, so nobody has the messages any more.
#
# There is a second way, a race, that this script does not wait for: the cut opens a new block for a moment,
# and this starts the compression of the block before it in the background. When the new block is gone again
# before the compression comes, the block that is written to is compressed, and new messages are written
# behind it, at their place in the uncompressed block. Messages of 100 bytes instead of 400,000 and servers
# with GOMAXPROCS=1 show it most times.
#
# The same steps keep every message without compression.
#
# Seen: the lines of "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
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

// One server of the cluster, a process of its own that can be killed.
func serve(name, dir, routes string, port, clusterPort int) {
	s := must(server.NewServer(&server.Options{
		ServerName: name, Host: "127.0.0.1", Port: port, JetStream: true, SyncAlways: true, StoreDir: dir,
		Cluster: server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: clusterPort}, Routes: server.RoutesFromStr(routes),
	}))
	s.Start()
	s.WaitForShutdown()
}

type cluster struct {
	dir   string
	ports [6]int // for the clients, then for the routes
	run   [3]*exec.Cmd
}

func (c *cluster) start() {
	var routes []string
	for _, port := range c.ports[3:] {
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", port))
	}
	for i := range c.run {
		c.run[i] = exec.Command(os.Args[0], "serve", fmt.Sprint("s", i), filepath.Join(c.dir, fmt.Sprint(i)),
			strings.Join(routes, ","), fmt.Sprint(c.ports[i]), fmt.Sprint(c.ports[3+i]))
		if err := c.run[i].Start(); err != nil {
			panic(err)
		}
	}
}

func (c *cluster) end(how syscall.Signal) {
	for _, s := range c.run {
		s.Process.Signal(how)
	}
	for _, s := range c.run {
		s.Wait()
	}
}

// How many of the acknowledged messages are there after a kill of all servers and a clean restart.
func try(dir string, compression jetstream.StoreCompression) (kept, sent int) {
	c := &cluster{dir: dir}
	var urls []string
	var listeners []net.Listener
	for i := range c.ports {
		listener := must(net.Listen("tcp", "127.0.0.1:0"))
		listeners = append(listeners, listener)
		c.ports[i] = listener.Addr().(*net.TCPAddr).Port
		if i < 3 {
			urls = append(urls, "nats://"+listener.Addr().String())
		}
	}
	for _, listener := range listeners {
		listener.Close()
	}
	c.start()
	defer func() { c.end(syscall.SIGKILL) }()
	connection := must(nats.Connect(strings.Join(urls, ","), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond)))
	defer connection.Close()
	js := must(jetstream.New(connection))

	until := func(limit time.Duration, step func(context.Context) error) error {
		deadline := time.Now().Add(limit)
		for {
			ctx, stop := context.WithTimeout(context.Background(), 2*time.Second)
			err := step(ctx)
			stop()
			if err == nil || time.Now().After(deadline) {
				return err
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	// The stream has a leader, and the two others have everything the leader has.
	ready := func(limit time.Duration) error {
		return until(limit, func(ctx context.Context) error {
			stream, err := js.Stream(ctx, "S")
			if err != nil {
				return err
			}
			state := stream.CachedInfo().Cluster
			if state == nil || state.Leader == "" || len(state.Replicas) != 2 {
				return fmt.Errorf("no leader")
			}
			for _, replica := range state.Replicas {
				if !replica.Current || replica.Lag > 0 {
					return fmt.Errorf("a replica is behind")
				}
			}
			return nil
		})
	}
	check := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	publish := func(count, size int) {
		for range count {
			sent++
			check(until(time.Minute, func(ctx context.Context) error {
				_, err := js.Publish(ctx, "s", bytes.Repeat([]byte{byte(sent)}, size), jetstream.WithMsgID(fmt.Sprint(sent)))
				return err
			}))
		}
	}

	check(until(time.Minute, func(ctx context.Context) error {
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, Replicas: 3, Compression: compression})
		return err
	}))
	publish(10, 100)
	check(ready(time.Minute))
	c.end(syscall.SIGTERM) // a clean stop leaves a snapshot at message 10
	c.start()
	check(ready(time.Minute))
	publish(25, 400_000) // more than a block
	check(ready(time.Minute))
	time.Sleep(time.Second) // the first block is compressed in the background
	c.end(syscall.SIGKILL)
	c.start() // cuts the stream back to message 10 and plays the log
	ready(20 * time.Second)
	time.Sleep(time.Second)
	c.end(syscall.SIGTERM)
	c.start()
	ready(20 * time.Second)
	for i := range sent {
		until(0, func(ctx context.Context) error {
			stream, err := js.Stream(ctx, "S")
			if err != nil {
				return err
			}
			message, err := stream.GetMsg(ctx, uint64(i+1))
			if err == nil && len(message.Data) > 0 && message.Data[0] == byte(i+1) {
				kept++
			}
			return err
		})
	}
	return kept, sent
}

func main() {
	if os.Args[1] == "serve" {
		var port, clusterPort int
		must(fmt.Sscan(os.Args[5], &port))
		must(fmt.Sscan(os.Args[6], &clusterPort))
		serve(os.Args[2], os.Args[3], os.Args[4], port, clusterPort)
		return
	}
	for _, compression := range []jetstream.StoreCompression{jetstream.NoCompression, jetstream.S2Compression} {
		kept, sent := try(filepath.Join(os.Args[1], compression.String()), compression)
		fmt.Printf("compression %s: %d of %d messages\n", compression, kept, sent)
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
seen=$(./finding "$dir/store")
echo "$seen"
want='compression None: 35 of 35 messages
compression S2: 0 of 35 messages'
[ "$seen" = "$want" ]

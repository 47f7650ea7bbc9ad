#!/usr/bin/env bash
# nats-server v2.15.2: a stream whose server is killed between two files is gone, and so is each message that it
# acknowledges once it is made again.
#
# The settings of a stream are in meta.inf and their checksum is in meta.sum, written one after the other when the stream
# is made and when it is changed. A start passes over a stream whose checksum is missing or does not fit:
#
#   - Killed between the two while a stream is made: it is not there after the start, which is right. Whoever makes it
#     again gets a stream that works. But meta.inf is there already, so that neither file is written. The next start, a
#     clean stop before it, passes over the stream again: its messages are gone.
#   - Killed between the two while a stream is changed: the start passes over the stream with all that it had.
#
# The messages are still on the disk: with the checksum written, the next start has them.
#
# Seen: the lines of "want" below. The kill is a real one, at moments drawn until one falls between the two files: on the
# machine where this was seen, the first to the tenth did.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var ctx = context.Background()

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func start(dir string) (*server.Server, jetstream.JetStream) {
	s := must(server.NewServer(&server.Options{DontListen: true, NoSigs: true, JetStream: true, StoreDir: dir, SyncAlways: true, JetStreamMaxMemory: 1 << 30, JetStreamMaxStore: 10 << 30}))
	s.Start()
	if !s.ReadyForConnections(time.Minute) {
		panic("the server does not start")
	}
	return s, must(jetstream.New(must(nats.Connect("", nats.InProcessServer(s)))))
}

func stop(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

func config(stream string, limit int64) jetstream.StreamConfig {
	return jetstream.StreamConfig{Name: stream, Subjects: []string{stream}, MaxMsgs: limit}
}

// child makes or changes streams until it is killed.
func child(dir, what string) {
	_, js := start(dir)
	if what == "change" {
		must(js.CreateStream(ctx, config("S", -1)))
		must(js.Publish(ctx, "S", nil))
	}
	fmt.Println("go")
	for i := int64(1); ; i++ {
		if what == "change" {
			must(js.UpdateStream(ctx, config("S", 10+i)))
		} else {
			must(js.CreateStream(ctx, config(fmt.Sprint("S", i), -1)))
		}
	}
}

// killed kills a child at some moment, and returns the stream whose checksum is missing or older than its settings.
func killed(dir, what string) (stream string) {
	command := exec.Command(must(os.Executable()), dir, what)
	said := must(command.StdoutPipe())
	if err := command.Start(); err != nil {
		panic(err)
	}
	bufio.NewScanner(said).Scan()
	time.Sleep(time.Duration(rand.Int64N(int64(20 * time.Millisecond))))
	_ = command.Process.Kill()
	_ = command.Wait()
	for _, settings := range must(filepath.Glob(filepath.Join(dir, "jetstream", "$G", "streams", "*", "meta.inf"))) {
		folder := filepath.Dir(settings)
		sum, err := os.Stat(filepath.Join(folder, "meta.sum"))
		if errors.Is(err, os.ErrNotExist) || err == nil && must(os.Stat(settings)).ModTime().After(sum.ModTime()) {
			return filepath.Base(folder)
		}
	}
	return ""
}

func between(what string) (dir, stream string) {
	for kills := range 2000 {
		dir = must(os.MkdirTemp("", "store"))
		if stream = killed(dir, what); stream != "" {
			fmt.Fprintln(os.Stderr, what, "kills:", kills+1)
			return dir, stream
		}
		os.RemoveAll(dir)
	}
	panic("no kill fell between the two files")
}

func there(js jetstream.JetStream, stream string) string {
	found, err := js.Stream(ctx, stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return "not there"
	}
	return fmt.Sprint("there, messages ", must(found, err).CachedInfo().State.Msgs)
}

func main() {
	if len(os.Args) > 1 {
		child(os.Args[1], os.Args[2])
	}
	dir, stream := between("make")
	s, js := start(dir)
	fmt.Println("killed while the stream is made:", there(js, stream))
	must(js.CreateStream(ctx, config(stream, -1)))
	must(js.Publish(ctx, stream, nil))
	fmt.Println("made again, and a message is acknowledged:", there(js, stream))
	stop(s)
	s, js = start(dir)
	fmt.Println("after a clean stop and a start:", there(js, stream))
	stop(s)
	os.RemoveAll(dir)

	dir, stream = between("change")
	s, js = start(dir)
	fmt.Println("killed while a stream with a message is changed:", there(js, stream))
	stop(s)
	os.RemoveAll(dir)
}
GO
cat >go.mod <<'MOD'
module finding

go 1.26
MOD
go get github.com/nats-io/nats-server/v2@v2.15.2 github.com/nats-io/nats.go@v1.55.0 >log 2>&1 || { cat log; exit 1; }
go build -o finding . || exit 1
export TMPDIR=$dir
got=$(./finding)
want='killed while the stream is made: not there
made again, and a message is acknowledged: there, messages 1
after a clean stop and a start: not there
killed while a stream with a message is changed: not there'
printf '%s\n' "$got"
[ "$got" = "$want" ] || { printf 'this has changed; it was:\n%s\n' "$want"; exit 1; }

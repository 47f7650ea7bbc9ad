package broker

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"runhook/shared/wait"
)

const (
	// roomNeeded is how much must be writable before the store is used again: enough to say that the
	// disk is not full, little enough for the smallest one.
	roomNeeded = 4 << 20
	// reserved is the size of a file that is given up when the disk is full: a server that starts without
	// any room may end the whole program, where it cannot rewrite a block of a stream (nats-server 2.15.2).
	reserved = 4 << 20
	// lookForRoom is how often it is tried while there was none.
	lookForRoom = time.Second
	// steady is how long a server must have run without a failed write before the next failure is
	// answered at once: a disk that fails over and over gets a pause in between.
	steady = 10 * time.Second
)

// supervise starts the server again when its store has stopped taking writes. A stream whose write
// failed, mostly because the disk is full, refuses everything until then, even when there is room
// again. It happens twice: at once, so that readers see what is on disk and nothing else, and when
// there is room. In between Full is true.
func (b *Broker) supervise(ctx context.Context) {
	defer close(b.supervised)
	b.keepReserve()
	var restarted time.Time
	for {
		var reason string
		select {
		case <-ctx.Done():
			return
		case reason = <-b.logger.failed:
		}
		b.full.Store(true)
		b.options.Log.Error().Str("reason", reason).Str("dir", b.options.Dir).
			Msg("the data directory takes no more writes: POSTs get 503 and what is running waits, until there is room again")
		if time.Since(restarted) < steady && !wait.For(ctx, steady) {
			return
		}
		_ = os.Remove(b.reserve()) // where there is none, or it cannot go, it is tried without
		if !b.restart(ctx) {
			return
		}
		for room(b.options.Dir, roomNeeded+reserved) != nil {
			if !wait.For(ctx, lookForRoom) {
				return
			}
		}
		select {
		case <-b.logger.failed: // something wrote all the same, such as the copy of finals into events
			if !b.restart(ctx) {
				return
			}
		default:
		}
		b.keepReserve()
		b.full.Store(false)
		restarted = time.Now()
		b.options.Log.Info().Msg("there is room in the data directory again; everything goes on")
	}
}

// Full reports that the store takes no writes at the moment. What is in it can be read.
func (b *Broker) Full() bool { return b.full.Load() }

// crampedBelow is the room that a purge needs for certain: what was written before is flushed with it.
const crampedBelow = 1 << 20

// Cramped reports that the disk of the store has hardly any room left, whether or not a write has failed yet.
// A purge that meets a full disk stands still for good, and with it the stream (nats-server 2.15.2).
func (b *Broker) Cramped() bool { return b.Full() || available(b.options.Dir) < crampedBelow }

// restart starts the server again, as soon as that is possible; false when the broker is stopped
// before. Every connection is lost and comes back by itself.
func (b *Broker) restart(ctx context.Context) bool {
	shutdown(b.Server())
	said := ""
	for {
		err := b.start(ctx)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		if err.Error() != said { // once, not every second
			said = err.Error()
			b.options.Log.Error().Err(err).Msg("the embedded NATS server cannot be started again, trying until it can")
		}
		if !wait.For(ctx, lookForRoom) {
			return false
		}
	}
}

func (b *Broker) reserve() string { return filepath.Join(b.options.Dir, ".reserve") }

// keepReserve sees to it that there is a reserve. Without one everything works, as long as there is room.
func (b *Broker) keepReserve() {
	if info, err := os.Stat(b.reserve()); err == nil && info.Size() == reserved {
		return
	}
	file, err := os.OpenFile(b.reserve(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	_, err = io.CopyN(file, rand.Reader, reserved) // what is random no file system makes smaller
	if err = errors.Join(err, file.Close()); err != nil {
		_ = os.Remove(b.reserve())
	}
}

// room tries whether a directory takes as much as is needed; nil when it does. What counts is what
// can be written, whatever stands in the way: the disk, a quota, a limit on files.
func room(dir string, needed int) error {
	probe, err := os.CreateTemp(dir, ".room-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(probe.Name()) }()
	block := make([]byte, 64<<10)
	for range needed / len(block) {
		if _, err := probe.Write(block); err != nil {
			_ = probe.Close()
			return err
		}
	}
	return probe.Close()
}

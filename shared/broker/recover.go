package broker

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Progress tells how far a server has recovered what its directory holds.
type Progress struct {
	// Streams is how many streams there are, and Recovered how many of them the server has.
	Streams, Recovered int
	// Bytes is the size of their files.
	Bytes int64
	// Percent is about how much of the work is done, 0 to 99.
	Percent int
}

// String is the progress in words.
func (p Progress) String() string {
	return fmt.Sprintf("%d of %d streams are recovered, about %d %% of %.1f GB", p.Recovered, p.Streams, p.Percent, float64(p.Bytes)/1e9)
}

// recovery measures a server's start.
type recovery struct {
	logger *logger
	// sizes are those of the streams' files of messages.
	sizes map[string]int64
	total int64
	// read is what the process had read before.
	read int64
}

func (b *Broker) newRecovery() *recovery {
	r := &recovery{logger: b.logger, sizes: map[string]int64{}, read: bytesRead()}
	folders, _ := filepath.Glob(filepath.Join(b.options.Dir, "jetstream", "*", "streams", "*")) // the pattern is right
	for _, folder := range folders {
		size := int64(0)
		blocks, _ := filepath.Glob(filepath.Join(folder, "msgs", "*.blk")) // the pattern is right
		for _, block := range blocks {
			if info, err := os.Stat(block); err == nil {
				size += info.Size()
			}
		}
		r.sizes[filepath.Base(folder)] = size
		r.total += size
	}
	return r
}

// progress is how far the server is. After a kill it reads every file twice; what it has noted at a clean
// stop it does not read.
func (r *recovery) progress() Progress {
	p := Progress{Streams: len(r.sizes), Bytes: r.total}
	done := int64(0)
	for _, stream := range r.logger.recovered() {
		p.Recovered++
		done += r.sizes[stream]
	}
	if r.total > 0 {
		p.Percent = int(min(99, max(100*done/r.total, 50*(bytesRead()-r.read)/r.total)))
	}
	return p
}

// bytesRead is how much this process has read, 0 where the system does not tell.
func bytesRead() int64 {
	data, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if number, ok := strings.CutPrefix(line, "rchar: "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(number), 10, 64) // 0 for what is no number
			return n
		}
	}
	return 0
}

const (
	// tellProgress is how often the progress is told.
	tellProgress = time.Second
	// listenTime bounds how long a server that has recovered takes to listen.
	listenTime = 20 * time.Second
)

// run starts a server and waits until it has recovered its streams, however long that takes, and takes
// connections. A server that is given up when ctx ends is stopped, in bounded time, once it has come so far.
func (b *Broker) run(ctx context.Context, next *server.Server) error {
	recovery, started := b.newRecovery(), make(chan struct{})
	go func() { defer close(started); next.Start() }()
	tick := time.NewTicker(tellProgress)
	defer tick.Stop()
	for {
		select {
		case <-started:
			if next.ReadyForConnections(listenTime) && next.JetStreamEnabled() {
				return nil
			}
			shutdown(next)
			if fatal := b.logger.fatal(); fatal != "" {
				return fmt.Errorf("the embedded NATS server did not start: %s", fatal)
			}
			return fmt.Errorf("the embedded NATS server did not listen within %s", listenTime)
		case <-tick.C:
			if b.options.Recovering != nil {
				b.options.Recovering(recovery.progress())
			}
		case <-ctx.Done():
			stopped := make(chan struct{})
			go func() { defer close(stopped); <-started; shutdown(next) }()
			select {
			case <-stopped:
			case <-time.After(stopLimit):
			}
			return ctx.Err()
		}
	}
}

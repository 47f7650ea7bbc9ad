// Package history keeps an index of all runs: a copy of what lists and counts need of the store's requests and final
// documents, in a SQLite file. The store has the truth, and about one run it alone is asked. The index is made from
// the store, follows it, and is thrown away and made again when it does not fit it.
package history

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/rs/zerolog"

	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/wait"
)

// Options says what an index is of, and where it is kept.
type Options struct {
	// Runs is of a store that was checked; it may go away and come back later.
	Runs *bus.Runs
	// Dir is the folder of the index (--cache), which is made if it is not there. Empty is a temporary one, which Run
	// removes at its end.
	Dir string
	Log zerolog.Logger
	// Metrics is where the index's metrics are registered; nil registers them nowhere.
	Metrics prometheus.Registerer
}

// Index is the index of a store. Run keeps it; the other methods are safe for concurrent use, and never wait for it for
// longer than they say.
type Index struct {
	options Options
	feed    *bus.Feed
	lag     prometheus.Gauge

	// mu guards file: who reads the file holds it, and who replaces it waits for them.
	mu   sync.RWMutex
	file *file
	// why is why there can be no file; nil while one is opened.
	why error

	state struct {
		sync.Mutex
		// waiting are those who wait for the end of a look that has not begun.
		waiting []chan struct{}
		// todo and done count what the first look at a file has to read, and has read.
		todo, done uint64
		// erased are the erasures whose runs are to be dropped.
		erased []run.Erasure
		// complete: a look has come to its end since the file was opened.
		complete bool
	}
	// hurry is how many wait for a look.
	hurry atomic.Int32
	wake  chan struct{}
	// wrong are the rows that somebody has found to be other than the store.
	wrong chan correction
	// broken is set by a reader whose file turned out to be damaged.
	broken atomic.Pointer[error]
}

// correction is what the store says of a run.
type correction struct {
	number run.Number
	// doc is its final document, nil of a run that is gone.
	doc *run.Document
}

// New makes an index; Run has it work.
func New(o Options) *Index {
	return &Index{
		options: o, feed: o.Runs.Feed(), wake: make(chan struct{}, 1), wrong: make(chan correction, 1000),
		lag: promauto.With(o.Metrics).NewGauge(prometheus.GaugeOpts{
			Name: "runhook_history_behind_runs", Help: "Runs that the history has not read yet, as of its last look.",
		}),
	}
}

// The pauses between two looks.
const lookEvery = time.Second

// againAfter is when it is tried again to open a file that cannot be opened.
var againAfter = 10 * time.Second // shorter in tests

// Run keeps the index until ctx ends. An index that is damaged, of another version or of another store is made anew;
// one that cannot be kept is tried again, and the log says why.
func (x *Index) Run(ctx context.Context) {
	dir := x.options.Dir
	defer func() { x.close(); x.removeTemporary(dir) }()
	told, made := "", 0 // how often it was made anew without ever being complete
	for ctx.Err() == nil {
		var err error
		if dir == "" {
			dir, err = makeTemporary()
		}
		if err == nil {
			err = x.keep(ctx, dir)
		}
		if ctx.Err() != nil {
			return
		}
		pause := againAfter
		if broken, ok := errors.AsType[*damage](err); ok {
			if x.isComplete() {
				made = 0
			}
			if err = x.discard(broken); err == nil {
				x.options.Log.Warn().Err(broken).Str("file", broken.path).Msg("the history is made anew")
				made++
				pause = min(pause, wait.Doubled(lookEvery/10, againAfter, made))
			}
		}
		if err != nil {
			err = fmt.Errorf("%w: pass --cache DIR with a folder that this process may write", err)
			x.lack(err)
			if err.Error() != told {
				x.options.Log.Error().Err(err).Msg("the history cannot be kept; runs are listed without it, and not by their outcome, time or parameters")
			}
			told = err.Error()
		}
		wait.For(ctx, pause)
	}
}

// keep opens the index and follows the store.
func (x *Index) keep(ctx context.Context, dir string) error {
	opened, why, err := openFile(ctx, dir, x.options.Runs.StoreID())
	if err != nil {
		return err
	}
	defer x.close()
	if why != "" {
		x.options.Log.Info().Str("file", opened.path).Str("detail", why).Msg("the history is made")
	}
	k := &keeper{Index: x, file: opened, seen: map[string]uint64{}}
	if err := k.load(ctx); err != nil {
		_ = opened.close()
		return opened.explain(err)
	}
	x.state.Lock()
	x.state.complete, x.state.todo, x.state.done = false, 0, 0
	x.state.Unlock()
	x.broken.Store(nil)
	x.mu.Lock()
	x.file, x.why = opened, nil
	x.mu.Unlock()
	return opened.explain(k.follow(ctx))
}

// close closes the file, once nobody reads it.
func (x *Index) close() {
	x.lack(nil)
}

// lack says why there is no file, and closes the one that there is.
func (x *Index) lack(why error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.file != nil {
		_ = x.file.close() // what was not written is made again
	}
	x.file, x.why = nil, why
}

// discard removes a file that is of no use.
func (x *Index) discard(d *damage) error {
	x.close()
	x.state.Lock()
	x.state.complete, x.state.todo, x.state.done = false, 0, 0
	x.state.Unlock()
	for _, end := range []string{"-wal", "-shm", "-journal", ""} {
		if err := os.Remove(d.path + end); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w, and it cannot be removed: %w", d, err)
		}
	}
	return nil
}

// isComplete reports whether the file that was kept last has ever had everything.
func (x *Index) isComplete() bool {
	x.state.Lock()
	defer x.state.Unlock()
	return x.state.complete
}

// Progress is how far the index is.
type Progress struct {
	// Complete: everything that the store had when it was asked for is in the index.
	Complete bool
	// Percent is how much of it is, if not.
	Percent float64
	// Missing is why there is no index at all, nil if there is one.
	Missing error
}

// Fresh has the index catch up with the store, and waits for that at most as long as limit.
func (x *Index) Fresh(ctx context.Context, limit time.Duration) Progress {
	looked := make(chan struct{})
	x.state.Lock()
	x.state.waiting = append(x.state.waiting, looked)
	x.state.Unlock()
	x.hurry.Add(1)
	defer x.hurry.Add(-1)
	select {
	case x.wake <- struct{}{}:
	default:
	}
	over := time.NewTimer(limit)
	defer over.Stop()
	select {
	case <-looked:
		return Progress{Complete: true}
	case <-ctx.Done():
	case <-over.C:
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	return Progress{Percent: x.percent(), Missing: x.why}
}

// percent is how much of what there is to read has been read.
func (x *Index) percent() float64 {
	x.state.Lock()
	defer x.state.Unlock()
	switch {
	case x.state.complete:
		return 99.9
	case x.state.todo == 0:
		return 0
	}
	return min(99.9, float64(1000*x.state.done/x.state.todo)/10)
}

// Correct tells the index what the store says of a run that it had otherwise; nil of a run that is gone.
func (x *Index) Correct(n run.Number, doc *run.Document) {
	select {
	case x.wrong <- correction{n, doc}:
	default: // the next list finds it again
	}
}

package history

import (
	"context"
	"errors"
	"time"

	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/wait"
)

const (
	// batchRuns is how many runs are written in one transaction at most, and batchMessages how many messages it may
	// tell of.
	batchRuns     = 200
	batchMessages = 2000
	// mostShown is how many runs are remembered whose final documents were read.
	mostShown = 100_000
)

// batch is what is written at once: rows, and how far the streams were read for them.
type batch struct {
	entries []*entry
	places  map[run.Number]int
	marks   map[string]bus.Mark
	done    []bus.Stretch
	// messages is how many it is made of, and took how long they took to read.
	messages int
	took     time.Duration
}

// batches are written beside whoever reads.
type batches struct {
	*keeper
	// ctx ends when a batch could not be written.
	ctx   context.Context
	now   *batch
	since time.Time
	// shown are the tasks of the runs whose final documents were read before the requests: mostly these tell nothing
	// more then.
	shown map[run.Number]task.ID
	queue chan *batch
	ended chan error
}

func newBatches(ctx context.Context, k *keeper) *batches {
	ctx, stop := context.WithCancel(ctx)
	b := &batches{keeper: k, ctx: ctx, since: time.Now(), shown: map[run.Number]task.ID{}, queue: make(chan *batch, 1), ended: make(chan error, 1)}
	go func() {
		defer stop()
		var failed error
		for one := range b.queue {
			if failed != nil {
				continue
			}
			begun := time.Now()
			if failed = k.file.put(ctx, one); failed != nil {
				stop()
				continue
			}
			k.state.Lock()
			k.state.done += uint64(one.messages)
			k.state.Unlock()
			k.rest(ctx, one.took+time.Since(begun))
		}
		b.ended <- failed
	}()
	return b
}

// end writes what was read, and returns why that, or the reading, has failed.
func (b *batches) end(read error) error {
	if b.now != nil && b.ctx.Err() == nil {
		b.now.took = time.Since(b.since)
		b.queue <- b.now
	}
	close(b.queue)
	if failed := <-b.ended; failed != nil {
		return b.file.explain(failed)
	}
	return read
}

// at returns the batch that is being filled.
func (b *batches) at() *batch {
	if b.now == nil {
		b.now = &batch{places: map[run.Number]int{}, marks: map[string]bus.Mark{}}
	}
	return b.now
}

// add adds what a message tells, nil for nothing.
func (b *batches) add(ctx context.Context, e *entry) error {
	now := b.at()
	now.messages++
	if e != nil && !b.gone(e.number) {
		if place, ok := now.places[e.number]; ok {
			now.entries[place].add(e)
		} else if !e.requested || !b.says(e) {
			now.places[e.number] = len(now.entries)
			now.entries = append(now.entries, e)
		}
	}
	if len(now.entries) < batchRuns && now.messages < batchMessages {
		return nil
	}
	return b.pass(ctx)
}

// says reports whether the final document of a run, which was read before, has said all that its request tells. Of one
// with parameters that is all but these.
func (b *batches) says(request *entry) bool {
	of, ended := b.shown[request.number]
	request.shown = ended && of == request.task && request.operator == "" && request.repeats == 0
	return request.shown && len(request.parameters) == 0
}

// pass hands the batch over to be written.
func (b *batches) pass(ctx context.Context) error {
	b.now.took = time.Since(b.since)
	select {
	case b.queue <- b.now:
	case <-ctx.Done():
		return ctx.Err()
	}
	b.now, b.since = nil, time.Now()
	return nil
}

func (b *batches) final(ctx context.Context, of *stretch, final bus.Kept) error {
	e, err := b.outcome(ctx, final)
	if err != nil {
		return err
	}
	of.mark = final.At
	b.at().marks[of.Name] = final.At
	if e != nil && len(b.shown) < mostShown { // those of bundles come with their requests
		b.shown[e.number] = e.task
	}
	return b.add(ctx, e)
}

// outcome is what a final document tells. One that another program has written over is looked up: the store says of it
// what every process does.
func (b *batches) outcome(ctx context.Context, final bus.Kept) (*entry, error) {
	e, err := ofFinal(final)
	if err == nil {
		return e, nil
	}
	status, err := b.options.Runs.Lookup(ctx, final.Task, final.Number)
	switch {
	case errors.Is(err, run.ErrNoRun), errors.Is(err, run.ErrRunGone):
		return nil, nil
	case err != nil:
		return nil, err
	case !status.Final:
		return nil, nil
	}
	return ofDocument(&status.Document), nil
}

func (b *batches) request(ctx context.Context, request bus.Kept) error {
	e, err := ofRequest(request)
	if err != nil { // of another program: if it was ended, it has a final document
		e = nil
	}
	b.requests = request.At
	b.at().marks[bus.RequestsName] = request.At
	return b.add(ctx, e)
}

// both takes the two messages of a run that is in a bundle.
func (b *batches) both(ctx context.Context, request, final bus.Kept) error {
	if request.Data != nil {
		e, err := ofRequest(request)
		if err != nil {
			e = nil
		}
		if err := b.add(ctx, e); err != nil {
			return err
		}
	}
	if final.Data == nil {
		return nil
	}
	e, err := b.outcome(ctx, final)
	if err != nil {
		return err
	}
	return b.add(ctx, e)
}

// done says that nothing more will come of a stretch.
func (b *batches) done(ctx context.Context, of *stretch) error {
	of.done = true
	now := b.at()
	now.done = append(now.done, of.Stretch)
	return b.pass(ctx)
}

// While many runs come in, the index waits restShare times as long as it has worked, and once more for each restRate
// runs a second, so that they do not wait for it.
const (
	busyRate  = 100 // runs a second
	restShare = 19
	restRate  = 100
	restMost  = 5 * time.Second
)

// rest waits after some work, unless nobody needs the machine or somebody waits for the index.
func (k *keeper) rest(ctx context.Context, worked time.Duration) {
	if time.Since(k.rate.at) > lookEvery {
		if _, last, err := k.feed.Accepted(ctx); err == nil {
			k.rate.note(last)
		}
	}
	if k.rate.perSecond < busyRate {
		return
	}
	const step = 10 * time.Millisecond
	for left := min(time.Duration(restShare+k.rate.perSecond/restRate)*worked, restMost); left > 0 && k.hurry.Load() == 0; left -= step {
		if !wait.For(ctx, min(left, step)) {
			return
		}
	}
}

// rate is how many runs a second are accepted.
type rate struct {
	at        time.Time
	last      uint64
	perSecond float64
}

// note takes the sequence of the last request of now.
func (r *rate) note(last uint64) {
	passed := time.Since(r.at)
	if passed < lookEvery/4 { // too short to tell
		return
	}
	if !r.at.IsZero() && last >= r.last {
		r.perSecond = float64(last-r.last) / passed.Seconds()
	}
	r.at, r.last = time.Now(), last
}

package history

import (
	"context"
	"errors"
	"slices"
	"time"

	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/wait"
)

// keeper has one file follow the store.
type keeper struct {
	*Index
	file *file
	// requests is how far the requests were read, and stretches how far each stretch.
	requests  bus.Mark
	stretches map[string]*stretch
	// seen is the last sequence that a stream had when it was last read to its end.
	seen map[string]uint64
	// there are the stretches of the last look.
	there []bus.Stretch
	// made is the first number behind all stretches that were ever made.
	made run.Number
	// pruned is when the rows were last held against the stretches and the retention.
	pruned time.Time
	rate   rate
}

// stretch is how far a stretch was read. Nothing more will come of one that is done.
type stretch struct {
	bus.Stretch
	mark bus.Mark
	done bool
}

// follow looks again and again until ctx ends, or the file fails.
func (k *keeper) follow(ctx context.Context) error {
	for {
		k.state.Lock()
		waiting := k.state.waiting
		k.state.waiting = nil
		k.state.Unlock()
		err := k.look(ctx)
		if broken := k.broken.Load(); broken != nil {
			err = *broken
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			k.state.Lock()
			k.state.complete = true
			k.state.Unlock()
			for _, looked := range waiting {
				close(looked)
			}
		case errors.Is(err, run.ErrUnavailable), errors.Is(err, run.ErrRunGone), errors.Is(err, context.DeadlineExceeded):
			k.options.Log.Debug().Err(err).Msg("the history cannot follow the store now, trying again")
		default:
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-k.wake:
			if err != nil && !wait.For(ctx, lookEvery/10) {
				return nil
			}
		case <-time.After(lookEvery):
		}
	}
}

// pruneEvery is how often rows are held against what the store still has.
var pruneEvery = 10 * time.Second // shorter in tests

// look reads what is new in the store.
func (k *keeper) look(ctx context.Context) error {
	if time.Since(k.pruned) > pruneEvery || len(k.there) == 0 {
		if err := k.refresh(ctx); err != nil {
			return err
		}
		k.pruned = time.Now()
	}
	if err := k.correct(ctx); err != nil {
		return err
	}
	if err := k.erase(ctx); err != nil {
		return err
	}
	youngest, last, err := k.feed.Accepted(ctx)
	if err != nil {
		return err
	}
	if k.behind(youngest) { // slices are made ahead of their runs
		if err := k.refresh(ctx); err != nil {
			return err
		}
	}
	k.rate.note(last)
	if last > k.requests.Sequence {
		k.lag.Set(float64(last - k.requests.Sequence))
	}
	k.count(youngest, last)
	b := newBatches(ctx, k)
	err = k.read(b.ctx, b)
	if written := b.end(err); written != nil {
		return written
	}
	k.lag.Set(0)
	return nil
}

// behind reports whether the youngest run is behind all stretches that are known.
func (k *keeper) behind(youngest run.Number) bool {
	return youngest > 0 && (len(k.there) == 0 || youngest >= k.there[len(k.there)-1].End)
}

// count tells how much there is to read, if it is the first look: of each run its request and its final document.
func (k *keeper) count(youngest run.Number, last uint64) {
	k.state.Lock()
	defer k.state.Unlock()
	if k.state.complete {
		return
	}
	k.state.todo, k.state.done = 0, 0
	for _, s := range k.there {
		if !k.stretches[s.Name].done && s.First <= youngest {
			k.state.todo += 2 * uint64(min(s.End, youngest+1)-s.First)
		}
	}
}

// refresh looks which stretches there are, and removes the rows of those that have gone, and of runs past their
// retention.
func (k *keeper) refresh(ctx context.Context) error {
	there, made, err := k.feed.Stretches(ctx)
	if err != nil {
		return err
	}
	k.there, k.made = there, made
	for name, known := range k.stretches {
		if slices.ContainsFunc(there, func(s bus.Stretch) bool { return s.Name == name }) {
			continue
		}
		if err := k.file.forget(ctx, known); err != nil {
			return k.file.explain(err)
		}
		delete(k.stretches, name)
	}
	for _, s := range there {
		if k.stretches[s.Name] != nil {
			continue
		}
		if err := k.file.know(ctx, s); err != nil {
			return k.file.explain(err)
		}
		k.stretches[s.Name] = &stretch{Stretch: s}
	}
	return k.file.explain(k.file.expire(ctx, k.options.Runs.Retention()))
}

// correct takes up what readers have found out.
func (k *keeper) correct(ctx context.Context) error {
	for {
		select {
		case wrong := <-k.wrong:
			var err error
			if wrong.doc == nil {
				err = k.file.remove(ctx, wrong.number)
			} else {
				err = k.file.put(ctx, &batch{entries: []*entry{ofDocument(wrong.doc)}})
			}
			if err != nil {
				return k.file.explain(err)
			}
		default:
			return nil
		}
	}
}

// read passes what is new to b.
func (k *keeper) read(ctx context.Context, b *batches) error {
	var sealed []*stretch
	for _, s := range k.there {
		of := k.stretches[s.Name]
		if of.done {
			continue
		}
		reached, err := k.feed.Finals(ctx, s, of.mark, k.seen[s.Name], func(final bus.Kept) error { return b.final(ctx, of, final) })
		switch {
		case errors.Is(err, run.ErrRunGone): // the next refresh sees it
			k.pruned = time.Time{}
			continue
		case err != nil:
			return err
		case reached.Bundled:
			err := k.feed.Bundles(ctx, s, func(request, final bus.Kept) error { return b.both(ctx, request, final) })
			if err != nil {
				return err
			}
			if err := b.done(ctx, of); err != nil {
				return err
			}
		case reached.Whole:
			k.seen[s.Name] = reached.Until
			if reached.Sealed {
				sealed = append(sealed, of)
			}
		}
	}
	reached, err := k.feed.Requests(ctx, k.requests, k.seen[bus.RequestsName], func(request bus.Kept) error { return b.request(ctx, request) })
	if err != nil {
		return err
	}
	if reached.Whole {
		k.seen[bus.RequestsName] = reached.Until
	}
	for _, of := range sealed {
		if reached.Whole && k.feed.RequestsUntil(of.Stretch) <= reached.Until {
			if err := b.done(ctx, of); err != nil {
				return err
			}
		}
	}
	return nil
}

// gone reports whether a run is in a stretch that is not there any more.
func (k *keeper) gone(n run.Number) bool {
	return n < k.made && !slices.ContainsFunc(k.there, func(s bus.Stretch) bool { return s.Has(n) })
}

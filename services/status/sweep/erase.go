package sweep

import (
	"context"
	"slices"
	"sync"
	"time"

	"runhook/shared/bus"
	"runhook/shared/run"
)

const (
	// erasuresEvery is how often erasures are looked at if nothing is told of them.
	erasuresEvery = 2 * time.Second
	// eraseAgain is how long the next try waits where something failed, or has to come first.
	eraseAgain = 3 * time.Second
	// How many erasures are done at the same time: of single runs, of many runs that somebody has asked for, and of runs
	// past their keep. secondLooks are those that are done, at which is looked again.
	erasuresOfOne  = 8
	erasuresOfMany = 4
	erasuresOfKeep = 1
	secondLooks    = 2
)

// erase does erasures until ctx ends.
func (s *Sweeper) erase(ctx context.Context) {
	if s.erasures == nil {
		return
	}
	ticker := time.NewTicker(erasuresEvery)
	defer ticker.Stop()
	var working sync.WaitGroup
	defer working.Wait()
	type name struct {
		task        string
		first, last run.Number
	}
	keyOf := func(of bus.Erasing) name { return name{string(of.Task), of.First, of.Last} }
	var mu sync.Mutex
	next, busy := map[name]time.Time{}, map[name]bool{}
	free, ones, many, kept, looks := make(chan struct{}, 1), make(chan struct{}, erasuresOfOne), make(chan struct{}, erasuresOfMany), make(chan struct{}, erasuresOfKeep), make(chan struct{}, secondLooks)
	for {
		changed := s.erasures.Changed()
		// Those that have waited longest come first: one that has to wait for something does not hold up the others.
		all := s.erasures.All()
		mu.Lock()
		slices.SortStableFunc(all, func(a, b bus.Erasing) int { return next[keyOf(a)].Compare(next[keyOf(b)]) })
		mu.Unlock()
		for _, of := range all {
			key := keyOf(of)
			mu.Lock()
			due := !busy[key] && !time.Now().Before(next[key]) && s.store.IsErasureDue(of)
			mu.Unlock()
			if !due {
				continue
			}
			slots := many
			switch {
			case of.DoneOn != nil:
				slots = looks
			case of.IsOne():
				slots = ones
			case of.By == run.ByKeep:
				slots = kept
			}
			select {
			case slots <- struct{}{}:
			default:
				continue // until one is free
			}
			mu.Lock()
			busy[key] = true
			mu.Unlock()
			working.Go(func() {
				s.eraseOne(ctx, of)
				mu.Lock()
				delete(busy, key)
				next[key] = time.Now().Add(eraseAgain)
				mu.Unlock()
				<-slots
				select {
				case free <- struct{}{}:
				default:
				}
			})
		}
		mu.Lock()
		for key, at := range next {
			if time.Since(at) > time.Minute {
				delete(next, key)
			}
		}
		mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-free:
		case <-ticker.C:
		}
	}
}

// returnedEvery is how often it is looked whether runs that were erased are back, besides at the start.
const returnedEvery = time.Hour

// eraseReturned has runs erased again that are back, as after somebody has restored a stream, until ctx ends.
func (s *Sweeper) eraseReturned(ctx context.Context) {
	if s.erasures == nil {
		return
	}
	ticker := time.NewTicker(returnedEvery)
	defer ticker.Stop()
	for {
		returned, err := s.store.Returned(ctx)
		for _, e := range returned {
			s.log.Warn().Str("task", e.TaskName).Stringer("first_run", e.First).Stringer("last_run", e.Last).
				Msg("runs that were erased are back, as after a stream was restored; they are erased again")
			if err == nil {
				_, err = s.store.AskErase(ctx, e)
			}
		}
		if err != nil && ctx.Err() == nil {
			s.log.Debug().Err(err).Msg("cannot look whether runs that were erased are back, trying again later")
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// eraseOne goes on with an erasure.
func (s *Sweeper) eraseOne(ctx context.Context, of bus.Erasing) {
	e, done, err := s.store.Erase(ctx, s.erasures, of)
	if err != nil && ctx.Err() == nil {
		s.log.Warn().Err(err).Str("task", e.TaskName).Stringer("first_run", e.First).Stringer("last_run", e.Last).
			Msg("runs cannot be erased now, trying again")
	}
	if done {
		s.log.Info().Str("by", e.By).Str("task", e.TaskName).Stringer("first_run", e.First).Stringer("last_run", e.Last).Int("runs", e.Removed.Runs).
			Msg("runs were erased")
	}
}

package sweep

import (
	"context"
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
	// erasuresOfOne is how many erasures of single runs are done at the same time, and one of many beside.
	erasuresOfOne = 8
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
	var mu sync.Mutex
	next, busy := map[name]time.Time{}, map[name]bool{}
	ones, many := make(chan struct{}, erasuresOfOne), make(chan struct{}, 1)
	for {
		changed := s.erasures.Changed()
		all := s.erasures.All()
		for _, of := range all {
			slots := many
			if of.IsOne() {
				slots = ones
			}
			key := name{string(of.Task), of.First, of.Last}
			mu.Lock()
			due := !busy[key] && !time.Now().Before(next[key])
			mu.Unlock()
			if !due {
				continue
			}
			select {
			case slots <- struct{}{}:
			default:
				continue // the next look comes soon
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

package runner

import (
	"context"
	"sync"
)

// slots counts the runs that may still be started here. A queue is only pulled while one is free:
// a request leased to a process that cannot start it would wait for nothing.
type slots struct {
	mu   sync.Mutex
	free int
	// open ends when the last slot is taken, and is a new one as soon as a slot is free again.
	open  context.Context
	close context.CancelFunc
	// freed is closed and replaced whenever a slot becomes free.
	freed chan struct{}
}

func newSlots(ctx context.Context, n int) *slots {
	s := &slots{free: n, freed: make(chan struct{})}
	s.open, s.close = context.WithCancel(ctx)
	return s
}

// wait waits until a slot is free, and returns how many are and a context that lasts until the last
// slot is taken or ctx ends.
func (s *slots) wait(ctx context.Context) (free int, pull context.Context, done context.CancelFunc, err error) {
	for {
		s.mu.Lock()
		free, open, freed := s.free, s.open, s.freed
		s.mu.Unlock()
		if free > 0 {
			pull, cancel := context.WithCancel(ctx)
			stop := context.AfterFunc(open, cancel)
			return free, pull, func() { stop(); cancel() }, nil
		}
		select {
		case <-ctx.Done():
			return 0, nil, nil, ctx.Err()
		case <-freed:
		}
	}
}

// take takes a slot if one is free.
func (s *slots) take() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free == 0 {
		return false
	}
	if s.free--; s.free == 0 {
		s.close()
	}
	return true
}

func (s *slots) release(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free++; s.free == 1 {
		s.open, s.close = context.WithCancel(ctx)
	}
	close(s.freed)
	s.freed = make(chan struct{})
}

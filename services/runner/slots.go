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

// wait waits until more than others slots are free, and returns a context that lasts until the last
// slot is taken or ctx ends. A puller that counts the pullers of its task before it as others does
// not ask for more than could be started.
func (s *slots) wait(ctx context.Context, others int) (context.Context, context.CancelFunc, error) {
	for {
		s.mu.Lock()
		free, open, freed := s.free, s.open, s.freed
		s.mu.Unlock()
		if free > others {
			pull, cancel := context.WithCancel(ctx)
			stop := context.AfterFunc(open, cancel)
			return pull, func() { stop(); cancel() }, nil
		}
		select {
		case <-ctx.Done():
			return nil, nil, ctx.Err()
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

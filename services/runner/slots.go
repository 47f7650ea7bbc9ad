package runner

import (
	"context"
	"slices"
	"sync"

	"golang.org/x/time/rate"
)

// slots counts the runs that may still be started here. Requests are only leased for a free one: a request
// leased to a process that cannot start it would wait for nothing.
//
// When none is free those who want one wait in two lines, and a slot that becomes free goes to the next.
// Who only looks whether there is a request comes before who knows of one, so that the requests of a task
// never wait for the whole backlog of another; there are so many looks a second at most, so that a thousand
// idle tasks cost next to nothing.
type slots struct {
	mu   sync.Mutex
	free int
	// sure and looking wait for a slot, the first first; while one does, none is free.
	sure, looking []*waiter
	looks         *rate.Limiter
	// open ends when the last slot is taken, and is a new one as soon as a slot is free again.
	parent, open context.Context
	close        context.CancelFunc
}

// looksPerSecond bounds the looks, each of which costs the server about as much as a poll; looksAtOnce is how
// many there may be after a while without.
const (
	looksPerSecond = 500
	looksAtOnce    = 1000
)

// waiter is given up to most slots.
type waiter struct {
	most  int
	given chan int
}

func newSlots(ctx context.Context, n int) *slots {
	s := &slots{free: n, looks: rate.NewLimiter(looksPerSecond, looksAtOnce), parent: ctx}
	s.open, s.close = context.WithCancel(ctx)
	return s
}

// acquire waits for free slots and takes up to most of them, at least one. sure is who knows of requests
// for them; who does not has waited for looks, and gets one.
func (s *slots) acquire(ctx context.Context, most int, sure bool) (int, error) {
	s.mu.Lock()
	if s.free > 0 {
		defer s.mu.Unlock()
		return s.use(most), nil
	}
	line := &s.sure
	if !sure {
		line, most = &s.looking, 1
	}
	w := &waiter{most, make(chan int, 1)}
	*line = append(*line, w)
	s.mu.Unlock()
	select {
	case n := <-w.given:
		return n, nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	*line = slices.DeleteFunc(*line, func(other *waiter) bool { return other == w })
	s.mu.Unlock()
	select {
	case n := <-w.given:
		s.release(n)
	default:
	}
	return 0, ctx.Err()
}

// take takes a slot if one is free.
func (s *slots) take() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.use(1) == 1
}

// use takes up to most of the free slots.
func (s *slots) use(most int) int {
	n := min(most, s.free)
	if s.free -= n; s.free == 0 {
		s.close()
	}
	return n
}

// release gives slots back.
func (s *slots) release(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.give(n)
}

// give gives slots to those who wait, and keeps what nobody wants.
func (s *slots) give(n int) {
	for s.free += n; s.free > 0; {
		w := s.next()
		if w == nil {
			break
		}
		w.given <- s.use(w.most)
	}
	if s.free > 0 && s.open.Err() != nil {
		s.open, s.close = context.WithCancel(s.parent)
	}
}

// next takes the next waiter out of its line, nil if there is none.
func (s *slots) next() *waiter {
	line := &s.sure
	if len(s.looking) > 0 {
		line = &s.looking
	}
	if len(*line) == 0 {
		return nil
	}
	w := (*line)[0]
	*line = slices.Delete(*line, 0, 1)
	return w
}

// whileFree returns how many slots are free, and a context that lasts until the last is taken or ctx ends.
func (s *slots) whileFree(ctx context.Context) (free int, pull context.Context, done context.CancelFunc) {
	s.mu.Lock()
	free, open := s.free, s.open
	s.mu.Unlock()
	pull, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(open, cancel)
	return free, pull, func() { stop(); cancel() }
}

package connection

import "sync"

// Pool holds what all users of a set's connections share, such as whose turn it is at a site. It is safe
// for concurrent use, and belongs to one set and those that its Keep returns.
type Pool struct {
	mu    sync.Mutex
	known map[any]any
}

// Share returns what the pool holds under key, which the first caller makes.
func Share[T any](p *Pool, key any, make func() T) T {
	p.mu.Lock()
	defer p.mu.Unlock()
	if shared, ok := p.known[key]; ok {
		return shared.(T)
	}
	shared := make()
	p.known[key] = shared
	return shared
}

package jet

import "sync"

// Bell wakes all who wait for it. The zero Bell is ready, and safe for concurrent use.
type Bell struct {
	mu   sync.Mutex
	next chan struct{}
}

// Next is closed at the next Ring.
func (b *Bell) Next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		b.next = make(chan struct{})
	}
	return b.next
}

// Ring wakes those who wait.
func (b *Bell) Ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next != nil {
		close(b.next)
		b.next = nil
	}
}

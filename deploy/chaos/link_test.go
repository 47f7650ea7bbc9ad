//go:build chaos

package chaos

import (
	"io"
	"net"
	"sync"
	"testing"
)

// link is a wire between two programs that can be cut: it passes TCP connections on.
type link struct {
	listener net.Listener
	target   string

	mu    sync.Mutex
	cut   bool
	pairs map[net.Conn]net.Conn
	all   sync.WaitGroup
}

// newLink listens on an address for what connects to target.
func newLink(t *testing.T, address, target string) *link {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	l := &link{listener: listener, target: target, pairs: map[net.Conn]net.Conn{}}
	l.all.Go(l.accept)
	t.Cleanup(func() { _ = listener.Close(); l.drop(); l.all.Wait() })
	return l
}

func (l *link) accept() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.all.Go(func() { l.pass(near) })
	}
}

func (l *link) pass(near net.Conn) {
	defer near.Close()
	far, err := net.Dial("tcp", l.target)
	if err != nil {
		return
	}
	defer far.Close()
	l.mu.Lock()
	if l.cut {
		l.mu.Unlock()
		return
	}
	l.pairs[near] = far
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.pairs, near)
	}()
	back := make(chan struct{})
	go func() {
		defer close(back)
		_, _ = io.Copy(near, far)
		_ = near.Close()
	}()
	_, _ = io.Copy(far, near)
	_ = far.Close()
	<-back
}

// drop ends the connections that there are; new ones pass.
func (l *link) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for near, far := range l.pairs {
		_ = near.Close()
		_ = far.Close()
	}
}

// setCut cuts the link, or joins it again.
func (l *link) setCut(cut bool) {
	l.mu.Lock()
	l.cut = cut
	l.mu.Unlock()
	if cut {
		l.drop()
	}
}

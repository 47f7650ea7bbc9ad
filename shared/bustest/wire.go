package bustest

import (
	"net"
	"sync"
	"testing"
)

// Wire passes TCP connections on to a target, and can be cut or go silent, as a network can.
type Wire struct {
	listener net.Listener
	target   string
	all      sync.WaitGroup

	// passing are held by who passes bytes on, there and back, and taken away while the wire is silent.
	passing [2]sync.RWMutex

	mu     sync.Mutex
	cut    bool
	silent [2]bool
	pairs  map[net.Conn]net.Conn
}

// Direction is one of the two in which a wire passes bytes on.
type Direction int

const (
	// There is from who connects to the target.
	There Direction = iota
	// Back is from the target to who connects.
	Back
)

// NewWire listens on an address for what connects to target, until the end of the test.
func NewWire(t testing.TB, address, target string) *Wire {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	w := &Wire{listener: listener, target: target, pairs: map[net.Conn]net.Conn{}}
	w.all.Go(w.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		w.Silence(false)
		w.Cut(true)
		w.all.Wait()
	})
	return w
}

// Address is where the wire is to be reached.
func (w *Wire) Address() string { return w.listener.Addr().String() }

// Drop ends the connections that there are; new ones pass.
func (w *Wire) Drop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for near, far := range w.pairs {
		_, _ = near.Close(), far.Close()
	}
}

// Cut ends the connections that there are and lets no new ones pass, until it is joined again.
func (w *Wire) Cut(cut bool) {
	w.mu.Lock()
	w.cut = cut
	w.mu.Unlock()
	if cut {
		w.Drop()
	}
}

// Silence keeps the connections open and lets nothing through, until it is lifted: then everything
// that was sent meanwhile arrives. It is about both directions, or those that are named.
func (w *Wire) Silence(silent bool, directions ...Direction) {
	if len(directions) == 0 {
		directions = []Direction{There, Back}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range directions {
		if silent == w.silent[d] {
			continue
		}
		w.silent[d] = silent
		if silent {
			w.passing[d].Lock()
		} else {
			w.passing[d].Unlock()
		}
	}
}

func (w *Wire) accept() {
	for {
		near, err := w.listener.Accept()
		if err != nil {
			return
		}
		w.all.Go(func() { w.join(near) })
	}
}

func (w *Wire) join(near net.Conn) {
	defer func() { _ = near.Close() }()
	far, err := net.Dial("tcp", w.target)
	if err != nil {
		return
	}
	defer func() { _ = far.Close() }()
	w.mu.Lock()
	if w.cut {
		w.mu.Unlock()
		return
	}
	w.pairs[near] = far
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.pairs, near)
	}()
	var back sync.WaitGroup
	back.Go(func() { w.pass(near, far, Back) })
	w.pass(far, near, There)
	back.Wait()
}

// pass copies from one end to the other, and closes both when one has ended.
func (w *Wire) pass(to, from net.Conn, d Direction) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		w.passing[d].RLock()
		if n > 0 {
			_, writeErr := to.Write(buffer[:n])
			if err == nil {
				err = writeErr
			}
		}
		w.passing[d].RUnlock()
		if err != nil {
			return
		}
	}
}

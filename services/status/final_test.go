package status_test

import (
	"bytes"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/rs/zerolog"

	"runhook/services/status"
	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// tap is a way to NATS that can hold back a question.
type tap struct {
	net.Listener
	passing sync.WaitGroup

	mu   sync.Mutex
	text []byte
	left int
	// held is closed when the question has come for the last time, which then waits for let to be closed.
	held, let chan struct{}
	// over is closed at the end of the test.
	over chan struct{}
}

func newTap(t *testing.T, target string) *tap {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{Listener: listener, over: make(chan struct{})}
	p.passing.Go(func() {
		near, err := listener.Accept()
		if err != nil {
			return
		}
		defer near.Close()
		far, err := net.Dial("tcp", target)
		if err != nil {
			t.Error(err)
			return
		}
		defer far.Close()
		p.passing.Go(func() {
			defer near.Close()
			_, _ = far.(*net.TCPConn).WriteTo(near) // it ends with either connection
		})
		var tail []byte
		for buffer := make([]byte, 64<<10); ; {
			n, err := near.Read(buffer)
			if err != nil {
				return
			}
			tail = p.hold(append(tail, buffer[:n]...))
			if _, err := far.Write(buffer[:n]); err != nil {
				return
			}
		}
	})
	t.Cleanup(p.passing.Wait)
	t.Cleanup(func() {
		close(p.over)
		_ = listener.Close()
	})
	return p
}

// watch holds back what says text for the n-th time from now on.
func (p *tap) watch(text string, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text, p.left, p.held, p.let = []byte(text), n, make(chan struct{}), make(chan struct{})
}

// hold waits where what was sent is to be held back, and returns the end of it, in which a text may have begun.
func (p *tap) hold(sent []byte) (tail []byte) {
	p.mu.Lock()
	text, held, let := p.text, p.held, p.let
	found := 0
	if len(text) > 0 {
		found = bytes.Count(sent, text)
	}
	holds := p.left > 0 && p.left <= found
	p.left -= found
	p.mu.Unlock()
	if holds {
		close(held)
		select {
		case <-let:
		case <-p.over:
		}
	}
	if found > 0 {
		return nil
	}
	return bytes.Clone(sent[max(0, len(sent)-max(len(text)-1, 0)):])
}

// No poll says that a run is queued, gone or was never there before it has looked once more for a final
// document: the run may have ended in between.
func TestFinalIsLookedForOnceMore(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	tap := newTap(t, store.Broker.Addr().String())
	far, err := bus.Connect(t.Context(), bus.Config{URLs: "nats://" + tap.Addr().String(), Name: "far", Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(far.Close)
	if err := far.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := openOn(t, store, func(o *status.Options) { o.Runs = far.Runs })
	def := s.apply("Refresh")
	for _, c := range []struct {
		name string
		// code is what a poll is told of the run before.
		code   int
		before func() (n run.Number, end func())
	}{
		{"in progress", http.StatusAccepted, func() (run.Number, func()) {
			r := s.submit(def).begin(5).reach(10)
			return r.number, func() { r.end(run.Success, "done") }
		}},
		{"queued", http.StatusAccepted, func() (run.Number, func()) {
			r := s.submit(def)
			return r.number, func() { r.begin(0).end(run.Success, "done") }
		}},
		{"of the next number", http.StatusNotFound, func() (run.Number, func()) {
			last := s.submit(def)
			return last.number + 1, func() { s.submit(def).begin(0).end(run.Success, "done") }
		}},
		{"whose record is gone", http.StatusGone, func() (run.Number, func()) {
			r := s.submit(def)
			if err := store.Jet().Runs.DeleteMsg(t.Context(), uint64(r.number)); err != nil {
				t.Fatal(err)
			}
			return r.number, func() { r.begin(0).end(run.Success, "done") }
		}},
	} {
		n, end := c.before()
		path := run.StatusPath(def.ID, n)
		s.get(path).expect(t, c.code)
		tap.watch("final."+string(def.ID)+"."+n.String()+" ", 2)
		answers := make(chan answer, 1)
		go func() {
			got, err := s.send(http.MethodGet, path, nil)
			if err != nil {
				t.Error(err)
			}
			answers <- got
		}()
		select {
		case got := <-answers:
			t.Errorf("a run %s: told %d %s after one look", c.name, got.StatusCode, got.body)
			tap.watch("", 0)
			continue
		case <-tap.held:
		}
		end()
		close(tap.let)
		got := within(t, proctest.Limit, answers).expect(t, http.StatusOK)
		if doc := got.document(t); doc.Outcome() != run.Success {
			t.Errorf("a run %s: %s", c.name, got.body)
		}
	}
}

package runner

import (
	"context"
	"errors"
	"testing"

	"runhook/shared/proctest"
)

// line has somebody wait for slots, and returns what the wait returns and a way to give it up.
func line(t *testing.T, s *slots, most int, sure bool) (given chan int, giveUp context.CancelFunc) {
	t.Helper()
	ctx, giveUp := context.WithCancel(t.Context())
	given = make(chan int, 1)
	s.mu.Lock()
	before := len(s.sure) + len(s.looking)
	s.mu.Unlock()
	go func() {
		n, err := s.acquire(ctx, most, sure)
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		given <- n
	}()
	proctest.Eventually(t, "it waits", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.sure)+len(s.looking) == before+1
	})
	return given, giveUp
}

// A slot that becomes free goes to who looks whether there is a request, then to the first of those who
// know of one. Who has given up is passed over.
func TestSlotsGoToTheNextInLine(t *testing.T) {
	t.Parallel()
	s := newSlots(t.Context(), 3)
	if n, err := s.acquire(t.Context(), 16, false); n != 3 || err != nil {
		t.Fatalf("got %d of 3 free slots, %v", n, err)
	}
	if s.take() || s.open.Err() == nil {
		t.Error("a fourth slot was free")
	}
	gone, giveUp := line(t, s, 16, true)
	first, _ := line(t, s, 2, true)
	second, _ := line(t, s, 16, true)
	looking, _ := line(t, s, 16, false)
	giveUp()
	if n := <-gone; n != 0 {
		t.Errorf("who gave up got %d slots", n)
	}
	s.release(1)
	if n := <-looking; n != 1 {
		t.Errorf("who looks got %d slots, want 1", n)
	}
	s.release(3)
	if n := <-first; n != 2 {
		t.Errorf("the first in line got %d of 3 slots, want the 2 that it asked for", n)
	}
	if n := <-second; n != 1 {
		t.Errorf("the next in line got %d slots, want the 1 that was left", n)
	}
	free, pull, done := s.whileFree(t.Context())
	defer done()
	if <-pull.Done(); free != 0 {
		t.Errorf("%d slots are free while all are taken", free)
	}
	s.release(2)
	free, pull, done = s.whileFree(t.Context())
	defer done()
	if free != 2 || pull.Err() != nil {
		t.Errorf("%d slots are free, want 2: %v", free, pull.Err())
	}
	if n, err := s.acquire(t.Context(), 16, true); n != 2 || err != nil {
		t.Errorf("%d slots were taken, want 2: %v", n, err)
	}
	<-pull.Done()
}

// A slot that is given to somebody at the moment at which he gives up is not lost.
func TestSlotOfWhoGivesUpIsNotLost(t *testing.T) {
	t.Parallel()
	s := newSlots(t.Context(), 1)
	for range 30 {
		if !s.take() {
			t.Fatal("no slot is free")
		}
		given, giveUp := line(t, s, 1, true)
		s.mu.Lock()
		giveUp()
		s.give(1)
		s.mu.Unlock()
		s.release(<-given)
	}
	if s.free != 1 {
		t.Errorf("%d slots are free, want 1", s.free)
	}
}

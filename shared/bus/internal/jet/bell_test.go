package jet

import "testing"

// A ring wakes all who wait, and nobody who begins to wait afterwards.
func TestBell(t *testing.T) {
	t.Parallel()
	var b Bell
	b.Ring()
	first, second := b.Next(), b.Next()
	select {
	case <-first:
		t.Error("it rang before anybody waited")
	default:
	}
	b.Ring()
	<-first
	<-second
	select {
	case <-b.Next():
		t.Error("it rings still")
	default:
	}
}

package broker

import (
	"testing"
	"time"
)

// SetStopLimit changes how long a stop may take, until restore.
func SetStopLimit(d time.Duration) (restore func()) {
	before := stopLimit
	stopLimit = d
	return func() { stopLimit = before }
}

// Again stops the server and starts another in its place, as after a full disk.
func (b *Broker) Again(t testing.TB) {
	t.Helper()
	if !b.restart(t.Context()) {
		t.Fatal("the server did not start again")
	}
}

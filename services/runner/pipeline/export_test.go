package pipeline

import (
	"testing"
	"time"
)

// KeepBatches has no batch passed on before it is full, so that tests can count on where batches end, also
// on a machine that is busy.
func KeepBatches() { patience = time.Hour }

// PassBatches undoes KeepBatches for a test.
func PassBatches(t testing.TB) {
	before := patience
	patience = usualPatience
	t.Cleanup(func() { patience = before })
}

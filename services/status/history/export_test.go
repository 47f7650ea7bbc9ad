package history

import (
	"context"
	"time"
)

// SetPauses shortens the waits of all indexes of the test process.
func SetPauses() { againAfter, pruneEvery = 50*time.Millisecond, 50*time.Millisecond }

// Rested is how long an index waits after some work, while so many runs a second come in and somebody waits for it
// or not.
func Rested(ctx context.Context, x *Index, worked time.Duration, perSecond float64, hurry bool) time.Duration {
	k := &keeper{Index: x}
	k.rate.at, k.rate.perSecond = time.Now(), perSecond
	if hurry {
		x.hurry.Add(1)
		defer x.hurry.Add(-1)
	}
	begun := time.Now()
	k.rest(ctx, worked)
	return time.Since(begun)
}

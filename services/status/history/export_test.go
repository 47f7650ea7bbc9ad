package history

import (
	"context"
	"time"
)

// SetPauses shortens the waits of all indexes of the test process.
func SetPauses() { againAfter, pruneEvery = 50*time.Millisecond, 50*time.Millisecond }

// Percent is how far an index says to be that has read so much of what there is.
func Percent(x *Index, todo, done uint64, complete bool) float64 {
	x.state.todo, x.state.done, x.state.complete = todo, done, complete
	return x.percent()
}

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

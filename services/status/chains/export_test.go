package chains

import (
	"context"
	"time"
)

// SetTakeOver sets after how long another process finishes what one was about to do.
func (f *Follower) SetTakeOver(after time.Duration) { f.takeOver = after }

// OnReached has a function called between the writes: after "intended" nothing is started, after "stored" the runs are.
func (f *Follower) OnReached(reached func(ctx context.Context, step string)) { f.reached = reached }

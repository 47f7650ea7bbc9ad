package bus

import (
	"context"
	"time"

	"runhook/shared/task"
)

// Prepare stores a definition that is about to become current.
func (s *Tasks) Prepare(ctx context.Context, def *task.Definition) error { return s.prepare(ctx, def) }

// SetLookAgain sets how often Await looks itself, until restore.
func SetLookAgain(every time.Duration) (restore func()) {
	was := lookAgain
	lookAgain = every
	return func() { lookAgain = was }
}

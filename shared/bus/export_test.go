package bus

import (
	"context"

	"runhook/shared/task"
)

// Prepare stores a definition that is about to become current.
func (s *Tasks) Prepare(ctx context.Context, def *task.Definition) error { return s.prepare(ctx, def) }

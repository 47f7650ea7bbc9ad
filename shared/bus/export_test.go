package bus

import (
	"context"

	"runhook/shared/task"
)

// Prepare stores a definition that is about to become current.
func (b *Bus) Prepare(ctx context.Context, def *task.Definition) error { return b.prepare(ctx, def) }

package recovery

import (
	"context"

	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/task"
)

// ReconcileEvent has a repair look at one event.
func ReconcileEvent(ctx context.Context, b *bus.Bus, sequence uint64, id task.ID, n run.Number) (back uint64, err error) {
	return storeOf(b).reconcileEvent(ctx, sequence, ofTask{id, n})
}

package recovery

import (
	"context"

	"runhook/shared/bus"
	"runhook/shared/run"
	"runhook/shared/task"
)

// ReconcileEvent has a repair look at one event.
func ReconcileEvent(ctx context.Context, b *bus.Bus, sequence uint64, id task.ID, n run.Number) (back uint64, err error) {
	s := storeOf(b)
	if err := s.look(ctx); err != nil {
		return 0, err
	}
	return s.reconcileEvent(ctx, s.openOf(n), sequence, ofTask{id, n})
}

package bus

import (
	"fmt"

	"runhook/shared/run"
)

// writable refuses a write at once while the store is known to take none. A server whose disk is full
// does not say no: it does not answer.
func (b *Bus) writable() error {
	if b.full != nil && b.full() {
		return fmt.Errorf("%w: %w", run.ErrUnavailable, run.ErrFull)
	}
	return nil
}

package bus

import (
	"errors"
	"fmt"
)

// ErrFull: the store can be read and takes nothing, because its disk is full; nothing was stored. It
// comes together with ErrUnavailable.
var ErrFull = errors.New("the disk of the store is full")

// writable refuses a write at once while the store is known to take none. A server whose disk is full
// does not say no: it does not answer.
func (b *Bus) writable() error {
	if b.full != nil && b.full() {
		return fmt.Errorf("%w: %w", ErrUnavailable, ErrFull)
	}
	return nil
}

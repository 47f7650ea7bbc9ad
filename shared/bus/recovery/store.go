// Package recovery is for a store after damage, and for backups: it repairs what a power cut or a full
// disk has left, and reads a whole store and makes one again.
package recovery

import (
	"runhook/shared/bus"
	"runhook/shared/bus/internal/jet"
)

// store is a store with the verbs of a bus.
type store struct {
	*jet.Store
	bus *bus.Bus
}

func storeOf(b *bus.Bus) store { return store{b.Jet(), b} }

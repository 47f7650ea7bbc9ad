package row

import (
	"hash/maphash"
	"strconv"
	"strings"
)

// mostSlots bounds the memory of Keys to 8 MiB.
const mostSlots = 1 << 20

// Keys remembers which keys rows have had, by their hashes. Of more than 786,432 it remembers those that came
// first.
type Keys struct {
	// Folds: values that differ in letter case, or in spaces around them, are one key.
	Folds bool

	seed maphash.Seed
	// text is the memory in which a key is put together.
	text []byte
	// slots is a table of hashes, 0 where it is free, of which used are taken. It takes less room than a map.
	slots []uint64
	used  int
}

// NewKeys returns keys of no row.
func NewKeys() *Keys { return &Keys{seed: maphash.MakeSeed(), slots: make([]uint64, 1<<10)} }

// Hash is the hash of the values at some places, never 0. empty says that nothing is in any of them.
func (k *Keys) Hash(values []any, at []int) (hash uint64, empty bool) {
	k.text, empty = k.text[:0], true
	for _, i := range at {
		before := len(k.text)
		switch value := values[i].(type) {
		case nil:
		case string:
			if k.Folds {
				value = strings.ToLower(strings.TrimSpace(value))
			}
			k.text = append(k.text, value...)
		case int64:
			k.text = strconv.AppendInt(k.text, value, 10)
		default:
			text, _ := Text(value)
			k.text = append(k.text, text...)
		}
		empty = empty && len(k.text) == before
		k.text = append(k.text, 0)
	}
	return max(1, maphash.Bytes(k.seed, k.text)), empty
}

// Has reports whether the hash of a key is remembered.
func (k *Keys) Has(hash uint64) bool { return k.slots[k.find(hash)] != 0 }

// Add remembers the hash of a key, if there is room.
func (k *Keys) Add(hash uint64) {
	if k.full() && len(k.slots) < mostSlots {
		before := k.slots
		k.slots, k.used = make([]uint64, 2*len(before)), 0
		for _, one := range before {
			if one != 0 {
				k.Add(one)
			}
		}
	}
	if at := k.find(hash); k.slots[at] == 0 && !k.full() {
		k.slots[at] = hash
		k.used++
	}
}

func (k *Keys) full() bool { return k.used >= len(k.slots)/4*3 }

// find is where a hash stands, or is to.
func (k *Keys) find(hash uint64) uint64 {
	mask := uint64(len(k.slots) - 1)
	at := hash & mask
	for k.slots[at] != 0 && k.slots[at] != hash {
		at = (at + 1) & mask
	}
	return at
}

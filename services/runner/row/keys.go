package row

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"strconv"
	"strings"
)

// mostKeys bounds the memory of Keys to about 7 MiB.
const mostKeys = 786_432

// Keys remembers which keys rows have had, by their hashes. Of more than 786,432 it remembers those that came
// first.
type Keys struct {
	// Folds: values that differ in letter case, or in spaces around them, are one key.
	Folds bool

	seed maphash.Seed
	// text is the memory in which a key is put together.
	text []byte
	// parts hold the hashes that begin with the same byte. Each grows by itself, so that hardly any memory is
	// taken twice.
	parts [1 << 8]part
	count int
}

// NewKeys returns keys of no row.
func NewKeys() *Keys { return &Keys{seed: maphash.MakeSeed()} }

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
func (k *Keys) Has(hash uint64) bool { return k.parts[hash>>56].has(rest(hash)) }

// Add remembers the hash of a key, if there is room.
func (k *Keys) Add(hash uint64) {
	if p, r := &k.parts[hash>>56], rest(hash); k.count < mostKeys && !p.has(r) {
		p.add(r)
		k.count++
	}
}

// rest is what a part holds of a hash, in slotBytes: never 0.
func rest(hash uint64) uint64 { return max(1, hash>>8&(1<<(8*slotBytes)-1)) }

const slotBytes = 6

// part is a table of rests, 0 where it is free, of which used are taken. Where one stands follows from its size
// alone, so the table need not double to grow; it takes about 9 bytes a rest, much less than a map.
type part struct {
	slots []byte
	used  int
}

func (p *part) size() int { return len(p.slots) / slotBytes }

func (p *part) has(rest uint64) bool {
	if p.used == 0 {
		return false
	}
	_, found := p.find(rest)
	return found
}

// add adds a rest that the part has not.
func (p *part) add(rest uint64) {
	if p.used >= p.size()/5*4 {
		before := *p
		*p = part{slots: make([]byte, slotBytes*max(20, before.size()*3/2))}
		for at := range before.size() {
			if one := before.at(at); one != 0 {
				p.add(one)
			}
		}
	}
	at, _ := p.find(rest)
	var slot [8]byte
	binary.LittleEndian.PutUint64(slot[:], rest)
	copy(p.slots[at*slotBytes:(at+1)*slotBytes], slot[:])
	p.used++
}

// find is where a rest stands, or is to.
func (p *part) find(rest uint64) (at int, found bool) {
	size := p.size()
	high, _ := bits.Mul64(rest<<(64-8*slotBytes), uint64(size))
	for at = int(high); ; {
		switch p.at(at) {
		case rest:
			return at, true
		case 0:
			return at, false
		}
		if at++; at == size {
			at = 0
		}
	}
}

func (p *part) at(at int) uint64 {
	b := p.slots[at*slotBytes:][:slotBytes]
	return uint64(binary.LittleEndian.Uint32(b)) | uint64(binary.LittleEndian.Uint16(b[4:]))<<32
}

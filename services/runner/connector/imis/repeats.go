package imis

import (
	"fmt"
	"hash/maphash"
	"strconv"
	"strings"

	"runhook/services/runner/row"
	"runhook/shared/mapping"
	"runhook/shared/task"
)

// repeats finds rows whose key stands on an earlier page too. iMIS cuts pages by the number of rows, in
// the IQA's own order: rows that are equal in it may change places between two pages, so that one comes
// twice and another never.
type repeats struct {
	// key are the destination's columns, and columns those of the source that their expressions read.
	key     []string
	columns []int
	// text is the memory in which a key is put together.
	text []byte
	seed maphash.Seed
	// earlier are the hashes of the keys on the pages before, and page those of the present one.
	earlier hashes
	page    []uint64
	// rows have a key of an earlier page; the first of them is number first.
	rows, first int64
}

// mostKeys bounds what is remembered: 8 to 16 MiB.
const mostKeys = 1 << 20

// watch returns nil where no column of the source makes the destination's key.
func watch(def *task.Definition, values task.Values, columns mapping.Columns) *repeats {
	keyed, ok := def.Destination.(task.Keyed)
	if !ok || columns.Unknown {
		return nil
	}
	r := &repeats{key: keyed.FoundBy(), seed: maphash.MakeSeed()}
	scope := mapping.NewScope(columns, def.ExpressionParams(values))
	for _, name := range r.key {
		for _, c := range def.Mapping {
			if c.Name != name {
				continue
			}
			if _, err := scope.Compile(c.Expression); err != nil {
				return nil // the run is about to say so
			}
		}
	}
	for i, used := range scope.Used() {
		if used {
			r.columns = append(r.columns, i)
		}
	}
	if len(r.columns) == 0 {
		return nil
	}
	return r
}

// see looks at the row of that number.
func (r *repeats) see(number int64, cells []any) {
	r.text = r.text[:0]
	empty := true
	for _, c := range r.columns {
		switch value := cells[c].(type) {
		case nil:
		case string:
			empty = empty && value == ""
			r.text = append(r.text, value...)
		case int64:
			empty = false
			r.text = strconv.AppendInt(r.text, value, 10)
		default:
			empty = false
			text, _ := row.Text(value)
			r.text = append(r.text, text...)
		}
		r.text = append(r.text, 0)
	}
	if empty {
		return
	}
	key := maphash.Bytes(r.seed, r.text)
	if r.earlier.has(key) {
		if r.rows++; r.rows == 1 {
			r.first = number
		}
	}
	r.page = append(r.page, key)
}

// turn begins another page.
func (r *repeats) turn() {
	for _, key := range r.page {
		if r.earlier.count < mostKeys {
			r.earlier.add(key)
		}
	}
	r.page = r.page[:0]
}

// warning says what was found, empty for nothing.
func (r *repeats) warning(name string) string {
	if r == nil || r.rows == 0 {
		return ""
	}
	return fmt.Sprintf("%s gave %s with a key (%s) that an earlier page has too, the first as row %d: as many others may be missing; end its sort with a column that is unique",
		name, countOf(r.rows), strings.Join(r.key, ", "), r.first)
}

// countOf is a number of rows.
func countOf(rows int64) string {
	if rows == 1 {
		return "1 row"
	}
	return strconv.FormatInt(rows, 10) + " rows"
}

// hashes is a set of hashes, which takes less room than a map.
type hashes struct {
	slots []uint64 // 0 is free
	count int
}

func (h *hashes) has(hash uint64) bool {
	return h.count > 0 && h.slots[h.find(hash)] != 0
}

func (h *hashes) add(hash uint64) {
	if h.count*5 >= len(h.slots)*4 {
		before := h.slots
		h.slots, h.count = make([]uint64, max(1024, 2*len(before))), 0
		for _, one := range before {
			if one != 0 {
				h.add(one)
			}
		}
	}
	at := h.find(hash)
	if h.slots[at] == 0 {
		h.slots[at] = max(hash, 1)
		h.count++
	}
}

// find is where the hash stands, or is to.
func (h *hashes) find(hash uint64) uint64 {
	hash = max(hash, 1)
	mask := uint64(len(h.slots) - 1)
	at := hash & mask
	for h.slots[at] != 0 && h.slots[at] != hash {
		at = (at + 1) & mask
	}
	return at
}

package pipeline

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"runhook/services/runner/row"
	"runhook/shared/run"
	"runhook/shared/task"
)

const (
	// mostKeys bounds the memory of keys to 8 MiB: of a run with more rows than three quarters of it, the keys
	// of later rows are held against those of the first.
	mostKeys = 1 << 20
	// mostRepeats is how many rows are named whose key came before.
	mostRepeats = 5
)

// keys sees where a key comes twice in one run, so that a row takes the place of an earlier one.
type keys struct {
	names []string
	at    []int // the key's places in a row's values
	hash  maphash.Hash
	// seen is a table of hashes, 0 where it is free, of which used are taken.
	seen []uint64
	used int
	// repeats are how many rows had a key that an earlier row had, and first names the first of them.
	repeats int
	first   []string
}

// newKeys returns keys for a task's destination, nil for one that identifies no rows.
func newKeys(def *task.Definition) *keys {
	k := &keys{names: def.Destination.Traits().Key, seen: make([]uint64, 1<<10)}
	for _, name := range k.names {
		at := slices.IndexFunc(def.Mapping, func(c task.Column) bool { return c.Name == name })
		if at < 0 {
			return nil // what the destination says of that is another matter
		}
		k.at = append(k.at, at)
	}
	if len(k.at) == 0 {
		return nil
	}
	return k
}

// note takes the keys of a batch's rows as they were written.
func (k *keys) note(batch *row.Batch) {
	if k == nil {
		return
	}
	for _, r := range batch.Reached() {
		switch r.Outcome {
		case row.Inserted, row.Updated, row.Unchanged:
		default:
			continue
		}
		if !k.add(k.sum(r.Values)) {
			continue
		}
		if k.repeats++; k.repeats <= mostRepeats {
			k.first = append(k.first, strings.TrimPrefix(run.PlaceOf(r.Number, r.Line), "row "))
		}
	}
}

// sum is a hash of the key's values, never 0.
func (k *keys) sum(values []any) uint64 {
	k.hash.Reset()
	for _, at := range k.at {
		switch value := values[at].(type) {
		case string:
			_, _ = k.hash.WriteString(value)
		case int64:
			maphash.WriteComparable(&k.hash, value)
		default:
			text, _ := row.Text(value)
			_, _ = k.hash.WriteString(text)
		}
		_ = k.hash.WriteByte(0)
	}
	return max(1, k.hash.Sum64())
}

// add puts a hash into the table, unless it is full, and reports whether it was there.
func (k *keys) add(sum uint64) (there bool) {
	if k.used >= len(k.seen)/4*3 && len(k.seen) < mostKeys {
		before := k.seen
		k.seen, k.used = make([]uint64, 2*len(before)), 0
		for _, one := range before {
			if one != 0 {
				k.add(one)
			}
		}
	}
	mask := uint64(len(k.seen) - 1)
	at := sum & mask
	for ; k.seen[at] != 0; at = (at + 1) & mask {
		if k.seen[at] == sum {
			return true
		}
	}
	if k.used < len(k.seen)/4*3 {
		k.seen[at] = sum
		k.used++
	}
	return false
}

// warnings say which rows took the place of others.
func (k *keys) warnings() []string {
	if k == nil || k.repeats == 0 {
		return nil
	}
	rows := strings.Join(k.first, ", ")
	if k.repeats > mostRepeats {
		rows += ", …"
	}
	key := strings.Join(k.names, ", ")
	if k.repeats == 1 {
		return []string{fmt.Sprintf("1 row has a key (%s) that an earlier row of this run has, and took its place: row %s", key, rows)}
	}
	return []string{fmt.Sprintf("%d rows have a key (%s) that an earlier row of this run has, and took its place: rows %s", k.repeats, key, rows)}
}

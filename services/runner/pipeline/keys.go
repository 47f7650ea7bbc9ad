package pipeline

import (
	"fmt"
	"slices"
	"strings"

	"runhook/services/runner/row"
	"runhook/shared/run"
	"runhook/shared/task"
)

// mostRepeats is how many rows are named whose key came before.
const mostRepeats = 5

// keys sees where a key comes twice in one run, so that a row takes the place of an earlier one.
type keys struct {
	names []string
	at    []int // the key's places in a row's values
	seen  *row.Keys
	// repeats are how many rows had a key that an earlier row had, and first names the first of them.
	repeats int
	first   []string
}

// newKeys returns keys for a task's destination, nil for one that identifies no rows.
func newKeys(def *task.Definition) *keys {
	traits := def.Destination.Traits()
	k := &keys{names: traits.Key}
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
	k.seen = row.NewKeys()
	k.seen.Folds = traits.Folds
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
		key, _ := k.seen.Hash(r.Values, k.at)
		if !k.seen.Has(key) {
			k.seen.Add(key)
			continue
		}
		if k.repeats++; k.repeats <= mostRepeats {
			k.first = append(k.first, strings.TrimPrefix(run.PlaceOf(r.Number, r.Line), "row "))
		}
	}
}

// add adds to what a source that has ended has said of its rows which of them took the place of others. A source
// that looks for keys itself has said it, unless there are more.
func (k *keys) add(r *reader) []string {
	own := k.warning()
	if own == "" || r.repeats >= int64(k.repeats) {
		return r.warnings
	}
	return append(slices.DeleteFunc(r.warnings, func(one string) bool { return one == r.repeated }), own)
}

// warning says which rows took the place of others, empty for none.
func (k *keys) warning() string {
	if k == nil || k.repeats == 0 {
		return ""
	}
	rows := strings.Join(k.first, ", ")
	if k.repeats > mostRepeats {
		rows += ", …"
	}
	key := strings.Join(k.names, ", ")
	if k.repeats == 1 {
		return fmt.Sprintf("1 row has a key (%s) that an earlier row of this run has, and took its place: row %s", key, rows)
	}
	return fmt.Sprintf("%d rows have a key (%s) that an earlier row of this run has, and took its place: rows %s", k.repeats, key, rows)
}

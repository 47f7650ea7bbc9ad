package imis

import (
	"fmt"
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
	// earlier are the keys on the pages before, and page the hashes of those of the present one.
	earlier *row.Keys
	page    []uint64
	// rows have a key of an earlier page; the first of them is number first.
	rows, first int64
}

// watch returns nil where no column of the source makes the destination's key.
func watch(def *task.Definition, values task.Values, columns mapping.Columns) *repeats {
	keyed, ok := def.Destination.(task.Keyed)
	if !ok || columns.Unknown {
		return nil
	}
	r := &repeats{key: keyed.FoundBy(), earlier: row.NewKeys()}
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
	key, empty := r.earlier.Hash(cells, r.columns)
	if empty {
		return
	}
	if r.earlier.Has(key) {
		if r.rows++; r.rows == 1 {
			r.first = number
		}
	}
	r.page = append(r.page, key)
}

// turn begins another page.
func (r *repeats) turn() {
	for _, key := range r.page {
		r.earlier.Add(key)
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

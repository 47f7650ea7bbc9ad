package sqldb

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"runhook/services/runner/connector"
	"runhook/shared/watermark"
)

var _ connector.Placed = (*Source)(nil)

// maxPlace is how many bytes a place has at most.
const maxPlace = 500

// Place is where a row is, by the columns of order_by; see connector.Placed. Only numbers, dates, moments and UUIDs tell:
// it is stored with the run, where names and addresses do not belong.
func (s *Source) Place(cells []any) string {
	if len(s.ordered) == 0 {
		return ""
	}
	keys := make([]any, len(s.ordered))
	for i, at := range s.ordered {
		switch v := cells[at].(type) {
		case int64, json.Number:
			keys[i] = v
		case string:
			value, err := watermark.Parse(v)
			if isMoment := err == nil && !value.IsNumber(); !isMoment && uuid.Validate(v) != nil {
				return ""
			}
			keys[i] = v
		default: // a null too, of which nothing is greater
			return ""
		}
	}
	place, err := json.Marshal(keys)
	if err != nil || len(place) > maxPlace {
		return ""
	}
	return string(place)
}

// SkipTo has the query begin at a place, if exactly one row is there as the database itself compares; see
// connector.Placed. Rows that its collation takes for equal, and values with more digits than their text shows, are
// found by their number instead.
func (s *Source) SkipTo(ctx context.Context, place string) (found bool, err error) {
	keys, ok := s.keysOf(place)
	if !ok {
		return false, nil
	}
	w := where{source: s, keys: keys, args: slices.Clone(s.args)}
	var rows int
	err = s.conn.QueryRowContext(ctx, "select count(*) from (select 1 as one "+s.within+" where "+w.equal()+" limit 2) as p", w.args...).Scan(&rows)
	if err != nil {
		return false, explain(ctx, s.dialect, err)
	}
	if rows != 1 {
		return false, nil
	}
	w.args = slices.Clone(s.args)
	s.query = s.selects + s.within + " where " + w.from(0) + s.by
	s.args = w.args
	return true, nil
}

// keysOf are the values of a place, as they are bound.
func (s *Source) keysOf(place string) (keys []any, ok bool) {
	decoder := json.NewDecoder(bytes.NewReader([]byte(place)))
	decoder.UseNumber()
	if err := decoder.Decode(&keys); err != nil || len(keys) != len(s.ordered) || len(keys) == 0 {
		return nil, false
	}
	for i, key := range keys {
		switch v := key.(type) {
		case json.Number:
			keys[i] = v.String()
			if whole, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
				keys[i] = whole
			}
		case string:
			keys[i] = s.writeMoment(s.ordered[i], v)
		default:
			return nil, false
		}
	}
	return keys, true
}

// writeMoment is a text as the database takes it that is compared with a column.
func (s *Source) writeMoment(column int, text string) string {
	value, err := watermark.Parse(text)
	if err != nil || value.IsNumber() {
		return text
	}
	return s.dialect.writeMoment(s.types[column].Declared, value)
}

// where makes conditions of the columns of order_by. Each of its parameters has a place of its own in args.
type where struct {
	source *Source
	keys   []any
	args   []any
}

func (w *where) parameter(key int) string {
	w.args = append(w.args, w.keys[key])
	return w.source.dialect.parameter(len(w.args))
}

func (w *where) column(key int) string {
	return "q." + w.source.dialect.quote(w.source.columns[w.source.ordered[key]])
}

// equal is the condition that a row is at the place.
func (w *where) equal() string {
	var all []string
	for i := range w.keys {
		all = append(all, w.column(i)+" = "+w.parameter(i))
	}
	return strings.Join(all, " and ")
}

// from is the condition that a row is at the place or behind it, by the keys from one on.
func (w *where) from(key int) string {
	column, last := w.column(key), key == len(w.keys)-1
	operator := " > "
	if last {
		operator = " >= "
	}
	text := "(" + column + operator + w.parameter(key)
	if w.source.dialect.nullsLast() {
		text += " or " + column + " is null"
	}
	if !last {
		text += " or " + column + " = " + w.parameter(key) + " and " + w.from(key+1)
	}
	return text + ")"
}

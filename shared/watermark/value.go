// Package watermark holds how far the runs of a task have read its source: the values of a column that grow, how
// they compare, and what is kept of the highest.
package watermark

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// MaxText is how many bytes a value may have.
const MaxText = 200

// Value is a value that rows can be ordered by: a number, or a date or moment. It keeps all its digits.
type Value struct {
	// text is as the source has it, of a number the digits.
	text   string
	number *number
	moment moment
}

// number is a number by its digits, without zeros at either end: 0.digits times ten to the power of point. Zero has none.
type number struct {
	negative bool
	digits   string
	point    int
}

// moment is a date, or a date and a time of day, in the parts in which it is written.
type moment struct {
	day string
	// separator is empty in a date alone. fraction has the digits behind the second, of any number.
	separator, clock, fraction, zone string
	// seconds are those since 1970, in the zone's time or, without one, by the clock.
	seconds int64
}

// The ways in which a cell is not a value.
var (
	errKind = errors.New("is neither a number nor a date like 2026-01-31 or 2026-01-31T12:00:00Z")
	errText = errors.New("is a number in a text, which the database orders by its letters; take a column of numbers or of dates")
	errLong = fmt.Errorf("has more than %d letters", MaxText)
)

// Of is the value of a cell; there is none, and no error, if the cell is null, blank, not a number, or infinite. Texts
// that are numbers are taken if digits says so. The error goes on where the column's name ends, and holds no value.
func Of(cell any, digits bool) (v Value, there bool, err error) {
	switch c := cell.(type) {
	case nil:
		return v, false, nil
	case int64:
		v, err = Parse(strconv.FormatInt(c, 10))
	case int:
		v, err = Parse(strconv.Itoa(c))
	case float64:
		if math.IsNaN(c) || math.IsInf(c, 0) {
			return v, false, nil
		}
		v, err = Parse(strconv.FormatFloat(c, 'g', -1, 64))
	case json.Number:
		v, err = Parse(c.String())
	case string:
		text := strings.TrimSpace(c)
		if isNone(text) {
			return v, false, nil
		}
		v, err = Parse(text)
		if err == nil && v.IsNumber() && !digits {
			return Value{}, false, errText
		}
	case time.Time:
		v, err = Parse(c.Format(time.RFC3339Nano))
	default:
		return v, false, errKind
	}
	return v, err == nil, err
}

// isNone reports whether a text stands for no moment that others could come after: databases have infinite ones, ones
// before the year 1, and zero.
func isNone(text string) bool {
	switch strings.ToLower(strings.TrimLeft(text, "+-")) {
	case "", "infinity", "nan":
		return true
	}
	return strings.HasPrefix(text, "0000-00-00") || strings.HasSuffix(text, " BC")
}

// Parse reads a value as String writes it, and as people do: 4711, 12.50, 2026-01-31, 2026-01-31T12:00:00.5+01:00. The
// error goes on where the name of what has it ends.
func Parse(text string) (Value, error) {
	if len(text) > MaxText {
		return Value{}, errLong
	}
	if n, ok := parseNumber(text); ok {
		return Value{text: text, number: n}, nil
	}
	m, ok := parseMoment(text)
	if !ok {
		return Value{}, errKind
	}
	return Value{text: text, moment: m}, nil
}

// maxExponent bounds the exponent of a number, in which one may be written that has few digits.
const maxExponent = 1000

func parseNumber(text string) (*number, bool) {
	mantissa, exponent := text, 0
	if at := strings.IndexAny(text, "eE"); at >= 0 {
		var err error
		if exponent, err = strconv.Atoi(text[at+1:]); err != nil || exponent > maxExponent || exponent < -maxExponent {
			return nil, false
		}
		mantissa = text[:at]
	}
	unsigned := strings.TrimPrefix(strings.TrimPrefix(mantissa, "-"), "+")
	if len(mantissa)-len(unsigned) > 1 {
		return nil, false
	}
	whole, part, pointed := strings.Cut(unsigned, ".")
	if whole == "" || pointed && part == "" || strings.Trim(whole+part, "0123456789") != "" {
		return nil, false
	}
	kept := strings.TrimLeft(whole+part, "0")
	n := &number{negative: mantissa[0] == '-', point: len(whole) + exponent - (len(whole+part) - len(kept))}
	if n.digits = strings.TrimRight(kept, "0"); n.digits == "" {
		return &number{}, true
	}
	return n, true
}

func (n *number) compare(other *number) int {
	sign := func(n *number) int {
		switch {
		case n.digits == "":
			return 0
		case n.negative:
			return -1
		}
		return 1
	}
	if order := cmp.Compare(sign(n), sign(other)); order != 0 || n.digits == "" {
		return order
	}
	return sign(n) * cmp.Or(cmp.Compare(n.point, other.point), strings.Compare(n.digits, other.digits))
}

func parseMoment(text string) (m moment, ok bool) {
	const date = len(time.DateOnly)
	if len(text) < date {
		return m, false
	}
	m.day = text[:date]
	day, err := time.Parse(time.DateOnly, m.day)
	if err != nil || day.Year() < 1 {
		return m, false
	}
	m.seconds = day.Unix()
	if len(text) == date {
		return m, true
	}
	m.separator = text[date : date+1]
	rest := text[date+1:]
	if !strings.Contains("Tt ", m.separator) {
		return m, false
	}
	if at := strings.IndexAny(rest, "Zz+-U"); at > 0 {
		if rest[at-1] == ' ' {
			at--
		}
		rest, m.zone = rest[:at], rest[at:]
	}
	m.clock, m.fraction, _ = strings.Cut(strings.Replace(rest, ",", ".", 1), ".")
	if len(m.clock) < len(rest) && (m.fraction == "" || strings.Trim(m.fraction, "0123456789") != "") {
		return m, false
	}
	var clock time.Time
	for _, layout := range []string{time.TimeOnly, "15:04"} {
		if clock, err = time.Parse(layout, m.clock); err == nil && len(layout) == len(m.clock) {
			break
		}
		err = cmp.Or(err, errKind)
	}
	if err != nil || m.fraction != "" && len(m.clock) != len(time.TimeOnly) {
		return m, false
	}
	m.seconds += int64(clock.Hour())*3600 + int64(clock.Minute())*60 + int64(clock.Second())
	offset, ok := parseZone(strings.TrimPrefix(m.zone, " "))
	m.seconds -= offset
	return m, ok
}

// parseZone is how many seconds a zone is ahead of UTC.
func parseZone(zone string) (ahead int64, ok bool) {
	switch zone {
	case "", "Z", "z", "UTC":
		return 0, true
	}
	for _, layout := range []string{"-07:00", "-0700", "-07"} {
		if t, err := time.Parse(layout, zone); err == nil {
			_, offset := t.Zone()
			return int64(offset), true
		}
	}
	return 0, false
}

func (m moment) compare(other moment) int {
	return cmp.Or(cmp.Compare(m.seconds, other.seconds), strings.Compare(strings.TrimRight(m.fraction, "0"), strings.TrimRight(other.fraction, "0")))
}

// String is the value as its source has it.
func (v Value) String() string { return v.text }

// IsNumber reports whether the value is a number, and not a date or moment.
func (v Value) IsNumber() bool { return v.number != nil }

// Kind is what the value is, as a sentence part.
func (v Value) Kind() string {
	switch {
	case v.number != nil:
		return "a number"
	case v.moment.zone != "":
		return "a moment with a time zone"
	case v.moment.separator != "":
		return "a date and time without a time zone"
	}
	return "a date"
}

// errOther is that two values cannot be compared.
var errOther = errors.New("of another kind")

// Compare is -1, 0 or 1, as v is lower than the other, equal or higher: by value, whatever way it is written in. It is an
// error if one is a number and the other is not, or one of two times of day has a time zone and the other has none.
func (v Value) Compare(other Value) (int, error) {
	switch {
	case v.IsNumber() != other.IsNumber(), v.IsTime() && other.IsTime() && (v.moment.zone == "") != (other.moment.zone == ""):
		return 0, fmt.Errorf("%w: %s and %s", errOther, v.Kind(), other.Kind())
	case v.IsNumber():
		return v.number.compare(other.number), nil
	}
	return v.moment.compare(other.moment), nil
}

// IsTime reports whether the value has a time of day.
func (v Value) IsTime() bool { return v.number == nil && v.moment.separator != "" }

// IsAlike reports whether two moments are written in one way, so that their letters have their order. A date is like
// any moment.
func (v Value) IsAlike(other Value) bool {
	a, b := v.moment, other.moment
	return v.number == nil && other.number == nil && (a.separator == "" || b.separator == "" ||
		a.separator == b.separator && a.zone == b.zone && (a.zone == "" || len(a.clock) == len(b.clock) && len(a.fraction) == len(b.fraction)))
}

// Before is the value that is so much lower, written in the same way: a date goes back by whole days, rounded up.
// Numbers go back by count.
func (v Value) Before(span time.Duration, count int64) Value {
	if v.number != nil {
		if count == 0 {
			return v
		}
		exact, ok := new(big.Rat).SetString(v.text)
		if !ok {
			return v
		}
		exact.Sub(exact, new(big.Rat).SetInt64(count))
		places := max(0, len(v.number.digits)-v.number.point)
		return mustParse(exact.FloatString(places), v)
	}
	if span == 0 {
		return v
	}
	m := v.moment
	seconds := int64(span / time.Second)
	ahead, _ := parseZone(strings.TrimPrefix(m.zone, " "))
	at := time.Unix(m.seconds+ahead-seconds, 0).UTC() // by the clocks of the zone; a date alone rounds itself down
	text := at.Format(time.DateOnly)
	if m.separator != "" {
		layout := "15:04"
		if len(m.clock) == len(time.TimeOnly) || at.Second() != 0 {
			layout = time.TimeOnly
		}
		text += m.separator + at.Format(layout)
		if m.fraction != "" {
			text += "." + m.fraction
		}
		text += m.zone
	}
	return mustParse(text, v)
}

// UTC is a moment by the clocks of UTC or, without a zone, by its own, in a layout of package time, with the fraction of
// the second behind it. A date alone is one.
func (v Value) UTC(layout string) string {
	if !v.IsTime() {
		return v.text
	}
	text := time.Unix(v.moment.seconds, 0).UTC().Format(layout)
	if v.moment.fraction != "" {
		text += "." + v.moment.fraction
	}
	return text
}

// mustParse is a text that was made of a value; that value itself, if it went beyond what there is, as to before the
// year 1.
func mustParse(text string, of Value) Value {
	made, err := Parse(text)
	if err != nil {
		return of
	}
	return made
}

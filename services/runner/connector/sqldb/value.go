package sqldb

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	"runhook/services/runner/row"
)

// kind is what a column takes, by its declared type.
type kind int

const (
	anyKind kind = iota // no type, or one that says nothing of the values
	textKind
	integerKind
	realKind
	numericKind
	booleanKind
	dateKind
	dateTimeKind
	timeKind
)

// convert makes of a mapping's value what a column of the kind stores. problem says what is wrong
// with a value that does not fit; it never shows the value.
func (k kind) convert(value any) (converted any, problem string) {
	text, isText := value.(string)
	switch {
	case value == nil:
		return nil, ""
	case k == textKind && isText:
		return value, ""
	case k == textKind:
		if text, problem = row.Text(value); problem != "" {
			return nil, problem
		}
		return text, ""
	case k == anyKind:
		return plain(value)
	case isText:
		if text = strings.TrimSpace(text); text == "" {
			return nil, ""
		}
		return k.parse(text)
	}
	if number, ok := value.(json.Number); ok {
		return k.parse(number.String())
	}
	converted, problem = plain(value)
	if problem != "" {
		return nil, problem
	}
	return k.fit(converted)
}

// plain makes of a value one that the driver takes, and changes nothing in it.
func plain(value any) (any, string) {
	switch v := value.(type) {
	case string, int64, bool, []byte:
		return value, ""
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			_, problem := row.Text(v)
			return nil, problem
		}
		return value, ""
	case int:
		return int64(v), ""
	case json.Number:
		return numberOf(v.String())
	case time.Time, time.Duration:
		text, _ := row.Text(v)
		return text, ""
	}
	return nil, "is a list or an object, not a single value"
}

// numberOf is a number in digits as a database keeps it in a column without a type: whole, or a double.
func numberOf(text string) (any, string) {
	if whole, err := strconv.ParseInt(text, 10, 64); err == nil {
		return whole, ""
	}
	f, problem := double(text)
	if problem == tooExact {
		number, _ := parseDecimal(text)
		if whole, _, fits := number.whole(); fits {
			return whole, ""
		}
	}
	return f, problem
}

// double is a number in digits as a database's double, which has to give them back.
func double(text string) (any, string) {
	number, ok := parseDecimal(text)
	if !ok {
		return nil, realKind.problem()
	}
	f, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil:
		return nil, tooLarge
	case !number.isGivenBack(f):
		return nil, tooExact
	}
	return f, ""
}

const (
	tooLarge = "is too large a number"
	tooExact = "has more digits than the column keeps, and would be rounded; a column of type TEXT keeps them all"
)

// oneForm makes of a number with digits the form that all numbers of its value have: 1.0 and 1 are one key.
func oneForm(value any) any {
	switch number := value.(type) {
	case json.Number:
		if known, ok := parseDecimal(number.String()); ok {
			return json.Number(known.String())
		}
	case float64:
		if !math.IsInf(number, 0) && !math.IsNaN(number) {
			// All digits: two numbers must not become one text.
			return json.Number(strconv.FormatFloat(number, 'f', -1, 64))
		}
	}
	return value
}

// zeros is what is wrong with a key such as 00042 in a column of numbers: 42 is another one.
const zeros = "begins with a zero, which the column does not keep, so that another key would be the same; a column of type TEXT keeps it, and int(…) in the mapping takes it off"

// zeroFirst reports whether digits have a zero in front that a number does not need.
func zeroFirst(text string) bool {
	digits := strings.TrimLeft(text, " \t\n\v\f\r+-")
	return len(digits) > 1 && digits[0] == '0' && '0' <= digits[1] && digits[1] <= '9'
}

// keepsKey says what is wrong with a key that was converted to a number: two different ones must not become one.
// A text may not begin with a zero, and what became a double has to be the shortest number that gives it.
func keepsKey(value, converted any) (problem string) {
	text, ok := value.(string)
	f, isDouble := converted.(float64)
	_, isWhole := converted.(int64)
	_, isDecimal := converted.(json.Number)
	switch {
	case (isWhole || isDouble || isDecimal) && ok && zeroFirst(text):
		return zeros
	case !isDouble:
		return ""
	}
	if number, digits := value.(json.Number); digits {
		text, ok = number.String(), true
	}
	given, _ := parseDecimal(strings.TrimSpace(text))
	if kept, _ := parseDecimal(strconv.FormatFloat(f, 'e', -1, 64)); ok && kept != given {
		return tooExact
	}
	return ""
}

// fit holds a value that is not text against the kind.
func (k kind) fit(value any) (any, string) {
	switch v := value.(type) {
	case bool:
		switch {
		case k == dateKind || k == dateTimeKind || k == timeKind:
			return nil, k.problem()
		case k == booleanKind:
			return v, ""
		case v:
			return int64(1), ""
		}
		return int64(0), ""
	case int64:
		switch {
		case k == dateKind || k == dateTimeKind || k == timeKind, k == booleanKind && v != 0 && v != 1:
			return nil, k.problem()
		case k == booleanKind:
			return v == 1, ""
		case k == realKind:
			if f := float64(v); f >= 1<<63 || int64(f) != v {
				return nil, tooExact
			}
		}
		return value, ""
	case float64:
		switch {
		case k == realKind || k == numericKind:
			return v, ""
		case k == integerKind && v == math.Trunc(v) && math.Abs(v) < 1<<53:
			return int64(v), ""
		}
		return nil, k.problem()
	case string:
		return k.parse(v)
	}
	return nil, k.problem()
}

// parse reads text that is not empty as the kind.
func (k kind) parse(text string) (any, string) {
	switch k {
	case integerKind:
		if whole, err := strconv.ParseInt(text, 10, 64); err == nil {
			return whole, ""
		}
		if number, ok := parseDecimal(text); ok {
			switch whole, isWhole, fits := number.whole(); {
			case fits:
				return whole, ""
			case isWhole:
				return nil, tooLarge
			}
		}
	case realKind:
		return double(text)
	case numericKind:
		// The digits as they are: the database knows how exact it is.
		if _, ok := parseDecimal(text); ok {
			return text, ""
		}
	case booleanKind:
		switch strings.ToLower(text) {
		case "1", "t", "true", "y", "yes":
			return true, ""
		case "0", "f", "false", "n", "no":
			return false, ""
		}
	case dateKind:
		if _, err := time.Parse(time.DateOnly, text); err == nil {
			return text, ""
		}
		// A date that something else wrote as a moment, at midnight.
		if m, ok := parseMoment(text); ok && strings.Trim(m.clock, "0:.") == "" && strings.Trim(m.zone, " +0:Z") == "" {
			return m.day, ""
		}
	case dateTimeKind:
		if _, err := time.Parse(time.DateOnly, text); err == nil {
			return text, ""
		}
		if m, ok := parseMoment(text); ok {
			return m.day + m.separator + m.clock + m.zone, ""
		}
	case timeKind:
		if clock, ok := parseClock(text); ok {
			return clock, ""
		}
	}
	return nil, k.problem()
}

// problem is what is wrong with a value that is not of the kind.
func (k kind) problem() string {
	switch k {
	case integerKind:
		return "is not a whole number"
	case booleanKind:
		return "is not true or false (true, t, yes, y or 1; false, f, no, n or 0)"
	case dateKind:
		return "is not a date like 2026-01-31"
	case dateTimeKind:
		return "is not a date and time like 2026-01-31T18:30:00Z"
	case timeKind:
		return "is not a time like 18:30:00"
	}
	return "is not a number"
}

// moment is an ISO date and time in parts, each as databases read it.
type moment struct{ day, separator, clock, zone string }

// parseMoment reads an ISO date and time as programs write it: behind a T or a space, with or without seconds,
// and Z, UTC, +02:00, +0200 or +02 as its zone.
func parseMoment(text string) (m moment, ok bool) {
	const date = len(time.DateOnly)
	if len(text) <= date || !strings.Contains("Tt ", text[date:date+1]) {
		return m, false
	}
	m.day, m.separator, m.clock = text[:date], strings.ToUpper(text[date:date+1]), text[date+1:]
	if _, err := time.Parse(time.DateOnly, m.day); err != nil {
		return m, false
	}
	if at := strings.IndexAny(m.clock, "Zz+-U"); at > 0 {
		gap := ""
		if m.clock[at-1] == ' ' {
			gap = " "
		}
		m.clock, m.zone = strings.TrimSuffix(m.clock[:at], gap), m.clock[at:]
		switch {
		case m.zone == "z" || m.zone == "UTC":
			m.zone = "Z"
		case len(m.zone) == len("+02"):
			m.zone += ":00"
		case len(m.zone) == len("+0200"):
			m.zone = m.zone[:3] + ":" + m.zone[3:]
		}
		if _, err := time.Parse("Z07:00", m.zone); err != nil {
			return m, false
		}
		m.zone = gap + m.zone
	}
	m.clock, ok = parseClock(m.clock)
	return m, ok
}

// parseClock returns a time of day as databases read it: two digits for the hour, and a point before the
// fraction of a second.
func parseClock(text string) (clock string, ok bool) {
	if strings.IndexByte(text, ':') == 1 {
		text = "0" + text
	}
	text = strings.Replace(text, ",", ".", 1)
	for _, layout := range []string{time.TimeOnly, "15:04"} {
		if _, err := time.Parse(layout, text); err == nil {
			return text, true
		}
	}
	return "", false
}

// boundText is a converted value as the server reads it.
func boundText(value any) string {
	switch v := value.(type) {
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case bool:
		return strconv.FormatBool(v)
	case json.Number:
		return v.String()
	}
	text, _ := value.(string)
	return text
}

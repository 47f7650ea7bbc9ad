package sqldb

import (
	"encoding/json"
	"errors"
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
		if text, ok := row.Text(value); ok {
			return text, ""
		}
		return nil, "is a list or an object, not a single value"
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
	case string, int64, float64, bool, []byte:
		return value, ""
	case int:
		return int64(v), ""
	case json.Number:
		if whole, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
			return whole, ""
		}
		return v.String(), ""
	case time.Time, time.Duration:
		text, _ := row.Text(v)
		return text, ""
	}
	return nil, "is a list or an object, not a single value"
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
		}
		return v, ""
	case float64:
		switch {
		case math.IsNaN(v) || math.IsInf(v, 0):
			return nil, k.problem()
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
		whole, err := strconv.ParseInt(text, 10, 64)
		if errors.Is(err, strconv.ErrRange) {
			return nil, "is too large a number"
		}
		if err == nil {
			return whole, ""
		}
	case realKind:
		if isDecimal(text) {
			number, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return nil, "is too large a number"
			}
			return number, ""
		}
	case numericKind:
		// The digits as they are: the database knows how exact it is.
		if isDecimal(text) {
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
		if day, clock, ok := cutMoment(text); ok && strings.Trim(clock, "0:.Z") == "" {
			return day, ""
		}
	case dateTimeKind:
		if _, err := time.Parse(time.DateOnly, text); err == nil {
			return text, ""
		}
		if _, _, ok := cutMoment(text); ok {
			return text, ""
		}
	case timeKind:
		if isClock(text) {
			return text, ""
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

// isDecimal reports whether text is a number in digits, perhaps with a point and an exponent.
func isDecimal(text string) bool {
	digits := false
	for i, letter := range text {
		switch {
		case '0' <= letter && letter <= '9':
			digits = true
		case letter == '+' || letter == '-':
			if i > 0 && text[i-1] != 'e' && text[i-1] != 'E' {
				return false
			}
		case letter != '.' && letter != 'e' && letter != 'E':
			return false
		}
	}
	_, err := strconv.ParseFloat(text, 64)
	return digits && (err == nil || errors.Is(err, strconv.ErrRange))
}

// cutMoment cuts an ISO date and time, with or without seconds and zone, at its T or space.
func cutMoment(text string) (day, clock string, ok bool) {
	if len(text) <= len(time.DateOnly) || text[len(time.DateOnly)] != 'T' && text[len(time.DateOnly)] != ' ' {
		return "", "", false
	}
	day, clock = text[:len(time.DateOnly)], text[len(time.DateOnly)+1:]
	if _, err := time.Parse(time.DateOnly, day); err != nil {
		return "", "", false
	}
	for _, layout := range []string{"15:04:05Z07:00", "15:04Z07:00"} {
		if _, err := time.Parse(layout, clock); err == nil {
			return day, clock, true
		}
	}
	return day, clock, isClock(clock)
}

func isClock(text string) bool {
	for _, layout := range []string{time.TimeOnly, "15:04"} {
		if _, err := time.Parse(layout, text); err == nil {
			return true
		}
	}
	return false
}

package mapping

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/expr-lang/expr/vm/runtime"
)

// Values of different kinds are never equal, and a comparison that is false in every row, or true in every row, drops
// or keeps all of them. So there is one rule for ==, !=, in and the orders: a text beside a number counts as the number
// that it plainly is, and beside a date as the ISO date; an empty text, and one that nobody would take for
// a number or a date, is another value than either; anything else fails the row.

// What a value is, as people say it.
const (
	aText, aNumber, aDate, aDuration = "a text", "a number", "a date", "a duration"
	aBool, aList, anObject, bytes    = "true or false", "a list", "an object", "binary data"
)

// kindOfValue is what a value is, "" for what no row has.
func kindOfValue(value any) string {
	switch value.(type) {
	case string:
		return aText
	case int, int64, float64, json.Number:
		return aNumber
	case nil:
		return ""
	}
	return kindOfType(reflect.TypeOf(value))
}

// kindOfType is what the values of a type are, "" if that is not known.
func kindOfType(of reflect.Type) string {
	switch of {
	case nil:
		return ""
	case reflect.TypeFor[time.Time]():
		return aDate
	case reflect.TypeFor[time.Duration]():
		return aDuration
	case reflect.TypeFor[json.Number]():
		return aNumber
	case reflect.TypeFor[[]byte]():
		return bytes
	}
	switch kind := of.Kind(); {
	case kind == reflect.String:
		return aText
	case kind == reflect.Bool:
		return aBool
	case kind >= reflect.Int && kind <= reflect.Float64:
		return aNumber
	case kind == reflect.Slice || kind == reflect.Array:
		return aList
	case kind == reflect.Map:
		return anObject
	}
	return ""
}

// equal is the operator ==. It panics with a [reason].
func equal(a, b any) bool {
	if left, ok := a.(string); ok {
		if right, ok := b.(string); ok {
			return left == right
		}
	}
	is, err := equals(a, b)
	if err != nil {
		panic(err)
	}
	return is
}

// equals compares by the one rule, also what is in lists and objects. The error is a [reason].
func equals(a, b any) (is bool, err error) {
	if a == nil || b == nil {
		return a == nil && b == nil, nil
	}
	x, y, err := alike(a, b)
	switch {
	case err == apart:
		return false, nil
	case err != nil:
		return false, err
	}
	is = same(x, y, func(a, b any) bool {
		is, fault := equals(a, b)
		if fault != nil {
			err = fault
		}
		return is
	})
	return is, err
}

// order is an operator that orders numbers, texts, dates or durations; other orders those that are no exact numbers, and
// fails where there is no order.
func order(holds func(order int) bool, other func(a, b any) any) func(a, b any) any {
	return func(a, b any) any {
		if x, y, err := alike(a, b); err == nil {
			a, b = x, y
		}
		if x, y, ok := numbers(a, b); ok {
			return holds(compare(x, y))
		}
		return other(a, b)
	}
}

// apart is no fault: the values are different ones.
const apart = reason("")

// alike makes two values that are not null ones of one kind. The error is a [reason].
func alike(a, b any) (x, y any, err error) {
	one, other := kindOfValue(a), kindOfValue(b)
	switch {
	case one == other:
		return a, b, nil
	case one == aText:
		x, err = beside(a.(string), b)
		return x, b, err
	case other == aText:
		y, err = beside(b.(string), a)
		return a, y, err
	case one != "" && other != "":
		return nil, nil, together(one, other)
	}
	return a, b, nil
}

func together(one, other string) reason {
	return reason(fmt.Sprintf("it compares %s with %s, which are never equal; convert one of them", one, other))
}

// beside is a text as it counts beside another kind of value.
func beside(text string, other any) (any, error) {
	if text = strings.TrimSpace(text); text == "" {
		return nil, apart
	}
	switch kind := kindOfValue(other); kind {
	case "":
		return nil, apart
	case aNumber:
		_, isNumber := parseDecimal(text)
		switch {
		case isNumber && isPlain(text):
			return json.Number(text), nil
		case !isNumber && (strings.ContainsFunc(text, unicode.IsLetter) || !hasDigit(text)):
			return nil, apart
		}
		return nil, reason("it compares a number with a text like 007 or 1,234.50; convert one of them, as with number(…) or string(…)")
	case aDate:
		moment, err := parseISO(text, time.UTC)
		switch {
		case err == nil:
			return moment, nil
		case !hasDigit(text):
			return nil, apart
		}
		return nil, reason(`it compares a date with a text that is not like 2026-01-31; make a date of the text, as in date(…, "dd.MM.yyyy")`)
	case aBool:
		return nil, reason("it compares true or false with a text; write true or false without quotes")
	default:
		return nil, together(kind, aText)
	}
}

// isPlain is true for a number as anybody writes it: 7 and -0.50, but not 007, +7 or 1e3, which may be codes.
func isPlain(number string) bool {
	whole := strings.TrimPrefix(number, "-")
	if len(whole) > 1 && whole[0] == '0' && whole[1] != '.' {
		return false
	}
	return !strings.ContainsAny(number, "+eE")
}

func hasDigit(text string) bool { return strings.ContainsFunc(text, unicode.IsDigit) }

// isIn is the operator in.
func isIn(args ...any) (any, error) {
	value := args[0]
	text, isText := value.(string)
	switch list := args[1].(type) {
	case []string:
		if isText {
			return slices.Contains(list, text), nil
		}
	case []byte:
		return nil, reason("it looks into a list or an object, and gets binary data")
	case map[string]any:
		_, found, err := keyed(list, value)
		return found, err
	}
	list := reflect.ValueOf(args[1])
	if found := runtime.In(value, args[1]); found || value == nil || list.Kind() != reflect.Slice {
		return found, nil
	}
	var fault error
	for i := range list.Len() {
		item := list.Index(i).Interface()
		if item == nil {
			continue
		}
		is, err := equals(value, item)
		switch {
		case is:
			return true, nil
		case err != nil:
			fault = err
		}
	}
	return false, fault
}

// keyed is what an object has under a key: a text, or a value that equals one by the rule.
func keyed(object map[string]any, key any) (value any, found bool, err error) {
	switch key := key.(type) {
	case nil:
		return nil, false, nil
	case string:
		value, found = object[key]
		return value, found, nil
	case int, int64, json.Number: // as it is written, first
		written, _ := text(key)
		if value, found = object[written.(string)]; found {
			return value, true, nil
		}
	}
	for name, value := range object {
		switch is, fault := equals(key, name); {
		case is:
			return value, true, nil
		case fault != nil:
			err = fault
		}
	}
	return nil, false, err
}

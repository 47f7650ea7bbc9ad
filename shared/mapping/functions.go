package mapping

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"runhook/shared/zone"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/builtin"
)

// reason is why a function fails for a row. It goes into status documents: it shows no value.
type reason string

func (r reason) Error() string { return string(r) }

// function is one that the language does not bring along, or not in the way that rows need.
type function struct {
	call func(args ...any) (any, error)
	// signature is what the compiler takes it for; what it gives may be null all the same.
	signature any
	// format says that the second argument is a date's format.
	format bool
}

// functions are ours, by the name that expressions use.
var functions = map[string]function{
	"bytes":      {call: bytesOf, signature: new(func(any) []byte)},
	"coalesce":   {call: coalesce, signature: new(func(any, ...any) any)},
	"date":       {call: date, signature: new(func(any, ...any) time.Time), format: true},
	"float":      {call: float, signature: new(func(any) float64)},
	"formatDate": {call: formatDate, signature: new(func(any, ...string) string), format: true},
	"int":        {call: whole, signature: new(func(any) int)},
	"number":     {call: number, signature: new(func(any, ...string) any)},
	"round":      {call: round, signature: new(func(any, ...int) any)},
	"string":     {call: text, signature: new(func(any) string)},
}

// forNull are functions of the language that fail at a null, and here give null. What they give
// otherwise is the signature's.
var forNull = map[string]any{
	"abs": new(func(any) any), "ceil": new(func(any) any), "floor": new(func(any) any), "len": new(func(any) int),
	"upper": new(func(any) string), "lower": new(func(any) string), "trim": new(func(any, ...string) string),
	"trimPrefix": new(func(any, ...string) string), "trimSuffix": new(func(any, ...string) string),
	"replace": new(func(any, ...any) string), "repeat": new(func(any, int) string),
	"split": new(func(any, string, ...int) []string), "splitAfter": new(func(any, string, ...int) []string),
	"indexOf": new(func(any, string) int), "lastIndexOf": new(func(any, string) int),
	"join": new(func(any, ...string) string), "keys": new(func(any) []any), "values": new(func(any) []any), "toPairs": new(func(any) []any),
	"fromPairs": new(func(any) map[any]any), "reverse": new(func(any) []any), "flatten": new(func(any) []any), "sort": new(func(any, ...string) []any),
	"take": new(func(any, any) []any), "fromJSON": new(func(any) any), "toBase64": new(func(any) string), "fromBase64": new(func(any) string),
	"duration": new(func(any) time.Duration), "mean": new(func(any, ...any) any), "median": new(func(any, ...any) any),
	"max": new(func(any, ...any) any), "min": new(func(any, ...any) any), "uniq": new(func(any) []any),
}

// ofLists are functions that calculate with what is in their lists, and give null where a null is.
var ofLists = map[string]bool{"max": true, "min": true, "mean": true, "median": true, "sort": true, "join": true}

// within is true for a value that is such a one, and for a list with one.
func within(value any, is func(value any) bool) bool {
	list, ok := value.([]any)
	return is(value) || ok && slices.ContainsFunc(list, func(item any) bool { return within(item, is) })
}

func isNull(value any) bool { return value == nil }

func isBinary(value any) bool { return kindOfValue(value) == bytes }

// functionPrefix begins the name that a function of ours has in a compiled expression, and lookup is
// what a constant map does.
const (
	functionPrefix = "function "
	lookup         = functionPrefix + "of a map"
)

// functionNames are those that can be called, for suggestions.
var functionNames = func() []string {
	names := slices.Clone(builtin.Names)
	for name := range functions {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}()

var functionOptions = func() (options []expr.Option) {
	for name, f := range functions {
		options = append(options, expr.Function(functionPrefix+name, f.call, f.signature))
	}
	for name, signature := range forNull {
		options = append(options, expr.Function(functionPrefix+name, nullable(name), signature))
	}
	options = append(options, expr.Function(lookup, find, new(func(any, any) any)))
	return options
}()

// nullable is a function of the language that gives null for null.
func nullable(name string) func(args ...any) (any, error) {
	call, exact := exactFunctions[name]
	if !exact {
		call = original(name)
	}
	return func(args ...any) (any, error) {
		switch {
		case slices.Contains(args, nil) || ofLists[name] && within(args, isNull):
			return nil, nil
		case ofLists[name] && within(args, isBinary):
			return nil, reason("it does not take binary data")
		}
		switch v := args[0].(type) {
		case json.Number:
			if !exact {
				args[0] = plainNumber(v)
			}
		case time.Duration:
			if name == "abs" {
				return spanOf(new(big.Int).Abs(big.NewInt(int64(v))))
			}
		}
		value, err := call(args...)
		switch v := value.(type) {
		case float64:
			if !isFinite(v) {
				return nil, noNumber
			}
			return asShown(v), err
		case string:
			if name == "fromBase64" && !utf8.ValidString(v) {
				return nil, reason("the text is base64 of binary data, not of a text in UTF-8; bytes(…) gives the data")
			}
		}
		return value, err
	}
}

// original is a function of the language.
func original(name string) func(args ...any) (any, error) {
	f := builtin.Builtins[builtin.Index[name]]
	switch {
	case f.Fast != nil:
		return func(args ...any) (any, error) { return f.Fast(args[0]), nil }
	case f.Safe != nil:
		return func(args ...any) (any, error) {
			value, _, err := f.Safe(args...)
			return value, err
		}
	}
	return f.Func
}

// coalesce gives the first value that is neither null nor an empty text.
func coalesce(args ...any) (any, error) {
	for _, value := range args {
		if value != nil && value != "" {
			return value, nil
		}
	}
	return nil, nil
}

// number gives an exact number: of a text, or of any number. A second argument is the text's decimal
// mark, and then the digits before it may be grouped.
func number(args ...any) (any, error) {
	switch v := args[0].(type) {
	case nil, int, int64:
		return v, nil
	case string:
		digits := strings.TrimSpace(v)
		if len(args) == 2 {
			mark, _ := args[1].(string)
			if mark != "." && mark != "," {
				return nil, reason(`its second argument is the decimal mark, "." or ","`)
			}
			var grouped bool
			if digits, grouped = ungroup(digits, mark[0]); !grouped {
				return nil, reason(`the text is not a number with groups of three digits before its decimal mark "` + mark + `"`)
			}
		}
		if digits == "" {
			return nil, nil
		}
		exact, ok := parseDecimal(digits)
		if !ok {
			return nil, reason("the text is not a number")
		}
		return exact.number(), nil
	}
	if exact, ok := decimalOf(args[0]); ok {
		return exact.number(), nil
	}
	return nil, reason("it takes a text or a number")
}

// round rounds half away from zero, to a number of digits after the point.
func round(args ...any) (any, error) {
	digits := 0
	if len(args) == 2 {
		if args[1] == nil {
			return nil, nil
		}
		places, _ := placeOf(args[1])
		var ok bool
		if digits, ok = places.(int); !ok || digits < 0 || digits > maxDigits {
			return nil, reason("its second argument is how many digits after the point stay, 0 or more")
		}
	}
	value, err := number(args[0])
	exact, ok := decimalOf(value)
	switch {
	case err != nil || value == nil:
		return value, err
	case !ok:
		return nil, reason("it takes a number")
	}
	rounded := exact.round(digits).number()
	if _, isFloat := args[0].(float64); isFloat {
		return rounded.Float64()
	}
	return rounded, nil
}

// whole is int.
func whole(args ...any) (any, error) {
	switch v := args[0].(type) {
	case nil:
		return nil, nil
	case int:
		return v, nil
	case int64:
		return int(v), nil
	case string:
		digits := strings.TrimSpace(v)
		if n, err := strconv.Atoi(digits); err == nil {
			return n, nil
		}
		exact, ok := parseDecimal(digits)
		if ok {
			exact = exact.trim()
		}
		if !ok || exact.scale > 0 {
			return nil, reason("the text is not a whole number")
		}
		return exact.whole()
	case float64:
		if math.Abs(v) < 1<<63 {
			return int(v), nil
		}
		return nil, reason("the number is too large")
	case json.Number:
		if exact, ok := parseDecimal(v.String()); ok {
			return exact.whole()
		}
		return nil, reason("the number is too large")
	}
	return nil, reason("it takes a text or a number")
}

func float(args ...any) (any, error) {
	switch v := args[0].(type) {
	case nil:
		return nil, nil
	case float64:
		return v + 0, nil // of -0 it is 0
	case int:
		return float64(v), nil
	case int64:
		return float64(v), nil
	case json.Number:
		return v.Float64()
	case string:
		if f, err := strconv.ParseFloat(strings.TrimSpace(v), 64); err == nil && isFinite(f) {
			return f + 0, nil
		}
		return nil, reason("the text is not a number")
	}
	return nil, reason("it takes a text or a number")
}

const noText = reason("the binary data is not a text in UTF-8; map the column itself, which stays as it is, or is base64 where it has to be a text")

// bytesOf is bytes: the binary data of which a text is the base64.
func bytesOf(args ...any) (any, error) {
	switch v := args[0].(type) {
	case nil, []byte:
		return v, nil
	case string:
		if v = strings.TrimSpace(v); v == "" {
			return nil, nil
		}
		data, err := base64.StdEncoding.DecodeString(v)
		if err != nil {
			return nil, reason("the text is not base64")
		}
		return data, nil
	}
	return nil, reason("it takes a text in base64")
}

// text is string: as the value would be written into a column of texts.
func text(args ...any) (any, error) {
	switch v := args[0].(type) {
	case nil, string:
		return v, nil
	case json.Number:
		return v.String(), nil
	case []byte:
		if !utf8.Valid(v) {
			return nil, noText
		}
		return string(v), nil
	case float64:
		if !isFinite(v) {
			return nil, reason("the number is infinite, or none (NaN)")
		}
		return strconv.FormatFloat(Shown(v), 'f', -1, 64), nil
	case time.Time:
		return v.Format(time.RFC3339Nano), nil
	}
	return fmt.Sprint(args[0]), nil
}

// plainNumber is an exact number for functions that know no such thing.
func plainNumber(digits json.Number) any {
	if n, err := strconv.Atoi(digits.String()); err == nil {
		return n
	}
	f, err := digits.Float64()
	if err != nil {
		return nil
	}
	return f
}

// date reads a date: its text, its layout (which the compiler has made of the format), its zone, and the
// first year that a year of two digits means; the zone may be left out before that.
func date(args ...any) (any, error) {
	clock, first := time.UTC, firstOfHundred
	for _, arg := range args[min(len(args), 2):] {
		switch arg := arg.(type) {
		case int:
			first = arg
		default:
			name, _ := arg.(string)
			var err error
			if clock, err = zone.Load(name); err != nil {
				return nil, reason(`its third argument is a time zone, such as "Europe/Paris"`)
			}
		}
	}
	switch v := args[0].(type) {
	case nil, time.Time:
		return v, nil
	case string:
		if v = strings.TrimSpace(v); v == "" {
			return nil, nil
		}
		if len(args) == 1 {
			return parseISO(v, clock)
		}
		parsed, err := parseFormat(v, args[1].(string), clock)
		if err != nil || first == firstOfHundred {
			return parsed, err
		}
		moved, ok := inHundred(parsed, first)
		if !ok {
			return nil, reason("the text is 29 February of a year that has none")
		}
		return moved, nil
	}
	return nil, reason("it takes a text or a date")
}

// formatDate writes a date, yyyy-MM-dd without a format.
func formatDate(args ...any) (any, error) {
	value, err := date(args[0])
	if err != nil || value == nil {
		return value, err
	}
	layout := time.DateOnly
	if len(args) > 1 {
		layout = args[1].(string)
	}
	return value.(time.Time).Format(layout), nil
}

// find looks a value up in a constant map; null, and what is not there, give null.
func find(args ...any) (any, error) {
	value, _, err := keyed(args[0].(map[string]any), args[1])
	return value, err
}

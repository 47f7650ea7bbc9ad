package mapping

import (
	"encoding/json"
	"math"
	"math/big"
	"reflect"
	"slices"
	"time"

	"github.com/expr-lang/expr/vm/runtime"
)

// exactFunctions are functions of the language that take exact numbers here, and give exact ones for them. Of
// other values they do what the language does.
var exactFunctions = map[string]func(args ...any) (any, error){
	"abs": ofExact("abs", func(d decimal) decimal { return decimal{new(big.Int).Abs(d.digits), d.scale} }),
	"ceil": ofExact("ceil", func(d decimal) decimal {
		return decimal{new(big.Int).Neg(new(big.Int).Div(new(big.Int).Neg(d.digits), powerOfTen(d.scale))), 0}
	}),
	"floor":  ofExact("floor", func(d decimal) decimal { return decimal{new(big.Int).Div(d.digits, powerOfTen(d.scale)), 0} }),
	"max":    ofMany("max", func(all []decimal) (decimal, bool) { return slices.MaxFunc(all, compare), true }),
	"min":    ofMany("min", func(all []decimal) (decimal, bool) { return slices.MinFunc(all, compare), true }),
	"mean":   ofMany("mean", mean),
	"median": ofMany("median", median),
	"sort":   sorted,
	"uniq":   unique,
}

// ofExact is a function of one exact number.
func ofExact(name string, apply func(decimal) decimal) func(args ...any) (any, error) {
	call := original(name)
	return func(args ...any) (any, error) {
		if !isExact(args[0]) {
			return call(args...)
		}
		exact, ok := decimalOf(args[0])
		if !ok {
			return nil, reason("the number is too large")
		}
		return apply(exact).number(), nil
	}
}

// ofMany is a function of numbers and lists of numbers, of which some are exact.
func ofMany(name string, apply func(all []decimal) (decimal, bool)) func(args ...any) (any, error) {
	call := original(name)
	return func(args ...any) (any, error) {
		if !isExact(args) {
			return call(args...)
		}
		all, ok := decimalsOf(nil, reflect.ValueOf(args))
		if !ok {
			return nil, reason("it takes numbers and lists of numbers")
		}
		result, ok := apply(all)
		if !ok {
			return nil, tooManyDigits
		}
		return result.number(), nil
	}
}

// isExact reports whether a value is, or a list has, a number that floating point would round.
func isExact(value any) bool {
	const doubles = 1 << 53 // all whole numbers up to it are doubles
	switch v := value.(type) {
	case json.Number:
		return true
	case int:
		return v > doubles || v < -doubles
	case int64:
		return v > doubles || v < -doubles
	case []any:
		return slices.ContainsFunc(v, isExact)
	}
	return false
}

// decimalsOf appends the numbers that are in a list and the lists in it. ok is false for what is no number.
func decimalsOf(all []decimal, list reflect.Value) (_ []decimal, ok bool) {
	for i := range list.Len() {
		item := list.Index(i)
		if item.Kind() == reflect.Interface {
			item = item.Elem()
		}
		if item.Kind() == reflect.Slice {
			if all, ok = decimalsOf(all, item); !ok {
				return nil, false
			}
			continue
		}
		if !item.IsValid() {
			return nil, false
		}
		number, ok := decimalOf(item.Interface())
		if !ok {
			return nil, false
		}
		all = append(all, number)
	}
	return all, true
}

func mean(all []decimal) (decimal, bool) {
	sum := all[0]
	for _, number := range all[1:] {
		sum, _ = calculate("+", sum, number)
	}
	return calculate("/", sum, decimal{big.NewInt(int64(len(all))), 0})
}

func median(all []decimal) (decimal, bool) {
	slices.SortFunc(all, compare)
	middle := len(all) / 2
	if len(all)%2 == 1 {
		return all[middle], true
	}
	return mean(all[middle-1 : middle+1])
}

// sorted sorts a list of which some numbers are exact.
func sorted(args ...any) (any, error) {
	list, ok := args[0].([]any)
	if !ok || !isExact(list) {
		return original("sort")(args...)
	}
	list, ok = slices.Clone(list), true
	slices.SortStableFunc(list, func(a, b any) int {
		x, left := decimalOf(a)
		y, right := decimalOf(b)
		if ok = ok && left && right; !ok {
			return 0
		}
		return compare(x, y)
	})
	if !ok {
		return nil, reason("it takes a list of numbers only, or of texts only")
	}
	if len(args) > 1 && args[1] == "desc" {
		slices.Reverse(list)
	}
	return list, nil
}

// unique leaves values out that equal an earlier one.
func unique(args ...any) (any, error) {
	value, err := original("uniq")(args...)
	list, ok := value.([]any)
	if err != nil || !ok || !isExact(list) {
		return value, err
	}
	var once []any
	for _, item := range list {
		if !slices.ContainsFunc(once, func(earlier any) bool { return sameOf(earlier, item) }) {
			once = append(once, item)
		}
	}
	return once, nil
}

// sameOf is equality without conversions: a number is what it is worth, and a text is none.
func sameOf(a, b any) bool { return same(a, b, sameOf) }

// same is equality of values of one kind, of which each compares what is in lists and objects.
func same(a, b any, each func(a, b any) bool) bool {
	if x, y, ok := numbers(a, b); ok {
		return compare(x, y) == 0
	}
	if runtime.Equal(a, b) {
		return true
	}
	switch a.(type) {
	case string, json.Number, bool, int, int64, float64, time.Time, time.Duration:
		return false
	}
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	if !x.IsValid() || !y.IsValid() || x.Kind() != y.Kind() {
		return false
	}
	switch x.Kind() {
	case reflect.Slice:
		if x.Len() != y.Len() {
			return false
		}
		for i := range x.Len() {
			if !each(x.Index(i).Interface(), y.Index(i).Interface()) {
				return false
			}
		}
		return true
	case reflect.Map:
		if x.Len() != y.Len() || x.Type().Key() != y.Type().Key() {
			return false
		}
		for pairs := x.MapRange(); pairs.Next(); {
			other := y.MapIndex(pairs.Key())
			if !other.IsValid() || !each(pairs.Value().Interface(), other.Interface()) {
				return false
			}
		}
		return true
	}
	return false
}

// wraps reports whether the result of whole numbers is another one, because it has more than 64 bits.
func wraps(operator string, a, b, result int) bool {
	switch operator {
	case "+":
		return b != 0 && (b > 0) != (result > a)
	case "-":
		return b != 0 && (b > 0) != (result < a)
	case "*":
		return a != 0 && (result/a != b || a == -1 && b == math.MinInt)
	}
	return false
}

// isFinite is false for what floating point has instead of numbers.
func isFinite(number float64) bool { return !math.IsInf(number, 0) && !math.IsNaN(number) }

const (
	noNumber      = reason("its result is no number, or too large a one")
	tooManyDigits = reason("its result has more than 1,000 digits")
)

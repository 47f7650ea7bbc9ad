package mapping

import (
	"math/big"
	"time"
)

const tooFar = reason("a duration has at most 292 years; compare the dates themselves, or calculate with their Year()")

// spans is an operator of the language that gives a duration exactly, or fails: the machine's turn negative, stop at
// the longest, and are no durations where a number has a fraction.
func spans(operator string, other func(a, b any) any) func(a, b any) any {
	return func(a, b any) any {
		x, left := a.(time.Duration)
		y, right := b.(time.Duration)
		var span any
		var err error
		switch {
		case left && right && operator == "*":
			err = reason("it multiplies a duration by a duration")
		case left && right:
			exact, _ := calculate(operator, decimal{big.NewInt(int64(x)), 0}, decimal{big.NewInt(int64(y)), 0})
			span, err = spanOf(exact.digits)
		case (left || right) && operator == "*":
			number := a
			if left {
				number = b
			}
			factor, ok := decimalOf(number)
			if !ok {
				return other(a, b) // says what it gets
			}
			span, err = spanOf(decimal{new(big.Int).Mul(factor.digits, big.NewInt(int64(x+y))), factor.scale}.round(0).digits)
		default:
			result := other(a, b)
			if apart, ok := result.(time.Duration); ok && !b.(time.Time).Add(apart).Equal(a.(time.Time)) {
				panic(tooFar)
			}
			return result
		}
		if err != nil {
			panic(err)
		}
		return span
	}
}

// spanOf is a duration of so many nanoseconds.
func spanOf(nanoseconds *big.Int) (any, error) {
	if !nanoseconds.IsInt64() {
		return nil, tooFar
	}
	return time.Duration(nanoseconds.Int64()), nil
}

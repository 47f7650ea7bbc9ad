package mapping

import (
	"fmt"
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
		case left && operator == "/":
			divisor, ok := decimalOf(b)
			if right {
				divisor, ok = decimal{big.NewInt(int64(y)), 0}, true
			}
			if !ok {
				panic(noSpan(b))
			}
			quotient, ok := calculate("/", decimal{big.NewInt(int64(x)), 0}, divisor)
			switch {
			case !ok:
				err = reason("it divides by 0")
			case right:
				span = quotient.number()
			default:
				span, err = spanOf(quotient.round(0).digits)
			}
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
				panic(noSpan(number))
			}
			span, err = spanOf(decimal{new(big.Int).Mul(factor.digits, big.NewInt(int64(x+y))), factor.scale}.round(0).digits)
		case left && kindOfValue(b) != aDate:
			err = noSpan(b)
		case right && kindOfValue(a) != aDate:
			err = noSpan(a)
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

// noSpan is why a duration and a value are not calculated with.
func noSpan(other any) reason {
	return reason(fmt.Sprintf("it cannot take a duration and %s together; %s", kindOfValue(other), partsOfSpan))
}

const partsOfSpan = `a duration's Hours(), Minutes() and Seconds() are numbers, and duration("1h") is a duration`

// spanOf is a duration of so many nanoseconds.
func spanOf(nanoseconds *big.Int) (any, error) {
	if !nanoseconds.IsInt64() {
		return nil, tooFar
	}
	return time.Duration(nanoseconds.Int64()), nil
}

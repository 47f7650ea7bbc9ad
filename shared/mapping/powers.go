package mapping

import (
	"encoding/json"
	"math"
	"math/big"

	"github.com/expr-lang/expr/vm/runtime"
)

// power is exact where both numbers are, and computes in floating point where one is floating or the exponent is
// negative.
func power(a, b any) any {
	base, exponent, ok := powerOf(a, b)
	if !ok {
		return floatingPower(a, b)
	}
	if exponent.scale > 0 {
		panic(reason("the exponent is no whole number; float(…) of it gives a result in floating point"))
	}
	if grows := max(base.digits.BitLen()-1, base.scale); grows > 0 && times(grows, countOf(exponent)) > 4*maxDigits {
		panic(tooManyDigits)
	}
	result := decimal{new(big.Int).Exp(base.digits, exponent.digits, nil), base.scale * countOf(exponent)}
	if _, ok := wholeOf(a); ok && result.digits.IsInt64() {
		return int(result.digits.Int64())
	}
	number := result.number()
	if len(number) > maxDigits {
		panic(tooManyDigits)
	}
	return number
}

// powerOf are the numbers of a power that is exact, or would be if its exponent were whole.
func powerOf(a, b any) (base, exponent decimal, ok bool) {
	if _, floating := a.(float64); floating {
		return base, exponent, false
	}
	if _, floating := b.(float64); floating {
		return base, exponent, false
	}
	base, left := decimalOf(a)
	exponent, right := decimalOf(b)
	if !left || !right || exponent.digits.Sign() < 0 {
		return base, exponent, false
	}
	return base, exponent.trim(), true
}

// countOf is a whole number that is not negative, or more than any that counts.
func countOf(d decimal) int {
	if !d.digits.IsInt64() {
		return math.MaxInt
	}
	return int(d.digits.Int64())
}

func floatingPower(a, b any) any {
	for _, operand := range []*any{&a, &b} {
		if digits, ok := (*operand).(json.Number); ok {
			*operand = plainNumber(digits)
		}
	}
	result := runtime.Exponent(a, b)
	if !isFinite(result) {
		panic(noNumber)
	}
	return asShown(result)
}

// powerCost takes the memory of the result's digits, and the steps of calculating them.
func powerCost(b *budget, args []any) error {
	if err := weighing(b, args); err != nil {
		return err
	}
	base, exponent, ok := powerOf(args[0], args[1])
	if !ok {
		return nil
	}
	return b.holdDigits(times(base.digits.BitLen()/3+base.scale, countOf(exponent)))
}

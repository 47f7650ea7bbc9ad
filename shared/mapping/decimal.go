package mapping

import (
	"encoding/json"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// decimal is an exact number: digits / 10^scale.
type decimal struct {
	digits *big.Int
	scale  int // never negative
}

const (
	// maxDigits bounds a number's digits, so that no row can make a run compute for ever.
	maxDigits = 1000
	// quotientScale is how many digits after the point a division has at most.
	quotientScale = 20
)

var ten = big.NewInt(10)

func powerOfTen(n int) *big.Int { return new(big.Int).Exp(ten, big.NewInt(int64(n)), nil) }

// parseDecimal reads digits with an optional sign, point and exponent.
func parseDecimal(text string) (decimal, bool) {
	mantissa, exponent := text, 0
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		var err error
		if exponent, err = strconv.Atoi(text[i+1:]); err != nil || exponent < -maxDigits || exponent > maxDigits {
			return decimal{}, false
		}
		mantissa = text[:i]
	}
	whole, part, pointed := strings.Cut(mantissa, ".")
	if pointed && part == "" || len(mantissa) > maxDigits {
		return decimal{}, false
	}
	unsigned := strings.TrimLeft(whole, "+-")
	if len(whole)-len(unsigned) > 1 || !onlyDigits(unsigned) || !onlyDigits(part) || unsigned+part == "" {
		return decimal{}, false
	}
	digits, ok := new(big.Int).SetString(whole+part, 10)
	if !ok {
		return decimal{}, false
	}
	scale := len(part) - exponent
	if scale < 0 {
		digits.Mul(digits, powerOfTen(-scale))
		scale = 0
	}
	return decimal{digits, scale}, true
}

func onlyDigits(text string) bool { return strings.Trim(text, "0123456789") == "" }

// decimalOf takes any kind of number, a float by the digits that are shown of it.
func decimalOf(value any) (decimal, bool) {
	switch v := value.(type) {
	case json.Number:
		return parseDecimal(v.String())
	case int:
		return decimal{big.NewInt(int64(v)), 0}, true
	case int64:
		return decimal{big.NewInt(v), 0}, true
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return decimal{}, false
		}
		return parseDecimal(strconv.FormatFloat(Shown(v), 'g', -1, 64))
	}
	return decimal{}, false
}

// number writes all digits, as many after the point as there are.
func (d decimal) number() json.Number {
	text := new(big.Int).Abs(d.digits).String()
	if d.scale > 0 {
		if missing := d.scale + 1 - len(text); missing > 0 {
			text = strings.Repeat("0", missing) + text
		}
		text = text[:len(text)-d.scale] + "." + text[len(text)-d.scale:]
	}
	if d.digits.Sign() < 0 {
		text = "-" + text
	}
	return json.Number(text)
}

// level gives both as many digits after the point as the other has.
func level(a, b decimal) (decimal, decimal) {
	if a.scale < b.scale {
		return a.extend(b.scale), b
	}
	return a, b.extend(a.scale)
}

func (d decimal) extend(scale int) decimal {
	if scale == d.scale {
		return d
	}
	return decimal{new(big.Int).Mul(d.digits, powerOfTen(scale-d.scale)), scale}
}

// round rounds half away from zero to a number of digits after the point, and fills up to it.
func (d decimal) round(scale int) decimal {
	if scale >= d.scale {
		return d.extend(scale)
	}
	return decimal{divideRounded(d.digits, powerOfTen(d.scale-scale)), scale}
}

// divideRounded rounds half away from zero.
func divideRounded(a, b *big.Int) *big.Int {
	quotient, rest := new(big.Int).QuoRem(a, b, new(big.Int))
	if rest.Abs(rest).Lsh(rest, 1).CmpAbs(b) >= 0 {
		quotient.Add(quotient, big.NewInt(int64(a.Sign()*b.Sign())))
	}
	return quotient
}

// calculate applies an arithmetic operator. ok is false for one that has no exact result.
func calculate(operator string, a, b decimal) (result decimal, ok bool) {
	switch operator {
	case "*":
		if a.scale+b.scale > maxDigits || a.digits.BitLen()+b.digits.BitLen() > 4*maxDigits {
			return decimal{}, false
		}
		return decimal{new(big.Int).Mul(a.digits, b.digits), a.scale + b.scale}, true
	case "/":
		if b.digits.Sign() == 0 {
			return decimal{}, false
		}
		a, b = level(a, b)
		quotient := decimal{divideRounded(new(big.Int).Mul(a.digits, powerOfTen(quotientScale)), b.digits), quotientScale}
		return quotient.trim(), true
	}
	a, b = level(a, b)
	switch operator {
	case "+":
		return decimal{new(big.Int).Add(a.digits, b.digits), a.scale}, true
	case "-":
		return decimal{new(big.Int).Sub(a.digits, b.digits), a.scale}, true
	case "%":
		if b.digits.Sign() == 0 {
			return decimal{}, false
		}
		return decimal{new(big.Int).Rem(a.digits, b.digits), a.scale}, true
	}
	return decimal{}, false
}

// trim leaves out zeros at the end, after the point.
func (d decimal) trim() decimal {
	if d.scale == 0 {
		return d
	}
	text := d.digits.String()
	zeros := len(text) - len(strings.TrimRight(text, "0"))
	if d.digits.Sign() == 0 {
		zeros = d.scale
	}
	zeros = min(zeros, d.scale)
	return decimal{new(big.Int).Quo(d.digits, powerOfTen(zeros)), d.scale - zeros}
}

// whole is the part before the point.
func (d decimal) whole() (any, error) {
	whole := d.digits
	if d.scale > 0 {
		whole = new(big.Int).Quo(whole, powerOfTen(d.scale))
	}
	if !whole.IsInt64() {
		return nil, reason("the number is too large")
	}
	return int(whole.Int64()), nil
}

func compare(a, b decimal) int {
	a, b = level(a, b)
	return a.digits.Cmp(b.digits)
}

package sqldb

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// decimal is what a number in digits is worth: 0.DIGITS times ten to the power of point. No zero is at either
// end of its digits, so that equal numbers are equal.
type decimal struct {
	negative bool
	digits   string
	point    int
}

// maxExponent bounds an exponent: no database has a number with a larger one.
const maxExponent = 1 << 30

// parseDecimal reads digits, perhaps with a sign, a point and an exponent.
func parseDecimal(text string) (d decimal, ok bool) {
	mantissa, exponent := text, 0
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		var err error
		if exponent, err = strconv.Atoi(text[i+1:]); err != nil && exponent == 0 {
			return d, false // one that is out of range is the largest there is
		}
		exponent, mantissa = max(-maxExponent, min(exponent, maxExponent)), text[:i]
	}
	if mantissa != "" && (mantissa[0] == '-' || mantissa[0] == '+') {
		d.negative, mantissa = mantissa[0] == '-', mantissa[1:]
	}
	whole, part, _ := strings.Cut(mantissa, ".")
	all := whole + part
	if all == "" || strings.Trim(all, "0123456789") != "" {
		return d, false
	}
	d.digits = strings.TrimLeft(all, "0")
	d.point = len(whole) - (len(all) - len(d.digits)) + exponent
	if d.digits = strings.TrimRight(d.digits, "0"); d.digits == "" {
		return decimal{}, true
	}
	return d, true
}

// whole is the number if it is a whole one. fits is false if it is, and too large.
func (d decimal) whole() (n int64, isWhole, fits bool) {
	if d.point < len(d.digits) {
		return 0, false, false
	}
	n, err := strconv.ParseInt(d.String(), 10, 64)
	return n, true, err == nil
}

// isGivenBack reports whether a database's double gives the number back, in the digits that it has.
func (d decimal) isGivenBack(f float64) bool {
	const (
		always   = 15  // digits that every double gives back
		most     = 767 // digits that a double has
		smallest = 0x1p-1022
	)
	if len(d.digits) <= always && (f >= smallest || f <= -smallest || d.digits == "") {
		return true
	}
	back, _ := parseDecimal(strconv.FormatFloat(f, 'e', min(len(d.digits), most+1)-1, 64))
	return back == d
}

// String is the number without an exponent, unless that would be long. Equal numbers are the same text.
func (d decimal) String() string {
	const long = 40
	zeros := func(n int) string { return strings.Repeat("0", n) }
	var text string
	switch {
	case d.digits == "":
		return "0"
	case d.point < -long || d.point > long:
		text = "0." + d.digits + "e" + strconv.Itoa(d.point)
	case d.point <= 0:
		text = "0." + zeros(-d.point) + d.digits
	case d.point < len(d.digits):
		text = d.digits[:d.point] + "." + d.digits[d.point:]
	default:
		text = d.digits + zeros(d.point-len(d.digits))
	}
	if d.negative {
		return "-" + text
	}
	return text
}

// exactly is a number with all its digits, of which a column keeps so many in front of the point and behind it.
func exactly(value any, whole, part int) (held any, problem string) {
	var digits string
	switch v := value.(type) {
	case int64, json.Number:
		digits = boundText(v)
	case float64:
		digits = strconv.FormatFloat(v, 'g', -1, 64)
	case string:
		digits = v
	}
	number, ok := parseDecimal(digits)
	switch {
	case !ok:
		return nil, numericKind.problem()
	case number.digits == "":
		return json.Number("0"), ""
	case number.point > whole:
		return nil, tooLarge
	case len(number.digits)-number.point > part:
		return nil, tooExact
	}
	return json.Number(digits), ""
}

// single refuses what a number of half the length does not give back.
func single(number float64) (held any, problem string) {
	half := float32(number)
	if math.IsInf(float64(half), 0) || half == 0 && number != 0 {
		return nil, tooLarge
	}
	given, _ := parseDecimal(strconv.FormatFloat(number, 'e', -1, 64))
	if kept, _ := parseDecimal(strconv.FormatFloat(float64(half), 'e', -1, 32)); given != kept && float64(half) != number {
		return nil, tooExact
	}
	return number, ""
}

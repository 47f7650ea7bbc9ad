package xlsxfile

import (
	"strconv"
	"strings"
)

// cell makes a cell of a number, as the format shows it.
func (f format) cell(text string, from1904 bool) cell {
	c := cell{text: text, given: true}
	if f == nil {
		var ok bool
		if c.text, ok = number(text); !ok {
			c.text, c.fault = text, faultNumber
		}
		return c
	}
	value, ok := parse(text)
	if !ok {
		c.fault = faultNumber
		return c
	}
	switch s := f.of(value); s.form {
	case asNumber:
		c.text, _ = number(text)
	case asCode:
		short, _ := number(text)
		c.text = s.code(short)
	case asWords:
		c.text = s.shown
		if lower := strings.ToLower(s.shown); lower == "true" || lower == "false" {
			c.text = lower // as cells of that kind
		}
	default:
		shown, fault := s.form.moment(value, from1904)
		if c.fault = fault; fault == 0 {
			c.text = shown
		}
	}
	return c
}

// parse reads a number; Go reads more as numbers, such as Inf and 0x1p4.
func parse(text string) (value float64, ok bool) {
	if strings.Trim(text, "0123456789+-.eE") != "" {
		return 0, false
	}
	value, err := strconv.ParseFloat(text, 64)
	return value, err == nil
}

// isShort reports whether a number, as most are, is in its shortest form already.
func isShort(text string) bool {
	point := -1
	for i := range len(text) {
		switch {
		case text[i] == '.' && point < 0:
			point = i
		case text[i] < '0' || text[i] > '9':
			return false
		}
	}
	switch last := len(text) - 1; {
	case point < 0:
		return last == 0 || last > 0 && text[0] != '0'
	default:
		return 0 < point && (point == 1 || text[0] != '0') && last <= 15 && point < last && text[last] != '0'
	}
}

// number is a cell's number in its shortest form: a workbook keeps a double, of which spreadsheet
// programs show 15 digits, and some programs write 1.1 as 1.1000000000000001 and 42 as 42.00. Whole
// numbers keep all their digits. ok is false if the text is no number, such as NaN.
func number(text string) (short string, ok bool) {
	if isShort(text) {
		return text, true
	}
	double, ok := parse(text)
	if !ok {
		return "", false
	}
	whole := text
	if !strings.ContainsAny(text, "eE") && strings.Contains(text, ".") {
		whole = strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
	}
	if !strings.ContainsAny(whole, ".eE") {
		return wholeNumber(whole), true
	}
	if countDigits(text) > 15 {
		// Only the largest double of all has no neighbor of 15 digits.
		if shown, err := strconv.ParseFloat(strconv.FormatFloat(double, 'e', 14, 64), 64); err == nil {
			double = shown
		}
	}
	return wholeNumber(strconv.FormatFloat(double, 'f', -1, 64)), true
}

// wholeNumber is the text without zeros before the number, and without a sign that says nothing.
func wholeNumber(text string) string {
	digits := strings.TrimLeft(text, "+-0")
	if digits == "" || digits[0] == '.' {
		digits = "0" + digits
	}
	if text != "" && text[0] == '-' && strings.Trim(digits, "0.") != "" {
		return "-" + digits
	}
	return digits
}

// countDigits counts the digits from the first that is not 0.
func countDigits(text string) int {
	n := 0
	for _, letter := range strings.TrimLeft(text, "-+0.") {
		switch {
		case '0' <= letter && letter <= '9':
			n++
		case letter != '.':
			return n
		}
	}
	return n
}

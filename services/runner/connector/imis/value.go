package imis

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"runhook/services/runner/row"
)

// kind is what a property takes, by its type.
type kind int

const (
	anyKind kind = iota // a type that the site does not tell, or a strange one
	textKind
	integerKind
	decimalKind
	booleanKind
	dateKind
	binaryKind
)

// kindOf reads a type's name, of a business object's definition or of .NET.
func kindOf(name string) kind {
	switch kindName(name) {
	case "String":
		return textKind
	case "Integer", "Int32":
		return integerKind
	case "Decimal", "Monetary", "Double":
		return decimalKind
	case "Boolean":
		return booleanKind
	case "Date", "DateTime":
		return dateKind
	case "Binary", "Byte[]":
		return binaryKind
	}
	return anyKind
}

// kindName is the name of a type without that of its library.
func kindName(name string) string { return strings.TrimPrefix(name, "System.") }

// none is the value of a field that has none: its property goes to the site without one.
const none = "null"

// dateLayout is how iMIS writes a date, without a zone.
const dateLayout = "2006-01-02T15:04:05"

// field is a value as it goes to the site.
type field struct {
	property *Property
	// json is the value with its type beside it where it needs one, or none.
	json string
	// plain is the value as text, in one form for one value; empty for none.
	plain string
}

// field makes of a mapping's value what the property takes. problem says what is wrong with one that does
// not fit; it never shows the value.
func (p *Property) field(value any) (f field, problem string) {
	f = field{property: p, json: none}
	text, problem := row.Text(value)
	switch {
	case problem != "":
		return f, problem
	case text == "":
		return f, ""
	}
	switch kindOf(p.Type) {
	case anyKind:
		return p.bare(value, text)
	case textKind:
		return p.text(text)
	case integerKind:
		number, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		if whole, isFloat := value.(float64); isFloat && whole == math.Trunc(whole) && math.Abs(whole) < 1<<53 {
			number, err = int64(whole), nil
		}
		switch {
		case err != nil && !isWhole(strings.TrimSpace(text)):
			return f, "is not a whole number"
		case err != nil || number < math.MinInt32 || number > math.MaxInt32:
			return f, "is too large a number"
		}
		f.plain = strconv.FormatInt(number, 10)
		f.json = wrap("System.Int32", f.plain)
	case decimalKind:
		f.plain, problem = decimal(strings.TrimSpace(text))
		f.json = wrap("System.Decimal", f.plain)
		if kindName(p.Type) == "Double" {
			f.json = wrap("System.Double", f.plain)
		}
	case booleanKind:
		switch strings.ToLower(strings.TrimSpace(text)) {
		case "1", "t", "true", "y", "yes":
			f.plain = "true"
		case "0", "f", "false", "n", "no":
			f.plain = "false"
		default:
			return f, "is not true or false (true, t, yes, y or 1; false, f, no, n or 0)"
		}
		f.json = wrap("System.Boolean", f.plain)
	case dateKind:
		if f.plain, problem = date(strings.TrimSpace(text)); problem == "" {
			f.json = quote(f.plain)
		}
	case binaryKind:
		if data, ok := value.([]byte); ok {
			text = base64.StdEncoding.EncodeToString(data)
		} else if _, err := base64.StdEncoding.DecodeString(text); err != nil {
			return f, "is not binary data in base64"
		}
		f.plain, f.json = text, wrap("System.Byte[], mscorlib", quote(text))
	}
	if problem == "" && f.plain == "" { // white space alone
		f.json = none
	}
	return f, problem
}

// text holds a text against what bounds it.
func (p *Property) text(text string) (field, string) {
	f := field{property: p, json: quote(text), plain: text}
	if p.MaxLength > 0 && len(utf16.Encode([]rune(text))) > p.MaxLength {
		return f, fmt.Sprintf("is too long (max %d)", p.MaxLength)
	}
	if !p.allows(text) {
		for part := range strings.SplitSeq(text, listSeparator) { // one of a multi-select
			if !p.allows(strings.TrimSpace(part)) {
				return f, "is not one of the allowed values (" + some(p.Allowed) + ")"
			}
		}
	}
	return f, ""
}

func (p *Property) allows(text string) bool {
	return p.Allowed == nil || slices.Contains(p.Allowed, text)
}

// bare makes a value without its type.
func (p *Property) bare(value any, text string) (f field, problem string) {
	f = field{property: p, json: quote(text), plain: text}
	switch v := value.(type) {
	case bool:
		f.json = text
	case int, int64, json.Number:
		if json.Valid([]byte(text)) {
			f.json = text
		}
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return f, "is not a number"
		}
		f.json = text
	}
	return f, ""
}

func wrap(kind, value string) string { return `{"$type":"` + kind + `","$value":` + value + `}` }

func quote(text string) string {
	quoted, _ := json.Marshal(text) // a string cannot fail
	return string(quoted)
}

func isWhole(text string) bool {
	digits := strings.TrimLeft(text, "+-")
	return digits != "" && len(text)-len(digits) <= 1 && strings.Trim(digits, "0123456789") == ""
}

// decimal makes of a number its digits in one form: without an exponent, or zeros that say nothing.
func decimal(text string) (plain, problem string) {
	if text == "" {
		return "", ""
	}
	sign, digits := "", text
	switch text[0] {
	case '-':
		sign, digits = "-", text[1:]
	case '+':
		digits = text[1:]
	}
	if mantissa, exponent, ok := strings.Cut(strings.ToLower(digits), "e"); ok {
		// Only what a floating point number is written with.
		number, err := strconv.ParseFloat(mantissa+"e"+exponent, 64)
		if err != nil || math.Abs(number) > 1e28 {
			return "", "is not a number, or too large a one"
		}
		digits = strconv.FormatFloat(number, 'f', -1, 64)
	}
	whole, part, _ := strings.Cut(digits, ".")
	if whole+part == "" || strings.Trim(whole+part, "0123456789") != "" {
		return "", "is not a number"
	}
	whole, part = strings.TrimLeft(whole, "0"), strings.TrimRight(part, "0")
	switch {
	case len(whole)+len(part) > 28: // what a System.Decimal holds
		return "", "has too many digits"
	case whole+part == "":
		return "0", ""
	case whole == "":
		whole = "0"
	}
	if part != "" {
		part = "." + part
	}
	return sign + whole + part, ""
}

// date makes of a date, or a date and a time of day, what iMIS writes. A zone is left out: the clock stays as it
// is written.
func date(text string) (plain, problem string) {
	for _, layout := range []string{
		time.DateOnly, dateLayout, time.DateTime, "2006-01-02T15:04", "2006-01-02 15:04", time.RFC3339Nano, "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04Z07:00",
	} {
		if moment, err := time.Parse(layout, text); err == nil {
			return strings.TrimSuffix(moment.Format(dateLayout+".999"), "."), ""
		}
	}
	if text == "" {
		return "", ""
	}
	return "", "is not a date like 2026-01-31 or 2026-01-31T18:30:00"
}

// listSeparator stands between the values of a multi-select.
const listSeparator = ","

// union adds the values of one multi-select to those of another that it does not have.
func union(old, add string) string {
	has := strings.Split(old, listSeparator)
	if strings.TrimSpace(old) == "" {
		return add
	}
	for value := range strings.SplitSeq(add, listSeparator) {
		known := strings.TrimSpace(value) == ""
		for _, one := range has {
			known = known || strings.EqualFold(strings.TrimSpace(one), strings.TrimSpace(value))
		}
		if !known {
			has = append(has, strings.TrimSpace(value))
		}
	}
	return strings.Join(has, listSeparator)
}

package mapping

import (
	"strings"
	"unicode/utf8"
)

// separators may stand between the groups of digits before a decimal mark: spaces, thin and no-break ones
// too, and apostrophes.
const separators = " \u2009\u00a0\u202f'\u2019.,"

// ungroup takes the separators out of a number with that decimal mark, and makes a point of the mark. ok is
// false unless one kind of separator parts groups of three digits, or of two before a last one of three, as in
// India. Groups that begin with a 0 are none: 0,123 is a number whose mark is the comma.
func ungroup(text string, mark byte) (digits string, ok bool) {
	end := strings.IndexAny(text, "eE")
	if end < 0 {
		end = len(text)
	}
	whole, part, marked := strings.Cut(text[:end], string(mark))
	part += text[end:]
	sign := ""
	if whole != "" && (whole[0] == '-' || whole[0] == '+') {
		sign, whole = whole[:1], whole[1:]
	}
	if marked {
		part = "." + part
	}
	at := strings.IndexAny(whole, separators)
	if at < 0 {
		return sign + whole + part, true
	}
	separator, size := utf8.DecodeRuneInString(whole[at:])
	groups := strings.Split(whole, whole[at:at+size])
	first, last := groups[0], groups[len(groups)-1]
	if separator == rune(mark) || first == "" || first[0] == '0' || len(first) > 3 || len(last) != 3 {
		return "", false
	}
	inner := groups[1 : len(groups)-1]
	of := 3
	if len(inner) > 0 && len(inner[0]) == 2 && len(first) < 3 {
		of = 2
	}
	for _, group := range inner {
		if len(group) != of {
			return "", false
		}
	}
	return sign + strings.Join(groups, "") + part, true
}

package httpjson

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"runhook/services/runner/check"
	"runhook/services/runner/row"
)

// readRow reads an item, which is JSON, into the cells of the columns at index. A member that the
// item lacks leaves its cell as it is.
func readRow(item []byte, index map[string]int, columns []string, cells []any) *row.Fault {
	switch {
	case !utf8.Valid(item):
		return row.Faultf("", "is not valid UTF-8")
	case len(item) == 0 || item[0] != '{':
		return row.Faultf("", "is not an object with columns")
	case row.Exceeds(item, row.MaxValues):
		return row.Faultf("", "is nested deeper than %d levels, or has more than %d values", row.MaxDepth, row.MaxValues)
	}
	broken := brokenLetters(item)
	given := make([]bool, len(columns))
	members := json.NewDecoder(bytes.NewReader(item))
	members.UseNumber()
	_, err := members.Token()
	for err == nil && members.More() {
		var name json.Token
		if name, err = members.Token(); err != nil {
			break
		}
		i, wanted := index[name.(string)]
		if !wanted {
			var unused json.RawMessage
			err = members.Decode(&unused)
			continue
		}
		if given[i] {
			return row.Faultf(columns[i], "is there twice")
		}
		given[i] = true
		var value any
		if err = members.Decode(&value); err == nil {
			cells[i] = exact(value)
		}
		if broken && hasReplacement(value) {
			return row.Faultf(columns[i], "has half a letter in it")
		}
	}
	if err != nil {
		return row.Faultf("", "is no JSON")
	}
	return nil
}

// typesOf says which columns have nothing but numbers in these rows, and none that a double would round: one that
// is made for them takes values of any kind, so that numbers stay numbers, and text of a later row is no
// fault.
func typesOf(rows [][]byte, index map[string]int, columns []string) []check.Column {
	types := make([]check.Column, len(columns))
	others := make([]bool, len(columns))
	cells := make([]any, len(columns))
	for _, item := range rows {
		clear(cells)
		if readRow(item, index, columns, cells) != nil {
			continue
		}
		for i, cell := range cells {
			number, isNumber := cell.(json.Number)
			_, isWhole := cell.(int64)
			digits, _, _ := strings.Cut(strings.ToLower(number.String()), "e")
			switch {
			case cell == nil:
			case isWhole || isNumber && len(digits) <= 15:
				types[i].Stored = true
			default:
				others[i] = true
			}
		}
	}
	for i, name := range columns {
		types[i].Name, types[i].Stored = name, types[i].Stored && !others[i]
	}
	return types
}

// keys are the names of an item's members, nil where it is no object.
func keys(item []byte) (names []string) {
	members := json.NewDecoder(bytes.NewReader(item))
	if token, err := members.Token(); err != nil || token != json.Delim('{') {
		return nil
	}
	for members.More() {
		name, err := members.Token()
		var unused json.RawMessage
		if err != nil || members.Decode(&unused) != nil {
			break
		}
		names = append(names, name.(string))
	}
	return names
}

// exact keeps numbers from being rounded: a whole one becomes an int64 if it fits, however it is written,
// so that 1, 1.0 and 1e0 are one key. Any other stays the digits that it is.
func exact(value any) any {
	switch v := value.(type) {
	case json.Number:
		if number, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
			return number
		}
		if number, err := strconv.ParseInt(wholeDigits(v.String()), 10, 64); err == nil {
			return number
		}
	case map[string]any:
		for name, member := range v {
			v[name] = exact(member)
		}
	case []any:
		for i, member := range v {
			v[i] = exact(member)
		}
	}
	return value
}

// wholeDigits are those of a number with a point or an exponent; empty if it is not whole, or longer than an
// int64.
func wholeDigits(number string) string {
	digits, exponent, _ := strings.Cut(strings.ToLower(number), "e")
	shift, err := strconv.Atoi(cmp.Or(exponent, "0"))
	before, behind, _ := strings.Cut(digits, ".")
	behind = strings.TrimRight(behind, "0")
	if shift -= len(behind); err != nil || shift > 20 {
		return ""
	}
	digits = before + behind
	if shift >= 0 {
		return digits + strings.Repeat("0", shift)
	}
	significant := strings.TrimRight(digits, "0")
	if len(digits)-len(significant) < -shift {
		return ""
	}
	return digits[:len(digits)+shift]
}

// brokenLetters reports whether an item could have an escape that is half a letter: the decoder puts
// U+FFFD there, without a word. An item that has U+FFFD itself is taken at its word.
func brokenLetters(item []byte) bool {
	return bytes.Contains(item, []byte(`\u`)) && !bytes.Contains(item, []byte("\uFFFD")) && !bytes.Contains(bytes.ToLower(item), []byte(`\ufffd`))
}

func hasReplacement(value any) bool {
	switch v := value.(type) {
	case string:
		return strings.ContainsRune(v, utf8.RuneError)
	case map[string]any:
		for _, member := range v {
			if hasReplacement(member) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, hasReplacement)
	}
	return false
}

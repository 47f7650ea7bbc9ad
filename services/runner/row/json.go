package row

import (
	"bytes"
	"cmp"
	"encoding/json"
	"strconv"
	"time"
)

// AppendObject appends a row as a JSON object: names are its members, in their order. Numbers keep
// their digits, times are RFC 3339, binary data is base64, null stays null.
func AppendObject(to []byte, names []string, values []any) ([]byte, *Fault) {
	to = append(to, '{')
	for i, value := range values {
		if i > 0 {
			to = append(to, ',')
		}
		to = append(appendJSON(to, names[i]), ':')
		before := len(to)
		if to = appendJSON(to, value); len(to) == before {
			return to, Faultf(names[i], "%s", cmp.Or(whyNot(value), "cannot be written as JSON"))
		}
	}
	return append(to, '}'), nil
}

// whyNot is what is wrong with a value that is none of JSON, if it is a single one.
func whyNot(value any) string {
	if _, problem := Text(value); problem != notSingle {
		return problem
	}
	return ""
}

// appendJSON appends nothing for what JSON cannot hold, such as an infinite number.
func appendJSON(to []byte, value any) []byte {
	switch v := value.(type) {
	case nil:
		return append(to, "null"...)
	case bool:
		return strconv.AppendBool(to, v)
	case int:
		return strconv.AppendInt(to, int64(v), 10)
	case int64:
		return strconv.AppendInt(to, v, 10)
	case []byte, time.Duration:
		value, _ = Text(v)
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if encoder.Encode(value) != nil {
		return to
	}
	return append(to, bytes.TrimSuffix(text.Bytes(), []byte("\n"))...)
}

// MaxDepth is how deep the lists and objects of a JSON text that comes from elsewhere may be in each other. A list of
// empty ones would take ten times the memory of its text, so that whoever makes values of one bounds them too, by
// MaxValues in a row.
const (
	MaxDepth  = 100
	MaxValues = 100_000
)

// Exceeds reports whether a JSON text is deeper than MaxDepth, or has more than so many values. It need not be valid.
func Exceeds(text []byte, values int) bool {
	opened := bytes.Count(text, []byte{'['}) + bytes.Count(text, []byte{'{'})
	if opened <= MaxDepth && (len(text) <= values || opened+bytes.Count(text, []byte{','}) <= values) {
		return false
	}
	depth, count := 0, 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case '[', '{':
			depth++
			count++
		case ']', '}':
			depth--
		case ',':
			count++
		}
		if depth > MaxDepth || count > values {
			return true
		}
	}
	return false
}

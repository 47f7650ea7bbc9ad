package ingress

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tailscale/hujson"

	"runhook/shared/task"
)

// content is what a body says.
type content struct {
	// given are the members of QueryParameters, in the body's order.
	given []task.Given
	// others are the other members of the body.
	others []datum
}

const (
	// maxBrackets bounds how deep a body may nest, with a count that takes no parsing.
	maxBrackets = 10_000
	// maxShown is how much of a parser's message a caller sees: it may quote the body.
	maxShown = 200
)

var byteOrderMark = []byte("\xef\xbb\xbf")

// parseBody reads a POST's body: nothing, null, or an object whose member QueryParameters, in any
// letter case, is null or an object. It takes strict JSON, and JSON with comments and trailing
// commas: one parser reads both, because it reads strict JSON as every other parser does. Nothing
// in it aliases body. The error says what is wrong and where.
func parseBody(body []byte) (content, error) {
	body = bytes.TrimPrefix(body, byteOrderMark)
	if err := checkText(body); err != nil {
		return content{}, err
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return content{}, nil
	}
	if bytes.Count(body, []byte("["))+bytes.Count(body, []byte("{")) > maxBrackets {
		return content{}, fmt.Errorf("the body has more than %d brackets", maxBrackets)
	}
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) {
		return content{}, errors.New("the body is XML or HTML; send JSON")
	}
	parsed, err := hujson.Parse(body)
	if err != nil {
		message := strings.TrimPrefix(err.Error(), "hujson: ")
		if len(message) > maxShown {
			message = strings.ToValidUTF8(message[:maxShown], "") + "…"
		}
		return content{}, errors.New("the body is not JSON: " + message)
	}
	switch top := parsed.Value.(type) {
	case *hujson.Object:
		return readTop(top)
	case hujson.Literal:
		if top.Kind() == 'n' {
			return content{}, nil
		}
	}
	return content{}, fmt.Errorf("the body is %s; it must be an object, null or empty", kindName(parsed.Value))
}

// checkText refuses what is not UTF-8, and says what it is where that can be told.
func checkText(body []byte) error {
	if utf8.Valid(body) && bytes.IndexByte(body, 0) < 0 {
		return nil
	}
	switch {
	case bytes.HasPrefix(body, []byte{0x1f, 0x8b}):
		return errors.New("the body is compressed; send it as it is, in UTF-8")
	case bytes.HasPrefix(body, []byte{0xff, 0xfe}), bytes.HasPrefix(body, []byte{0xfe, 0xff}), bytes.IndexByte(body, 0) >= 0:
		return errors.New("the body is UTF-16 or binary; send it in UTF-8")
	}
	at := 0
	for rest := body; ; at++ {
		r, size := utf8.DecodeRune(rest)
		if r == utf8.RuneError && size <= 1 {
			break
		}
		rest, at = rest[size:], at+size-1
	}
	line := 1 + bytes.Count(body[:at], []byte("\n"))
	return fmt.Errorf("line %d of the body is not UTF-8 at byte %d of the body; send it in UTF-8", line, at+1)
}

// readTop reads the members of the body.
func readTop(top *hujson.Object) (content, error) {
	names, err := memberNames(top, "")
	if err != nil {
		return content{}, err
	}
	var read content
	for i, name := range names {
		if !strings.EqualFold(name, "QueryParameters") {
			read.others = append(read.others, datumOf(name, top.Members[i].Value.Value))
			continue
		}
		switch value := top.Members[i].Value.Value.(type) {
		case *hujson.Object:
			if read.given, err = readParameters(value); err != nil {
				return content{}, err
			}
			continue
		case hujson.Literal:
			if value.Kind() == 'n' {
				continue
			}
		}
		return content{}, fmt.Errorf("QueryParameters is %s; it must be an object or null", kindName(top.Members[i].Value.Value))
	}
	return read, nil
}

func readParameters(object *hujson.Object) ([]task.Given, error) {
	names, err := memberNames(object, " in QueryParameters")
	if err != nil {
		return nil, err
	}
	given := make([]task.Given, len(names))
	for i, name := range names {
		value, err := givenValue(object.Members[i].Value.Value, true)
		if err != nil {
			return nil, fmt.Errorf("%s in QueryParameters: %w", strconv.Quote(name), err)
		}
		given[i] = task.Given{Key: name, GivenValue: value}
	}
	return given, nil
}

// givenValue reads a value; the elements of an array only at the first level, because a value that
// nests deeper is refused anyway.
func givenValue(value hujson.ValueTrimmed, withItems bool) (task.GivenValue, error) {
	switch value := value.(type) {
	case *hujson.Object:
		return task.GivenValue{Kind: task.GivenObject}, nil
	case *hujson.Array:
		array := task.GivenValue{Kind: task.GivenArray}
		for i := 0; withItems && i < len(value.Elements); i++ {
			item, err := givenValue(value.Elements[i].Value, false)
			if err != nil {
				return array, err
			}
			array.Items = append(array.Items, item)
		}
		return array, nil
	case hujson.Literal:
		switch value.Kind() {
		case '"':
			text, err := stringOf(value)
			return task.GivenValue{Kind: task.GivenString, Text: text}, err
		case '0':
			return task.GivenValue{Kind: task.GivenNumber, Text: string(value)}, nil
		case 't', 'f':
			return task.GivenValue{Kind: task.GivenBool, Text: string(value)}, nil
		}
	}
	return task.GivenValue{Kind: task.GivenNull}, nil
}

// fewNames is up to how many names comparing each with each is faster than a map.
const fewNames = 16

// memberNames returns the names of an object's members, in order, or an error where two are equal
// but for letter case: one of them would win silently.
func memberNames(object *hujson.Object, where string) ([]string, error) {
	names := make([]string, len(object.Members))
	for i, member := range object.Members {
		name, err := stringOf(member.Name.Value.(hujson.Literal)) // the parser takes nothing else
		if err != nil {
			return nil, fmt.Errorf("a name%s: %w", where, err)
		}
		names[i] = name
	}
	twice := func(first, second string) error {
		return fmt.Errorf("%s and %s%s are the same name (letter case does not count); send one of them",
			strconv.Quote(first), strconv.Quote(second), where)
	}
	if len(names) <= fewNames {
		for i := range names {
			for j := range i {
				if strings.EqualFold(names[j], names[i]) {
					return nil, twice(names[j], names[i])
				}
			}
		}
		return names, nil
	}
	seen := make(map[string]string, len(names))
	for _, name := range names {
		folded := foldCase(name)
		if first, ok := seen[folded]; ok {
			return nil, twice(first, name)
		}
		seen[folded] = name
	}
	return names, nil
}

// stringOf returns the text of a JSON string. Half of a surrogate pair stands for no character, and
// would be replaced by another text than the caller meant: it is an error.
func stringOf(literal hujson.Literal) (string, error) {
	inner := literal[1 : len(literal)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner), nil
	}
	for i := 0; i < len(inner); i++ {
		if inner[i] != '\\' {
			continue
		}
		i++
		if inner[i] != 'u' {
			continue
		}
		switch unit := hexUnit(inner[i+1:]); {
		case unit >= 0xd800 && unit < 0xdc00:
			next := inner[i+5:]
			if len(next) < 6 || next[0] != '\\' || next[1] != 'u' || hexUnit(next[2:])>>10 != 0xdc00>>10 {
				return "", errors.New("a string holds half of a surrogate pair")
			}
			i += 10
		case unit >= 0xdc00 && unit < 0xe000:
			return "", errors.New("a string holds half of a surrogate pair")
		default:
			i += 4
		}
	}
	return literal.String(), nil
}

// hexUnit reads the four digits of a \u escape that the parser has checked.
func hexUnit(digits []byte) uint64 {
	unit, _ := strconv.ParseUint(string(digits[:4]), 16, 16)
	return unit
}

func kindName(value hujson.ValueTrimmed) string {
	switch value.Kind() {
	case '"':
		return "a string"
	case '0':
		return "a number"
	case 't', 'f':
		return "true or false"
	case '[':
		return "an array"
	case '{':
		return "an object"
	}
	return "null"
}

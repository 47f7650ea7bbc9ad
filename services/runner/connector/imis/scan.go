package imis

import (
	"encoding/json"
	"strconv"
	"strings"
)

// scanner walks through JSON that is known to be valid. What it returns are parts of that text, so
// that a page costs little more than one string.
type scanner struct {
	text string
	at   int
}

// next passes over white space and returns the byte that follows, 0 at the end.
func (s *scanner) next() byte {
	for s.at < len(s.text) {
		switch c := s.text[s.at]; c {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return c
		}
	}
	return 0
}

// enter goes into the object or array that begins with the byte, and is false where none does.
func (s *scanner) enter(begin byte) bool {
	if s.next() != begin {
		return false
	}
	s.at++
	return true
}

// more reports whether another member or element follows, and passes over what ends the last one;
// at the end it leaves the object or array.
func (s *scanner) more() bool {
	switch s.next() {
	case ',':
		s.at++
		return true
	case '}', ']':
		s.at++
		return false
	}
	return true
}

// name reads a member's name, up to its value.
func (s *scanner) name() string {
	s.next()
	name := s.string()
	s.next()
	s.at++ // the colon
	return name
}

// string reads a string, at whose opening quote it stands.
func (s *scanner) string() string {
	begin := s.at + 1
	length := strings.IndexByte(s.text[begin:], '"')
	if plain := s.text[begin : begin+length]; strings.IndexByte(plain, '\\') < 0 {
		s.at = begin + length + 1
		return plain
	}
	quoted := s.raw()
	var text string
	_ = json.Unmarshal([]byte(quoted), &text) // valid, as all of the text
	return text
}

// raw passes over a value and returns it as it stands.
func (s *scanner) raw() string {
	s.next()
	begin, depth := s.at, 0
	for {
		switch s.text[s.at] {
		case '"':
			for s.at++; s.text[s.at] != '"'; s.at++ {
				if s.text[s.at] == '\\' {
					s.at++
				}
			}
			s.at++
		case '{', '[':
			depth++
			s.at++
		case '}', ']':
			depth--
			s.at++
		case ',', ':', ' ', '\t', '\n', '\r':
			s.at++
		default:
			s.word()
		}
		if depth == 0 {
			return s.text[begin:s.at]
		}
	}
}

// word reads a number, true, false or null.
func (s *scanner) word() string {
	begin := s.at
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ',', ']', '}', ' ', '\t', '\n', '\r':
			return s.text[begin:s.at]
		}
		s.at++
	}
	return s.text[begin:]
}

// value reads a value: text, bool, nil, int64, or json.Number for what is not a whole number of that
// size. A value with its type beside it is that value; binary data stay in their base64. Lists and
// objects are []any and map[string]any.
func (s *scanner) value() any {
	switch s.next() {
	case '"':
		return s.string()
	case '{', '[':
		return s.nested()
	}
	switch word := s.word(); word {
	case "null":
		return nil
	case "true":
		return true
	case "false":
		return false
	default:
		if whole, err := strconv.ParseInt(word, 10, 64); err == nil {
			return whole
		}
		return json.Number(word)
	}
}

// nested reads an object or a list, both of which iMIS may put into an envelope.
func (s *scanner) nested() any {
	if s.enter('[') {
		list := []any{}
		for s.more() {
			list = append(list, s.value())
		}
		return list
	}
	object := map[string]any{}
	var wrapped any
	isWrapped := false
	for s.enter('{'); s.more(); {
		switch name := s.name(); {
		case isWrapped || name == "$type":
			s.raw()
		case name == "$value", name == "$values":
			wrapped, isWrapped = s.value(), true
		default:
			object[name] = s.value()
		}
	}
	if isWrapped {
		return wrapped
	}
	return object
}

// member goes to the value of a member of the object at which the scanner stands, in exactly that
// spelling, and is false where there is none.
func (s *scanner) member(name string) bool {
	if !s.enter('{') {
		return false
	}
	for s.more() {
		if s.name() == name {
			return true
		}
		s.raw()
	}
	return false
}

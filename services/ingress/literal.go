package ingress

import (
	"regexp"
	"strings"
)

// literal reads an object or a list as languages write them: JavaScript, Python, Ruby, PHP, Groovy, Java, PowerShell.
type literal struct {
	text string
	at   int
}

const (
	blanks = " \t\r\n"
	// maxPrefix is how much may stand before a literal.
	maxPrefix = 100
)

// literalStart is a literal's begin, also one that is assigned or called with.
var literalStart = regexp.MustCompile(`^(?:(?:var |let |const )?[$\w.]+\s*=\s*)?(?:@?[{\[]|@\(|new\s*\{|[$\w.]+\()`)

func fromLiteral(text, member string) datum {
	start := text[:min(len(text), maxPrefix)]
	if !strings.ContainsAny(start, "{[(") {
		return datum{}
	}
	if start = literalStart.FindString(start); start == "" {
		return datum{}
	}
	l := literal{text: text, at: len(start) - 1}
	d, ok := l.container(member)
	if !ok || strings.Trim(text[l.at:], blanks+";") != "" {
		return datum{}
	}
	return d
}

// container reads from an opening bracket to its closing one. In an object every part has a name.
func (l *literal) container(name string) (datum, bool) {
	d, closing := datum{name: name, kind: '['}, byte(']')
	switch l.text[l.at] {
	case '{':
		d.kind, closing = '{', '}'
	case '(':
		closing = ')'
	}
	isObject := d.kind == '{'
	l.at++
	for l.skip(blanks + ",;"); l.at < len(l.text); l.skip(blanks + ",;") {
		if l.text[l.at] == closing {
			l.at++
			return d, true
		}
		start, partName := l.at, name
		if named, ok := l.name(); ok {
			d.kind, partName = '{', named
		} else if l.at = start; isObject {
			return d, false
		}
		part, ok := l.value(partName)
		if !ok || l.at == start {
			return d, false
		}
		d.parts = append(d.parts, part)
	}
	return d, false
}

// name reads a name and the sign behind it.
func (l *literal) name() (name string, ok bool) {
	l.skip(":") // of Ruby
	if start := l.at; strings.IndexByte("\"'`", l.peek()) >= 0 {
		name, ok = l.quoted()
	} else if end := strings.IndexAny(l.text[start:], "{}[](),;\n\"'`:=\\"); end > 0 {
		l.at += end
		name, ok = strings.TrimSpace(l.text[start:l.at]), true
	}
	l.skip(blanks)
	sign := l.at
	l.skip(":=>")
	return name, ok && name != "" && l.at > sign
}

// value reads up to what ends it: a separator, the end of a line, or a bracket that it has not opened.
func (l *literal) value(name string) (d datum, ok bool) {
	l.skip(blanks)
	d = datum{name: name, kind: '"'}
	for start := l.at; l.at < len(l.text); {
		switch c := l.peek(); {
		case strings.IndexByte("{[(", c) >= 0:
			inner, ok := l.container(name)
			if !ok {
				return d, false
			}
			if d.parts = append(d.parts, inner.parts...); d.kind != '{' {
				d.kind = inner.kind
			}
		case strings.IndexByte("\"'`", c) >= 0 && (l.at == start || l.at == start+1 && strings.IndexByte("bfru@$", l.text[start]) >= 0): // 'x', and b'x' of Python
			if d.text, ok = l.quoted(); !ok {
				return d, false
			}
		case strings.IndexByte(",;}])\n", c) >= 0:
			if d.text == "" {
				d.text = strings.TrimSpace(l.text[start:l.at])
			}
			return d, true
		default:
			l.at++
		}
	}
	return d, false
}

// quoted reads up to the same quote.
func (l *literal) quoted() (string, bool) {
	start, quote := l.at+1, l.peek()
	for l.at = start; l.at < len(l.text); l.at++ {
		switch l.text[l.at] {
		case quote:
			l.at++
			return l.text[start : l.at-1], true
		case '\\':
			l.at++
		}
	}
	return "", false
}

func (l *literal) skip(signs string) {
	for l.at < len(l.text) && strings.IndexByte(signs, l.text[l.at]) >= 0 {
		l.at++
	}
}

// peek is the next byte, 0 at the end.
func (l *literal) peek() byte {
	if l.at < len(l.text) {
		return l.text[l.at]
	}
	return 0
}

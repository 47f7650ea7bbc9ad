package main

import (
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// screen is a terminal that is written to by whoever made a cell, a name or a message. What could control it, or
// have a line read other than it is, is shown as text.
type screen struct {
	to io.Writer
	// rest is the begin of a letter whose end comes with the next Write.
	rest []byte
}

// onScreen is w itself, or what keeps it from being controlled if it is a terminal.
func onScreen(w io.Writer) io.Writer {
	if !isTerminal(w) {
		return w
	}
	return &screen{to: w}
}

// Write writes lines of text.
func (s *screen) Write(text []byte) (int, error) {
	all := append(s.rest, text...)
	s.rest = nil
	var plain strings.Builder
	for len(all) > 0 {
		letter, size := utf8.DecodeRune(all)
		switch {
		case all[0] == '\r' && len(all) == 1, letter == utf8.RuneError && !utf8.FullRune(all):
			s.rest, all = all, nil
			continue
		case letter == utf8.RuneError && size == 1:
			plain.WriteString(`\x` + strconv.FormatUint(uint64(all[0]), 16))
		case letter == '\n' || letter == '\t':
			plain.WriteRune(letter)
		case letter == '\r' && all[1] == '\n': // of a line's end, which the terminal makes itself
		default:
			plain.WriteString(inert(letter))
		}
		all = all[size:]
	}
	if _, err := io.WriteString(s.to, plain.String()); err != nil {
		return 0, err
	}
	return len(text), nil
}

// inert is a letter that controls nothing.
func inert(letter rune) string {
	const (
		byteOrderMark         = '\ufeff' // at the begin of a CSV file
		nonJoiner, joiner     = '\u200c', '\u200d'
		lineEnd, paragraphEnd = '\u2028', '\u2029'
	)
	switch {
	case letter == byteOrderMark, letter == nonJoiner, letter == joiner:
		return string(letter)
	case letter != lineEnd && letter != paragraphEnd && unicode.IsGraphic(letter):
		return string(letter)
	}
	return escaped(letter)
}

// escaped is how Go writes a letter that cannot be shown.
func escaped(letter rune) string {
	quoted := strconv.QuoteRune(letter)
	return quoted[1 : len(quoted)-1]
}

// inertText is a text that controls nothing, on one line.
func inertText(text string) string {
	var line strings.Builder
	for _, letter := range text {
		line.WriteString(inert(letter))
	}
	return line.String()
}

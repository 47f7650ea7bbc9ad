// Package wording holds how messages and files write a name, a text and a list of words.
package wording

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// Quote puts a caller's or an author's text in quotes for a message, and cuts it to 60 letters.
func Quote(text string) string {
	const most = 60
	if letters := []rune(text); len(letters) > most {
		text = string(letters[:most]) + "…"
	}
	return fmt.Sprintf("%q", text)
}

// Name is a name of somebody else's for a message: a line end, a space that does not break, and what
// nobody sees are shown as escapes, like \n, \u00a0 and \ufeff.
func Name(name string) string {
	if strings.IndexFunc(name, isUnseen) < 0 {
		return name
	}
	var shown strings.Builder
	for _, letter := range name {
		if isUnseen(letter) {
			quoted := strconv.QuoteRune(letter)
			shown.WriteString(quoted[1 : len(quoted)-1])
		} else {
			shown.WriteRune(letter)
		}
	}
	return shown.String()
}

// Seen is a name as a person sees it: all that looks like a space is one, and what nobody sees is left out.
func Seen(name string) string {
	if strings.IndexFunc(name, isUnseen) < 0 {
		return name
	}
	return strings.TrimSpace(strings.Map(func(letter rune) rune {
		switch {
		case unicode.IsSpace(letter) || unicode.Is(unicode.Zs, letter):
			return ' '
		case isUnseen(letter):
			return -1
		}
		return letter
	}, name))
}

func isUnseen(letter rune) bool { return !unicode.IsPrint(letter) }

// Either lists words as a sentence does: "a, b or c".
func Either(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// JSON writes a text as a JSON string, which is a YAML scalar too, without the escapes that only HTML
// needs.
func JSON(text string) string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a string in a buffer cannot fail
	return strings.TrimSuffix(out.String(), "\n")
}

// IsControl reports whether a letter is a control character or ends a line.
func IsControl(letter rune) bool {
	return letter < ' ' || 0x7f <= letter && letter < 0xa0 || letter == '\u2028' || letter == '\u2029'
}

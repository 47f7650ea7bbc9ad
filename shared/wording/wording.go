// Package wording holds how messages and files write a name, a text and a list of words.
package wording

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// Quote puts a caller's or an author's text in quotes for a message, and cuts it to 60 letters.
func Quote(text string) string {
	const most = 60
	if letters := []rune(text); len(letters) > most {
		text = string(letters[:most]) + "…"
	}
	return fmt.Sprintf("%q", text)
}

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

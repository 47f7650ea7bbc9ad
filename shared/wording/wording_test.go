package wording_test

import (
	"strings"
	"testing"

	"runhook/shared/wording"
)

func TestWording(t *testing.T) {
	for _, c := range []struct{ name, got, want string }{
		{"a quoted text", wording.Quote("a \"b\"\n"), `"a \"b\"\n"`},
		{"a long one", wording.Quote(strings.Repeat("é", 61)), `"` + strings.Repeat("é", 60) + `…"`},
		{"no word", wording.Either(nil), ""},
		{"one", wording.Either([]string{"a"}), "a"},
		{"three", wording.Either([]string{"a", "b", "c"}), "a, b or c"},
		{"JSON", wording.JSON("<a> & \"b\"\u2028"), `"<a> & \"b\"\u2028"`},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s, want %s", c.name, c.got, c.want)
		}
	}
	for letter, want := range map[rune]bool{'a': false, ' ': false, '\t': true, '\n': true, 0x7f: true, 0x85: true, 0xa0: false, '\u2028': true} {
		if wording.IsControl(letter) != want {
			t.Errorf("%U: %v", letter, !want)
		}
	}
}

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
		{"a name", wording.Name("Name \"é\" \\n"), `Name "é" \n`},
		{"a name with what nobody sees", wording.Name("\uFEFFFirst\nNa\u00A0me\u200B\t"), `\ufeffFirst\nNa\u00a0me\u200b\t`},
		{"as it is seen", wording.Seen("\uFEFFFirst\nNa\u00A0me\u200B\u202F"), "First Na me"},
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

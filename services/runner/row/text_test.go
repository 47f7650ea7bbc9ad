package row_test

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"runhook/services/runner/row"
)

// Binary values that differ are different texts, wherever a value becomes one, and can be had back.
func TestBinaryIsBase64(t *testing.T) {
	seen := map[string]bool{}
	for _, value := range [][]byte{{}, {0}, {0, 0}, {0xff}, {0xfe}, []byte("plain"), {0xa8, 0x82, 0x8d, 0xdf}, {0xa9, 0x82, 0x8d, 0xdf}, {'"', '<', '\n', 0xc3, 0x28}} {
		text, problem := row.Text(value)
		back, err := base64.StdEncoding.DecodeString(text)
		if problem != "" || err != nil || string(back) != string(value) || seen[text] || !utf8.ValidString(text) {
			t.Errorf("% x is the text %q", value, text)
		}
		seen[text] = true
		object, fault := row.AppendObject(nil, []string{"id"}, []any{value})
		var read struct{ ID string }
		if err := json.Unmarshal(object, &read); err != nil || fault != nil || read.ID != text {
			t.Errorf("% x is the JSON %s, %v", value, object, fault)
		}
		if kept := (row.Cells{value}).Texts(); kept[0] != text {
			t.Errorf("% x is kept as %q", value, kept[0])
		}
	}
}

// What no text and no JSON can hold is told, and never becomes another value.
func TestValuesThatNoTextStandsFor(t *testing.T) {
	for _, c := range []struct {
		value any
		what  string
	}{
		{math.Inf(1), "infinite"}, {math.Inf(-1), "infinite"}, {math.NaN(), "NaN"},
	} {
		if text, problem := row.Text(c.value); text != "" || !strings.Contains(problem, c.what) {
			t.Errorf("%v is the text %q, %s", c.value, text, problem)
		}
		if object, fault := row.AppendObject(nil, []string{"id"}, []any{c.value}); fault == nil || fault.Column != "id" || !strings.Contains(fault.Message, c.what) {
			t.Errorf("%v is the JSON %s, %v", c.value, object, fault)
		}
	}
	if kept := (row.Cells{math.Inf(1), []any{1}}).Texts(); !slices.Equal(kept, []string{"+Inf", "[1]"}) {
		t.Errorf("kept are %q", kept)
	}
}

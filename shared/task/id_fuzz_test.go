package task

import (
	"regexp"
	"strings"
	"testing"
)

var canonicalID = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// Whatever a text is, an id made of it has the text's own digits, in the one form that is safe as a subject and a key.
func FuzzParseID(f *testing.F) {
	for _, text := range []string{
		"555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd", "{555E1A89-5D7D-4DAF-AE0E-7B9B2B7933DD}", "555e1a895d7d4dafae0e7b9b2b7933dd",
		"urn:uuid:555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd", "(555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd)", "*", "a.b", "\x00", "",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, err := ParseID(text)
		if err != nil {
			if id != "" || len(err.Error()) > 1000 || strings.ContainsAny(err.Error(), "\n\r\x1b\x00") {
				t.Fatalf("%q is %q, %v", text, id, err)
			}
			return
		}
		digits := strings.ToLower(strings.ReplaceAll(strings.Trim(text, "{}"), "-", ""))
		if !canonicalID.MatchString(string(id)) || strings.ReplaceAll(string(id), "-", "") != digits {
			t.Fatalf("%q is %q", text, id)
		}
		if again, err := ParseID(string(id)); again != id || err != nil {
			t.Fatalf("%q is %q, and then %q, %v", text, id, again, err)
		}
	})
}

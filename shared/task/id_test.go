package task

import "testing"

func TestParseID(t *testing.T) {
	const want = ID("555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd")
	for _, text := range []string{
		"555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd", "555E1A89-5D7D-4DAF-AE0E-7B9B2B7933DD",
		"{555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd}", "555e1a895d7d4dafae0e7b9b2b7933dd",
	} {
		if got, err := ParseID(text); got != want || err != nil {
			t.Errorf("%s: got %s, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "1", "members", "555e1a89-5d7d-4daf-ae0e-7b9b2b7933d", "555e1a89-5d7d-4daf-ae0e-7b9b2b7933dg",
		"(555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd)", "urn:uuid:555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd", "URN:UUID:555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd",
		"555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd ", "555e1a89.5d7d.4daf.ae0e.7b9b2b7933dd",
	} {
		if got, err := ParseID(text); err == nil {
			t.Errorf("%q: got %s, want an error", text, got)
		}
	}
}

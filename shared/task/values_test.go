package task

import "testing"

// The hash is stored with every run that has an idempotency key: another version of the program must
// come to the same one. Only what came with the request counts.
func TestHashOfValues(t *testing.T) {
	for name, c := range map[string]struct {
		values Values
		want   string
	}{
		"none": {nil, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		"all from elsewhere": {
			Values{"a": {Values: []string{"x"}, From: FromTask}, "b": {From: FromSource}},
			"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		},
		"some": {
			Values{
				"LastName": {Values: []string{"Lee"}, From: FromRequest}, "FirstName": {Values: []string{"Zoë"}, From: FromRequest},
				"Types": {Values: []string{"M", "", "NM"}, Multiple: true, From: FromRequest}, "Since": {From: FromRequest},
				"Status": {Values: []string{"A"}, From: FromTask},
			},
			"45ff9affae6ea82ee34794f51565524426d744db0f29c16fe3d7c340b7daf363",
		},
	} {
		if got := c.values.Hash(); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func BenchmarkHash(b *testing.B) {
	values := Values{"FirstName": {Values: []string{"Ann"}, From: FromRequest}, "LastName": {Values: []string{"Lee"}, From: FromRequest}}
	b.ReportAllocs()
	for b.Loop() {
		_ = values.Hash()
	}
}

package nearest_test

import (
	"testing"

	"runhook/shared/nearest"
)

func TestName(t *testing.T) {
	names := []string{"FirstName", "LastName", "ID", "Email"}
	for name, want := range map[string]string{
		"FristName": "FirstName",
		"lastname":  "LastName",
		"Emial":     "Email",
		"IDx":       "ID",
		"Nmae":      "",
		"id":        "ID",
		"IX":        "",
		"Telephone": "",
		"":          "",
	} {
		if got := nearest.Name(name, names); got != want {
			t.Errorf("Name(%q) = %q, want %q", name, got, want)
		}
	}
	if got := nearest.Hint("Emal", names); got != "; did you mean Email?" {
		t.Errorf("Hint = %q", got)
	}
	if got := nearest.Hint("Telephone", names); got != "" {
		t.Errorf("Hint = %q", got)
	}
}

package run_test

import (
	"slices"
	"testing"

	"runhook/shared/run"
)

func TestWarnings(t *testing.T) {
	for want, warnings := range map[string][]string{
		"3 rows processed": nil,
		"3 rows processed. Warning: a date has two digits. Warning: a column has no name": {"a date has two digits", "a column has no name"},
	} {
		doc := run.Document{Message: run.WithWarnings("3 rows processed", warnings)}
		if got := doc.Warnings(); doc.Message != want || !slices.Equal(got, warnings) {
			t.Errorf("got %q with %q, want %q", doc.Message, got, want)
		}
	}
	if got := run.WithWarnings("Stopped.", nil); got != "Stopped." {
		t.Errorf("got %q", got)
	}
	if got := run.WithWarnings("Stopped.", []string{"a date has two digits"}); got != "Stopped. Warning: a date has two digits" {
		t.Errorf("got %q", got)
	}
}

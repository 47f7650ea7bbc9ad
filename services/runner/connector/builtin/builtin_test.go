package builtin_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// Each folder of a kind asserts that it keeps the contract, has its line in the table, and passes the
// suite.
func TestEveryKindPassesTheSuite(t *testing.T) {
	files, err := filepath.Glob("../*/kind.go")
	if err != nil || len(files) < 6 {
		t.Fatalf("found %v, %v", files, err)
	}
	table := read(t, "builtin.go")
	for _, file := range files {
		folder := filepath.Dir(file)
		kind, tests := read(t, file), read(t, filepath.Join(folder, "contract_test.go"))
		source, destination := says(kind, `connector\.Source += \(\*`), says(kind, `connector\.(Destination|Ledger) += \(\*`)
		if !source && !destination {
			t.Errorf("%s asserts neither a Source nor a Destination", file)
		}
		if source && !says(tests, `connectortest\.Source\(`) || destination && !says(tests, `connectortest\.Destination\(`) {
			t.Errorf("%s: the suite is not called for all that the kind is", folder)
		}
		if !says(table, `\b`+filepath.Base(folder)+`\.`) {
			t.Errorf("%s has no line in the table", folder)
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

func says(text, what string) bool { return regexp.MustCompile(what).MatchString(text) }

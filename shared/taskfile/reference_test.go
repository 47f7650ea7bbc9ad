package taskfile

import (
	"bytes"
	"os"
	"testing"
)

// TestReferencePage holds the page for authors against the table of fields.
func TestReferencePage(t *testing.T) {
	page, err := os.ReadFile("../../deploy/docs/fields.md")
	if err != nil || !bytes.Equal(page, Reference()) {
		t.Errorf("deploy/docs/fields.md is not what the tables of fields say (%v); write it anew: go run ./cmd/runhook task fields > deploy/docs/fields.md", err)
	}
}

// TestEveryFieldIsExplained looks for fields without words in the page and in the schema.
func TestEveryFieldIsExplained(t *testing.T) {
	page := string(Reference())
	var check func(path string, table []field)
	check = func(path string, table []field) {
		for _, f := range table {
			row := "| `" + f.name + "` |"
			if f.required {
				row = "| **`" + f.name + "`** |"
			}
			if !f.later && (f.meaning == "" || !bytes.Contains([]byte(page), []byte(row))) {
				t.Errorf("%s is not explained", join(path, f.name))
			}
			check(join(path, f.name), f.fields)
		}
	}
	check("", taskFields)
}

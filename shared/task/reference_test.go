package task

import (
	"bytes"
	"os"
	"testing"
)

// TestReferencePage holds the page for authors against the table of fields.
func TestReferencePage(t *testing.T) {
	page, err := os.ReadFile("FIELDS.md")
	if err != nil || !bytes.Equal(page, Reference()) {
		t.Errorf("FIELDS.md is not what the table of fields says (%v); write it anew: go run ./cmd/runhook task fields > shared/task/FIELDS.md", err)
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

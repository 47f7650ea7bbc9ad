package main

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

// asking is code that asks which kind a source or destination is.
var asking = regexp.MustCompile(`(?:\.\(|\bcase )\*(?:task\.)?(?:CSV|SQL|HTTP|IMIS|NATS)(?:Source|Destination)\b` +
	`|(?:[=!]=|\bcase) (?:task\.)?(?:CSV|SQL|HTTP|IMIS|NATS)\b`)

// asks finds the lines of a Go file that ask which kind a source or destination is. A kind's own room
// may: its connector, and its file of how it is written.
func asks(file, text string) (lines []string) {
	folder := path.Dir(file)
	if path.Dir(folder) == "services/runner/connector" || folder == "shared/taskfile" || strings.HasSuffix(file, "_test.go") {
		return nil
	}
	for line := range strings.Lines(text) {
		if asking.MatchString(line) {
			lines = append(lines, file+": "+strings.TrimSpace(line))
		}
	}
	return lines
}

// A kind is one folder and one file: nothing else asks which one it has.
func TestNobodyAsksForTheKind(t *testing.T) {
	tree, files := os.DirFS("../.."), 0
	err := fs.WalkDir(tree, ".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil || path.Ext(name) != ".go" {
			return err
		}
		files++
		text, err := fs.ReadFile(tree, name)
		for _, line := range asks(name, string(text)) {
			t.Errorf("%s: the kind's own type says it, through task.Source or task.Destination", line)
		}
		return err
	})
	if err != nil || files < 100 {
		t.Errorf("%d files read: %v", files, err)
	}
}

// The rule catches what it forbids.
func TestAskingIsCaught(t *testing.T) {
	for _, c := range []struct {
		file, line string
		caught     bool
	}{
		{"services/runner/pipeline/writer.go", "if to, ok := job.Task.Destination.(*task.SQLDestination); ok {", true},
		{"services/runner/rejected.go", "case *task.CSVSource:", true},
		{"services/runner/rejected.go", "case *task.SQLSource, *task.CSVSource:", true},
		{"services/status/memory.go", "if def.Source.Name() == task.IMIS {", true},
		{"services/status/memory.go", "case task.IMIS:", true},
		{"shared/task/interruption.go", "_, ok := d.Source.(*CSVSource)", true},
		{"shared/task/interruption.go", "if d.Source.Name() != CSV {", true},
		{"shared/task/kind_csv.go", "func (*CSVSource) Name() Kind { return CSV }", false},
		{"services/runner/connector/connector.go", "case *task.CSVSource:", true},
		{"services/runner/connector/csvfile/kind.go", "from := job.Task.Source.(*task.CSVSource)", false},
		{"services/runner/connector/csvfile/source.go", "func Open(connections *connection.Set, from *task.CSVSource) (*Source, error) {", false},
		{"shared/taskfile/csv.go", "from, ok := def.Source.(*task.CSVSource)", false},
		{"services/runner/draft/draft.go", "d.Source = &task.SQLSource{Connection: name}", false},
	} {
		if lines := asks(c.file, c.line+"\n"); (len(lines) > 0) != c.caught {
			t.Errorf("%s: %s: %v", c.file, c.line, lines)
		}
	}
}

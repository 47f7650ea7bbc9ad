//go:build !bench

package main

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/alecthomas/kong"

	"runhook/shared/taskfile"
)

const (
	// columns is the longest line of a document. Tables, code and lines that are one link may
	// be longer.
	columns = 100
	// guides is the folder of the guides, each of which the README links.
	guides = "deploy/docs"
)

// longest is the length of a document's prose: words outside code blocks, those of tables and of inline code
// included.
var longest = map[string]int{
	"README.md": 1300, "deploy/docs/callers.md": 1500, "deploy/docs/flows.md": 1500, "deploy/docs/integrations.md": 1500,
}

// documents are the Markdown files of a tree, by path.
type documents struct {
	text map[string]string
	// there reports whether the tree has a file or folder.
	there func(path string) bool
}

// A document's line fits a screen, its links lead somewhere, the README is short and has every guide,
// and the commands and tasks that are shown are accepted.
func TestDocuments(t *testing.T) {
	t.Parallel()
	docs := documents{text: map[string]string{}, there: func(path string) bool {
		_, err := os.Stat(filepath.Join("../..", filepath.FromSlash(path)))
		return err == nil
	}}
	tree := os.DirFS("../..")
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "node_modules" || len(name) > 1 && strings.HasPrefix(entry.Name(), ".")):
			return fs.SkipDir
		case path.Ext(name) == ".md":
			text, err := fs.ReadFile(tree, name)
			docs.text[name] = string(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(docs.text) < 10 || docs.text["README.md"] == "" {
		t.Errorf("only %d documents were found", len(docs.text))
	}
	for _, fault := range docs.faults() {
		t.Error(fault)
	}
}

// Each check finds what it is for.
func TestDocumentChecksFind(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("word ", 30)
	for _, example := range []struct{ name, readme, guide, want string }{
		{"nothing", "# A\n\nSee [the guide](deploy/docs/g.md#two-words), [code](cmd/main.go) and [here](#a).\n", "# G\n\n## Two `words`!\n", ""},
		{"a long line", "[g](deploy/docs/g.md)\n\n" + long, "", "README.md:3: 149 columns, and 100 are allowed"},
		{"what may be long", "[g](deploy/docs/g.md)\n\n| " + long + "|\n\n```\n" + long + "\n```\n\n- [" + long + "](https://example.org)\n", "", ""},
		{"no such file", "[g](deploy/docs/g.md) and [x](deploy/docs/x.md)", "", "README.md: deploy/docs/x.md leads nowhere"},
		{"no such file beside it", "[g](deploy/docs/g.md)", "[x](x.md)", "deploy/docs/g.md: x.md leads nowhere"},
		{"no such heading", "[g](deploy/docs/g.md#three)", "# Two", "README.md: deploy/docs/g.md#three leads nowhere"},
		{"a heading of code", "[g](deploy/docs/g.md#two)", "```\n# Two\n```", "README.md: deploy/docs/g.md#two leads nowhere"},
		{"the second of two headings", "[g](deploy/docs/g.md#two-1)", "# Two\n\n# Two", ""},
		{"a heading of its own", "[g](deploy/docs/g.md) [b](#b)", "", "README.md: #b leads nowhere"},
		{"a link in code", "[g](deploy/docs/g.md) `[x](x.md)`\n\n```\n[y](y.md)\n```", "", ""},
		{"a guide that is not linked", "# A", "", "deploy/docs/g.md is not linked from README.md"},
		{"a long README", "[g](deploy/docs/g.md)\n\n" + strings.Repeat("Two words\n", 651), "", "README.md: 1303 words of prose, and 1300 are allowed"},
		{"a long README of code", "[g](deploy/docs/g.md)\n```\n" + strings.Repeat("Two words\n", 651) + "```\n", "", ""},
		{"a command", "[g](deploy/docs/g.md)\n```sh\nrunhook task new --from-csv a.csv --to 'db.a b' > x &   # a task\n```\n", "", ""},
		{"no such task", "[g](deploy/docs/g.md)", "```sh\nrunhook task show people\nrunhook task show\n```", "deploy/docs/g.md: runhook task show: expected \"<task>\""},
		{"no such flag", "[g](deploy/docs/g.md)", "```sh\nrunhook serve --nosuch\n```", "deploy/docs/g.md: runhook serve --nosuch: unknown flag --nosuch"},
		{"a task with a mistake", "[g](deploy/docs/g.md)", "```yaml\nid: 555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd\nname: T\nsource: {sql: {connection: a, query: select 1}}\nmapping: {id: id}\n```", "deploy/docs/g.md: task.yaml:1: destination is missing: where the rows go"},
	} {
		files := map[string]string{"README.md": example.readme, "deploy/docs/g.md": example.guide}
		docs := documents{text: files, there: func(path string) bool {
			return files[path] != "" || path == "deploy/docs/g.md" || path == "cmd/main.go"
		}}
		if got := strings.Join(docs.faults(), "\n"); got != example.want {
			t.Errorf("%s: found %q instead of %q", example.name, got, example.want)
		}
	}
}

// faults lists what is wrong in the documents.
func (d documents) faults() (faults []string) {
	linked := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(d.text)) {
		text := d.text[name]
		faults = append(faults, longLines(name, text)...)
		for _, command := range commandsOf(text) {
			if err := parses(command); err != nil {
				faults = append(faults, fmt.Sprintf("%s: %s: %v", name, command, err))
			}
		}
		for _, example := range tasks.FindAllStringSubmatch(text, -1) {
			if _, err := taskfile.Parse([]byte(example[1]), "task.yaml"); err != nil {
				faults = append(faults, fmt.Sprintf("%s: %v", name, err))
			}
		}
		for _, link := range linksOf(text) {
			file, anchor, anchored := strings.Cut(link, "#")
			to := name
			if file != "" {
				to = path.Join(path.Dir(name), file)
			}
			if !d.there(to) || anchored && !slices.Contains(anchorsOf(d.text[to]), anchor) {
				faults = append(faults, fmt.Sprintf("%s: %s leads nowhere", name, link))
			}
			if name == "README.md" {
				linked[to] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.text)) {
		if path.Dir(name) == guides && !linked[name] {
			faults = append(faults, name+" is not linked from README.md")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(longest)) {
		if words := wordsOf(d.text[name]); words > longest[name] {
			faults = append(faults, fmt.Sprintf("%s: %d words of prose, and %d are allowed", name, words, longest[name]))
		}
	}
	return faults
}

var (
	fence  = regexp.MustCompile("(?ms)^ *```.*?^ *```[^\n]*$")
	inline = regexp.MustCompile("`[^`]*`")
	remark = regexp.MustCompile(`(?s)<!--.*?-->`)
	link   = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	scheme = regexp.MustCompile(`^[a-z][a-z0-9+.-]*:`)
	tasks  = regexp.MustCompile("(?s)```yaml\n(id: .*?)```")
	lone   = regexp.MustCompile(`^\W*(\[[^\]]*\]\([^)]*\)|https?://\S+)\W*$`)
)

// longLines finds the lines that are wider than a screen.
func longLines(name, text string) (faults []string) {
	code := false
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimRight(line, " ")
		start := strings.TrimLeft(line, " ")
		if strings.HasPrefix(start, "```") {
			code = !code
		}
		width := utf8.RuneCountInString(line)
		if code || strings.HasPrefix(start, "|") || width <= columns || lone.MatchString(line) {
			continue
		}
		faults = append(faults, fmt.Sprintf("%s:%d: %d columns, and %d are allowed", name, i+1, width, columns))
	}
	return faults
}

// linksOf returns where a document leads within the tree.
func linksOf(text string) (links []string) {
	text = inline.ReplaceAllString(fence.ReplaceAllString(text, ""), "")
	for _, found := range link.FindAllStringSubmatch(text, -1) {
		if !scheme.MatchString(found[1]) {
			links = append(links, found[1])
		}
	}
	return links
}

// anchorsOf returns the names that GitHub gives to the headings of a document.
func anchorsOf(text string) (anchors []string) {
	seen := map[string]int{}
	for line := range strings.Lines(fence.ReplaceAllString(text, "")) {
		hashes, title, found := strings.Cut(strings.TrimSpace(line), " ")
		if !found || strings.Trim(hashes, "#") != "" {
			continue
		}
		anchor := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, link.ReplaceAllString(title, ""))
		if seen[anchor]++; seen[anchor] > 1 {
			anchor = fmt.Sprintf("%s-%d", anchor, seen[anchor]-1)
		}
		anchors = append(anchors, anchor)
	}
	return anchors
}

// wordsOf counts the words of a document's prose.
func wordsOf(text string) (words int) {
	text = remark.ReplaceAllString(fence.ReplaceAllString(text, ""), "")
	for word := range strings.FieldsSeq(link.ReplaceAllString(text, "]")) {
		if strings.ContainsFunc(word, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) {
			words++
		}
	}
	return words
}

// commandsOf returns the lines of a document's code blocks that start this program.
func commandsOf(text string) (commands []string) {
	for _, block := range fence.FindAllString(text, -1) {
		for _, line := range regexp.MustCompile(`(?m)^(?:\$ )?(runhook .*)$`).FindAllStringSubmatch(block, -1) {
			if end := regexp.MustCompile(` [#>|&]`).FindStringIndex(line[1]); end != nil {
				line[1] = line[1][:end[0]]
			}
			commands = append(commands, strings.TrimRight(line[1], " "))
		}
	}
	return commands
}

// commandLine reads command lines, one at a time.
var (
	commandLine = sync.OnceValues(func() (*kong.Kong, error) {
		return kong.New(&grammar{}, append(numbers, kong.Name("runhook"), kong.Exit(func(int) {}))...)
	})
	reading sync.Mutex
)

// parses reports what is wrong with a command line of this program.
func parses(command string) error {
	reading.Lock()
	defer reading.Unlock()
	parser, err := commandLine()
	if err != nil {
		return err
	}
	// Nothing is left of the line before.
	if err := kong.Visit(parser.Model, func(node kong.Visitable, next kong.Next) error {
		switch node := node.(type) {
		case *kong.Node:
			node.Active = false
		case *kong.Value:
			node.Active, node.Set = false, false
		}
		return next(nil)
	}); err != nil {
		return err
	}
	var args []string
	for _, word := range regexp.MustCompile(`'[^']*'|"[^"]*"|[^\s'"]+`).FindAllString(command, -1) {
		args = append(args, strings.Trim(word, `'"`))
	}
	_, err = parser.Parse(args[1:])
	return err
}

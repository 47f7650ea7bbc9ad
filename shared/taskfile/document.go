package taskfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// maxFileBytes bounds a task file. A definition travels in one NATS message, whose usual limit is 1 MiB.
const maxFileBytes = 256 << 10

// readDocument reads the text of a task file as one plain YAML mapping. What it returns has no
// aliases, no merges and no tags, so that what a reader sees in the file is what the task says.
// When there is a problem it is reported, and the node is nil.
func (r *reader) readDocument(data []byte) *yaml.Node {
	if len(data) > maxFileBytes {
		r.report(1, "the file has %d bytes; a task file may have %d", len(data), maxFileBytes)
		return nil
	}
	if line, message := unreadable(data); message != "" {
		r.report(line, "%s", message)
		return nil
	}
	loader, err := yaml.NewLoader(bytes.NewReader(data))
	if err != nil {
		r.report(1, "not readable as YAML: %v", err)
		return nil
	}
	var document yaml.Node
	switch err := loader.Load(&document); {
	case errors.Is(err, io.EOF):
		r.report(1, "the file is empty; `runhook task new` makes one to start from")
		return nil
	case err != nil:
		r.reportSyntax(data, err)
		return nil
	}
	var second yaml.Node
	switch err := loader.Load(&second); {
	case err == nil:
		r.report(second.Line, "a second document begins here; one file holds one task")
		return nil
	case !errors.Is(err, io.EOF):
		r.reportSyntax(data, err)
		return nil
	}
	root := document.Content[0]
	if root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null" {
		r.report(root.Line, "the file is empty; `runhook task new` makes one to start from")
		return nil
	}
	if root.Kind != yaml.MappingNode {
		r.report(root.Line, "the file must be a mapping of fields, like name: My task")
		return nil
	}
	if !r.plain(root) {
		return nil
	}
	return root
}

// unreadable finds what YAML's own reader would refuse without saying where.
func unreadable(data []byte) (line int, message string) {
	line = 1
	for rest := data; len(rest) > 0; {
		letter, size := utf8.DecodeRune(rest)
		switch {
		case letter == utf8.RuneError && size == 1:
			return line, "the text is not UTF-8; save the file as UTF-8"
		case letter == '\n':
			line++
		case letter < ' ' && letter != '\t' && letter != '\r', letter == 0x7f:
			return line, "the file holds a control character; remove it, or write it as an escape in double quotes"
		case letter == '\ufeff' && len(rest) != len(data):
			return line, "a byte order mark stands inside the text; remove it"
		}
		rest = rest[size:]
	}
	return 0, ""
}

// plain reports the first anchor, alias, merge or tag below the node and whether there is none.
// They could make a small file large or change what a value is, and a task has no need of them.
func (r *reader) plain(node *yaml.Node) bool {
	switch {
	case node.Kind == yaml.AliasNode:
		r.report(node.Line, "aliases are not allowed; write the value out, or put quotes around text that begins with *")
		return false
	case node.Anchor != "":
		r.report(node.Line, "anchors are not allowed; put quotes around text that begins with &")
		return false
	case node.Kind == yaml.ScalarNode && node.ShortTag() == "!!merge":
		r.report(node.Line, "merges (<<) are not allowed; write the fields out")
		return false
	case node.Style&yaml.TaggedStyle != 0:
		r.report(node.Line, "tags are not allowed; put quotes around text that begins with !")
		return false
	}
	for _, child := range node.Content {
		if !r.plain(child) {
			return false
		}
	}
	return true
}

// reportSyntax reports what the YAML library says, at the line where the author has to look, with
// a hint for the mistakes that expressions invite.
func (r *reader) reportSyntax(data []byte, err error) {
	fault, ok := errors.AsType[*yaml.LoadError](err)
	if !ok {
		r.report(1, "not readable as YAML: %v", err)
		return
	}
	lines := strings.Split(string(data), "\n")
	mark, began := fault.Mark, fault.ContextMark
	if mark.Line == 0 || mark.Line > r.lastLine && began.Line > 0 {
		mark = began // something begun there has no end
	}
	message := "not readable as YAML: " + fault.Message
	if fault.ContextMsg != "" {
		message += " " + fault.ContextMsg
	}
	if hint := bracketHint(lines, began, fault.Mark); hint != "" {
		message += "; " + hint
	} else if hint := syntaxHint(before(lines, fault.Mark), at(lines, fault.Mark), at(lines, began)); hint != "" {
		message += "; " + hint
	}
	r.report(mark.Line, "%s", message)
}

// bracketed is a line with a value that begins as YAML's own lists and mappings do.
var bracketed = regexp.MustCompile(`^\s*(?:- )?([^\s:#][^:]*): +([{[].*?)\s*$`)

// bracketHint says what to do about a value that begins as a list or a mapping of YAML and goes on behind it.
// The fault is seen where the value begins, or behind what YAML takes it for.
func bracketHint(lines []string, marks ...yaml.Mark) string {
	for _, mark := range marks {
		found := bracketed.FindStringSubmatch(lineOf(lines, mark))
		if found == nil || !goesOn(found[2]) {
			continue
		}
		return fmt.Sprintf("put a value that begins with %c in single quotes as a whole, as in %s: '%s'", found[2][0], found[1], strings.ReplaceAll(found[2], "'", "''"))
	}
	return ""
}

// goesOn reports whether a value goes on behind the bracket that closes its first one.
func goesOn(value string) bool {
	depth, quote := 0, rune(0)
	for at, letter := range value {
		switch {
		case quote != 0:
			if letter == quote {
				quote = 0
			}
		case letter == '"' || letter == '\'':
			quote = letter
		case letter == '{' || letter == '[':
			depth++
		case letter == '}' || letter == ']':
			if depth--; depth == 0 {
				rest := strings.TrimSpace(value[at+1:])
				return rest != "" && rest[0] != '#'
			}
		}
	}
	return false
}

// syntaxHint guesses what the author meant from the text before the fault, the character at it,
// and the character where the construct begins that could not be read.
func syntaxHint(before string, fault, began byte) string {
	before = strings.TrimSpace(before)
	switch {
	case fault == '\t':
		return "a tab cannot indent; use spaces"
	case fault != 0 && began != fault && before == "":
		return "look at the indentation of this line and of those above"
	case fault == ':' || fault == '?':
		return "put text that contains a colon or a question mark in single quotes, as in full_name: 'A ? \"x\" : \"y\"'"
	case strings.HasSuffix(before, `"`) || strings.HasSuffix(before, "'"):
		return "put an expression that begins with a quote in quotes as a whole, as in full_name: '\"Mr \" + LastName'"
	case fault == '-':
		return "begin a list on a line of its own, and put text that begins with - in quotes"
	case strings.IndexByte("*&|>@%`", fault) >= 0:
		return "put text that begins with " + string(fault) + " in quotes"
	case strings.IndexByte("*&|>@%`", began) >= 0:
		return "put text that begins with " + string(began) + " in quotes"
	}
	return ""
}

// at is the character at a mark, 0 where there is none.
func at(lines []string, mark yaml.Mark) byte {
	if rest := strings.TrimPrefix(lineOf(lines, mark), before(lines, mark)); rest != "" {
		return rest[0]
	}
	return 0
}

// before is the text of the mark's line that stands before it.
func before(lines []string, mark yaml.Mark) string {
	letters := []rune(lineOf(lines, mark))
	return string(letters[:max(0, min(mark.Column-1, len(letters)))])
}

func lineOf(lines []string, mark yaml.Mark) string {
	if mark.Line < 1 || mark.Line > len(lines) {
		return ""
	}
	return lines[mark.Line-1]
}

package taskfile

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"runhook/shared/task"
)

// The edits of a task file change its text where the field stands, so that comments, order and
// formatting survive. Each reads its result back, and fails rather than change anything else.

// ErrNotEditable is the error of a file that is written in a way that no edit fits into.
var ErrNotEditable = errors.New("the file is written in a way that cannot be edited without changing more of it; edit it by hand")

// SetEnabled returns the text of a task file with enabled as given: the one line changed that has
// the field, or one line added. A file that says so already is returned as it is.
func SetEnabled(text []byte, enabled bool) ([]byte, error) {
	def, err := Parse(text, "the task file")
	if err != nil || def.Enabled == enabled {
		return text, err
	}
	e, err := newEditor(text)
	if err != nil {
		return nil, err
	}
	word := fmt.Sprint(enabled)
	var tries []replacement
	if value := e.value("enabled"); value != nil {
		tries = append(tries, e.scalar(value, word))
	} else {
		tries = e.newField("name", "enabled: "+word, `"enabled": `+word)
	}
	return e.try(tries, func(now *task.Definition) bool { return now.Enabled == enabled }, "enabled")
}

// Rotate returns the text of a task file with another id of its webhook, and the present one among the former ones
// until the moment given, which is written to the second. The task's own id stays.
func Rotate(text []byte, to task.ID, until time.Time) ([]byte, error) {
	def, err := Parse(text, "the task file")
	if err != nil {
		return nil, err
	}
	if len(def.Webhook.Former) >= maxFormerIDs {
		return nil, fmt.Errorf("the webhook has %d former ids already; remove those from webhook.former that nobody uses", maxFormerIDs)
	}
	until = until.UTC().Truncate(time.Second)
	e, err := newEditor(text)
	if err != nil {
		return nil, err
	}
	present := def.WebhookID()
	entry := fmt.Sprintf("{id: %s, until: %s}", present, formatMoment(until))
	quoted := fmt.Sprintf(`{"id": "%s", "until": "%s"}`, present, formatMoment(until))
	var tries []replacement
	if webhook := e.value("webhook"); webhook != nil {
		_, id := below(webhook, "id")
		way := e.scalar(id, string(to))
		if _, list := below(webhook, "former"); list != nil {
			way = append(way, e.newEntry(list, entry, quoted)...)
		} else {
			way = append(way, e.newMember(webhook, "former", entry, quoted)...)
		}
		tries = append(tries, way)
	} else {
		inside := e.lineEnd + e.indent + "  "
		tries = e.newField("id", "webhook:"+inside+"id: "+string(to)+inside+"former:"+inside+"  - "+entry,
			fmt.Sprintf(`"webhook": {"id": "%s", "former": [%s]}`, to, quoted))
	}
	return e.try(tries, func(now *task.Definition) bool {
		return now.ID == def.ID && now.WebhookID() == to && now.FormerUntil(present).Equal(until) && len(now.Webhook.Former) == len(def.Webhook.Former)+1
	}, "webhook")
}

// formatMoment is the inverse of ParseMoment: a date where the moment is the end of one.
func formatMoment(moment time.Time) string {
	if day := moment.AddDate(0, 0, -1); moment.Equal(moment.Truncate(24 * time.Hour)) {
		return day.Format(time.DateOnly)
	}
	return moment.Format(time.RFC3339)
}

// splice replaces a part of the text.
type splice struct {
	from, to int
	with     string
}

// replacement is one way to make an edit.
type replacement []splice

// editor knows where the fields of a valid task file stand in its text.
type editor struct {
	text []byte
	root *yaml.Node
	// lines are the offsets at which the lines begin.
	lines []int
	// indent is what the fields of the file are indented by, and lineEnd what its lines end with.
	indent, lineEnd string
}

func newEditor(text []byte) (*editor, error) {
	r := newReader(text, "the task file")
	root := r.readDocument(text)
	if root == nil || len(root.Content) == 0 {
		return nil, &Invalid{Problems: r.problems}
	}
	e := &editor{text: text, root: root, lines: []int{0}, lineEnd: "\n"}
	for i, c := range text {
		if c == '\n' {
			e.lines = append(e.lines, i+1)
		}
	}
	if bytes.Contains(text, []byte("\r\n")) {
		e.lineEnd = "\r\n"
	}
	e.indent = strings.Repeat(" ", max(0, root.Content[0].Column-1))
	return e, nil
}

// at is the offset of the place where a node begins, -1 where there is no such place.
func (e *editor) at(node *yaml.Node) int {
	if node.Line < 1 || node.Line > len(e.lines) {
		return -1
	}
	offset := e.lines[node.Line-1]
	if node.Line == 1 && bytes.HasPrefix(e.text, []byte("\ufeff")) {
		offset += len("\ufeff")
	}
	for range node.Column - 1 {
		if offset >= len(e.text) {
			return -1
		}
		_, size := utf8.DecodeRune(e.text[offset:])
		offset += size
	}
	return offset
}

// key returns the position of a field of the file among the root's content, -1 for none.
func (e *editor) key(name string) int {
	for i := 0; i < len(e.root.Content); i += 2 {
		if e.root.Content[i].Value == name {
			return i
		}
	}
	return -1
}

func (e *editor) value(name string) *yaml.Node {
	_, value := below(e.root, name)
	return value
}

// scalar writes another value into a scalar that stands on one line, inside its quotes if it has any.
func (e *editor) scalar(node *yaml.Node, with string) replacement {
	from := e.at(node)
	if from < 0 || from >= len(e.text) {
		return nil
	}
	length := len(node.Value)
	if quote := e.text[from]; quote == '"' || quote == '\'' {
		from++
		length = bytes.IndexByte(e.text[from:], quote)
	}
	if length < 0 || from+length > len(e.text) {
		return nil
	}
	return replacement{{from, from + length, with}}
}

// newField adds a field behind another one that the file has: as lines of its own, or, where the
// file is one flow mapping, as a member in front. The first way leaves comments with the field that
// they stand above.
func (e *editor) newField(behind, lines, member string) []replacement {
	first := e.root.Content[0]
	if e.root.Style&yaml.FlowStyle != 0 {
		offset := e.at(first)
		return []replacement{{{offset, offset, member + ", "}}}
	}
	next := e.key(behind)
	if next+2 < len(e.root.Content) {
		next += 2
	}
	line := e.root.Content[next].Line
	above := line
	for above > 1 && e.standsAlone(above-1) {
		above--
	}
	insert := func(line int) replacement {
		offset := e.at(&yaml.Node{Line: line, Column: 1})
		return replacement{{offset, offset, e.indent + lines + e.lineEnd}}
	}
	return []replacement{insert(above), insert(line)}
}

// standsAlone reports whether a line, from 1, is blank or a comment of the file's own fields.
func (e *editor) standsAlone(line int) bool {
	text := string(e.text[e.lines[line-1]:e.lines[line]])
	trimmed := strings.TrimLeft(text, " ")
	return strings.TrimSpace(text) == "" || trimmed[0] == '#' && len(text)-len(trimmed) <= len(e.indent)
}

// newEntry adds an entry in front of a list's others.
func (e *editor) newEntry(list *yaml.Node, entry, quoted string) replacement {
	offset := e.at(list)
	if offset < 0 {
		return nil
	}
	if list.Style&yaml.FlowStyle == 0 {
		indent := strings.Repeat(" ", list.Column-1)
		return replacement{{offset, offset, "- " + entry + e.lineEnd + indent}}
	}
	if e.root.Style&yaml.FlowStyle != 0 {
		entry = quoted
	}
	if len(list.Content) > 0 {
		entry += ", "
	}
	return replacement{{offset + 1, offset + 1, entry}}
}

// newMember adds a list with one entry in front of a section's other members.
func (e *editor) newMember(section *yaml.Node, name, entry, quoted string) replacement {
	offset := e.at(section.Content[0])
	switch {
	case offset < 0:
		return nil
	case e.root.Style&yaml.FlowStyle != 0:
		return replacement{{offset, offset, fmt.Sprintf("%q: [%s], ", name, quoted)}}
	case section.Style&yaml.FlowStyle != 0:
		return replacement{{offset, offset, name + ": [" + entry + "], "}}
	}
	next := e.lineEnd + strings.Repeat(" ", section.Content[0].Column-1)
	return replacement{{offset, offset, name + ":" + next + "  - " + entry + next}}
}

// try makes the edit in the first way whose result reads as it should: right accepts its definition,
// and nothing but the fields named has changed.
func (e *editor) try(ways []replacement, right func(*task.Definition) bool, fields ...string) ([]byte, error) {
	for _, way := range ways {
		edited, ok := e.apply(way)
		if !ok {
			continue
		}
		now, err := Parse(edited, "the edited task file")
		if err != nil || !right(now) {
			continue
		}
		again, err := newEditor(edited)
		if err == nil && equalTrees(without(e.root, fields), without(again.root, fields)) {
			return edited, nil
		}
	}
	return nil, ErrNotEditable
}

func (e *editor) apply(way replacement) ([]byte, bool) {
	// From the end of the text to its beginning, so that offsets stay what they are.
	slices.SortFunc(way, func(a, b splice) int { return b.from - a.from })
	edited := slices.Clone(e.text)
	for _, s := range way {
		if s.from < 0 || s.to > len(edited) {
			return nil, false
		}
		edited = slices.Replace(edited, s.from, s.to, []byte(s.with)...)
	}
	return edited, len(way) > 0
}

// without is the content of a mapping but for some of its fields.
func without(root *yaml.Node, fields []string) *yaml.Node {
	rest := &yaml.Node{Kind: yaml.MappingNode}
	for i := 0; i < len(root.Content); i += 2 {
		if !slices.Contains(fields, root.Content[i].Value) {
			rest.Content = append(rest.Content, root.Content[i], root.Content[i+1])
		}
	}
	return rest
}

// equalTrees compares what two documents say, wherever it stands.
func equalTrees(a, b *yaml.Node) bool {
	return a.Kind == b.Kind && a.Value == b.Value && (a.Kind != yaml.ScalarNode || a.ShortTag() == b.ShortTag()) &&
		slices.EqualFunc(a.Content, b.Content, equalTrees)
}

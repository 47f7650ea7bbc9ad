package connection

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"runhook/shared/environ"
	"runhook/shared/nearest"
)

// supportedKinds can be used; laterKinds are known, and refused until they are built.
var (
	supportedKinds = []string{sqliteKind, postgresKind, mysqlKind, filesKind, httpKind, imisKind}
	laterKinds     = []string{"sqlserver"}
)

// Problem is one thing wrong with a connections file. It shows names and lines, never a value: any
// value may be a secret.
type Problem struct {
	// Line counts from 1; 0 where the problem is the whole file's.
	Line    int
	Message string
}

// Invalid is what is wrong with a connections file.
type Invalid struct {
	File     string
	Problems []Problem
}

// Error gives a line for each problem: file:line: message.
func (e *Invalid) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = fmt.Sprintf("%s: %s", e.File, p.Message)
		if p.Line > 0 {
			lines[i] = fmt.Sprintf("%s:%d: %s", e.File, p.Line, p.Message)
		}
	}
	return strings.Join(lines, "\n")
}

// Parse reads the text of a connections file. name is the file's path: messages show it, and
// relative paths are relative to its folder. ${NAME} in a value is replaced by that variable of the
// environment, after the YAML is read, so that a value never changes what the file says; $${ is a
// literal ${. The error is an [*Invalid] with every problem of the file.
func Parse(data []byte, name string) (*Set, error) {
	path, _ := filepath.Abs(name) // it fails with the paths of connections
	r := &reader{name: name, set: &Set{file: filepath.Base(name), path: path, connections: map[string]connection{}, free: &free{}, pool: newPool()}}
	r.read(data)
	if len(r.problems) > 0 {
		slices.SortStableFunc(r.problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
		return nil, &Invalid{File: name, Problems: r.problems}
	}
	return r.set, nil
}

// reader reads one connections file and collects what is wrong with it.
type reader struct {
	name     string
	set      *Set
	problems []Problem
}

func (r *reader) report(line int, format string, args ...any) {
	r.problems = append(r.problems, Problem{Line: line, Message: fmt.Sprintf(format, args...)})
}

func (r *reader) read(data []byte) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return
	case err != nil:
		line := 0
		if fault, ok := errors.AsType[*yaml.LoadError](err); ok {
			line = min(fault.Mark.Line, bytes.Count(bytes.TrimRight(data, "\n"), []byte("\n"))+1) // at the end it is one behind
		}
		// The parser's own words may quote the line, and a secret in it.
		r.report(line, "is not valid YAML here; check indentation, quotes and colons, and put quotes around a value with ${NAME}")
		return
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		r.report(0, "has more than one YAML document; keep one, without a line of ---")
		return
	}
	root := document.Content[0]
	if root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null" {
		return
	}
	if root.Kind != yaml.MappingNode {
		r.report(root.Line, "must be a mapping of connections, as in warehouse: {sqlite: ./data/warehouse.db}")
		return
	}
	first := map[string]int{}
	for i := 0; i < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		line, again := first[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode || strings.TrimSpace(key.Value) == "" || key.ShortTag() == "!!merge":
			r.report(key.Line, "a connection's name must be text, and not empty")
		case again:
			r.report(key.Line, "the connection %s is given twice; first on line %d", key.Value, line)
		default:
			first[key.Value] = key.Line
			r.connection(key.Value, value)
		}
	}
}

// connection reads one entry: a mapping of exactly one kind to what that kind needs.
func (r *reader) connection(name string, node *yaml.Node) {
	if node.Kind != yaml.MappingNode || len(node.Content) != 2 || node.Content[0].Kind != yaml.ScalarNode {
		r.report(node.Line, "the connection %s must have exactly one kind, as in %s: {sqlite: ./data/warehouse.db}", name, name)
		return
	}
	kind, value := node.Content[0], node.Content[1]
	switch {
	case slices.Contains(laterKinds, kind.Value):
		r.report(kind.Line, "the connection %s: %s is not supported yet", name, kind.Value)
		return
	case !slices.Contains(supportedKinds, kind.Value):
		hint := nearest.Hint(kind.Value, slices.Concat(supportedKinds, laterKinds))
		hint = cmp.Or(hint, "; the kinds are "+strings.Join(supportedKinds, ", "))
		r.report(kind.Line, "the connection %s has the unknown kind %q%s", name, kind.Value, hint)
		return
	case kind.Value == httpKind:
		r.http(name, value)
		return
	case kind.Value == imisKind:
		r.imis(name, value)
		return
	case kind.Value == postgresKind:
		r.postgres(name, value)
		return
	case kind.Value == mysqlKind:
		r.mysql(name, value)
		return
	case value.Kind != yaml.ScalarNode || value.ShortTag() == "!!null":
		r.report(value.Line, "the connection %s: %s must be a path", name, kind.Value)
		return
	}
	path, ok := r.expand(value)
	if !ok {
		return
	}
	if strings.TrimSpace(path) == "" || strings.ContainsRune(path, 0) {
		r.report(value.Line, "the connection %s: %s must be a path, and not empty", name, kind.Value)
		return
	}
	path, err := absolute(path, r.name)
	if err != nil {
		r.report(value.Line, "the connection %s: the folder of the file is not known; give an absolute path", name)
		return
	}
	r.set.connections[name] = connection{kind: kind.Value, path: path}
}

// section is how a kind of connection with fields is written: must and has say it in messages, where
// example shows it.
type section struct {
	must, has, example string
	required           []string
	read               map[string]func(*yaml.Node)
}

// fields reads the fields of a connection.
func (r *reader) fields(name string, node *yaml.Node, s section) {
	if node.Kind != yaml.MappingNode {
		r.report(node.Line, "the connection %s: %s, as in %s: %s", name, s.must, name, s.example)
		return
	}
	seen := map[string]bool{}
	for i := 0; i < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		read, known := s.read[key.Value]
		switch {
		case seen[key.Value]:
			r.report(key.Line, "the connection %s: %s is given twice", name, key.Value)
		case known:
			read(value)
		default:
			hint := cmp.Or(nearest.Hint(key.Value, slices.Sorted(maps.Keys(s.read))), "; "+s.has)
			r.report(key.Line, "the connection %s has the unknown field %q%s", name, key.Value, hint)
		}
		seen[key.Value] = true
	}
	for _, field := range s.required {
		if !seen[field] {
			r.report(node.Line, "the connection %s: %s is missing, as in %s: %s", name, field, name, s.example)
		}
	}
}

// expand replaces ${NAME} in a scalar by the environment's variables.
func (r *reader) expand(node *yaml.Node) (text string, ok bool) {
	text, faults := environ.Expand(node.Value)
	for _, fault := range faults {
		r.report(node.Line, "%v", fault)
	}
	return text, len(faults) == 0
}

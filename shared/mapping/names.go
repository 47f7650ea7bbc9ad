package mapping

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"

	"runhook/shared/nearest"
	"runhook/shared/wording"
)

// columnPrefix begins the name that a column has in a compiled expression, so that a column called
// date or count does not hide the function.
const columnPrefix = "column "

// resolver replaces the names of an expression by what they stand for.
type resolver struct {
	columns map[string]int
	names   []string
	params  Params
	// repeated are names that several columns have.
	repeated map[string]string
	// lost and advice are those of Columns.
	lost   bool
	advice string
	// unread is that of Columns.
	unread string
	// ofRun: there are no rows, and the columns are the fields of a run.
	ofRun bool
	// texts: every column has texts, or null.
	texts bool
	// closed: there are no columns but these.
	closed bool
	// used collects the columns that the expression reads, by their compiled names.
	used map[string]int
	// valued: the value of a parameter is part of the program; size is that of all such texts.
	valued bool
	size   int
	// locals are the names that the expression declares with let.
	locals map[string]bool
	// unknown are the names that are no columns, each once, and named is the one that err is about.
	unknown []string
	named   string
	// replaced are the calls of our functions, by what they were.
	replaced map[ast.Node]ast.Node
	// cautions are what an author should know of an expression that compiles.
	cautions []string
	// err is the first problem.
	err *file.Error
}

// calls is the pass that comes before the names: it collects what let declares, and tells the calls of
// our functions from columns of the same name.
type calls resolver

func (c *calls) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.VariableDeclaratorNode:
		if c.locals == nil {
			c.locals = map[string]bool{}
		}
		c.locals[n.Name] = true
	case *ast.BuiltinNode:
		c.call(node, n.Name, n.Arguments)
	case *ast.CallNode:
		if callee, ok := n.Callee.(*ast.IdentifierNode); ok {
			c.call(node, callee.Value, n.Arguments)
		}
	}
}

func (c *calls) call(node *ast.Node, name string, arguments []ast.Node) {
	f, ours := functions[name]
	if !ours {
		return
	}
	if before := c.replaced[*node]; before != nil {
		*node = before
		return
	}
	if f.format && len(arguments) > 1 {
		format, ok := arguments[1].(*ast.StringNode)
		if !ok {
			(*resolver)(c).fail(arguments[1], `the format of %s must be a text in quotes, such as "dd.MM.yyyy"`, name)
			return
		}
		layout, err := layoutOf(format.Value)
		if err != nil {
			(*resolver)(c).fail(format, "the format %q %v", format.Value, err)
			return
		}
		ast.Patch(&arguments[1], &ast.StringNode{Value: layout})
		if name == "date" {
			c.hundred(layout, format, arguments[2:])
		}
	}
	call := *node
	callFor(node, functionPrefix+name, arguments...)
	if c.replaced == nil {
		c.replaced = map[ast.Node]ast.Node{}
	}
	c.replaced[call] = *node
}

// hundred looks at what date is told of years of two digits.
func (c *calls) hundred(layout string, format *ast.StringNode, others []ast.Node) {
	short := hasShortYear(layout)
	for _, other := range others {
		first, ok := other.(*ast.IntegerNode)
		switch {
		case !ok:
		case !short:
			(*resolver)(c).fail(other, "date takes a first year only for a format with yy")
			return
		case first.Value < 1 || first.Value > 9900:
			(*resolver)(c).fail(other, "the first year of date must be one like 1930")
			return
		default:
			return
		}
	}
	if short {
		c.cautions = append(c.cautions, fmt.Sprintf(`date reads years of two digits: 69 to 99 mean 1969 to 1999, 00 to 68 mean 2000 to 2068; say which hundred years they are by the first, as in date(…, %q, 1930)`, format.Value))
	}
}

// Visit resolves one node; its children have been visited.
func (r *resolver) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		if n.Value == "$env" {
			r.fail(n, "unknown name $env")
		} else if !r.locals[n.Value] && n.Value != "row" && n.Value != "params" && !isCompiled(n.Value) {
			r.column(node, n.Value)
		}
	case *ast.MemberNode:
		base, ok := n.Node.(*ast.IdentifierNode)
		property, constant := n.Property.(*ast.StringNode)
		switch {
		case !ok || r.locals[base.Value]:
		case base.Value == "row" && constant:
			r.column(node, property.Value)
		case base.Value == "params" && constant:
			r.param(node, property.Value)
		}
	case *ast.CallNode:
		if callee, ok := n.Callee.(*ast.IdentifierNode); ok {
			name, ok := strings.CutPrefix(callee.Value, columnPrefix)
			if _, ours := functions[name]; ok && !ours { // what is wrong with a call of ours is said already
				r.unknown = slices.DeleteFunc(r.unknown, func(unknown string) bool { return unknown == name })
				r.named = ""
				hint := nearest.Hint(name, functionNames)
				if habit := habits[strings.ToLower(name)]; habit != "" {
					hint = "; here " + habit
				}
				r.failFirst(callee, "unknown function %s%s", name, hint)
			}
		}
	}
}

// isCompiled is true for a name that has been resolved: a part of 1 < x < 9 and of x ?: y stands in the tree twice.
func isCompiled(name string) bool {
	return strings.HasPrefix(name, functionPrefix) || strings.HasPrefix(name, columnPrefix)
}

func (r *resolver) column(node *ast.Node, name string) {
	i, known := r.columns[name]
	if alike := r.alike(name); !known && alike != "" {
		name = alike
		i, known = r.columns[name]
	}
	// An unknown one goes on under its name, so that a call of it can be told from a column.
	ast.Patch(node, &ast.IdentifierNode{Value: columnPrefix + name})
	if r.closed && !known {
		if !slices.Contains(r.unknown, name) {
			r.unknown = append(r.unknown, name)
		}
		if r.err == nil {
			r.named = name
		}
		if places, twice := r.repeated[name]; twice {
			r.fail(*node, "the source has the name %s more than once, in %s; rename all but one of them", wording.Name(name), places)
		}
		r.fail(*node, "unknown column %s%s", wording.Name(name), cmp.Or(r.near(name), r.columnsThatAre(name)))
	}
	if r.used != nil && known {
		r.used[columnPrefix+name] = i
	}
}

// alike is the one column whose name looks like a name, "" if there are none or several: one of the two
// has a space that does not break, or letters that nobody sees.
func (r *resolver) alike(name string) (alike string) {
	if !r.closed {
		return ""
	}
	for _, candidate := range r.names {
		if wording.Seen(candidate) != wording.Seen(name) {
			continue
		}
		if alike != "" {
			return ""
		}
		alike = candidate
	}
	return alike
}

// others goes on after an error that names the first unknown column, where there are more.
func (r *resolver) others() string {
	var more []string
	for _, name := range r.unknown {
		if name == r.named {
			continue
		}
		shown := wording.Name(name)
		if near := nearest.Name(name, r.names); near != "" {
			shown += " (" + wording.Name(near) + "?)"
		}
		more = append(more, shown)
	}
	if len(more) == 0 {
		return ""
	}
	return "\nUnknown too: " + strings.Join(more, ", ") + "."
}

// near goes on where a column has a similar name, or null is meant. The one name of a table that is read with the wrong
// delimiter is similar to many.
func (r *resolver) near(name string) string {
	switch {
	case strings.EqualFold(name, "null"):
		return "; null is written nil"
	case r.lost && len(r.names) == 1:
		return ""
	}
	return nearest.Hint(name, r.names)
}

// columnsThatAre goes on where no column's name is near. What is meant may be a text, unless the task names
// no column at all.
func (r *resolver) columnsThatAre(name string) string {
	const most = 12
	names, more := make([]string, len(r.names)), ""
	for i, n := range r.names {
		names[i] = wording.Name(n)
	}
	if len(names) > most {
		more = fmt.Sprintf(" and %d more", len(names)-most)
		names = names[:most]
	}
	has := fmt.Sprintf("; the source has %s%s", strings.Join(names, ", "), more)
	switch {
	case r.unread != "":
		return has + ", and " + r.unread
	case !r.lost:
		return fmt.Sprintf("%s. A text, the same in each row, stands in quotes, and in a task file in two kinds of them: '\"%s\"'", has, name)
	case r.advice != "":
		return has + "; " + r.advice
	}
	return has
}

func (r *resolver) param(node *ast.Node, name string) {
	value, known := r.params[name]
	r.valued = true
	switch {
	case !known && len(r.params) == 0:
		r.fail(*node, "unknown parameter %s; the task has none", name)
	case !known:
		r.fail(*node, "unknown parameter %s%s", name, nearest.Hint(name, slices.Collect(maps.Keys(r.params))))
	case value == nil:
		ast.Patch(node, &ast.IdentifierNode{Value: columnPrefix + "of unknown type"})
	default:
		switch value := value.(type) {
		case string:
			r.size += len(value)
		case []string:
			for _, text := range value {
				r.size += valueSize + len(text)
			}
		}
		// A constant that the compiler does not look into: its messages must not show the value.
		ast.Patch(node, &ast.ConstantNode{Value: value})
	}
}

func (r *resolver) fail(node ast.Node, format string, args ...any) {
	if r.err == nil {
		r.failFirst(node, format, args...)
	}
}

// failFirst replaces an earlier problem, where that was a consequence.
func (r *resolver) failFirst(node ast.Node, format string, args ...any) {
	r.err = &file.Error{Location: node.Location(), Message: fmt.Sprintf(format, args...)}
}

// leftovers is the pass that refuses row and params where they are not followed by one name.
type leftovers resolver

func (l *leftovers) Visit(node *ast.Node) {
	if n, ok := (*node).(*ast.IdentifierNode); ok && !l.locals[n.Value] {
		switch n.Value {
		case "row":
			(*resolver)(l).fail(n, `row must be followed by a column's name, as in row["Member Type"]`)
		case "params":
			(*resolver)(l).fail(n, "params must be followed by a parameter's name, as in params.FirstName")
		}
	}
}

// isName reports whether a column's name can stand in an expression as it is.
func isName(name string) bool {
	for i, letter := range name {
		if letter != '_' && !unicode.IsLetter(letter) && (i == 0 || !unicode.IsDigit(letter)) {
			return false
		}
	}
	return name != ""
}

package mapping

import (
	"strings"

	"github.com/expr-lang/expr/ast"

	"runhook/shared/nearest"
	"runhook/shared/wording"
)

// ofParameters begins the names of the fields of a run that are its parameters.
const ofParameters = "Parameters."

// NewRunScope returns the scope of expressions over a run that has ended, instead of over rows. run.X is the cell of the
// field X, and run.Parameters.X that of the field "Parameters.X".
func NewRunScope(fields []string) *Scope {
	s := NewScope(Columns{Names: fields}, nil)
	s.ofRun, s.signature = true, "run "+s.signature
	return s
}

// runFields is the pass that replaces run.X by the cell of the field X. It comes before the names.
type runFields resolver

func (f *runFields) Visit(node *ast.Node) {
	n, ok := (*node).(*ast.MemberNode)
	if !ok {
		return
	}
	property, ok := n.Property.(*ast.StringNode)
	if !ok {
		return
	}
	switch base := n.Node.(type) {
	case *ast.IdentifierNode:
		if base.Value == "run" && !f.locals["run"] && property.Value != strings.TrimSuffix(ofParameters, ".") {
			f.field(node, property.Value)
		}
	case *ast.MemberNode:
		run, isName := base.Node.(*ast.IdentifierNode)
		of, isText := base.Property.(*ast.StringNode)
		if isName && isText && run.Value == "run" && !f.locals["run"] && of.Value+"." == ofParameters {
			f.field(node, ofParameters+property.Value)
		}
	}
}

func (f *runFields) field(node *ast.Node, name string) {
	r := (*resolver)(f)
	at, known := r.columns[name]
	parameter, isParameter := strings.CutPrefix(name, ofParameters)
	switch {
	case known:
		if r.used != nil {
			r.used[columnPrefix+name] = at
		}
	case isParameter:
		r.fail(*node, "unknown parameter %s%s", wording.Name(parameter), nearest.Hint(parameter, r.fieldsOf(ofParameters)))
	default:
		r.fail(*node, "a run has no %s%s", wording.Name(name), nearest.Hint(name, r.fieldsOf("")))
	}
	ast.Patch(node, &ast.IdentifierNode{Value: columnPrefix + name})
}

// fieldsOf are the fields below a prefix, without it.
func (r *resolver) fieldsOf(prefix string) (names []string) {
	for _, name := range r.names {
		if field, ok := strings.CutPrefix(name, prefix); ok && (prefix != "" || !strings.HasPrefix(name, ofParameters)) {
			names = append(names, field)
		}
	}
	return names
}

// runLeftovers is the pass that refuses all other names: there is no row, and run alone is no value.
type runLeftovers resolver

func (l *runLeftovers) Visit(node *ast.Node) {
	r := (*resolver)(l)
	n, ok := (*node).(*ast.IdentifierNode)
	if !ok || r.locals[n.Value] || isCompiled(n.Value) {
		return
	}
	_, isField := r.columns[n.Value]
	_, isParameter := r.columns[ofParameters+n.Value]
	switch {
	case n.Value == "run":
		r.fail(n, "run must be followed by a field's name, as in run.RowsInserted or run.Parameters.State")
	case n.Value == "params":
		r.fail(n, "the parameters of the run that has ended are run.Parameters, as in run.Parameters.State")
	case isField:
		r.fail(n, "unknown name %s; did you mean run.%[1]s?", wording.Name(n.Value))
	case isParameter:
		r.fail(n, "unknown name %s; did you mean run.Parameters.%[1]s?", wording.Name(n.Value))
	default:
		r.fail(n, "unknown name %s; there is no row here, only run, the run that has ended, as in run.RowsInserted. A text stands in quotes, and in a task file in two kinds of them: '\"%s\"'", wording.Name(n.Value), n.Value)
	}
}

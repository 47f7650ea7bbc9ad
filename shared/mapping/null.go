package mapping

import (
	"reflect"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm/runtime"
)

// nullSafe gives the operators that would panic at a null a meaning, as SQL has it: arithmetic with
// a null is null, an order comparison with a null is not true. Where both operands are known not
// to be null the machine's own, faster operator stays.
type nullSafe struct{}

// Visit replaces one operator; its operands have been visited.
func (nullSafe) Visit(node *ast.Node) {
	n, ok := (*node).(*ast.BinaryNode)
	if !ok || nullSafeOperators[n.Operator] == nil || neverNull(n.Left) && neverNull(n.Right) {
		return
	}
	ast.Patch(node, &ast.CallNode{
		Callee:    &ast.IdentifierNode{Value: functionName(n.Operator)},
		Arguments: []ast.Node{n.Left, n.Right},
	})
}

// neverNull is true only where the value surely is none: the compiler's type of a conditional, a
// local or a function leaves null out.
func neverNull(node ast.Node) bool {
	switch n := node.(type) {
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.ConstantNode:
		return true
	case *ast.IdentifierNode:
		return strings.HasPrefix(n.Value, columnPrefix) && n.Type().Kind() == reflect.String
	case *ast.BuiltinNode:
		return neverNullFunctions[n.Name]
	case *ast.BinaryNode:
		return neverNull(n.Left) && neverNull(n.Right)
	}
	return false
}

// neverNullFunctions always give a value, or fail.
var neverNullFunctions = map[string]bool{
	"len": true, "int": true, "float": true, "string": true, "upper": true, "lower": true, "trim": true,
	"trimPrefix": true, "trimSuffix": true, "replace": true, "repeat": true, "indexOf": true,
	"lastIndexOf": true, "now": true, "date": true, "duration": true,
}

var nullSafeOperators = map[string]func(a, b any) any{
	"+":  func(a, b any) any { return runtime.Add(a, b) },
	"-":  func(a, b any) any { return runtime.Subtract(a, b) },
	"*":  func(a, b any) any { return runtime.Multiply(a, b) },
	"/":  func(a, b any) any { return runtime.Divide(a, b) },
	"%":  func(a, b any) any { return runtime.Modulo(a, b) },
	"<":  func(a, b any) any { return runtime.Less(a, b) },
	"<=": func(a, b any) any { return runtime.LessOrEqual(a, b) },
	">":  func(a, b any) any { return runtime.More(a, b) },
	">=": func(a, b any) any { return runtime.MoreOrEqual(a, b) },
}

// functionName is one that no expression can write.
func functionName(operator string) string { return "operator " + operator }

var nullSafeFunctions = func() (options []expr.Option) {
	for operator, apply := range nullSafeOperators {
		var null any
		var signature any = new(func(any, any) any)
		switch operator {
		case "<", "<=", ">", ">=":
			null, signature = false, new(func(any, any) bool)
		}
		options = append(options, expr.Function(functionName(operator), func(operands ...any) (any, error) {
			if operands[0] == nil || operands[1] == nil {
				return null, nil
			}
			return apply(operands[0], operands[1]), nil
		}, signature))
	}
	return options
}()

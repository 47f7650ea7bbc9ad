package mapping

import (
	"cmp"
	"encoding/json"
	"math"
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

// Visit replaces one operator or function; its operands have been visited.
func (nullSafe) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.BinaryNode:
		if nullSafeOperators[n.Operator] != nil && !(neverNull(n.Left) && neverNull(n.Right)) && !comparesWithConstant(n) {
			callFor(node, functionName(n.Operator), n.Left, n.Right)
		}
	case *ast.BuiltinNode:
		if _, ok := forNull[n.Name]; ok && len(n.Arguments) > 0 && !neverNull(n.Arguments[0]) {
			callFor(node, functionPrefix+n.Name, n.Arguments...)
		}
	case *ast.MapNode:
		if constant, ok := constantMap(n); ok {
			ast.Patch(node, &ast.ConstantNode{Value: constant})
		}
	case *ast.MemberNode:
		if constant, ok := n.Node.(*ast.ConstantNode); ok && !n.Method {
			if _, isMap := constant.Value.(map[string]any); isMap {
				callFor(node, lookup, n.Node, n.Property)
			}
		}
	}
}

func callFor(node *ast.Node, function string, arguments ...ast.Node) {
	ast.Patch(node, &ast.CallNode{Callee: &ast.IdentifierNode{Value: function}, Arguments: arguments})
}

// comparesWithConstant is true for == and != where the machine's own operator does: with null, and of
// a text with something whose type is not known, which a call's is even if its value may be null.
func comparesWithConstant(n *ast.BinaryNode) bool {
	if n.Operator != "==" && n.Operator != "!=" {
		return false
	}
	is := func(constant, other ast.Node) bool {
		_, call := other.(*ast.CallNode)
		switch constant := constant.(type) {
		case *ast.NilNode:
			return true
		case *ast.StringNode:
			return !call && other.Type().Kind() == reflect.Interface
		case *ast.ConstantNode:
			_, text := constant.Value.(string)
			return text && !call && other.Type().Kind() == reflect.Interface
		}
		return false
	}
	return is(n.Left, n.Right) || is(n.Right, n.Left)
}

// constantMap returns the map that a node writes out, if all in it is constant.
func constantMap(n *ast.MapNode) (map[string]any, bool) {
	constant := make(map[string]any, len(n.Pairs))
	for _, node := range n.Pairs {
		pair := node.(*ast.PairNode)
		key, ok := pair.Key.(*ast.StringNode)
		if !ok {
			return nil, false
		}
		switch value := pair.Value.(type) {
		case *ast.StringNode:
			constant[key.Value] = value.Value
		case *ast.IntegerNode:
			constant[key.Value] = value.Value
		case *ast.FloatNode:
			constant[key.Value] = value.Value
		case *ast.BoolNode:
			constant[key.Value] = value.Value
		case *ast.NilNode:
			constant[key.Value] = nil
		default:
			return nil, false
		}
	}
	return constant, true
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

// neverNullFunctions give a value, or fail, where their first operand is no null; the others of
// the language that may see one are in forNull.
var neverNullFunctions = map[string]bool{
	"len": true, "upper": true, "lower": true, "trim": true, "trimPrefix": true, "trimSuffix": true, "replace": true,
	"repeat": true, "indexOf": true, "lastIndexOf": true, "now": true, "duration": true,
}

// nullSafeOperators take any values, and exact numbers among them.
var nullSafeOperators = map[string]func(a, b any) any{
	"+":  arithmetic("+", func(a, b any) any { return runtime.Add(a, b) }),
	"-":  arithmetic("-", func(a, b any) any { return runtime.Subtract(a, b) }),
	"*":  arithmetic("*", func(a, b any) any { return runtime.Multiply(a, b) }),
	"/":  arithmetic("/", divide),
	"%":  arithmetic("%", func(a, b any) any { return runtime.Modulo(a, b) }),
	"<":  comparison(func(order int) bool { return order < 0 }, func(a, b any) any { return runtime.Less(a, b) }),
	"<=": comparison(func(order int) bool { return order <= 0 }, func(a, b any) any { return runtime.LessOrEqual(a, b) }),
	">":  comparison(func(order int) bool { return order > 0 }, func(a, b any) any { return runtime.More(a, b) }),
	">=": comparison(func(order int) bool { return order >= 0 }, func(a, b any) any { return runtime.MoreOrEqual(a, b) }),
	"==": comparison(func(order int) bool { return order == 0 }, equal),
	"!=": comparison(func(order int) bool { return order != 0 }, func(a, b any) any { return !equal(a, b).(bool) }),
}

// numbers are both operands as exact numbers, where one of them is and the other is a number too.
func numbers(a, b any) (x, y decimal, ok bool) {
	_, left := a.(json.Number)
	_, right := b.(json.Number)
	if !left && !right {
		return x, y, false
	}
	x, left = decimalOf(a)
	y, right = decimalOf(b)
	return x, y, left && right
}

// divide refuses what would be infinite.
func divide(a, b any) any {
	quotient := runtime.Divide(a, b)
	if math.IsInf(quotient, 0) || math.IsNaN(quotient) {
		panic(reason("it divides by 0"))
	}
	return quotient
}

// equal goes through both.
func equal(a, b any) any {
	if err := cmp.Or(weigh(a), weigh(b)); err != nil {
		panic(err)
	}
	return runtime.Equal(a, b)
}

func arithmetic(operator string, other func(a, b any) any) func(a, b any) any {
	return func(a, b any) any {
		x, y, ok := numbers(a, b)
		if !ok {
			return other(a, b)
		}
		result, ok := calculate(operator, x, y)
		if !ok {
			panic(reason("it divides by 0, or has too many digits"))
		}
		return result.number()
	}
}

func comparison(holds func(order int) bool, other func(a, b any) any) func(a, b any) any {
	return func(a, b any) any {
		if x, y, ok := numbers(a, b); ok {
			return holds(compare(x, y))
		}
		return other(a, b)
	}
}

// functionName is one that no expression can write.
func functionName(operator string) string { return "operator " + operator }

var nullSafeFunctions = func() (options []expr.Option) {
	for operator, apply := range nullSafeOperators {
		onNull := func(_, _ any) any { return nil }
		var signature any = new(func(any, any) any)
		switch operator {
		case "<", "<=", ">", ">=":
			onNull, signature = func(_, _ any) any { return false }, new(func(any, any) bool)
		case "==":
			onNull, signature = func(a, b any) any { return a == nil && b == nil }, new(func(any, any) bool)
		case "!=":
			onNull, signature = func(a, b any) any { return a != nil || b != nil }, new(func(any, any) bool)
		}
		options = append(options, expr.Function(functionName(operator), func(operands ...any) (any, error) {
			if operands[0] == nil || operands[1] == nil {
				return onNull(operands[0], operands[1]), nil
			}
			return apply(operands[0], operands[1]), nil
		}, signature))
	}
	return options
}()

// mismatches is the pass that refuses texts where numbers are meant, which is a CSV's usual case, in
// words that say what to do.
type mismatches resolver

func (m *mismatches) Visit(node *ast.Node) {
	n, ok := (*node).(*ast.BinaryNode)
	if !ok {
		return
	}
	text, isText := textOperand(n.Left, n.Right)
	if !isText {
		return
	}
	switch n.Operator {
	case "==", "!=", "<", "<=", ">", ">=":
		(*resolver)(m).fail(n, "%s compares a text with a number; make a number of the text, as in number(%s)", n.Operator, text)
	case "-", "*", "/", "%":
		(*resolver)(m).fail(n, "%s calculates with a text; make a number of it, as in number(%s)", n.Operator, text)
	case "+":
		(*resolver)(m).fail(n, "+ joins a text and a number; make a text of the number with string(…), or a number of the text, as in number(%s)", text)
	}
}

// textOperand shows the operand that is surely a text, where the other one is surely a number.
func textOperand(a, b ast.Node) (shown string, ok bool) {
	if isNumber(a) {
		a, b = b, a
	}
	if !isNumber(b) || a.Type().Kind() != reflect.String {
		return "", false
	}
	if column, ok := a.(*ast.IdentifierNode); ok {
		if name, ok := strings.CutPrefix(column.Value, columnPrefix); ok && isName(name) {
			return name, true
		}
	}
	return "…", true
}

func isNumber(node ast.Node) bool {
	switch node.Type().Kind() {
	case reflect.Int, reflect.Float64:
		return true
	}
	return false
}

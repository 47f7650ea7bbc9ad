package mapping

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/vm/runtime"
)

// nullSafe gives what would panic at a null a meaning, as SQL has it: arithmetic with a null is null, as are
// its fields, methods and parts; an order comparison with a null is not true, and neither is a null. Where
// both operands are known not to be null the machine's own, faster operator stays.
type nullSafe struct {
	// texts: every column has texts, or null.
	texts bool
	// held counts the values that are kept to be looked at first.
	held int
}

// Visit replaces one operator or function; its operands have been visited.
func (s *nullSafe) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.UnaryNode:
		switch kind := n.Node.Type().Kind(); {
		case n.Operator == "!" || n.Operator == "not":
			asCondition(&n.Node)
		case n.Operator == "-" && kind != reflect.String && !isLiteral(n.Node):
			callFor(node, negative, n.Node)
		}
	case *ast.BinaryNode:
		switch n.Operator {
		case "matches":
			if n.Left.Type().Kind() == reflect.Interface {
				callFor(&n.Left, textToMatch, n.Left)
			}
		case "..":
			asPlace(&n.Left)
			asPlace(&n.Right)
		case "in":
			if n.Left.Type().Kind() != reflect.String && !s.isTextColumn(n.Left) || !areTexts(n.Right) {
				callFor(node, functionName("in"), n.Left, n.Right)
				(*node).SetNature(*n.Nature())
			}
			return
		case "&&", "and", "||", "or":
			asCondition(&n.Left)
			asCondition(&n.Right)
		}
		exact := neverNull(n.Left) && neverNull(n.Right) && isText(n.Left) == isText(n.Right) && n.Type().Kind() != reflect.Float64 && !hasParts(n.Left) && !hasParts(n.Right) && mostOf(n) < math.MaxInt
		if nullSafeOperators[n.Operator] != nil && !exact && !s.comparesWithConstant(n) {
			callFor(node, functionName(n.Operator), n.Left, n.Right)
			if n.Type().Kind() == reflect.Bool {
				(*node).SetNature(*n.Nature())
			}
		}
	case *ast.ConditionalNode:
		asCondition(&n.Cond)
	case *ast.BuiltinNode:
		s.function(node, n)
	case *ast.MapNode:
		if constant, ok := constantMap(n); ok {
			ast.Patch(node, &ast.ConstantNode{Value: constant})
		}
	case *ast.MemberNode:
		constant, ok := n.Node.(*ast.ConstantNode)
		if _, isMap := valueOf(constant, ok).(map[string]any); isMap && !n.Method {
			callFor(node, lookup, n.Node, n.Property)
			return
		}
		if n.Node.Type().Kind() != reflect.Map {
			asPlace(&n.Property)
		} else if isAnyNumber(n.Property) {
			callFor(&n.Property, functionPrefix+groupKey, n.Property)
		}
		if !n.Method && !neverNull(n.Node) {
			n.Optional = true
			ast.Patch(node, &ast.ChainNode{Node: n})
			(*node).SetNature(*n.Nature())
		}
	case *ast.CallNode:
		// The machine would leave the arguments on its stack where a chain ends.
		callee, ok := n.Callee.(*ast.MemberNode)
		names := ok && (isMethod(callee, "Month") || isMethod(callee, "Weekday"))
		if ok && isMethod(callee, "Sub") && len(n.Arguments) == 1 {
			var minus ast.Node = &ast.BinaryNode{Operator: "-", Left: callee.Node, Right: n.Arguments[0]}
			minus.SetLocation(n.Location())
			s.Visit(&minus)
			ast.Patch(node, minus)
		} else if ok && !neverNull(callee.Node) {
			callee.Optional = false
			s.unlessNull(node, &callee.Node, &ast.NilNode{})
		}
		if names {
			callFor(node, plainWhole, *node)
			(*node).SetType(reflect.TypeFor[int]())
		}
	case *ast.SliceNode:
		for _, end := range []*ast.Node{&n.From, &n.To} {
			if *end != nil {
				asPlace(end)
			}
		}
		if !neverNull(n.Node) {
			s.unlessNull(node, &n.Node, &ast.NilNode{})
		}
		if kind := (*node).Type(); kind.Kind() == reflect.String || kind.Kind() == reflect.Interface {
			callFor(node, functionPrefix+partOfText, *node)
			(*node).SetType(kind)
		}
	}
}

// function gives the functions of the language their meaning for a null, which is the first argument.
func (s *nullSafe) function(node *ast.Node, n *ast.BuiltinNode) {
	switch n.Name {
	case "sum":
		if len(n.Arguments) > 0 {
			s.sum(node, n)
			n = (*node).(*ast.BuiltinNode)
		}
	case "take", "repeat", "split", "splitAfter", "replace", "get":
		for i := range n.Arguments[min(len(n.Arguments), 1):] {
			asPlace(&n.Arguments[1+i])
		}
	case "groupBy":
		if predicate, ok := n.Arguments[1].(*ast.PredicateNode); ok && isAnyNumber(predicate.Node) {
			callFor(&predicate.Node, functionPrefix+groupKey, predicate.Node)
		}
	case "toJSON":
		if kind := n.Arguments[0].Type().Kind(); kind != reflect.String && kind != reflect.Int {
			callFor(&n.Arguments[0], functionPrefix+forJSON, n.Arguments[0])
		}
	case "sortBy":
		if predicate, ok := n.Arguments[1].(*ast.PredicateNode); ok && predicate.Node.Type().Kind() == reflect.Interface {
			callFor(&predicate.Node, sortKey, predicate.Node)
		}
	case "all", "any", "none", "one", "filter", "find", "findIndex", "findLast", "findLastIndex", "count":
		if len(n.Arguments) > 1 {
			asCondition(&n.Arguments[1].(*ast.PredicateNode).Node)
		}
	}
	if len(n.Arguments) == 0 {
		return
	}
	mayBeNull := slices.ContainsFunc(n.Arguments, func(argument ast.Node) bool { return !neverNull(argument) })
	if _, ok := forNull[n.Name]; ok && (mayBeNull || exactFunctions[n.Name] != nil || n.Name == "join" || n.Name == "fromBase64") {
		callFor(node, functionPrefix+n.Name, n.Arguments...)
		return
	}
	if !builtin.Builtins[builtin.Index[n.Name]].Predicate || neverNull(n.Arguments[0]) {
		return
	}
	var otherwise ast.Node = &ast.NilNode{}
	switch n.Name {
	case "all", "any", "none", "one":
		otherwise = &ast.BoolNode{}
	}
	s.unlessNull(node, &n.Arguments[0], otherwise)
}

// sum adds by the operator, which knows exact numbers and nulls.
func (s *nullSafe) sum(node *ast.Node, n *ast.BuiltinNode) {
	var each ast.Node = &ast.PointerNode{}
	if len(n.Arguments) > 1 {
		each = n.Arguments[1].(*ast.PredicateNode).Node
	}
	var plus ast.Node = &ast.BinaryNode{Operator: "+", Left: &ast.PointerNode{Name: "acc"}, Right: each}
	plus.SetLocation(n.Location())
	s.Visit(&plus)
	ast.Patch(node, &ast.BuiltinNode{Name: "reduce", Arguments: []ast.Node{n.Arguments[0], &ast.PredicateNode{Node: plus}, &ast.IntegerNode{}}})
}

// unlessNull computes base first, which is in the node, and the node only if base is not null.
func (s *nullSafe) unlessNull(node, base *ast.Node, otherwise ast.Node) {
	s.held++
	value, held := *base, fmt.Sprint("value ", s.held)
	whole := *node
	ast.Patch(base, &ast.IdentifierNode{Value: held})
	ast.Patch(node, &ast.VariableDeclaratorNode{Name: held, Value: value, Expr: &ast.ConditionalNode{
		Cond: &ast.BinaryNode{Operator: "==", Left: &ast.IdentifierNode{Value: held}, Right: &ast.NilNode{}}, Exp1: otherwise, Exp2: whole,
	}})
	(*node).SetNature(*whole.Nature())
}

// isMethod is true for what is called by a name, as the methods of dates are; Sub is the operator - of dates.
func isMethod(callee *ast.MemberNode, method string) bool {
	name, ok := callee.Property.(*ast.StringNode)
	return ok && name.Value == method
}

// asCondition takes a null for false, where a node may give one.
func asCondition(node *ast.Node) {
	if (*node).Type().Kind() == reflect.Interface {
		callFor(node, condition, *node)
	}
}

// isTextColumn is true for a column whose cells are texts or null.
func (s *nullSafe) isTextColumn(node ast.Node) bool { return s.texts && isColumn(node) }

func isText(node ast.Node) bool { return node.Type().Kind() == reflect.String }

// asPlace takes a number of any kind for the whole number that it is, where a node may give one.
func asPlace(node *ast.Node) {
	if isAnyNumber(*node) {
		callFor(node, functionPrefix+place, *node)
	}
}

// isAnyNumber is true for a node that may give a number other than a whole one of the machine.
func isAnyNumber(node ast.Node) bool {
	kind := node.Type().Kind()
	return kind == reflect.Interface || kind == reflect.Float64
}

// areTexts is true for a list of texts that is written out.
func areTexts(node ast.Node) bool {
	list, ok := node.(*ast.ArrayNode)
	return ok && !slices.ContainsFunc(list.Nodes, func(item ast.Node) bool {
		_, text := item.(*ast.StringNode)
		return !text
	})
}

// hasParts is true for a list or an object that is written out, in which may be exact numbers.
func hasParts(node ast.Node) bool {
	switch node.(type) {
	case *ast.ArrayNode, *ast.MapNode:
		return true
	}
	return false
}

func isLiteral(node ast.Node) bool {
	switch node.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
		return true
	}
	return false
}

// valueOf is a constant's value, or nil.
func valueOf(constant *ast.ConstantNode, ok bool) any {
	if !ok {
		return nil
	}
	return constant.Value
}

func callFor(node *ast.Node, function string, arguments ...ast.Node) {
	ast.Patch(node, &ast.CallNode{Callee: &ast.IdentifierNode{Value: function}, Arguments: arguments})
}

// comparesWithConstant is true for == and != where the machine's own operator does: with null, and of
// a text with a column of texts.
func (s *nullSafe) comparesWithConstant(n *ast.BinaryNode) bool {
	if n.Operator != "==" && n.Operator != "!=" {
		return false
	}
	is := func(constant, other ast.Node) bool {
		switch constant := constant.(type) {
		case *ast.NilNode:
			return true
		case *ast.StringNode:
			return s.isTextColumn(other)
		case *ast.ConstantNode:
			_, text := constant.Value.(string)
			return text && s.isTextColumn(other)
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
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.ConstantNode, *ast.ArrayNode, *ast.MapNode:
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

// mostOf is how far from 0 the whole number is that a node of [neverNull] gives, at most.
func mostOf(node ast.Node) int {
	const length = 1 << 31
	switch n := node.(type) {
	case *ast.IntegerNode:
		return max(n.Value, -n.Value)
	case *ast.BinaryNode:
		left, right := mostOf(n.Left), mostOf(n.Right)
		switch {
		case n.Operator == "*" && left != 0 && right > math.MaxInt/left, left > math.MaxInt-right:
			return math.MaxInt
		case n.Operator == "*":
			return left * right
		}
		return left + right
	}
	return length
}

// neverNullFunctions give a value, or fail, where their first operand is no null; the others of
// the language that may see one are in forNull.
var neverNullFunctions = map[string]bool{
	"len": true, "upper": true, "lower": true, "trim": true, "trimPrefix": true, "trimSuffix": true, "replace": true,
	"repeat": true, "indexOf": true, "lastIndexOf": true, "now": true, "split": true, "splitAfter": true, "map": true, "filter": true,
}

// nullSafeOperators take any values, and exact numbers among them.
var nullSafeOperators = map[string]func(a, b any) any{
	"+":  arithmetic("+", spans("+", func(a, b any) any { return runtime.Add(a, b) })),
	"-":  arithmetic("-", spans("-", func(a, b any) any { return runtime.Subtract(a, b) })),
	"*":  arithmetic("*", spans("*", func(a, b any) any { return runtime.Multiply(a, b) })),
	"/":  arithmetic("/", spans("/", divide)),
	"%":  arithmetic("%", func(a, b any) any { return runtime.Modulo(a, b) }),
	"**": power,
	"^":  power,
	"<":  order(func(order int) bool { return order < 0 }, func(a, b any) any { return runtime.Less(a, b) }),
	"<=": order(func(order int) bool { return order <= 0 }, func(a, b any) any { return runtime.LessOrEqual(a, b) }),
	">":  order(func(order int) bool { return order > 0 }, func(a, b any) any { return runtime.More(a, b) }),
	">=": order(func(order int) bool { return order >= 0 }, func(a, b any) any { return runtime.MoreOrEqual(a, b) }),
	"==": func(a, b any) any { return equal(a, b) },
	"!=": func(a, b any) any { return !equal(a, b) },
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
	if !isFinite(quotient) {
		panic(reason("it divides by 0"))
	}
	return quotient
}

// negate is the operator - of one operand.
func negate(args ...any) (any, error) {
	switch v := args[0].(type) {
	case nil:
		return nil, nil
	case time.Duration:
		return spanOf(new(big.Int).Neg(big.NewInt(int64(v))))
	case int, int64:
		if n, _ := wholeOf(v); n == math.MinInt {
			return negate(json.Number(strconv.Itoa(n)))
		}
	case float64:
		return 0 - v, nil
	case json.Number:
		if exact, ok := parseDecimal(v.String()); ok {
			return decimal{new(big.Int).Neg(exact.digits), exact.scale}.number(), nil
		}
		return nil, reason("it takes a number")
	}
	return runtime.Negate(args[0]), nil
}

// wholeLetters is a part of a text, which is counted in bytes, and must not begin or end inside a letter.
func wholeLetters(args ...any) (any, error) {
	if text, ok := args[0].(string); ok && !utf8.ValidString(text) {
		return nil, reason("it cuts a letter in two, because it counts an accented letter as two or more; use split, replace or a regular expression")
	}
	return args[0], nil
}

// keyToSortBy is an exact number as one that the language can compare.
func keyToSortBy(args ...any) (any, error) {
	if digits, ok := args[0].(json.Number); ok {
		return plainNumber(digits), nil
	}
	return args[0], nil
}

// placeOf is a whole number where a number is one, and else an exact number without zeros at its end: so 1.0 of JSON
// is a place in a list, and the key of a group that 1 is in too.
func placeOf(args ...any) (any, error) {
	switch v := args[0].(type) {
	case int64:
		return int(v), nil
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<63 {
			return int(v), nil
		}
	case json.Number:
		if exact, ok := parseDecimal(v.String()); ok {
			if exact = exact.trim(); exact.scale == 0 && exact.digits.IsInt64() {
				return int(exact.digits.Int64()), nil
			}
			return exact.number(), nil
		}
	}
	return args[0], nil
}

// wholePlace is placeOf where the machine would leave a fraction out.
func wholePlace(args ...any) (any, error) {
	value, err := placeOf(args...)
	if _, ok := value.(float64); ok {
		return nil, reason("it takes a whole number, and gets a number")
	}
	return value, err
}

// matched is a text that is matched, or null.
func matched(args ...any) (any, error) {
	switch args[0].(type) {
	case nil, string:
		return args[0], nil
	}
	return nil, reason(fmt.Sprintf("it takes a text, and gets %s; make a text of it with string(…)", cmp.Or(kindOfValue(args[0]), "no text")))
}

// written is a value as JSON has it: durations, which JSON does not know, are texts such as 1h30m0s.
func written(args ...any) (any, error) {
	switch v := args[0].(type) {
	case time.Duration:
		return v.String(), nil
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			list[i], _ = written(item)
		}
		return list, nil
	case map[string]any:
		object := make(map[string]any, len(v))
		for name, value := range v {
			object[name], _ = written(value)
		}
		return object, nil
	}
	return args[0], nil
}

// holds is the value of a condition.
func holds(args ...any) (any, error) {
	switch v := args[0].(type) {
	case nil:
		return false, nil
	case bool:
		return v, nil
	}
	return nil, reason("it is neither true nor false")
}

// Shown is a number as people know it: a whole one with all its digits, another with at most 15.
func Shown(number float64) float64 {
	if number == math.Trunc(number) {
		return number + 0 // of -0 it is 0
	}
	return asShown(number)
}

// asShown is a number with the 15 digits that spreadsheets show: floating point makes 3.3000000000000003
// of 1.1 * 3.
func asShown(number float64) float64 {
	if number == math.Trunc(number) && math.Abs(number) < 1<<53 {
		return number + 0
	}
	shown, err := strconv.ParseFloat(strconv.FormatFloat(number, 'e', 14, 64), 64)
	if err != nil {
		return number // the largest there are
	}
	return shown
}

// wholeOf is a whole number of the machine.
func wholeOf(value any) (n int, ok bool) {
	switch v := value.(type) {
	case int:
		return v, true
	case int64:
		return int(v), true
	}
	return 0, false
}

func arithmetic(operator string, other func(a, b any) any) func(a, b any) any {
	return func(a, b any) any {
		x, y, ok := numbers(a, b)
		if !ok {
			result := other(a, b)
			switch result := result.(type) {
			case float64:
				if !isFinite(result) {
					panic(noNumber)
				}
				return asShown(result)
			case int:
				left, _ := wholeOf(a)
				right, _ := wholeOf(b)
				if !wraps(operator, left, right, result) {
					return result
				}
				x, _ = decimalOf(a)
				y, _ = decimalOf(b)
			default:
				return result
			}
		}
		result, ok := calculate(operator, x, y)
		if !ok {
			panic(reason("it divides by 0, or has too many digits"))
		}
		return result.number()
	}
}

const (
	operatorPrefix = "operator "

	negative   = functionPrefix + "of a sign"
	condition  = functionPrefix + "of a condition"
	partOfText = "of a part of a text"
	sortKey    = functionPrefix + "of a key to sort by"
	place      = "of a place"
	groupKey   = "of a group"

	textToMatch = functionPrefix + "of a match"
	forJSON     = "of a value of JSON"
	plainWhole  = functionPrefix + "of a month"
)

// functionName is one that no expression can write.
func functionName(operator string) string { return operatorPrefix + operator }

// kindOf is the kind of a node's values: what calculates with numbers of which one is a float gives a float.
func kindOf(node ast.Node) reflect.Kind {
	call, ok := node.(*ast.CallNode)
	if !ok {
		return node.Type().Kind()
	}
	callee, _ := call.Callee.(*ast.IdentifierNode)
	kind, numbers := kindOfAll(call.Arguments)
	if callee == nil || !numbers {
		return node.Type().Kind()
	}
	switch callee.Value {
	case functionName("+"), functionName("-"), functionName("*"), functionName("%"), functionPrefix + "max", functionPrefix + "min":
		return kind
	case functionName("**"), functionName("^"):
		if exponent, ok := integer(call.Arguments[1]); kind == reflect.Int && ok && exponent >= 0 {
			return kind
		}
		return reflect.Float64
	case functionName("/"), functionPrefix + "mean", functionPrefix + "median":
		return reflect.Float64
	}
	return node.Type().Kind()
}

// kindOfAll is a float if one of the nodes, or of a list that is written out, is. numbers is false if one is no number.
func kindOfAll(nodes []ast.Node) (kind reflect.Kind, numbers bool) {
	kind = reflect.Int
	for _, node := range nodes {
		of := kindOf(node)
		if list, ok := node.(*ast.ArrayNode); ok {
			of, _ = kindOfAll(list.Nodes)
		}
		switch {
		case !isNumberKind(of):
			return reflect.Interface, false
		case of == reflect.Float64:
			kind = of
		}
	}
	return kind, len(nodes) > 0
}

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
		call := func(operands ...any) (any, error) {
			if operands[0] == nil || operands[1] == nil {
				return onNull(operands[0], operands[1]), nil
			}
			return apply(operands[0], operands[1]), nil
		}
		options = append(options, expr.Function(functionName(operator), call, signature), countedOption(functionName(operator), call))
	}
	return append(options, expr.Function(negative, negate, new(func(any) any)), expr.Function(condition, holds, new(func(any) bool)),
		expr.Function(functionName("in"), isIn, new(func(any, any) bool)), expr.Function(functionPrefix+partOfText, wholeLetters, new(func(any) any)), expr.Function(sortKey, keyToSortBy, new(func(any) any)),
		expr.Function(plainWhole, plainMonth, new(func(any) int)), expr.Function(functionPrefix+place, wholePlace, new(func(any) any)), countedOption(place, wholePlace),
		expr.Function(functionPrefix+groupKey, placeOf, new(func(any) any)), countedOption(groupKey, placeOf), expr.Function(textToMatch, matched, new(func(any) any)), expr.Function(functionPrefix+forJSON, written, new(func(any) any)), countedOption(forJSON, written))
}()

func isNumber(node ast.Node) bool { return isNumberKind(node.Type().Kind()) }

func isNumberKind(kind reflect.Kind) bool { return kind == reflect.Int || kind == reflect.Float64 }

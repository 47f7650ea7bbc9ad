package mapping

import (
	"errors"
	"fmt"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
)

const (
	// mostParts bounds an expression, so that compiling it is short: a part may stand in the tree more often
	// than it is written. mostNested is how deep its brackets may be.
	mostParts, mostNested = 10_000, 200
)

var errTooManyParts = errors.New("has more than 10,000 parts")

// survey looks at what an expression is made of, before it is compiled. The error is that of an expression
// that is too large, or of which it can be seen that no row could pass it.
func survey(text string) (look *straight, err error) {
	look = &straight{is: true, growth: 1}
	if nested(text) > mostNested {
		return look, fmt.Errorf("has brackets that are nested more than %d times", mostNested)
	}
	defer func() {
		if stopped, ok := recover().(error); ok && errors.Is(stopped, errTooManyParts) {
			err = stopped
		}
	}()
	tree, err := parser.Parse(text)
	if err != nil {
		if strings.Contains(err.Error(), "maximum allowed nodes") {
			return look, errTooManyParts
		}
		return look, nil // the compiler says it, and knows the names
	}
	ast.Walk(&tree.Node, look)
	f := &forecast{lengths: map[string]int{}}
	f.least(tree.Node)
	if f.err != nil {
		return look, f.err.Bind(tree.Source)
	}
	return look, nil
}

// nested is how deep the brackets of an expression are, outside of texts.
func nested(text string) int {
	depth, deepest := 0, 0
	quote := byte(0)
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quote != 0 && c == '\\' && quote != '`':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'' || c == '`':
			quote = c
		case c == '(' || c == '[' || c == '{':
			depth++
			deepest = max(deepest, depth)
		case c == ')' || c == ']' || c == '}':
			depth--
		}
	}
	return deepest
}

// straight tells of an expression that nothing in it is done more often than it is written: it has no loop, and
// no function that makes much of little. As long as its texts have no more than most bytes it need not count.
type straight struct {
	is bool
	// matches: it has a regular expression, which counts in any case.
	matches bool
	// parts is how many parts it has, and growth how much larger a text may come out than it went in.
	parts, growth int
}

func (s *straight) Visit(node *ast.Node) {
	if s.parts++; s.parts > 2*mostParts {
		panic(errTooManyParts)
	}
	switch n := (*node).(type) {
	case *ast.PredicateNode:
		s.is = false
	case *ast.VariableDeclaratorNode:
		uses := 1
		ast.Find(n.Expr, func(part ast.Node) bool {
			if use, ok := part.(*ast.IdentifierNode); ok && use.Value == n.Name {
				uses++
			}
			return false
		})
		s.growth = times(s.growth, uses)
		s.is = s.is && s.parts < 1000 // the look is short
	case *ast.BinaryNode:
		switch n.Operator {
		case "matches":
			s.matches = true
		case "..":
			from, left := n.Left.(*ast.IntegerNode)
			to, right := n.Right.(*ast.IntegerNode)
			s.is = s.is && left && right && to.Value-from.Value < 1000
		case "contains":
			s.is = s.is && isLabel(n.Right)
		}
	case *ast.BuiltinNode:
		s.call(n.Name, n.Arguments)
	case *ast.CallNode:
		switch callee := n.Callee.(type) {
		case *ast.IdentifierNode:
			s.call(callee.Value, n.Arguments)
		case *ast.MemberNode:
			s.is = s.is && labels(n.Arguments)
			s.growth = times(s.growth, 4)
		default:
			s.is = false
		}
	}
}

func (s *straight) call(name string, arguments []ast.Node) {
	growth := growths[name]
	switch {
	case growth == 0:
		s.is = false
		return
	case needles[name] && len(arguments) > 1 && !labels(arguments[1:]):
		s.is = false
	case name == "replace" && len(arguments) > 2:
		if replacement, ok := arguments[2].(*ast.StringNode); ok {
			growth += len(replacement.Value)
		}
	}
	s.growth = times(s.growth, growth)
}

// growths are how much larger what a function makes is than what it gets, at most.
var growths = map[string]int{
	"len": 1, "type": 1, "abs": 1, "ceil": 1, "floor": 1, "int": 1, "float": 1, "string": 1, "round": 1, "number": 1, "coalesce": 1, "max": 1, "min": 1,
	"date": 1, "formatDate": 4, "now": 1, "duration": 1, "timezone": 1, "upper": 2, "lower": 2, "trim": 1, "trimPrefix": 1, "trimSuffix": 1, "hasPrefix": 1, "hasSuffix": 1,
	"indexOf": 1, "lastIndexOf": 1, "first": 1, "last": 1, "get": 1, "split": 17, "splitAfter": 17, "replace": 1, "toBase64": 2, "fromBase64": 1, "bytes": 1,
	"bitand": 1, "bitor": 1, "bitxor": 1, "bitnand": 1, "bitnot": 1, "bitshl": 1, "bitshr": 1, "bitushr": 1,
}

// needles are the functions that look for their second argument in the first.
var needles = map[string]bool{"indexOf": true, "lastIndexOf": true, "split": true, "splitAfter": true, "replace": true, "trim": true}

func labels(arguments []ast.Node) bool {
	for _, argument := range arguments {
		if !isLabel(argument) {
			return false
		}
	}
	return true
}

// isLabel is true for a short text, or another value, that is written out.
func isLabel(node ast.Node) bool {
	text, ok := node.(*ast.StringNode)
	return isShort(node) && (!ok || len(text.Value) <= textsAStep)
}

// most is how many bytes of texts a straight expression may get and go without counting.
func (s *straight) most() int { return mostMemory / times(s.parts, s.growth) }

// forecast tells of loops over what is written out, and of texts and lists of a written size, that they cannot
// stay within the bounds.
type forecast struct {
	// lengths are those of the lists that let names.
	lengths map[string]int
	err     *file.Error
}

func (f *forecast) refuse(node ast.Node, why error) {
	if f.err == nil {
		f.err = &file.Error{Location: node.Location(), Message: why.Error()}
	}
}

// least is how many steps a node takes at least.
func (f *forecast) least(node ast.Node) (steps int) {
	switch n := node.(type) {
	case *ast.UnaryNode:
		return 1 + f.least(n.Node)
	case *ast.BinaryNode:
		left, right := f.least(n.Left), f.least(n.Right)
		switch n.Operator {
		case "&&", "and", "||", "or", "??":
			return left
		case "..":
			if f.length(n) >= mostSteps {
				f.refuse(n, tooLong)
			}
		}
		return 1 + left + right
	case *ast.ChainNode:
		return f.least(n.Node)
	case *ast.MemberNode:
		return 1 + f.least(n.Node) + f.least(n.Property)
	case *ast.SliceNode:
		return 1 + f.least(n.Node)
	case *ast.CallNode:
		return 1 + f.least(n.Callee) + f.each(n.Arguments)
	case *ast.BuiltinNode:
		return f.builtin(n)
	case *ast.PredicateNode:
		return 1 + f.least(n.Node)
	case *ast.VariableDeclaratorNode:
		value := f.least(n.Value)
		f.lengths[n.Name] = f.length(n.Value)
		return 1 + value + f.least(n.Expr)
	case *ast.SequenceNode:
		return f.each(n.Nodes)
	case *ast.ConditionalNode:
		one, other := f.least(n.Exp1), f.least(n.Exp2)
		return 1 + f.least(n.Cond) + min(one, other)
	case *ast.ArrayNode:
		return 1 + f.each(n.Nodes)
	case *ast.MapNode:
		return 1 + f.each(n.Pairs)
	case *ast.PairNode:
		return 1 + f.least(n.Key) + f.least(n.Value)
	case nil:
		return 0
	}
	return 1
}

func (f *forecast) each(nodes []ast.Node) (steps int) {
	for _, node := range nodes {
		steps = min(steps+f.least(node), 2*mostSteps)
	}
	return steps
}

func (f *forecast) builtin(n *ast.BuiltinNode) (steps int) {
	if len(n.Arguments) == 0 {
		return 1
	}
	if count, ok := n.Arguments[len(n.Arguments)-1].(*ast.IntegerNode); ok && n.Name == "repeat" && count.Value > mostTimes {
		f.refuse(n, oftener)
	}
	steps = 1 + f.least(n.Arguments[0])
	turns := f.length(n.Arguments[0])
	switch n.Name {
	case "all", "any", "none", "find", "findIndex", "findLast", "findLastIndex":
		turns = min(turns, 1) // the first may be the last
	}
	for _, argument := range n.Arguments[1:] {
		takes := f.least(argument)
		if _, ok := argument.(*ast.PredicateNode); ok {
			takes = times(takes, turns)
		}
		steps = min(steps+takes, 2*mostSteps)
	}
	if steps > mostSteps {
		f.refuse(n, tooLong)
	}
	return steps
}

// length is how many values a list has at least.
func (f *forecast) length(node ast.Node) int {
	switch n := node.(type) {
	case *ast.BinaryNode:
		from, left := integer(n.Left)
		to, right := integer(n.Right)
		if n.Operator == ".." && left && right && to >= from {
			return min(max(to-from, 0), mostSteps) + 1
		}
	case *ast.BuiltinNode:
		if (n.Name == "map" || n.Name == "sortBy" || n.Name == "reverse" || n.Name == "sort") && len(n.Arguments) > 0 {
			return f.length(n.Arguments[0])
		}
	case *ast.IdentifierNode:
		return f.lengths[n.Value]
	case *ast.ArrayNode:
		return len(n.Nodes)
	}
	return 0
}

func integer(node ast.Node) (value int, ok bool) {
	switch n := node.(type) {
	case *ast.IntegerNode:
		return n.Value, true
	case *ast.UnaryNode:
		if of, ok := n.Node.(*ast.IntegerNode); ok && n.Operator == "-" {
			return -of.Value, true
		}
	}
	return 0, false
}

package mapping

import (
	"errors"
	"fmt"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/vm/runtime"
)

const (
	// scopeName is what an expression finds its scope by. No expression can write it.
	scopeName = "scope of the run"
	// countedPrefix begins the name of a function that takes the scope first, and its steps and memory from it.
	countedPrefix = "counted "

	turnPrefix = functionPrefix + "of each turn of "

	weighed = functionPrefix + "of what is gone through"
	passed  = functionPrefix + "of what a method gets"
	match   = functionPrefix + "matches"

	// The arguments of match, after the scope.
	matchedOf, patternOf = 1, 2
)

// counting is the pass that has an expression take its steps and memory from the budget of its scope. What
// is [straight] only counts the steps of regular expressions.
type counting struct {
	names    *resolver
	straight bool
}

// Visit counts one node; its children have been visited.
func (c *counting) Visit(node *ast.Node) {
	if n, ok := (*node).(*ast.BinaryNode); ok && n.Operator == "matches" {
		c.matches(node, n)
		return
	}
	if c.straight {
		return
	}
	switch n := (*node).(type) {
	case *ast.BuiltinNode:
		if builtin.Builtins[builtin.Index[n.Name]].Predicate {
			countLoop(n)
		} else {
			callCounted(node, n.Name, n.Arguments...)
		}
	case *ast.CallNode:
		callee, ok := n.Callee.(*ast.IdentifierNode)
		switch {
		case !ok:
			for i := range n.Arguments {
				callFor(&n.Arguments[i], passed, scopeNode(), n.Arguments[i])
			}
		case callee.Value == lookup:
			weighNode(&n.Arguments[1])
		case callee.Value == functionName("in"):
			if isSet(n.Arguments[1]) {
				weighNode(&n.Arguments[0])
			} else {
				c.operator(node, "in", n.Arguments[0], n.Arguments[1])
			}
		case nullSafeOperators[strings.TrimPrefix(callee.Value, operatorPrefix)] != nil:
			c.operator(node, strings.TrimPrefix(callee.Value, operatorPrefix), n.Arguments[0], n.Arguments[1])
		default:
			if name, ours := strings.CutPrefix(callee.Value, functionPrefix); ours && isCounted[name] {
				callCounted(node, name, n.Arguments...)
			}
		}
	case *ast.BinaryNode:
		if n.Operator == "in" && isSet(n.Right) {
			weighNode(&n.Left)
			return
		}
		c.operator(node, n.Operator, n.Left, n.Right)
	case *ast.MemberNode:
		weighNode(&n.Property)
	}
}

// operator counts an operator that may go far: no comparison goes further than what is written out.
func (*counting) operator(node *ast.Node, operator string, left, right ast.Node) {
	if !comparesTwo[operator] || !isShort(left) && !isShort(right) {
		callCounted(node, functionName(operator), left, right)
	}
}

// matches has a pattern that is written out compiled once.
func (c *counting) matches(node *ast.Node, n *ast.BinaryNode) {
	pattern := n.Right
	if text, ok := pattern.(*ast.StringNode); ok {
		known, err := compilePattern(text.Value)
		switch {
		case err == nil:
			pattern = &ast.ConstantNode{Value: known}
		case errors.Is(err, tooMighty):
			c.names.fail(n.Right, "%v", err)
			return
		default:
			return // the compiler says what is wrong
		}
	}
	callFor(node, match, scopeNode(), n.Left, pattern)
}

// countLoop has each turn of a loop take what is in it, and what the loop keeps of it.
func countLoop(n *ast.BuiltinNode) {
	looped := false
	for _, argument := range n.Arguments {
		predicate, ok := argument.(*ast.PredicateNode)
		if !ok {
			continue
		}
		looped = true
		steps := 0
		ast.Find(predicate, func(part ast.Node) bool {
			steps++
			if _, ok := part.(*ast.MapNode); ok {
				steps += mapSteps
			}
			return false
		})
		switch n.Name {
		case "groupBy":
			steps += mapSteps
			weighNode(&predicate.Node) // it is looked up
		case "sortBy":
			steps += 20 // it is compared with as many
			weighNode(&predicate.Node)
		}
		look := ast.Node(&ast.CallNode{Callee: &ast.IdentifierNode{Value: turn(steps)}, Arguments: []ast.Node{scopeNode()}})
		look.SetLocation(n.Location())
		ast.Patch(&predicate.Node, &ast.SequenceNode{Nodes: []ast.Node{look, predicate.Node}})
	}
	if !looped {
		weighNode(&n.Arguments[0])
	}
}

// turn is the function that takes so many steps, or up to an eighth more.
func turn(steps int) string {
	for granted := 8; ; granted += granted / 8 {
		if steps <= granted {
			return fmt.Sprint(turnPrefix, granted)
		}
	}
}

func scopeNode() ast.Node { return &ast.IdentifierNode{Value: scopeName} }

// callCounted makes a counted call of a node.
func callCounted(node *ast.Node, name string, arguments ...ast.Node) {
	if isCounted[name] {
		callFor(node, countedPrefix+name, append([]ast.Node{scopeNode()}, arguments...)...)
	}
}

// weighNode weighs what a node gives, unless that is surely one small value.
func weighNode(node *ast.Node) {
	if !isShort(*node) && !isNumber(*node) {
		callFor(node, weighed, scopeNode(), *node)
	}
}

// isShort is true for a value that is written out.
func isShort(node ast.Node) bool {
	switch node.(type) {
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NilNode:
		return true
	}
	return false
}

// comparesTwo are the operators that go no further than the shorter operand.
var comparesTwo = map[string]bool{"==": true, "!=": true, "<": true, "<=": true, ">": true, ">=": true, "startsWith": true, "endsWith": true}

// isSet is true for a list that the compiler makes a set of, or two comparisons.
func isSet(node ast.Node) bool {
	switch n := node.(type) {
	case *ast.ArrayNode:
		for _, item := range n.Nodes {
			if !isShort(item) {
				return false
			}
		}
		return true
	case *ast.ConstantNode:
		return true
	}
	return false
}

// countedOption makes of a function the one whose first argument is the scope that pays for it.
func countedOption(name string, call func(args ...any) (any, error)) expr.Option {
	isCounted[name] = true
	return expr.Function(countedPrefix+name, func(args ...any) (any, error) {
		if err := args[0].(*Scope).charge(name, args[1:]); err != nil {
			return nil, err
		}
		return call(args[1:]...)
	}, new(func(any, ...any) any))
}

// isCounted are the functions and operators that are counted, by their names.
var isCounted = map[string]bool{}

var countingOptions = func() []expr.Option {
	options := []expr.Option{
		expr.Function(weighed, func(args ...any) (any, error) {
			_, err := args[0].(*Scope).weigh(args[1])
			return args[1], err
		}, new(func(any, any) any)),
		expr.Function(passed, func(args ...any) (any, error) {
			s := args[0].(*Scope)
			size, err := s.weigh(args[1])
			if err == nil {
				err = errors.Join(s.hold(times(size, 4)), s.spend(size/digitsAStep)) // a date's format may be shorter than the date
			}
			return args[1], err
		}, new(func(any, any) any)),
		expr.Function(match, func(args ...any) (any, error) {
			return args[0].(*Scope).match(args[1], args[2])
		}, new(func(any, any, any) bool)),
		countedOption(functionName(".."), func(args ...any) (any, error) {
			return runtime.MakeRange(runtime.ToInt(args[0]), runtime.ToInt(args[1])), nil
		}),
		countedOption(functionName("in"), isIn),
		countedOption(partOfText, wholeLetters),
	}
	for granted := 8; granted <= 16*mostParts; granted += granted / 8 {
		options = append(options, expr.Function(turn(granted), func(args ...any) (any, error) {
			return nil, args[0].(*Scope).spend(granted)
		}, new(func(any) any)))
	}
	for operator, holds := range map[string]func(text, part string) bool{"contains": strings.Contains, "startsWith": strings.HasPrefix, "endsWith": strings.HasSuffix} {
		options = append(options, countedOption(functionName(operator), func(args ...any) (any, error) {
			if args[0] == nil || args[1] == nil {
				return false, nil
			}
			return holds(args[0].(string), args[1].(string)), nil
		}))
	}
	for name, f := range functions {
		options = append(options, countedOption(name, f.call))
	}
	for _, f := range builtin.Builtins {
		if _, ours := functions[f.Name]; ours || f.Predicate {
			continue
		}
		call := original(f.Name)
		if _, ok := forNull[f.Name]; ok {
			call = nullable(f.Name)
		}
		options = append(options, countedOption(f.Name, call))
	}
	return options
}()

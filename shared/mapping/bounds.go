package mapping

import (
	"encoding/json"
	"io"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm/runtime"
)

// An expression ends with the context that it is evaluated in: each turn of its loops looks at that. What
// the machine and its functions do between two turns is short, because of these bounds.
const (
	// mostValues bounds how many values a list or a map may hold, with those in it, and deepest how often
	// lists may be nested, where a function goes through all of them. A list that holds another twice, and
	// is itself held twice, has few values in memory and more than can ever be gone through.
	mostValues, deepest = 1_000_000, 100
	// shortMatch is the product of the lengths of a text and a pattern up to which a match is short.
	shortMatch = 1 << 16
	// mostTrimmed is how many different characters trim takes away.
	mostTrimmed = 1000
)

const (
	// scopeName is what an expression finds its scope by. No expression can write it.
	scopeName = "scope of the run"

	turn    = functionPrefix + "of each turn"
	bounded = functionPrefix + "of what is gone through"
	cutset  = functionPrefix + "of what is trimmed"
	uniq    = functionPrefix + "uniq"
	match   = functionPrefix + "matches"
)

// goneThrough are the functions of the language that go through all that is in their arguments, or show
// it in an error.
var goneThrough = map[string]bool{
	"flatten": true, "fromPairs": true, "get": true, "max": true, "mean": true, "median": true, "min": true, "toJSON": true,
}

// bounds is the pass that puts the looks into loops, and the bounds around what goes through values.
type bounds struct{}

// Visit bounds one node; its children have been visited.
func (bounds) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.PredicateNode:
		look := &ast.CallNode{Callee: &ast.IdentifierNode{Value: turn}, Arguments: []ast.Node{scopeNode()}}
		ast.Patch(&n.Node, &ast.SequenceNode{Nodes: []ast.Node{look, n.Node}})
	case *ast.BuiltinNode:
		switch {
		case goneThrough[n.Name]:
			for i := range n.Arguments {
				boundValue(&n.Arguments[i])
			}
		case n.Name == "uniq" && len(n.Arguments) == 1:
			boundValue(&n.Arguments[0])
			callFor(node, uniq, scopeNode(), n.Arguments[0])
		case n.Name == "trim":
			boundCutset(n.Arguments)
		}
	case *ast.CallNode:
		callee, ok := n.Callee.(*ast.IdentifierNode)
		if !ok {
			return
		}
		switch name, _ := strings.CutPrefix(callee.Value, functionPrefix); {
		case name == "trim":
			boundCutset(n.Arguments)
		case goneThrough[name]:
			for i := range n.Arguments {
				boundValue(&n.Arguments[i])
			}
		}
	case *ast.BinaryNode:
		switch {
		case n.Operator == "matches":
			pattern := n.Right
			if text, ok := pattern.(*ast.StringNode); ok {
				compiled, err := regexp.Compile(text.Value)
				if err != nil {
					return // the compiler says so
				}
				pattern = &ast.ConstantNode{Value: compiled}
			}
			callFor(node, match, scopeNode(), n.Left, pattern)
		case n.Operator == "in":
			boundValue(&n.Left)
			boundValue(&n.Right)
		}
	case *ast.MemberNode:
		boundValue(&n.Property)
	case *ast.SliceNode:
		boundValue(&n.Node)
	}
}

func scopeNode() ast.Node { return &ast.IdentifierNode{Value: scopeName} }

// boundValue bounds what a node gives, unless that surely holds no lists of lists.
func boundValue(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.ConstantNode, *ast.NilNode:
		return
	case *ast.ArrayNode:
		plain := true
		for _, item := range n.Nodes {
			plain = plain && isPlain(item)
		}
		if plain {
			return // the compiler makes a set of it
		}
	}
	if !isPlain(*node) {
		callFor(node, bounded, *node)
	}
}

// isPlain is true for a node whose value is surely no list or map.
func isPlain(node ast.Node) bool {
	switch node.Type().Kind() {
	case reflect.Interface, reflect.Slice, reflect.Array, reflect.Map, reflect.Pointer:
		return false
	}
	return true
}

func boundCutset(arguments []ast.Node) {
	if len(arguments) == 2 {
		callFor(&arguments[1], cutset, arguments[1])
	}
}

var boundFunctions = []expr.Option{
	expr.Function(turn, func(args ...any) (any, error) {
		return nil, args[0].(*Scope).ctx.Err()
	}, new(func(any) any)),
	expr.Function(bounded, func(args ...any) (any, error) {
		return args[0], weigh(args[0])
	}, new(func(any) any)),
	expr.Function(cutset, func(args ...any) (any, error) {
		if text, ok := args[0].(string); ok && len(text) > mostTrimmed {
			return nil, reason("it trims at most 1,000 characters")
		}
		return args[0], nil
	}, new(func(any) string)),
	expr.Function(uniq, func(args ...any) (any, error) {
		return args[0].(*Scope).uniq(args[1])
	}, new(func(any, any) []any)),
	expr.Function(match, func(args ...any) (any, error) {
		return args[0].(*Scope).match(args[1], args[2])
	}, new(func(any, any, any) bool)),
}

// weigh fails for a value that holds more than can be gone through at once.
func weigh(value any) error {
	switch value.(type) {
	case nil, string, bool, int, int64, float64, json.Number, time.Time:
		return nil
	}
	if left := mostValues; !weighAll(reflect.ValueOf(value), deepest, &left) {
		return reason("it goes through more than 1,000,000 values, or through lists that are nested more than 100 times")
	}
	return nil
}

// weighAll takes the values that are in one from left, and reports false if there are too many.
func weighAll(value reflect.Value, depth int, left *int) bool {
	for value.Kind() == reflect.Interface {
		value = value.Elem()
	}
	switch value.Kind() {
	case reflect.Slice, reflect.Array:
		switch value.Type().Elem().Kind() {
		case reflect.Interface, reflect.Slice, reflect.Map:
		default:
			return true
		}
		if *left -= value.Len(); depth == 0 || *left < 0 {
			return false
		}
		for i := range value.Len() {
			if !weighAll(value.Index(i), depth-1, left) {
				return false
			}
		}
	case reflect.Map:
		if *left -= value.Len(); depth == 0 || *left < 0 {
			return false
		}
		for each := value.MapRange(); each.Next(); {
			if !weighAll(each.Value(), depth-1, left) {
				return false
			}
		}
	}
	return true
}

// uniq is the language's function, which compares each value with each.
func (s *Scope) uniq(list any) (any, error) {
	values := reflect.ValueOf(list)
	if kind := values.Kind(); kind != reflect.Slice && kind != reflect.Array {
		return nil, reason("it takes a list")
	}
	different := []any{}
next:
	for i := range values.Len() {
		if err := s.ctx.Err(); err != nil {
			return nil, err
		}
		value := values.Index(i).Interface()
		for _, earlier := range different {
			if runtime.Equal(value, earlier) {
				continue next
			}
		}
		different = append(different, value)
	}
	return different, nil
}

// match is the language's operator matches. A long text, or one that a long pattern is looked for in, is
// read character by character, so that the look at the context can be the text's end.
func (s *Scope) match(value, pattern any) (any, error) {
	if value == nil || pattern == nil {
		return false, nil
	}
	text, ok := value.(string)
	if bytes, isBytes := value.([]byte); isBytes {
		text, ok = string(bytes), true
	}
	if !ok {
		return nil, reason("it takes a text")
	}
	var compiled *regexp.Regexp
	switch pattern := pattern.(type) {
	case *regexp.Regexp:
		compiled = pattern
	case string:
		var err error
		if compiled, err = regexp.Compile(pattern); err != nil {
			return nil, reason("the pattern is no regular expression")
		}
	default:
		return nil, reason("the pattern is not a text")
	}
	if len(text)*len(compiled.String()) <= shortMatch {
		return compiled.MatchString(text), nil
	}
	found := compiled.MatchReader(&looking{s, strings.NewReader(text)})
	return found, s.ctx.Err()
}

// looking reads a text until the scope's context ends.
type looking struct {
	scope *Scope
	text  *strings.Reader
}

func (l *looking) ReadRune() (letter rune, size int, err error) {
	if l.scope.ctx.Err() != nil {
		return 0, 0, io.EOF
	}
	return l.text.ReadRune()
}

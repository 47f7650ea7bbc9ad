package mapping

import (
	"context"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/compiler"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
)

// NeedsRow reports whether the program reads a cell of the row.
func (p *Program) NeedsRow() bool { return p.column >= 0 || len(p.reads) > 0 }

// Fault is the error that the program gives for every row because of parameters alone, nil if it may give a value
// for one: a part fails that every evaluation comes to, and that reads no cell. It is an [*Error], or ctx's.
func (p *Program) Fault(ctx context.Context) error {
	if !p.faultKnown {
		fault := p.findFault(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p.fault, p.faultKnown = fault, true
	}
	if p.fault == nil {
		return nil
	}
	return p.fault
}

func (p *Program) findFault(ctx context.Context) *Error {
	if !p.ofParameters {
		return nil
	}
	program := p.counting()
	if program == nil {
		return nil
	}
	p.scope.Begin()
	p.scope.renew(ctx)
	return (&faultFinder{ctx: ctx, p: p}).find(program.Node())
}

// computesOfParameters reports whether some part of an expression computes something, which may fail, of parameters
// alone. To compare them does not fail.
func computesOfParameters(root ast.Node) bool {
	return ast.Find(root, func(part ast.Node) bool {
		switch n := part.(type) {
		case *ast.CallNode:
			return isFixed(part) || hasFixedPattern(n)
		case *ast.BuiltinNode, *ast.MemberNode, *ast.SliceNode:
			return isFixed(part)
		}
		return false
	}) != nil
}

// hasFixedPattern reports whether a call matches something with a pattern that is the same for every row.
func hasFixedPattern(n *ast.CallNode) bool {
	callee, ok := n.Callee.(*ast.IdentifierNode)
	return ok && callee.Value == match && isFixed(n.Arguments[patternOf])
}

// isFixed reports whether a part has the same value for every row.
func isFixed(part ast.Node) bool {
	return ast.Find(part, func(n ast.Node) bool {
		name, ok := n.(*ast.IdentifierNode)
		switch {
		case !ok, name.Value == scopeName, strings.HasPrefix(name.Value, functionPrefix),
			strings.HasPrefix(name.Value, operatorPrefix), strings.HasPrefix(name.Value, countedPrefix):
			return false
		case strings.HasPrefix(name.Value, columnPrefix):
			return true
		}
		return ast.Find(part, func(n ast.Node) bool { // what let declares in it depends on nothing else
			let, ok := n.(*ast.VariableDeclaratorNode)
			return ok && let.Name == name.Value
		}) == nil
	}) == nil
}

// faultFinder goes through the parts of an expression that every evaluation comes to, in their order.
type faultFinder struct {
	ctx context.Context
	p   *Program
}

// find returns the first fault of a part that does not depend on the row.
func (f *faultFinder) find(node ast.Node) *Error {
	if node == nil {
		return nil
	}
	if _, ok := node.(*ast.PredicateNode); ok {
		return nil // a list may have nothing that it is done for
	}
	if isFixed(node) {
		_, fault := f.value(node)
		return fault
	}
	switch n := node.(type) {
	case *ast.BinaryNode:
		return f.binary(n)
	case *ast.ConditionalNode:
		return f.conditional(n)
	case *ast.UnaryNode:
		return f.find(n.Node)
	case *ast.ChainNode:
		return f.find(n.Node)
	case *ast.MemberNode:
		if n.Optional { // of a null, what follows is not come to
			return f.find(n.Node)
		}
		return f.each(n.Node, n.Property)
	case *ast.SliceNode:
		return f.each(n.Node, n.From, n.To)
	case *ast.CallNode:
		if callee, ok := n.Callee.(*ast.MemberNode); ok {
			if fault := f.find(callee.Node); fault != nil {
				return fault
			}
		}
		if fault := f.each(n.Arguments...); fault != nil || !hasFixedPattern(n) {
			return fault
		}
		_, fault := f.value(withText(n))
		return fault
	case *ast.BuiltinNode:
		return f.each(n.Arguments...)
	case *ast.VariableDeclaratorNode:
		return f.each(n.Value, n.Expr)
	case *ast.SequenceNode:
		return f.each(n.Nodes...)
	case *ast.ArrayNode:
		return f.each(n.Nodes...)
	case *ast.MapNode:
		return f.each(n.Pairs...)
	case *ast.PairNode:
		return f.each(n.Key, n.Value)
	}
	return nil
}

// withText is a call that matches with a fixed pattern, of a text: what is wrong with the pattern is so for every row.
func withText(n *ast.CallNode) *ast.CallNode {
	arguments := slices.Clone(n.Arguments)
	arguments[matchedOf] = &ast.StringNode{}
	call := &ast.CallNode{Callee: n.Callee, Arguments: arguments}
	call.SetLocation(n.Location())
	return call
}

func (f *faultFinder) each(nodes ...ast.Node) *Error {
	for _, node := range nodes {
		if fault := f.find(node); fault != nil {
			return fault
		}
	}
	return nil
}

// binary looks at the right operand where the left one says, for every row, that it is come to.
func (f *faultFinder) binary(n *ast.BinaryNode) *Error {
	fault := f.find(n.Left)
	if fault != nil {
		return fault
	}
	switch n.Operator {
	case "&&", "and", "||", "or", "??":
		if !isFixed(n.Left) {
			return nil
		}
		left, _ := f.value(n.Left)
		holds, _ := left.(bool)
		comes := holds
		switch n.Operator {
		case "||", "or":
			comes = !holds
		case "??":
			comes = left == nil
		}
		if !comes {
			return nil
		}
	}
	return f.find(n.Right)
}

func (f *faultFinder) conditional(n *ast.ConditionalNode) *Error {
	if fault := f.find(n.Cond); fault != nil || !isFixed(n.Cond) {
		return fault
	}
	if holds, _ := f.value(n.Cond); holds == true {
		return f.find(n.Exp1)
	}
	return f.find(n.Exp2)
}

// value computes a part that does not depend on the row. A part that cannot be compiled alone has no fault.
func (f *faultFinder) value(node ast.Node) (value any, fault *Error) {
	config := conf.CreateNew()
	expr.Env(f.p.scope.types)(config)
	config.Functions = compiledFunctions
	program, err := compiler.Compile(&parser.Tree{Node: node, Source: file.NewSource(string(f.p.text))}, config)
	if err != nil {
		return nil, nil
	}
	if value, err = f.p.scope.machine.Run(program, f.p.scope.env); err != nil {
		return nil, f.p.locate(err)
	}
	return value, nil
}

package mapping

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// mismatches is the pass that refuses an operator whose operands are surely of different kinds, such as texts where
// numbers are meant, which is a CSV's usual case, in words that say what to do.
type mismatches resolver

func (m *mismatches) Visit(node *ast.Node) {
	n, ok := (*node).(*ast.BinaryNode)
	if !ok {
		return
	}
	left, right := m.kind(n.Left), m.kind(n.Right)
	switch n.Operator {
	case "==", "!=", "<", "<=", ">", ">=":
		m.compared(n, n.Operator, n.Left, n.Right)
	case "in":
		m.lookedFor(n, right)
	case "contains", "startsWith", "endsWith", "matches":
		for _, side := range []ast.Node{n.Left, n.Right} {
			if kind := m.kind(side); kind != "" && kind != aText && kind != bytes {
				m.fail(n, "%s looks for a text in a text, and gets %s; %s", n.Operator, kind, asText(side, kind))
				return
			}
		}
	case "-", "*", "/", "%", "+":
		text, other := n.Left, right
		if right == aText {
			text, other = n.Right, left
		}
		span, number := left, right
		if right == aDuration || right == aDate {
			span, number = right, left
		}
		switch {
		case number == aNumber && (span == aDate || span == aDuration && strings.Contains("+-%", n.Operator)):
			m.fail(n, "%s cannot take %s and a number together; %s", n.Operator, span, partsOfSpan)
		case m.kind(text) != aText || other != aNumber:
		case n.Operator == "+":
			m.fail(n, "+ joins a text and a number; make a text of the number with string(…), or a number of the text, as in number(%s)", shown(text))
		default:
			m.fail(n, "%s calculates with a text; make a number of it, as in number(%s)", n.Operator, shown(text))
		}
	}
}

func (m *mismatches) fail(node ast.Node, format string, args ...any) {
	(*resolver)(m).fail(node, format, args...)
}

// lookedFor refuses what can be in no list.
func (m *mismatches) lookedFor(n *ast.BinaryNode, right string) {
	switch list := n.Right.(type) {
	case *ast.ArrayNode:
		for _, item := range list.Nodes {
			m.compared(n, n.Operator, n.Left, item)
		}
		return
	case *ast.BinaryNode:
		if list.Operator == ".." {
			m.compared(n, n.Operator, n.Left, list.Left)
			return
		}
	}
	if right == aText {
		m.fail(n, "in looks into a list; a text in a text is found with contains, as in %s contains \"x\"", shown(n.Right))
		return
	}
	if of := n.Right.Type(); right == aList && of.Kind() == reflect.Slice {
		if one, other := m.kind(n.Left), kindOfType(of.Elem()); differ(one, other) && !isParameter(n.Right) {
			m.fail(n, "in looks for %s in a list of which each is %s; convert it, as with string(…) or number(…)", one, other)
		}
	}
}

func differ(one, other string) bool { return one != "" && other != "" && one != other }

// compared refuses two operands of which no values are equal.
func (m *mismatches) compared(n ast.Node, operator string, left, right ast.Node) {
	one, other := m.kind(left), m.kind(right)
	if !differ(one, other) || isParameter(left) || isParameter(right) {
		return
	}
	if other == aText {
		left, right, one, other = right, left, other, one
	}
	m.fail(n, "%s compares %s with %s; %s", operator, one, other, remedy(operator, left, one, right, other))
}

// remedy is what to do about two operands, of which the first is the text if one is.
func remedy(operator string, text ast.Node, one string, value ast.Node, other string) string {
	_, quoted := text.(*ast.StringNode)
	switch {
	case one != aText && other == aDate || one == aDate:
		return "take a part of the date, such as its Year(), or compare dates, as in date(\"2026-01-31\")"
	case one != aText:
		return "convert one of them"
	case other == aNumber && quoted:
		return "write the number without quotes, or make a text of the other one with string(…)"
	case other == aNumber && isShort(value) && !strings.ContainsAny(operator, "<>"):
		return fmt.Sprintf("make a number of the text, as in number(%s), or write the number in quotes", shown(text))
	case other == aNumber:
		return fmt.Sprintf("make a number of the text, as in number(%s)", shown(text))
	case other == aDate && quoted:
		return `make a date of the text, as in date("2026-01-31")`
	case other == aDate:
		return fmt.Sprintf(`make a date of the text, as in date(%s) or date(%[1]s, "dd.MM.yyyy")`, shown(text))
	case other == aDuration:
		return `make a duration of the text, as in duration("1h30m")`
	case other == aBool && quoted:
		return "write true or false without quotes"
	case other == aBool:
		return fmt.Sprintf("write the text in quotes, as in %s == \"true\"", shown(text))
	case other == aList:
		return "a text is looked for with in, or in a list's item, as in Tags[0]"
	}
	return "convert one of them"
}

// asText says how a text is made of a node.
func asText(node ast.Node, kind string) string {
	switch {
	case isShort(node):
		return "write it in quotes"
	case kind == aDate:
		return "make a text of it with formatDate(…)"
	}
	return "make a text of it with string(…)"
}

// kind is what a node's values surely are, or null, and "" if that is not known.
func (m *mismatches) kind(node ast.Node) string {
	switch n := node.(type) {
	case *ast.NilNode:
		return ""
	case *ast.IdentifierNode:
		if m.texts && isColumn(n) {
			return aText
		}
	case *ast.CallNode:
		if callee, ok := n.Callee.(*ast.IdentifierNode); ok && (callee.Value == functionPrefix+"number" || callee.Value == functionPrefix+"round") {
			return aNumber
		}
	case *ast.BinaryNode:
		if strings.Contains("+-*/%**", n.Operator) && m.kind(n.Left) == aNumber && m.kind(n.Right) == aNumber {
			return aNumber
		}
	}
	if of := node.Type(); of.Kind() != reflect.Interface {
		return kindOfType(of)
	}
	return ""
}

// isParameter is true for the value of a parameter: it is a text, and counts as a number or a date where it is compared
// with one.
func isParameter(node ast.Node) bool {
	_, ok := node.(*ast.ConstantNode)
	return ok
}

// isColumn is true for a column of the source.
func isColumn(node ast.Node) bool {
	n, ok := node.(*ast.IdentifierNode)
	return ok && strings.HasPrefix(n.Value, columnPrefix)
}

// shown is a column whose name is one word, and … for any other operand.
func shown(node ast.Node) string {
	if n, ok := node.(*ast.IdentifierNode); ok {
		if name, ok := strings.CutPrefix(n.Value, columnPrefix); ok && isName(name) {
			return name
		}
	}
	return "…"
}

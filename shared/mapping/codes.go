package mapping

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/parser/lexer"
)

var (
	// code is a text that looks like a number or a calculation, and is a code, a date or a phone number.
	code = regexp.MustCompile(`^(?:0[0-9]+|[0-9]+(?:-[0-9]+)+|[0-9]+/[0-9]+/[0-9]+)$`)
	// codeWithin is such a text as a part of an expression, where 10-2 may be a calculation.
	codeWithin  = regexp.MustCompile(`^(?:[0-9]+(?:-[0-9]+){2,}|[0-9]+(?:/[0-9]+){2,}|[0-9]{3,}-[0-9]{4}|(?:19|20)[0-9]{2}[-/][0-9]{2})$`)
	leadingZero = regexp.MustCompile(`^0[0-9]+$`)
	digits      = regexp.MustCompile(`^[0-9]+$`)
)

// refuseCode refuses an expression that is or has such a text without quotes: 007 would give 7, and 2026-01-31 the
// number 1994. It also refuses // for a division.
func refuseCode(text string) error {
	if text := strings.TrimSpace(text); code.MatchString(text) {
		return fmt.Errorf(`%s would be calculated; a text, the same in each row, stands in quotes, and in a task file in two kinds of them: '"%[1]s"'`, text)
	}
	source := file.NewSource(text)
	tokens, err := lexer.Lex(source)
	if err != nil {
		return nil // the compiler says it
	}
	letters := []rune(text)
	for i, token := range tokens {
		if token.Kind == lexer.EOF {
			token.From = len(letters)
		}
		if i > 0 {
			if at := comment(letters, tokens[i-1].To, token.From); at >= 0 {
				const advice = "what follows // is a comment and not read; whole numbers are divided as in int(a / b), and a comment stands between /* and */"
				return (&file.Error{Location: file.Location{From: at, To: at + 2}, Message: advice}).Bind(source)
			}
		}
		if token.Kind != lexer.Number || isKey(tokens, i) {
			continue
		}
		written, more := string(letters[token.From:chain(tokens[i:]).To]), "; a calculation has spaces around its signs"
		if !codeWithin.MatchString(written) || isSubtracted(tokens[:i]) {
			written, more = token.Value, ""
		}
		if more != "" || leadingZero.MatchString(written) {
			return (&file.Error{Location: token.Location, Message: fmt.Sprintf("%s would be calculated; a text stands in quotes, as in %[1]q%s", written, more)}).Bind(source)
		}
	}
	return nil
}

// isKey is true for a key of a map that is written out, which is a text.
func isKey(tokens []lexer.Token, i int) bool {
	return i > 0 && (tokens[i-1].Is(lexer.Bracket, "{") || tokens[i-1].Is(lexer.Operator, ",")) && tokens[i+1].Is(lexer.Operator, ":")
}

// isSubtracted is true for what stands behind an operand and a - or /.
func isSubtracted(before []lexer.Token) bool {
	last := len(before) - 1
	return last > 0 && before[last].Is(lexer.Operator, "-", "/") && isOperand(before[last-1])
}

// chain is the last of the numbers that the first token begins, with one operator and no spaces between them.
func chain(tokens []lexer.Token) (last lexer.Token) {
	last = tokens[0]
	for i := 1; i+1 < len(tokens); i += 2 {
		operator, next := tokens[i], tokens[i+1]
		if !operator.Is(lexer.Operator, tokens[1].Value) || !operator.Is(lexer.Operator, "-", "/") || next.Kind != lexer.Number || !digits.MatchString(next.Value) || operator.From != last.To || next.From != operator.To {
			break
		}
		last = next
	}
	return last
}

// isOperand is true for the last token of what an operator may stand behind.
func isOperand(token lexer.Token) bool {
	return token.Kind == lexer.Number || token.Kind == lexer.Identifier || token.Kind == lexer.String || token.Is(lexer.Bracket, ")", "]", "}")
}

// comment is where between two tokens a comment begins that could be the other side of a division, or -1.
func comment(letters []rune, from, to int) int {
	between := letters[from:to]
	for at := 0; at+1 < len(between); at++ {
		switch {
		case between[at] == '\n':
			return -1
		case between[at] == '/' && between[at+1] == '*':
			end := strings.Index(string(between[at:]), "*/")
			if end < 0 {
				return -1
			}
			at += len([]rune(string(between[at:])[:end])) + 1
		case between[at] == '/' && between[at+1] == '/':
			line, _, _ := strings.Cut(string(between[at+2:]), "\n")
			if _, err := parser.Parse(line); err == nil {
				return from + at
			}
			return -1
		}
	}
	return -1
}

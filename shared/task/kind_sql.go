package task

import (
	"errors"
	"slices"
	"strings"
	"unicode/utf8"
)

// SQLSource reads the rows of a query.
type SQLSource struct {
	Connection string
	// Query is one select. Its named parameters, see CutQuery, are parameters of the task.
	Query string
	// OrderBy lists columns of the query to put the rows in order by; empty leaves the query's order.
	OrderBy []string
	// Since: the rows of a run are those that came after the ones before; nil for all rows.
	Since *Since
}

// Increment is Since.
func (s *SQLSource) Increment() *Since { return s.Since }

// Uses is the name of the connection.
func (s *SQLSource) Uses() (connection string) { return s.Connection }

// Name is SQL.
func (*SQLSource) Name() Kind { return SQL }

// From names the source in lists.
func (s *SQLSource) From() string { return "a query of " + s.Connection }

// Ordered: a query has an order if the task gives it one.
func (s *SQLSource) Ordered() bool { return len(s.OrderBy) > 0 }

// Unchanged says what an interrupted run needs to continue.
func (*SQLSource) Unchanged() string { return "the source gives the same rows in the same order" }

// Separator is a comma.
func (*SQLSource) Separator() rune { return ',' }

// SQLDestination writes one table of a database connection.
type SQLDestination struct {
	Connection string
	Table      string
	// Key lists the columns that identify a row; required but for insert.
	Key    []string
	Action Action
	// Create makes a missing table from the mapping, with Key as primary key.
	Create bool
}

// Uses is the name of the connection.
func (d *SQLDestination) Uses() (connection string) { return d.Connection }

// Name is SQL.
func (*SQLDestination) Name() Kind { return SQL }

// Place names the destination in messages.
func (d *SQLDestination) Place() string { return "the table " + d.Table }

// FoundBy are the columns of key.
func (d *SQLDestination) FoundBy() []string { return d.Key }

// Traits of a table: rows and their checkpoint are one transaction, and any action but insert comes to the
// same twice.
func (d *SQLDestination) Traits() Traits {
	traits := Traits{Restartable: d.Action != Insert, Continues: true, Repeats: "insert", MaxDelete: true, MaxChange: true}
	if d.Action != Insert {
		traits.Key = d.Key
	}
	return traits
}

// The ways in which a query is not one that only reads.
var (
	errQueryEmpty   = errors.New("there is no select in it")
	errQuerySeveral = errors.New("there is more than one statement in it; keep one select, without a semicolon before its end")
	errQueryWrites  = errors.New("it must be a select (or with … select); a source only reads")
	errQueryOpen    = errors.New("a quote, a bracket or a comment in it has no beginning or no end")
	errQueryUnnamed = errors.New("a parameter in it has no name; write :State for the parameter State")
	errQueryGlued   = errors.New("a parameter in it begins right behind a word; put a space between them, or quotes around a name with : @ or $ in it")
)

// CutQuery checks that a query is one statement that reads. It returns the query as the database
// gets it, without a semicolon at its end and with placeholder(n) in place of its n-th parameter,
// from 1, and the names of those parameters (:State, also @State and $State), each once. A
// qualified name is written with its dots: :CsContact1.ImisId.
func CutQuery(query string, placeholder func(n int) string) (text string, names []string, err error) {
	var out strings.Builder
	depth, first, verb := 0, "", ""
	ended, inWord := false, false
	for rest := query; rest != ""; {
		token := rest[:tokenLength(rest)]
		if token == "" {
			return "", nil, errQueryOpen
		}
		rest = rest[len(token):]
		word := strings.ToLower(token)
		behindWord := inWord
		inWord = wordLength(token[len(token)-1:], false) > 0
		switch {
		case strings.TrimSpace(token) == "" || strings.HasPrefix(token, "--") || strings.HasPrefix(token, "/*"):
			out.WriteString(token)
			inWord = false
			continue
		case token == ";":
			ended = true
			continue
		case ended:
			return "", nil, errQuerySeveral
		case token == "(":
			depth++
		case token == ")":
			depth--
		case token[0] == '?' || len(token) == 1 && strings.Contains(":@$", token):
			return "", nil, errQueryUnnamed
		case slices.Contains(operators, token):
		case token[0] == '$' && strings.HasSuffix(token, "$"): // in quotes that every database knows
			tag := strings.IndexByte(token[1:], '$') + 2
			token = "'" + strings.ReplaceAll(token[tag:len(token)-tag], "'", "''") + "'"
		case strings.Contains(":@$", token[:1]) && behindWord:
			return "", nil, errQueryGlued
		case strings.Contains(":@$", token[:1]):
			at := slices.Index(names, token[1:])
			if at < 0 {
				at = len(names)
				names = append(names, token[1:])
			}
			token = placeholder(at + 1)
		case depth == 0 && verb == "" && slices.Contains([]string{"select", "values", "insert", "update", "delete", "replace"}, word):
			verb = word
		}
		if first == "" {
			first = word
		}
		// A query that closes more than it opens could change what is put around it.
		if depth < 0 {
			return "", nil, errQueryOpen
		}
		out.WriteString(token)
	}
	switch {
	case first == "":
		return "", nil, errQueryEmpty
	case first != "select" && first != "with" && first != "values", verb != "select" && verb != "values":
		return "", nil, errQueryWrites
	case depth > 0:
		return "", nil, errQueryOpen
	}
	return out.String(), names, nil
}

// operators are those of databases that begin as a parameter does, or have one within.
var operators = []string{"::", ":=", "@>", "<@", "@@"}

// quotedByDollars is the length of the text that text begins with, between two $$ or two $tag$; 0 if it does not
// begin with one, or that has no end.
func quotedByDollars(text string) int {
	if text[0] != '$' {
		return 0
	}
	tag := 1 + wordLength(text[1:], false)
	if tag == len(text) || text[tag] != '$' {
		return 0
	}
	tag++
	end := strings.Index(text[tag:], text[:tag])
	if end < 0 {
		return 0
	}
	return tag + end + tag
}

// tokenLength is the length of the token of SQL that text begins with; 0 for one that has no end.
func tokenLength(text string) int {
	switch letter := text[0]; {
	case strings.HasPrefix(text, "--"):
		if end := strings.IndexByte(text, '\n'); end >= 0 {
			return end + 1
		}
		return len(text)
	case strings.HasPrefix(text, "/*"):
		// A comment without an end would swallow whatever is put behind the query.
		if end := strings.Index(text[2:], "*/"); end >= 0 {
			return end + 4
		}
		return 0
	case letter == '\'' || letter == '"' || letter == '`':
		// A doubled quote is read as the end of one and the beginning of the next.
		return closed(text, letter)
	case letter == '[':
		return closed(text, ']')
	case slices.ContainsFunc(operators, func(operator string) bool { return strings.HasPrefix(text, operator) }):
		return len(operators[0])
	case quotedByDollars(text) > 0:
		return quotedByDollars(text)
	case strings.IndexByte(":@$", letter) >= 0:
		return 1 + wordLength(text[1:], true)
	case wordLength(text, false) > 0:
		return wordLength(text, false)
	}
	_, size := utf8.DecodeRuneInString(text)
	return size
}

// closed is the length up to the closing quote, 0 without one.
func closed(text string, quote byte) int {
	if end := strings.IndexByte(text[1:], quote); end >= 0 {
		return end + 2
	}
	return 0
}

// wordLength is the length of the word that text begins with; dotted takes dots between letters in.
func wordLength(text string, dotted bool) int {
	for i := 0; i < len(text); i++ {
		letter := text[i]
		switch {
		case 'a' <= letter && letter <= 'z', 'A' <= letter && letter <= 'Z', '0' <= letter && letter <= '9', letter == '_', letter >= utf8.RuneSelf:
		case dotted && letter == '.' && i > 0 && wordLength(text[i+1:], false) > 0:
		default:
			return i
		}
	}
	return len(text)
}

package httpjson

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// fault is a member by which a page says, with status 200, that it failed.
type fault struct {
	// rank is guessed if the member may speak of something else, such as an order that failed.
	rank  rank
	where string
	// status is the one of HTTP that the page gives, 0 for none.
	status int
	// listed: the page has its list of rows nevertheless.
	listed bool
}

func (f *fault) Error() string {
	if f.listed {
		return "has something at " + f.where + " beside its list of rows: the service seems to say that it failed"
	}
	return "has no list of rows, and something at " + f.where + ": the service seems to say that it failed"
}

// foundNothing reports whether a page has its empty list, and 404 alone, which may say no more than that.
func (f *fault) foundNothing() bool {
	return f.listed && f.rank == guessed && f.status == http.StatusNotFound
}

// hear takes what a member says whose name has that word.
func (f *fault) hear(where string, word word, value any) {
	text, _ := scalar(value)
	found := fault{rank: standard, where: where, status: f.status}
	switch word {
	case faulty:
		if !isFault(value) {
			return
		}
	case succeeded:
		if !isFalse(value) {
			return
		}
	case answered:
		number, _ := strconv.Atoi(text)
		if found.rank = guessed; 400 <= number && number < 600 {
			f.status, found.status = number, number
		} else if !slices.Contains([]string{"error", "fail", "failed", "failure"}, strings.ToLower(text)) {
			return
		}
	default:
		return
	}
	if found.rank > f.rank {
		*f = found
	}
}

// isFalse reports whether a member such as success says no.
func isFalse(value any) bool { return value == false || value == "false" || value == "False" }

// isFault reports whether a member such as error has something, and not that there is none.
func isFault(value any) bool {
	switch v := value.(type) {
	case []any:
		return slices.ContainsFunc(v, func(entry any) bool {
			object, isObject := entry.(map[string]any)
			return isFault(entry) || isObject && len(object) == 0
		})
	case map[string]any:
		some := false
		for name, member := range v {
			_, single := scalar(member)
			if word := words[fold(name)]; single && (word == answered || word == faulty && fold(name) == "errorcode") && !isFault(member) {
				return false
			}
			some = some || isFault(member)
		}
		return some
	}
	text, single := scalar(value)
	if single && strings.Trim(text, "0") == "" { // 0, 0000 and an empty text
		return false
	}
	return isSomething(value) && !slices.Contains([]string{"200", "ok", "none", "no error", "null", "false", "success"}, strings.ToLower(text))
}

// isStray reports whether a line is no row: it says that something failed, and has no column of the lines before.
func (s *Source) isStray(line []byte) bool {
	first, _, _ := bytes.Cut(line, []byte(":"))
	if _, known := s.index[string(bytes.Trim(first, "{\" \t\r\n"))]; known || s.rows == 0 {
		return false
	}
	names := keys(line)
	if len(names) == 0 || slices.ContainsFunc(names, func(name string) bool { _, known := s.index[name]; return known }) {
		return false
	}
	var said fault
	for _, name := range names {
		said.hear(name, words[fold(name)], member(line, name))
	}
	return said.rank > guessed
}

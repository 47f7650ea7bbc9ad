package httpjson

import (
	"bytes"
	"net/http"
	"slices"
)

// fault is a member by which a page says, with status 200, that it failed.
type fault struct {
	// rank is guessed if the member may speak of something else, such as an order that failed, and doubtful if it says so
	// only where there are no rows.
	rank  rank
	where string
	// status is the one of HTTP that the page gives, 0 for none.
	status int
	// counted is how many rows failed, 0 if it does not say.
	counted int
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
	return f.listed && f.rank <= guessed && f.status == http.StatusNotFound
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
	var said verdict
	object := members(line)
	for _, name := range names {
		said.hear(name, words[fold(name)], object[name])
	}
	return said.sum().rank > guessed
}

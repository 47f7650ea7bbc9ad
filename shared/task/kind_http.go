package task

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// HTTPSource reads pages of JSON.
type HTTPSource struct {
	Connection string
	// Path is the first page's path and query below the connection's URL, with the task's parameters
	// in it as {params.Name}; see Expand.
	Path string
	// AnyPath are the names of those whose values may be several segments of it.
	AnyPath []string
	// Items is where a page has its list of rows; empty means that the page is the list. This and
	// the other places in a page are names of members, with dots between; except this one, each may also
	// be the name of a header with a hyphen in it.
	Items string
	// Lines: each line of a page is a row (NDJSON).
	Lines bool
	// Next is how the page after a page is found; nil means that there is one page.
	Next *NextPage
	// Total is where a page has the number of rows of all pages; empty for where services usually have
	// it, NoTotal for nowhere.
	Total string
	// Columns are names that a row may lack, besides those that the first rows have.
	Columns []string
	// Since: the rows of a run are those that came after the ones before; nil for all rows.
	Since *Since
}

// Increment is Since.
func (s *HTTPSource) Increment() *Since { return s.Since }

// NoTotal is the Total of a source that gives less, or something else, than the service counts.
const NoTotal = "none"

// NextPage is how the next page is found. Exactly one of Link, Header, Offset, Page and Cursor is set.
type NextPage struct {
	// Link is where a page has the address of the next one: a text, an object with href or url, or a
	// list of objects with rel or relation.
	Link string
	// Header: the Link header has it, as rel=next.
	Header bool
	// Offset is the query parameter for the number of rows to pass over.
	Offset string
	// Page is the query parameter for the number of the page.
	Page string
	// Cursor is the query parameter for what a page has at From, or its last row at Row.
	Cursor, From, Row string
	// More is where a page says whether there is another one, Pages where it says how many there are.
	More, Pages string
}

// Uses is the name of the connection.
func (s *HTTPSource) Uses() (connection string) { return s.Connection }

// Name is HTTP.
func (*HTTPSource) Name() Kind { return HTTP }

// From names the source in lists, without the query of its path.
func (s *HTTPSource) From() string {
	path, _, _ := strings.Cut(s.Path, "?")
	return "the web service " + s.Connection + ", " + path
}

// Ordered: pages have an order.
func (*HTTPSource) Ordered() bool { return true }

// Unchanged says what an interrupted run needs to continue.
func (*HTTPSource) Unchanged() string { return "the source gives the same rows in the same order" }

// Separator is a comma.
func (*HTTPSource) Separator() rune { return ',' }

// HTTPDestination sends rows as JSON to a web service.
type HTTPDestination struct {
	Connection string
	// Path follows the connection's url and may have a query.
	Path string
	// Method is POST, PUT or PATCH.
	Method string
	// Batch is how many rows go in one request: 1 sends a row's object, more an array of them.
	Batch int
}

// Uses is the name of the connection.
func (d *HTTPDestination) Uses() (connection string) { return d.Connection }

// Name is HTTP.
func (*HTTPDestination) Name() Kind { return HTTP }

// Place names the destination in messages.
func (d *HTTPDestination) Place() string { return "the web service of connection " + d.Connection }

// Traits of a service: it keeps what it was sent, and whether a request arrived is not always known.
func (d *HTTPDestination) Traits() Traits {
	return Traits{Restartable: true, Continues: true, AtLeastOnce: true, Repeats: "send", BatchRows: d.Batch}
}

// PathPiece is a part of an http source's path: text as it is, or a parameter.
type PathPiece struct {
	Text      string
	Parameter string
	// InQuery: the piece stands behind the question mark. Whole: it is all of a query parameter's
	// value.
	InQuery, Whole bool
}

// CutPath cuts a path at its parameters: /people?state={params.State}.
func CutPath(path string) ([]PathPiece, error) {
	var pieces []PathPiece
	inQuery := false
	for rest := path; ; {
		text, after, found := strings.Cut(rest, "{")
		if strings.Contains(text, "}") {
			return nil, errors.New("a } has no { before it; write a brace itself as %7B or %7D")
		}
		pieces = append(pieces, PathPiece{Text: text, InQuery: inQuery})
		inQuery = inQuery || strings.Contains(text, "?")
		if !found {
			return pieces, nil
		}
		inside, after, closed := strings.Cut(after, "}")
		name, ok := strings.CutPrefix(inside, "params.")
		if !closed || !ok || name == "" {
			return nil, errors.New("braces must hold a parameter, as in {params.State}; write a brace itself as %7B or %7D")
		}
		end := after == "" || after[0] == '&'
		pieces = append(pieces, PathPiece{Parameter: name, InQuery: inQuery, Whole: inQuery && end && strings.HasSuffix(text, "=")})
		rest = after
	}
}

// Expand is the path with a run's parameters in it, see [Definition.ExpressionParams]. A value is escaped, so
// that it stays one value of its query parameter or one segment of the path, except where AnyPath has it. A
// query parameter whose whole value is a parameter is left out when that has no value, and repeated when it
// has several.
func (s *HTTPSource) Expand(params map[string]any) (string, error) {
	pieces, err := CutPath(s.Path)
	if err != nil {
		return "", err
	}
	out, dropped := "", false
	for i, p := range pieces {
		values := texts(params[p.Parameter])
		switch {
		case p.Parameter == "":
			text := p.Text
			if dropped {
				text, dropped = strings.TrimPrefix(text, "&"), false
			}
			if i+1 < len(pieces) && pieces[i+1].Whole {
				text = text[:nameAt(text)] // the name goes with its value
			}
			out += text
		case p.Whole:
			name := pieces[i-1].Text[nameAt(pieces[i-1].Text):]
			for n, value := range values {
				if n > 0 {
					out += "&"
				}
				out += name + escape(value)
			}
			if dropped = len(values) == 0; dropped && pieces[i+1].Text == "" {
				out = out[:len(out)-1] // nothing follows the ? or the &
			}
		case len(values) > 1:
			return "", fmt.Errorf("{params.%s} has several values, and its place takes one", p.Parameter)
		case p.InQuery:
			out += escape(strings.Join(values, ""))
		case len(values) == 0:
			return "", fmt.Errorf("{params.%s} has no value that can be a part of a path; make it required, or pass another", p.Parameter)
		case slices.Contains(s.AnyPath, p.Parameter):
			if !isPath(values[0]) {
				return "", fmt.Errorf("{params.%s} has a value that services may take for another path: one with dots between backslashes or escapes; pass another", p.Parameter)
			}
			out += strings.ReplaceAll(url.PathEscape(values[0]), "%2F", "/")
		case !IsSegment(values[0]):
			return "", fmt.Errorf("{params.%s} has a value that services may take for another path: one with a slash or a backslash, . or .., or these escaped; pass another", p.Parameter)
		default:
			out += url.PathEscape(values[0])
		}
	}
	return out, nil
}

// IsSegment reports whether a value is one segment of a path to any service, however often that decodes it and
// whatever letters it takes for others: it has no slash, backslash or control character, and is neither . nor .. .
func IsSegment(value string) bool {
	return alike(value, func(plain string) bool { return !isDots(plain) && !strings.ContainsFunc(plain, isSlash) })
}

// isPath reports whether a value is a path that leads nowhere else with any service: dots between its slashes count as
// they stand, for whoever holds the path below a url, and there are none that only some services see.
func isPath(value string) bool {
	for segment := range strings.SplitSeq(value, "/") {
		if segment != "." && segment != ".." && !alike(segment, func(plain string) bool {
			return !slices.ContainsFunc(strings.FieldsFunc(plain, isSlash), isDots)
		}) {
			return false
		}
	}
	return true
}

// alike reports whether a value is what is wanted however often a service decodes it, and whatever letters it takes for
// others. A control character never is.
func alike(value string, wanted func(plain string) bool) bool {
	const mostDecoded = 5
	for range mostDecoded {
		plain := norm.NFKC.String(value) // ／ is a slash then, and ‥ two dots
		if !utf8.ValidString(plain) || strings.ContainsFunc(plain, isControl) || !wanted(plain) {
			return false
		}
		if plain = unescaped(value); plain == value {
			return true
		}
		value = plain
	}
	return false
}

// isDots reports whether a service takes a segment for the folder itself, or for that above it.
func isDots(segment string) bool {
	name, _, _ := strings.Cut(segment, ";")
	return name == "." || name == ".."
}

// isSlash reports whether some service takes a letter for the end of a segment.
func isSlash(letter rune) bool { return strings.ContainsRune("/\\\u2044\u2215\u29f5\u29f8", letter) }

func isControl(letter rune) bool { return letter < ' ' || letter == 0x7f }

// unescaped is a text without escapes; what is none stays.
func unescaped(text string) string {
	var plain strings.Builder
	for i := 0; i < len(text); i++ {
		if escape, err := url.PathUnescape(text[i:min(i+3, len(text))]); text[i] == '%' && err == nil && len(escape) == 1 {
			plain.WriteString(escape)
			i += 2
		} else {
			plain.WriteByte(text[i])
		}
	}
	return plain.String()
}

// nameAt is where the name of a query's last parameter begins.
func nameAt(text string) int { return strings.LastIndexAny(text, "?&") + 1 }

// escape writes a space as %20, which every service reads: to OData a + is a plus.
func escape(value string) string { return strings.ReplaceAll(url.QueryEscape(value), "+", "%20") }

// texts are the values of a parameter as an expression sees it, without empty ones.
func texts(value any) []string {
	var all []string
	switch v := value.(type) {
	case string:
		all = []string{v}
	case []string:
		all = slices.Clone(v)
	}
	return slices.DeleteFunc(all, func(text string) bool { return text == "" })
}

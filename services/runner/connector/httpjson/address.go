package httpjson

import (
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// sendable is an address with its text as it was written, but for what no request can have: such
// letters are escaped, as browsers do it.
func sendable(address string) string {
	begin := 0
	if at := strings.Index(address, "//"); at >= 0 && !strings.ContainsAny(address[:at], "/?#") {
		begin = at + 2 + max(0, strings.IndexAny(address[at+2:]+"/", "/?#")) // the host keeps its letters
	}
	path, query, asks := strings.Cut(address[begin:], "?")
	text := address[:begin] + escaped(path, func(i int) bool {
		return path[i] <= ' ' || path[i] >= 0x7f || strings.IndexByte("\"<>\\^`{|}", path[i]) >= 0 || path[i] == '%' && !isEscape(path[i:])
	})
	if asks {
		text += "?" + escaped(query, func(i int) bool { return query[i] <= ' ' || query[i] >= 0x7f })
	}
	return text
}

// isEscape reports whether a text begins with a percent sign and two hexadecimal digits.
func isEscape(text string) bool {
	_, err := url.PathUnescape(text[:min(3, len(text))])
	return err == nil
}

// escaped is a text whose bytes are escaped where must says so.
func escaped(text string, must func(i int) bool) string {
	const digits = "0123456789ABCDEF"
	var out strings.Builder
	for i := range len(text) {
		if c := text[i]; must(i) {
			out.Write([]byte{'%', digits[c>>4], digits[c&15]})
		} else {
			out.WriteByte(c)
		}
	}
	return out.String()
}

// parameter is the value that a query gives a name first; the other parts are never read, for they may be
// of any form.
func parameter(query, name string) string {
	for part := range strings.SplitSeq(query, "&") {
		if given, value, _ := strings.Cut(part, "="); is(given, name) {
			if plain, err := url.QueryUnescape(value); err == nil {
				return plain
			}
			return value
		}
	}
	return ""
}

// The names that services give to how many rows a page has, to the row or to the page that it begins with.
var (
	sizeNames = regexp.MustCompile(`(?i)(^\$?(size|top|take|count|first|rows)|limit|page_?size|per_?page|max_?results|\[(limit|size)\])$`)
	rowNames  = regexp.MustCompile(`(?i)^(\$?skip|offset|start|start_?at|from|page\[offset\])$`)
	pageNames = regexp.MustCompile(`(?i)^(page|p|page_?(number|no|index)|page\[number\])$`)
)

// anyParameter is the first parameter whose name matches, with its value.
func anyParameter(query string, names *regexp.Regexp) (name, value string) {
	for part := range strings.SplitSeq(query, "&") {
		given, value, _ := strings.Cut(part, "=")
		if plain, err := url.QueryUnescape(given); err == nil && names.MatchString(plain) {
			return plain, value
		}
	}
	return "", ""
}

// anyNumber is the value of the first parameter whose name matches, ok if it is a whole number.
func anyNumber(query string, names *regexp.Regexp) (number int64, ok bool) {
	_, value := anyParameter(query, names)
	number, err := strconv.ParseInt(value, 10, 64)
	return number, err == nil
}

// withParameter is a query in which a name has one value. All other text stays what it is, byte for byte.
func withParameter(query, name, value string) string {
	value = strings.ReplaceAll(url.QueryEscape(value), "+", "%20")
	var parts []string
	found := false
	for part := range strings.SplitSeq(query, "&") {
		given, _, _ := strings.Cut(part, "=")
		switch {
		case !is(given, name):
			parts = append(parts, part)
		case !found:
			parts = append(parts, given+"="+value)
			found = true
		}
	}
	query = strings.Join(parts, "&")
	if found {
		return query
	}
	if query != "" {
		query += "&"
	}
	return query + escaped(name, func(i int) bool { return name[i] <= ' ' || name[i] >= 0x7f || strings.IndexByte("%&=+#", name[i]) >= 0 }) + "=" + value
}

// is reports whether a part of a query names a parameter.
func is(given, name string) bool {
	plain, err := url.QueryUnescape(given)
	return given == name || err == nil && plain == name
}

// located keeps the text of the addresses that redirects lead to.
type located struct{ *http.Transport }

func (l located) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := l.Transport.RoundTrip(request)
	if err == nil && response.Header.Get("Location") != "" {
		response.Header.Set("Location", sendable(response.Header.Get("Location")))
	}
	return response, err
}

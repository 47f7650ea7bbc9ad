package httpjson

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"runhook/services/runner/row"
	"runhook/shared/task"
)

// places are where a page has what is looked for, as names with dots.
type places struct {
	items string
	// lines: each line of the page is a row.
	lines bool
	// next is where the next page or its cursor is, more whether there is one, pages how many there are,
	// total how many rows.
	next, more, pages, total string
	// header: the next page is in a Link header.
	header bool
}

func placesOf(from *task.HTTPSource) places {
	p := places{items: from.Items, lines: from.Lines, total: from.Total}
	if from.Next != nil {
		// A page is found by one of them.
		p.next, p.more, p.pages, p.header = from.Next.Link+from.Next.From, from.Next.More, from.Next.Pages, from.Next.Header
	}
	return p
}

func (p places) has(path string) bool {
	return path != "" && (path == p.next || path == p.more || path == p.pages || path == p.total)
}

// below reports whether one of the places is within the member at a path.
func (p places) below(path string) bool {
	return slices.ContainsFunc([]string{p.next, p.more, p.pages, p.total}, func(place string) bool { return strings.HasPrefix(place, path+".") })
}

// hasHeader reports whether a header is one of the places.
func (p places) hasHeader(name string) bool {
	return slices.ContainsFunc([]string{p.next, p.more, p.pages, p.total}, func(place string) bool { return strings.EqualFold(place, name) })
}

// address is the one that a page has at the place of the next: as text, as an object with href or url,
// or as a list of such objects, of which one is rel or relation next.
func address(value any) (link string, ok bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case map[string]any:
		for _, name := range []string{"href", "url", "uri"} {
			if to, given := v[name]; given {
				link, ok := to.(string)
				return link, ok || to == nil
			}
		}
	case []any:
		related := false
		for _, entry := range v {
			object, _ := entry.(map[string]any)
			for _, name := range []string{"rel", "relation"} {
				relation, given := object[name]
				related = related || given
				if isNext(relation) {
					return address(object)
				}
			}
		}
		if len(v) == 1 && !related {
			return address(v[0])
		}
		return "", related || len(v) == 0 // none of them is the next
	}
	return "", !isSomething(value)
}

// isNext reports whether a relation, or one of several, is next.
func isNext(relation any) bool {
	switch v := relation.(type) {
	case string:
		return slices.ContainsFunc(strings.Fields(v), func(word string) bool { return strings.EqualFold(word, "next") })
	case []any:
		return slices.ContainsFunc(v, isNext)
	}
	return false
}

// member is what an object has at a name, which may have dots in it or lead through objects.
func member(object map[string]any, name string) any {
	for rest := name; ; {
		if found, ok := object[rest]; ok {
			return found
		}
		first, behind, deeper := strings.Cut(rest, ".")
		if object, _ = object[first].(map[string]any); !deeper || object == nil {
			return nil
		}
		rest = behind
	}
}

// members are those of a row, nil where it is no object, or larger than one may be.
func members(item []byte) map[string]any {
	if row.Exceeds(item, row.MaxValues) {
		return nil
	}
	object, _ := parse(item).(map[string]any)
	return object
}

// isSomething reports whether a page has a value at a place that names the next page: not null, false, or
// an empty text, list or object, which services write where there is none.
func isSomething(value any) bool {
	switch v := value.(type) {
	case []any:
		return len(v) > 0
	case map[string]any:
		return len(v) > 0
	}
	return value != nil && value != "" && value != false
}

// leads reports whether a value at such a place names a next page: neither is it nothing, nor one of the words and
// numbers that services write for none.
func leads(value any) bool {
	text, _ := scalar(value)
	if number, err := strconv.ParseInt(text, 10, 64); err == nil {
		return number > 0
	}
	return isSomething(value) && !slices.Contains([]string{"null", "none", "false"}, strings.ToLower(text))
}

// scalar is a value as text.
func scalar(value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	}
	return "", false
}

// yes is what a page says of whether there is another one.
func yes(value any) bool {
	if text, ok := scalar(value); ok {
		return !slices.Contains([]string{"", "0", "false", "no", "n", "f"}, strings.ToLower(text))
	}
	return isSomething(value)
}

// aside is what an object without the list of rows has instead, by which one that leaves an empty list out
// is told from one of another kind.
type aside struct {
	// null: the list is null. object: the document is an object. elsewhere: it has a list that may be the
	// one of the rows.
	null, object, elsewhere bool
}

// noRows are names of lists of objects that are no rows.
var noRows = regexp.MustCompile(`(?i)link|warning|message|notice|facet|aggregation|filter|sort`)

// omits reports whether the list is left out, rather than in another place.
func (a aside) omits() bool { return a.object && !a.elsewhere }

// see looks at a value that begins in the object or list top, nil for the document.
func (a *aside) see(top *frame, delimiter json.Delim, path, items string) {
	switch {
	case top == nil:
		a.object = delimiter == '{'
	case delimiter == '{' && !top.object:
		a.elsewhere = a.elsewhere || !top.noRows
	case delimiter == '[' && items != "" && path != items:
		a.elsewhere = a.elsewhere || lastName(path) == lastName(items)
	}
}

// within looks at a value that has been read whole.
func (a *aside) within(value any, path, items string) {
	if len(path) > maxPlace {
		return
	}
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			a.within(member, path+"."+name, items)
		}
	case []any:
		isObject := func(entry any) bool { _, ok := entry.(map[string]any); return ok }
		a.elsewhere = a.elsewhere || !noRows.MatchString(path) && slices.ContainsFunc(v, isObject) || items != "" && lastName(path) == lastName(items)
	}
}

func lastName(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }

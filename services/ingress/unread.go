package ingress

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/web"
)

// search looks for the parameters of a request that stand where nothing is read.
type search struct {
	def *task.Definition
	// keys are the parameters' by each of their names, folded, and values what QueryParameters gives them.
	keys   map[string]string
	values task.Values
	// where says what is searched: members, or values of the query string.
	where string
	// known is what each name met so far is.
	known  map[string]string
	faults []web.Fault
	// room is how many bytes compressed texts may still become.
	room int64
}

// maxTexts bounds how many texts within each other are opened: a text of JSON, base64 of it, and so on.
const maxTexts = 6

// maxInflated bounds what compressed texts of one request become.
const maxInflated = 1 << 20

// unread finds what was meant to be read and is not: in data below the other members, QueryParameters or a parameter
// of the task that QueryParameters gives no value. Flows wrap bodies, as in {"body": {…}}, as a text, and in base64,
// and to ignore what is inside would start the run with the wrong filter.
func (s *search) unread(where string, others []datum) {
	if s.where = where; s.keys == nil {
		s.keys, s.known = map[string]string{}, map[string]string{}
		for i, key := range s.def.Keys() {
			for _, name := range []string{s.def.Parameters[i].Name, s.def.Parameters[i].Filter} {
				s.keys[foldCase(name)] = key
			}
		}
		delete(s.keys, "") // of those without a filter
	}
	for _, other := range others {
		s.below(other, []string{other.name}, maxTexts)
	}
}

// below searches a datum, to which the path leads. texts is how many texts within each other are opened.
func (s *search) below(d datum, path []string, texts int) {
	switch {
	case len(s.faults) == maxFaults:
	case d.kind == '"':
		if inside, left := s.data(d.text, d.name, texts); inside.kind != 0 {
			s.below(inside, path, left)
		}
	case d.kind == '{':
		has := func(name string) bool {
			return slices.ContainsFunc(d.parts, func(part datum) bool { return strings.EqualFold(part.name, name) })
		}
		valued, document := has("value") || has("values"), has("ExecuteId") && has("ImportId")
		for _, part := range d.parts {
			if document && documentMembers[part.name] {
				continue
			}
			at := append(path, "."+part.name)
			s.named(part, at)
			if valued && part.kind == '"' && !strings.EqualFold(part.name, "value") {
				s.named(datum{name: part.text}, at) // {"field": "State", "value": "CA"}
			}
			s.below(part, at, texts)
		}
	case d.kind == '[':
		pairs := !slices.ContainsFunc(d.parts, func(part datum) bool {
			return part.kind != '[' || len(part.parts) != 2 || part.parts[0].kind != '"'
		})
		for i, part := range d.parts {
			at := append(path, "["+strconv.Itoa(i)+"]")
			if pairs {
				s.named(datum{name: part.parts[0].text}, at) // [["State", "CA"]]
			}
			s.below(part, at, texts)
		}
	}
}

// documentMembers are those of a status document, whose Status and Parameters ask for nothing.
var documentMembers = func() (members map[string]bool) {
	var named map[string]any
	document, err := json.Marshal(run.Document{CancelURL: "x", RejectedURL: "x"})
	if err == nil {
		err = json.Unmarshal(document, &named)
	}
	if err != nil {
		panic(err) // its types are fixed
	}
	members = map[string]bool{}
	for name := range named {
		members[name] = true
	}
	return members
}()

// named reports a datum whose name is one of the task's parameters, or looks like QueryParameters.
func (s *search) named(d datum, path []string) {
	what, known := s.known[d.name]
	if !known {
		what = s.meaning(d.name)
		s.known[d.name] = what
	}
	switch {
	case what == maybe && s.resembles(d):
		s.report(path, similar)
	case what != maybe && what != "":
		s.report(path, what)
	}
}

const (
	similar = "looks like QueryParameters"
	maybe   = similar + ", if there is data in it"
)

// meaning says what a name is, as it is or as a part: params[State], QueryParameters.State, q:State.
func (s *search) meaning(name string) string {
	for _, part := range append([]string{name}, strings.FieldsFunc(name, func(r rune) bool { return strings.ContainsRune(".[]:@$", r) })...) {
		part = strings.TrimSpace(part)
		if key, ok := s.keys[foldCase(part)]; ok && s.values[key].From != task.FromRequest {
			return "is the task's parameter " + key
		}
		if nearQueryParameters(part) {
			return similar
		}
	}
	if name, _ = whole(name); otherNames[lettersOf(name)] {
		return maybe
	}
	return ""
}

func (s *search) report(path []string, what string) {
	if len(s.faults) == maxFaults {
		return
	}
	var name strings.Builder
	for _, part := range path {
		if name.Len() > maxShown {
			break
		}
		name.WriteString(part)
	}
	shown := shorten(name.String())
	detail := fmt.Sprintf("the member %q %s, and nothing below another member is read", shown, what)
	if s.where != inBody {
		detail = fmt.Sprintf("the value %q of the query string %s, and nothing there is read", shown, what)
	}
	s.faults = append(s.faults, web.Fault{Name: shown, Detail: detail})
}

package ingress

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tailscale/hujson"
	"github.com/valyala/fasthttp"

	"runhook/shared/task"
	"runhook/shared/web"
)

// unread finds what was meant to be read and is not: below the other members of the body, or in a value of the
// query string, QueryParameters or a parameter of the task that QueryParameters gives no value. Flows wrap bodies,
// as in {"body": {…}}, as a text, and in base64, and to ignore what is inside would start the run with the wrong
// filter.
func unread(def *task.Definition, others []member, query *fasthttp.Args, values task.Values) []web.Fault {
	s := search{keys: map[string]string{}, values: values}
	for i, key := range def.Keys() {
		for _, name := range []string{def.Parameters[i].Name, def.Parameters[i].Filter} {
			s.keys[foldCase(name)] = key
		}
	}
	delete(s.keys, "") // of those without a filter
	for _, other := range others {
		s.below(other.value, []string{other.name}, maxTexts)
	}
	s.inQuery = true
	for name, value := range query.All() {
		s.text(string(value), []string{string(name)}, maxTexts)
	}
	return s.faults
}

// search looks through what stands below a member.
type search struct {
	// keys are the parameters' by each of their names, folded.
	keys   map[string]string
	values task.Values
	faults []web.Fault
	// inQuery: what is searched is in the query string.
	inQuery bool
}

// below searches a value, to which the path leads. texts is how many texts within each other are opened.
func (s *search) below(value hujson.ValueTrimmed, path []string, texts int) {
	if len(s.faults) == maxFaults {
		return
	}
	switch value := value.(type) {
	case *hujson.Object:
		memberName := func(m hujson.ObjectMember) string { return m.Name.Value.(hujson.Literal).String() }
		valued := slices.ContainsFunc(value.Members, func(m hujson.ObjectMember) bool { return strings.EqualFold(memberName(m), "value") })
		for _, one := range value.Members {
			name := memberName(one)
			at := append(path, "."+name)
			s.named(name, at)
			if text, ok := one.Value.Value.(hujson.Literal); ok && valued && text.Kind() == '"' && slices.Contains(nameMembers, foldCase(name)) {
				s.named(text.String(), at) // {"name": "State", "value": "CA"}
			}
			s.below(one.Value.Value, at, texts)
		}
	case *hujson.Array:
		for i := range value.Elements {
			s.below(value.Elements[i].Value, append(path, "["+strconv.Itoa(i)+"]"), texts)
		}
	case hujson.Literal:
		if value.Kind() != '"' {
			return
		}
		s.text(value.String(), path, texts)
	}
}

// nameMembers are members whose value is a name, in lists of names and values.
var nameMembers = []string{foldCase("name"), foldCase("key")}

// named reports a name that is one of the task's parameters, or looks like QueryParameters, as it is or as a part:
// params[State], QueryParameters.State.
func (s *search) named(name string, path []string) {
	for _, part := range append([]string{name}, strings.FieldsFunc(name, func(r rune) bool { return strings.ContainsRune(".[]", r) })...) {
		part = strings.TrimSpace(part)
		if key, ok := s.keys[foldCase(part)]; ok && s.values[key].From != task.FromRequest {
			s.report(path, "is the task's parameter "+key)
			return
		}
		if nearQueryParameters(lettersOf(part)) {
			s.report(path, "looks like QueryParameters")
			return
		}
	}
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
	if s.inQuery {
		detail = fmt.Sprintf("the value %q of the query string %s, and nothing there is read", shown, what)
	}
	s.faults = append(s.faults, web.Fault{Name: shown, Detail: detail})
}

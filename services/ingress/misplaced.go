package ingress

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/agnivade/levenshtein"

	"runhook/shared/task"
	"runhook/shared/web"
)

// maxFaults bounds the answer to a request that is wrong throughout.
const maxFaults = 20

// What the two places of a name outside QueryParameters are called.
const (
	inBody  = "member"
	inQuery = "query-string name"
)

// misplaced finds the names outside QueryParameters that were meant to be parameters: ignoring them
// would start the run with the wrong filter. where says what the names are.
func (s *search) misplaced(where string, others []datum) {
	for _, other := range others {
		if len(s.faults) == maxFaults {
			break
		}
		shown := shorten(other.name)
		switch parameter, isParameter := parameterNamed(s.def, other.name); {
		case isParameter:
			s.faults = append(s.faults, web.Fault{Name: shown, Detail: fmt.Sprintf("the %s %q is the task's parameter %s", where, shown, parameter)})
		case s.resembles(other):
			s.faults = append(s.faults, web.Fault{Name: shown, Detail: fmt.Sprintf("the %s %q looks like QueryParameters", where, shown)})
		}
	}
}

// parameterNamed returns the qualified or bare name of the parameter that name is, in any letter case.
func parameterNamed(def *task.Definition, name string) (string, bool) {
	for _, p := range def.Parameters {
		switch {
		case strings.EqualFold(p.Name, name):
			return p.Name, true
		case p.Filter != "" && strings.EqualFold(p.Filter, name):
			return p.Filter, true
		}
	}
	return "", false
}

// The words that people use for it, and how many letters may differ from the right one.
var otherNames = map[string]bool{
	"parameters": true, "parameter": true, "params": true, "param": true,
	"query": true, "queryparams": true, "queryparam": true, "querystring": true, "iqaparameters": true,
}

const (
	queryParameters = "queryparameters"
	maxDifferent    = 4
)

// piecesOfIt are more than may differ, so that a name near it has one of them as it is.
var piecesOfIt = []string{"que", "ryp", "ara", "met", "ers"}

// resembles reports whether a datum was probably meant to be QueryParameters: its name is nearly that, as
// query_parameters and QueryParams are, or it is a word such as Parameters and there is data in it. In a query string
// the name may be QueryParameters[FirstName].
func (s *search) resembles(d datum) bool {
	name, isPart := whole(d.name)
	switch {
	case nearQueryParameters(name):
		return true
	case !otherNames[lettersOf(name)]:
		return false
	case d.kind == '"' && !isPart:
		d, _ = s.data(d.text, d.name, maxTexts)
	}
	return isPart || d.kind == '{' || d.kind == '['
}

// whole is what a name such as QueryParameters[FirstName] names a part of.
func whole(name string) (whole string, isPart bool) {
	if end := strings.IndexAny(name, "[."); end > 0 {
		return name[:end], true
	}
	return name, false
}

// lettersOf are the letters of a name alone, in lower case.
func lettersOf(name string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsLetter(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, name)
}

// nearQueryParameters reports whether a name's letters are those of QueryParameters, or few of them differ.
func nearQueryParameters(name string) bool {
	if len(name) < len(queryParameters)-maxDifferent || len(name) > 4*len(queryParameters) {
		return false
	}
	letters := lettersOf(name)
	if !slices.ContainsFunc(piecesOfIt, func(piece string) bool { return strings.Contains(letters, piece) }) {
		return false
	}
	difference := len(letters) - len(queryParameters)
	return max(difference, -difference) <= maxDifferent && levenshtein.ComputeDistance(letters, queryParameters) <= maxDifferent
}

// foldCase maps all spellings of a name that differ in letter case only to one.
func foldCase(name string) string {
	return strings.ToLower(strings.Map(func(r rune) rune {
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		return least
	}, name))
}

func shorten(name string) string {
	if letters := []rune(name); len(letters) > 60 {
		return string(letters[:60]) + "…"
	}
	return name
}

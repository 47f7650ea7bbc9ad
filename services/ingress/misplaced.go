package ingress

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/agnivade/levenshtein"

	"runhook/shared/task"
	"runhook/shared/web"
)

// maxFaults bounds the answer to a request that is wrong throughout.
const maxFaults = 20

// misplaced finds the names outside QueryParameters that were meant to be parameters: ignoring them
// would start the run with the wrong filter. where says what the names are.
func misplaced(def *task.Definition, where string, names []string) []web.Fault {
	var faults []web.Fault
	for _, name := range names {
		if len(faults) == maxFaults {
			break
		}
		shown := shorten(name)
		switch parameter, isParameter := parameterNamed(def, name); {
		case isParameter:
			faults = append(faults, web.Fault{Name: shown, Detail: fmt.Sprintf("the %s %q is the task's parameter %s", where, shown, parameter)})
		case resemblesQueryParameters(name):
			faults = append(faults, web.Fault{Name: shown, Detail: fmt.Sprintf("the %s %q looks like QueryParameters", where, shown)})
		}
	}
	return faults
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

// resemblesQueryParameters reports whether name was probably meant to be QueryParameters, as
// query_parameters, QueryParams or Parameters are, and QueryParameters[FirstName] in a query string.
func resemblesQueryParameters(name string) bool {
	if end := strings.IndexAny(name, "[."); end > 0 {
		name = name[:end]
	}
	if len(name) > 4*len(queryParameters) {
		return false
	}
	letters := lettersOf(name)
	return otherNames[letters] || nearQueryParameters(letters)
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

// nearQueryParameters reports whether the letters are those of QueryParameters, or few of them differ.
func nearQueryParameters(letters string) bool {
	difference := len(letters) - len(queryParameters)
	return max(difference, -difference) <= maxDifferent && levenshtein.ComputeDistance(letters, queryParameters) <= maxDifferent
}

// foldCase maps all spellings of a name that differ in letter case only to one.
func foldCase(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		return least
	}, name)
}

func shorten(name string) string {
	if letters := []rune(name); len(letters) > 60 {
		return string(letters[:60]) + "…"
	}
	return name
}

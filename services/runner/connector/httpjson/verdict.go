package httpjson

import (
	"encoding/json"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// verdict is what an answer, with a status of success, says of whether all went well: a page of rows, and the answer to
// rows.
type verdict struct {
	// fault is what says most surely that something failed.
	fault fault
	// status is the one of HTTP that the answer gives, 0 for none.
	status int
	// code is where a code is that is none of success, message and description where words are that do not say that all
	// is well; they mean little alone. cleared: an error's code says that there is none.
	code, message, description string
	cleared                    bool
	// others are members that say nothing of this.
	others int
}

var (
	// fine are values that say of an error, or by a code, that there is none.
	fine = regexp.MustCompile(`(?i)^(0*|200|ok(ay)?|none|no errors?|null|false|success(ful)?|approved|n/a)[.!]?$`)
	// wrong are words of a message about a fault, well of one about a success.
	wrong = regexp.MustCompile(`(?i)\b(errors?|fail(ed|ure)?|invalid|denied|forbidden|unauthori[sz]ed|unauthenticated|expired|exceeded|permissions?|not allowed|timed? ?out|unavailable|throttled|bad request|incorrect|wrong)\b`)
	well  = regexp.MustCompile(`(?i)success|成功|\b(ok(ay)?|created|saved|stored|updated|inserted|accepted|received|approved|done|completed?|queued|added|no errors?|(0|no)( \w+){0,3} (failed|denied|rejected|expired))\b`)
	// errorCodes are names of an error's code, by which its words are told from those of none.
	errorCodes = regexp.MustCompile(`^err.*(code|no|number)$`)
)

// isWrong reports whether words are about a fault.
func isWrong(text string) bool {
	text = strings.NewReplacer("_", " ", "-", " ").Replace(text)
	return wrong.MatchString(text) && !well.MatchString(text)
}

// hear takes what a member says whose name has that word.
func (v *verdict) hear(where string, word word, value any) {
	text, single := scalar(value)
	found, count := fault{where: where}, size(value)
	switch number, err := strconv.Atoi(text); {
	case word == faulty && isFault(value):
		found.rank = standard
	case word == faulty:
		v.cleared = v.cleared || single && errorCodes.MatchString(fold(lastName(where)))
	case word == described && isFault(value):
		v.description = where
	case word == succeeded && isFalse(value), word == refused && count > 0:
		found.rank = standard
		if word == refused {
			found.counted = count
		}
		if word == refused && fold(where) != "shardsfailed" {
			found.rank = doubtful // or rows that are about failures
		}
	case word == partly && value != nil && yes(value):
		found.rank = guessed
	case word == reported && isWrong(text):
		found.rank, v.message = doubtful, where
	case word == reported && text != "" && !well.MatchString(text):
		v.message = where
	case word != answered:
	case 400 <= number && number < 600:
		found.rank, v.status = guessed, number
	case value == false, slices.Contains([]string{"error", "err", "nok", "fail", "failed", "failure", "partial", "incomplete", "unauthorized", "forbidden"}, strings.ToLower(text)):
		found.rank = guessed
	case err == nil && number < 0, err != nil && strings.HasSuffix(fold(where), "code") && isWrong(text):
		found.rank = doubtful
	case err == nil && (number > 1 && number < 200 || number >= 300):
		v.code = where
	default:
		if object, _ := value.(map[string]any); object != nil {
			v.hearAll(where, object, nil)
		}
	}
	v.keep(found)
}

// keep takes a fault that is surer.
func (v *verdict) keep(found fault) {
	if found.rank > v.fault.rank {
		v.fault = found
	}
}

// hearAll takes what the members of an object say, but for those that repeat one of own.
func (v *verdict) hearAll(where string, object map[string]any, own sent) {
	if len(where) > maxPlace {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		at, value := strings.TrimPrefix(where+"."+name, "."), object[name]
		inner, _ := value.(map[string]any)
		switch word, _ := wordAt(at, name); {
		case repeats(own, name, value):
			v.others++
		case word != 0:
			v.hear(at, word, value)
		case inner != nil && holders.MatchString(fold(name)):
			v.hearAll(at, inner, nil)
		default:
			v.others++
		}
	}
}

// sent are the values of a row that was sent, by their columns as fold writes them.
type sent map[string][]any

// sentAs are those of a row's JSON, nil where it is no object.
func sentAs(item any) sent {
	object, _ := item.(map[string]any)
	folded := sent{}
	for column, value := range object {
		folded[fold(column)] = append(folded[fold(column)], value)
	}
	return folded
}

// repeats reports whether a row has a member with that name and value.
func repeats(own sent, name string, value any) bool {
	if len(own) == 0 {
		return false
	}
	given, single := scalar(value)
	return slices.ContainsFunc(own[fold(name)], func(sent any) bool {
		was, _ := scalar(sent)
		return reflect.DeepEqual(sent, value) || single && strings.EqualFold(strings.TrimSpace(given), strings.TrimSpace(was))
	})
}

// sum is the fault that the answer speaks of, all in all.
func (v *verdict) sum() fault {
	if v.description != "" && !v.cleared {
		v.keep(fault{rank: standard, where: v.description})
	}
	if v.code != "" && v.message != "" {
		v.keep(fault{rank: doubtful, where: v.code})
	}
	found := v.fault
	found.status = v.status
	return found
}

// isFalse reports whether a member such as success says no.
func isFalse(value any) bool { return value != nil && value != "" && !yes(value) }

// size is a number of rows, or that of the entries of a list.
func size(value any) int {
	number, _ := whole(value)
	list, _ := value.([]any)
	return int(number) + len(list)
}

// isFault reports whether a member such as error has something, and not that there is none.
func isFault(value any) bool {
	switch v := value.(type) {
	case []any:
		return slices.ContainsFunc(v, func(entry any) bool {
			object, isObject := entry.(map[string]any)
			return isFault(entry) || isObject && len(object) == 0
		})
	case map[string]any:
		found := false
		for name, member := range v {
			_, single := scalar(member)
			if word := words[fold(name)]; single && (word == answered || errorCodes.MatchString(fold(name))) && !isFault(member) {
				return false
			}
			found = found || isFault(member)
		}
		return found
	case json.Number:
		return strings.Trim(v.String(), "0") != "" && v != "200"
	}
	text, single := scalar(value)
	return isSomething(value) && !(single && fine.MatchString(text))
}

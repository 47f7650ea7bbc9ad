package draft

import (
	"slices"
	"strings"
	"unicode"

	"runhook/shared/making"
	"runhook/shared/taskfile"
)

// Why a column is suggested.
const (
	sameName    = "same name"
	similarName = "similar name"
	fromTwo     = "a formula that was made from two columns"
)

// suggested chooses the source's column for each column of the destination, by their names: the best fitting pair first,
// and no column of the source twice. why is empty for a column that nothing fits.
func suggested(targets, columns []string) (choices []making.Choice, why []string) {
	choices, why = make([]making.Choice, len(targets)), make([]string, len(targets))
	taken := map[string]bool{}
	for _, least := range []float64{1, 0.9, 0.6} { // the same, the same but for how it is written, a part of the other
		for i, target := range targets {
			if why[i] != "" {
				continue
			}
			best, found, several := 0.0, "", false
			for _, column := range columns {
				fits := similarity(target, column)
				if taken[column] || fits < least || fits < best {
					continue
				}
				several = fits == best
				best, found = fits, column
			}
			if found == "" || several && least < 1 {
				continue
			}
			taken[found] = true
			choices[i].From, why[i] = found, similarName
			if strings.EqualFold(found, target) {
				why[i] = sameName
			}
		}
	}
	for i, target := range targets {
		if why[i] == "" && slices.Contains([]string{"name", "fullname", "displayname", "membername"}, strings.Join(wordsOf(target), "")) {
			first, last := named(columns, "firstname", "givenname", "forename"), named(columns, "lastname", "surname", "familyname")
			if first != "" && last != "" {
				choices[i] = making.Choice{Formulated: true, Formula: taskfile.ColumnExpression(first) + ` + " " + ` + taskfile.ColumnExpression(last)}
				why[i] = fromTwo
			}
		}
	}
	return choices, why
}

// named is the first of the columns that is called as one of these, but for how it is written.
func named(columns []string, as ...string) string {
	for _, column := range columns {
		if slices.Contains(as, strings.Join(wordsOf(column), "")) {
			return column
		}
	}
	return ""
}

// similarity is how well two names fit: 1 for the same, 0.9 for the same words, and less where the words of one are
// among those of the other.
func similarity(a, b string) float64 {
	if strings.EqualFold(a, b) {
		return 1
	}
	some, others := wordsOf(a), wordsOf(b)
	if len(some) == 0 || len(others) == 0 {
		return 0
	}
	if strings.Join(some, "") == strings.Join(others, "") {
		return 0.9
	}
	if len(some) > len(others) {
		some, others = others, some
	}
	common := 0
	for _, word := range some {
		if slices.ContainsFunc(others, func(other string) bool { return sameStem(word, other) }) {
			common++
		}
	}
	if common < len(some) {
		return 0
	}
	return 0.6 + 0.29*float64(common)/float64(len(others))
}

// sameStem reports whether two words are the same, or begin so, like join and joined.
func sameStem(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	return a == b || len(a) >= 4 && strings.HasPrefix(b, a)
}

// wordsOf are the words of a name, in lower case: MemberID, member_id and "Member Id" have the same.
func wordsOf(name string) (words []string) {
	var word []rune
	end := func() {
		if len(word) > 0 {
			words = append(words, strings.ToLower(string(word)))
			word = nil
		}
	}
	letters := []rune(name)
	for i, letter := range letters {
		if !unicode.IsLetter(letter) && !unicode.IsDigit(letter) {
			end()
			continue
		}
		begins := i > 0 && unicode.IsUpper(letter) && (unicode.IsLower(letters[i-1]) || i+1 < len(letters) && unicode.IsLower(letters[i+1]))
		if begins {
			end()
		}
		word = append(word, letter)
	}
	end()
	return words
}

// looksLikeKey reports whether a column's name is one of those that tell rows apart.
func looksLikeKey(name string) bool {
	words := wordsOf(name)
	if len(words) == 0 {
		return false
	}
	last := words[len(words)-1]
	return slices.Contains([]string{"id", "key", "guid", "uuid"}, last) || len(words) <= 2 && slices.Contains([]string{"number", "no", "nr", "code"}, last)
}

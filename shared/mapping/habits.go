package mapping

import (
	"fmt"
	"regexp"
	"strings"
)

const (
	joinTexts  = `texts are joined with +, as in FirstName + " " + LastName`
	chooseWith = `one of two is chosen with ? and :, as in Status == "A" ? "yes" : "no"`
	bothTrue   = `each side is true or false, as in Name == "x" and Status == "A"`
	partOf     = `a part of a text is written in brackets, as in Name[0:3]`
)

// habits are functions that spreadsheets and databases have, in lower case, and how it is said here.
var habits = map[string]string{
	"concat": joinTexts, "concatenate": joinTexts, "if": chooseWith, "iif": chooseWith, "left": partOf, "mid": partOf, "substr": partOf, "substring": partOf,
	"ifnull": `null is replaced with ??, as in Name ?? ""`, "isnull": `null is written nil, as in Name == nil`, "nvl": `null is replaced with ??, as in Name ?? ""`,
	"today": "the moment of the run is now()", "to_date": `a date is read as in date(Joined, "dd.MM.yyyy")`, "length": "the length of a text is len(Name)",
}

// otherLanguages are what the compiler says of an expression that is written as elsewhere, and how it is
// written here.
var otherLanguages = []struct{ message, habit string }{
	{`unexpected token Operator("=")`, "equality is written =="},
	{`unexpected token Operator("&")`, joinTexts},
	{"invalid operation: || (mismatched types string and string", joinTexts},
	{"invalid operation: || (mismatched types", bothTrue},
	{"cannot concat ", joinTexts},
	{"invalid operation: and (mismatched types", bothTrue},
	{"invalid operation: && (mismatched types", bothTrue},
	{"invalid operation: or (mismatched types", bothTrue},
	{"type string has no method ", "a function stands before its text, as in upper(Name)"},
	{"unexpected token Identifier(", `a column whose name is not one word is written row["Member Type"]`},
	{"unexpected token Number(", `a column whose name is not one word is written row["Line 2"], and a text stands in quotes`},
	{"unrecognized character: U+201", `quotes are straight: " or '`},
}

var ifFunction = regexp.MustCompile(`(?i)\bif *\(`)

// withHabit adds to an error of the compiler how it is said here.
func withHabit(text string, err error) error {
	if err == nil {
		return nil
	}
	message := err.Error()
	for _, other := range otherLanguages {
		if strings.HasPrefix(message, other.message) {
			return fmt.Errorf("%w%s", err, "\nHere "+other.habit+".")
		}
	}
	if strings.HasPrefix(message, "unexpected token") && ifFunction.MatchString(text) {
		return fmt.Errorf("%w%s", err, "\nHere "+chooseWith+".")
	}
	return err
}

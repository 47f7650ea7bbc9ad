// Package environ puts the environment's variables into the texts of configuration files.
package environ

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// IsLiteral reports whether nothing in a text comes from the environment.
func IsLiteral(text string) bool { return !strings.Contains(strings.ReplaceAll(text, "$${", ""), "${") }

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Expand replaces ${NAME} in a text by that variable of the environment; $${ is a literal ${. The faults
// show names and never a value.
func Expand(text string) (expanded string, faults []error) {
	var out strings.Builder
	for rest := text; ; {
		before, after, found := strings.Cut(rest, "${")
		if !found {
			out.WriteString(rest)
			return out.String(), faults
		}
		if literal, escaped := strings.CutSuffix(before, "$"); escaped {
			out.WriteString(literal + "${")
			rest = after
			continue
		}
		out.WriteString(before)
		variable, after, closed := strings.Cut(after, "}")
		if !closed || !variableName.MatchString(variable) {
			return "", append(faults, errors.New("${ must be followed by the name of an environment variable and }; write $${ for the characters themselves"))
		}
		value, set := os.LookupEnv(variable)
		if !set {
			faults = append(faults, fmt.Errorf("the environment variable %s is not set", variable))
		}
		out.WriteString(value)
		rest = after
	}
}

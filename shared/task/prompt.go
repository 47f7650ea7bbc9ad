package task

import (
	"slices"
	"strings"

	"runhook/shared/wording"
)

// imisQueryWords are the names that /api/query has for itself, in lower case.
var imisQueryWords = []string{"queryname", "limit", "offset"}

// IsPromptName reports whether a prompt of an IQA can be passed by its name, as a parameter of a task.
func IsPromptName(name string) bool {
	return strings.TrimSpace(name) == name && name != "" && !strings.Contains(name, ".") && !strings.ContainsFunc(name, wording.IsControl) &&
		!IsReservedPrompt(name)
}

// IsReservedPrompt reports whether /api/query has the name for itself, in any letter case.
func IsReservedPrompt(name string) bool {
	return slices.Contains(imisQueryWords, strings.ToLower(name))
}

package task

import (
	"fmt"
	"strings"

	"github.com/google/uuid"

	"runhook/shared/wording"
)

// ID names a task in URLs, subjects and keys. It is always the canonical form of a GUID:
// 36 characters, lower case, hyphenated, which is safe as one NATS subject token.
type ID string

// NewID returns a random ID (UUID version 4).
func NewID() ID { return ID(uuid.NewString()) }

// ParseID accepts a GUID in any of the forms people paste (upper case, in braces, without
// hyphens) and returns its canonical form. Anything else is an error that shows the text.
func ParseID(text string) (ID, error) {
	// uuid.Parse takes any character for a brace, and a colon marks the urn form, which nobody pastes.
	braces := strings.HasPrefix(text, "{") && strings.HasSuffix(text, "}")
	parsed, err := uuid.Parse(text)
	if err != nil || strings.Contains(text, ":") || len(text) == 38 && !braces {
		return "", fmt.Errorf("%s is not a GUID", wording.Quote(text))
	}
	return ID(parsed.String()), nil
}

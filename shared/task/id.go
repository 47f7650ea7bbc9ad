package task

import (
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// ID names a task in URLs, subjects and keys. It is always the canonical form of a GUID:
// 36 characters, lower case, hyphenated, which is safe as one NATS subject token.
type ID string

// NewID returns a random ID (UUID version 4).
func NewID() ID { return ID(uuid.NewString()) }

// ParseID accepts a GUID in any of the forms people paste (upper case, in braces, without
// hyphens) and returns its canonical form. Anything else is an error that shows the text.
func ParseID(text string) (ID, error) {
	if strings.HasPrefix(text, "urn:") {
		return "", fmt.Errorf("%q is not a GUID", text)
	}
	parsed, err := uuid.Parse(text)
	if err != nil {
		return "", fmt.Errorf("%q is not a GUID", text)
	}
	return ID(parsed.String()), nil
}

package run

import "strings"

// warningMark comes before each warning in a final document's Message.
const warningMark = ". Warning: "

// WithWarnings is the Message of a run that has ended, with what its source said of its rows.
func WithWarnings(message string, warnings []string) string {
	for _, warning := range warnings {
		message = strings.TrimSuffix(message, ".") + warningMark + warning
	}
	return message
}

// Warnings are those that a final document's Message has.
func (d *Document) Warnings() []string {
	return strings.Split(d.Message, warningMark)[1:]
}

package taskfile

import (
	"slices"
	"strings"
	"unicode"

	"runhook/shared/task"
	"runhook/shared/wording"
)

var natsDestinationFields = []field{
	{
		name: "subject", kind: kindText, max: maxNameLetters, example: "members.changed", required: true,
		meaning: "the subject on the runner's own NATS; a stream that listens there acknowledges each message, and drops one that is sent again",
	},
}

func (r *reader) natsDestination(nats *fieldSet) *task.NATSDestination {
	if nats == nil {
		return nil
	}
	const name = "destination.nats.subject"
	given, ok := nats.field("subject")
	words := strings.Split(given.text, ".")
	switch {
	case !ok:
	case slices.Contains(words, "") || strings.ContainsFunc(given.text, unicode.IsSpace):
		r.report(given.line, "%s must be words with dots between and no spaces, like members.changed, not %s", name, wording.Quote(given.text))
	case slices.ContainsFunc(words, func(w string) bool { return strings.ContainsAny(w, "*>") }):
		r.report(given.line, "%s: rows are published to one subject, and * and > stand for many; write it out", name)
	case words[0] == "run" || strings.HasPrefix(words[0], "$") || strings.HasPrefix(words[0], "_"):
		r.report(given.line, "%s: subjects that begin with run., $ or _ belong to Runhook and NATS themselves; take another, like members.changed", name)
	}
	return &task.NATSDestination{Subject: given.text}
}

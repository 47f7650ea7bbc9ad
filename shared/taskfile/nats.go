package taskfile

import (
	"slices"
	"strings"
	"unicode"

	"runhook/shared/task"
	"runhook/shared/wording"
)

var natsDestination = form[task.Destination]{
	kind: task.NATS, read: readNATSDestination,
	meaning: "a subject, to which each row is published as JSON; after an interruption some arrive again",
	fields: []field{
		{
			name: "subject", kind: kindText, max: maxNameLetters, example: "members.changed", required: true,
			meaning: "the subject on the runner's own NATS; a stream that listens there acknowledges each message, and drops repeated ones",
		},
	},
}

func readNATSDestination(r *reader, given content, _ *task.Definition) task.Destination {
	const name = "destination.nats.subject"
	subject, ok := given.section.field("subject")
	words := strings.Split(subject.text, ".")
	switch {
	case !ok:
	case slices.Contains(words, "") || strings.ContainsFunc(subject.text, unicode.IsSpace):
		r.report(subject.line, "%s must be words with dots between and no spaces, like members.changed, not %s", name, wording.Quote(subject.text))
	case slices.ContainsFunc(words, func(w string) bool { return strings.ContainsAny(w, "*>") }):
		r.report(subject.line, "%s: rows are published to one subject, and * and > stand for many; write it out", name)
	case words[0] == "run" || strings.HasPrefix(words[0], "$") || strings.HasPrefix(words[0], "_"):
		r.report(subject.line, "%s: subjects that begin with run., $ or _ belong to Runhook and NATS themselves; take another, like members.changed", name)
	}
	return &task.NATSDestination{Subject: subject.text}
}

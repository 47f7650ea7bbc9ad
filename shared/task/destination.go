package task

import (
	"slices"
	"strings"
	"unicode"
)

func (r *reader) httpDestination(http *fieldSet) *HTTPDestination {
	if http == nil {
		return nil
	}
	if path, ok := http.field("path"); ok {
		r.checkBelow(path.line, "destination.http.path", path.text)
	}
	return &HTTPDestination{
		Connection: http.text("connection"), Path: http.text("path"), Method: http.text("method"), Batch: http.contents["batch"].number,
	}
}

func (r *reader) natsDestination(nats *fieldSet) *NATSDestination {
	if nats == nil {
		return nil
	}
	const name = "destination.nats.subject"
	given, ok := nats.field("subject")
	words := strings.Split(given.text, ".")
	switch {
	case !ok:
	case slices.Contains(words, "") || strings.ContainsFunc(given.text, unicode.IsSpace):
		r.report(given.line, "%s must be words with dots between and no spaces, like members.changed, not %s", name, quote(given.text))
	case slices.ContainsFunc(words, func(w string) bool { return strings.ContainsAny(w, "*>") }):
		r.report(given.line, "%s: rows are published to one subject, and * and > stand for many; write it out", name)
	case words[0] == "run" || strings.HasPrefix(words[0], "$") || strings.HasPrefix(words[0], "_"):
		r.report(given.line, "%s: subjects that begin with run., $ or _ belong to Runhook and NATS themselves; take another, like members.changed", name)
	}
	return &NATSDestination{Subject: given.text}
}

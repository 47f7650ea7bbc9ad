// Package rights says what each NATS user of a store may do. The embedded server of `runhook serve`, the
// configuration in deploy/nats and `runhook nats-user` are made of it.
package rights

import "runhook/shared/bus/internal/jet"

// Integration is what an integration may do: follow runs live, read events, and have consumers of events. It asks
// from an account of its own, which has no streams: of the store's account it has what it imports.
type Integration struct {
	// Asks are the subjects of requests with one answer, Pulls of those with many, and Follows those of messages
	// that come without asking.
	Asks, Pulls, Follows []string
	// Makes are the subjects of requests for consumers, each with the one on which the status service answers in the
	// place of the server: it makes those that are pulled from, which send nothing to anybody.
	Makes map[string]string
}

// AnyConsumer is the consumer of an integration that may have any.
const AnyConsumer = "*"

// OfIntegration is what an integration may do whose consumers of events have one name, or [AnyConsumer].
func OfIntegration(consumer string) Integration {
	const events = jet.EventsStream
	return Integration{
		Asks: []string{
			api + "INFO", // the libraries for JavaScript ask first, and see ingress; its answer has sums of the store
			api + "STREAM.INFO." + events,
			api + "CONSUMER.INFO." + events + "." + consumer,
			api + "CONSUMER.DELETE." + events + "." + consumer,
			"$JS.ACK." + events + "." + consumer + ".>",
		},
		Pulls: []string{
			api + "CONSUMER.MSG.NEXT." + events + "." + consumer,
			api + "DIRECT.GET." + events,
			api + "DIRECT.GET." + events + "." + jet.Events,
		},
		Follows: []string{jet.Followed, jet.Receipts, jet.HeldTasks},
		Makes: map[string]string{
			api + "CONSUMER.CREATE." + events + "." + consumer:        jet.AskedConsumer + consumer,
			api + "CONSUMER.CREATE." + events + "." + consumer + ".>": jet.AskedConsumer + consumer + ".>",
		},
	}
}

package task

// NATSDestination publishes each row as a JSON message.
type NATSDestination struct {
	Subject string
}

// Name is NATS.
func (*NATSDestination) Name() Kind { return NATS }

// Place names the destination in messages.
func (d *NATSDestination) Place() string { return "the subject " + d.Subject }

// Traits of a subject: what was published stays, and whether a message arrived is not always known.
func (*NATSDestination) Traits() Traits {
	return Traits{Restartable: true, Continues: true, AtLeastOnce: true, Repeats: "publish"}
}

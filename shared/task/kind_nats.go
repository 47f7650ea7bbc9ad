package task

// NATSDestination publishes each row as a JSON message.
type NATSDestination struct {
	Subject string
}

// Name is NATS.
func (*NATSDestination) Name() Kind { return NATS }

// Place names the destination in messages.
func (d *NATSDestination) Place() string { return "the subject " + d.Subject }

// Restartable: rows may arrive more than once anyway.
func (*NATSDestination) Restartable() bool { return true }

// Continues: what was published stays.
func (*NATSDestination) Continues() bool { return true }

// AtLeastOnce: whether a message arrived is not always known.
func (*NATSDestination) AtLeastOnce() bool { return true }

// BatchRows: any number.
func (*NATSDestination) BatchRows() int { return 0 }

// Repeats is what a run that starts over does to rows that are there.
func (*NATSDestination) Repeats() string { return "publish" }

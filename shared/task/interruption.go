package task

// Continues reports whether an interrupted run of the task goes on where it was.
func (d *Definition) Continues() bool { return d.Source.Ordered() && d.Destination.Continues() }

// Interruption says, in a sentence for people, what becomes of a run of the task that is interrupted:
// its runner was stopped or killed, or lost its connection.
func (d *Definition) Interruption() string {
	otherwise := "starts over"
	if !d.Destination.Restartable() {
		otherwise = "ends Failed and says which rows may be there"
	}
	text := "a run that is interrupted "
	if d.Continues() {
		text += "continues behind the last batch that was confirmed, as long as " + d.Source.Unchanged() + "; otherwise it " + otherwise
	} else {
		text += otherwise
		if !d.Source.Ordered() && !d.Destination.Restartable() {
			text += ", because its source has no order to continue in (source.sql.order_by)"
		}
	}
	if d.Destination.AtLeastOnce() {
		text += "; rows reach this destination at least once: those of the last moments before an interruption may arrive again"
	}
	return text
}

package task

// Continues reports whether an interrupted run of the task goes on where it was.
func (d *Definition) Continues() bool { return d.Source.Ordered() && d.Destination.Traits().Continues }

// Interruption says, in a sentence for people, what happens to a run of the task if its runner stops,
// dies or loses its connection.
func (d *Definition) Interruption() string {
	to, otherwise := d.Destination.Traits(), "starts over"
	if !to.Restartable {
		otherwise = "ends Failed and says which rows may be there"
	}
	text := "an interrupted run "
	if d.Continues() {
		text += "continues after the last confirmed batch if " + d.Source.Unchanged() + ", otherwise it " + otherwise
	} else {
		text += otherwise
		if !d.Source.Ordered() && !to.Restartable {
			text += ", because its source has no order to continue in (source.sql.order_by)"
		}
	}
	if to.AtLeastOnce {
		text += "; rows arrive at least once: those of the last moments before an interruption may arrive again"
	}
	return text
}

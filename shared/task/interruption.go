package task

// Ordered reports whether the source can be gone through again in the same order, so that a run that
// was interrupted can go on behind the last row that is known to have been written: a file, as long as
// nobody changes it; a query with an order; pages.
func (s Source) Ordered() bool { return s.SQL == nil || len(s.SQL.OrderBy) > 0 }

// Continues reports whether a run can go on in what an interrupted attempt left at the destination. A
// csv file that is to be replaced is not in its place before the run ends.
func (d Destination) Continues() bool { return d.CSV == nil || d.CSV.Action != Replace }

// Continues reports whether an interrupted run of the task goes on where it was.
func (d *Definition) Continues() bool { return d.Source.Ordered() && d.Destination.Continues() }

// Interruption says, in a sentence for people, what becomes of a run of the task that is interrupted:
// its runner was stopped or killed, or lost its connection.
func (d *Definition) Interruption() string {
	changed := ", as long as the source gives the same rows in the same order; otherwise it "
	if d.Source.CSV != nil {
		changed = ", as long as the file is the same; otherwise it "
	}
	otherwise := "starts over"
	if !d.Destination.Restartable() {
		otherwise = "ends Failed and says which rows may be there"
	}
	text := "a run that is interrupted "
	if d.Continues() {
		text += "continues behind the last batch that was confirmed" + changed + otherwise
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

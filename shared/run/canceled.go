package run

import "time"

// CanceledDocument is the final document of a run that was canceled while no runner held it. left is the
// claim of its last holder, nil if none has started it.
func CanceledDocument(r Request, n Number, left *Claim, now time.Time) Document {
	doc := QueuedDocument(r, n)
	message := "An administrator canceled the run before it was started"
	if left != nil {
		doc.Resume(*left, now)
		doc.NameRejected(left.Checkpoint.Rejected)
		message = "An administrator canceled the run while no runner had it. The rows that it had written stay"
	}
	doc.End(Canceled, message, now)
	return doc
}

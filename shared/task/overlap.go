package task

// Overlap says what becomes of a run that is accepted while another run of its task has not ended. All but
// QueueOverlap are for tasks of which one run is under way at a time.
type Overlap string

// The values of overlap.
const (
	// QueueOverlap has it wait, in order.
	QueueOverlap Overlap = "queue"
	// RejectOverlap refuses it.
	RejectOverlap Overlap = "reject"
	// SkipOverlap accepts it and ends it Canceled at once.
	SkipOverlap Overlap = "skip"
	// LatestOverlap has it wait in the place of the one that waits, which ends Canceled.
	LatestOverlap Overlap = "latest"
	// CancelRunningOverlap has it wait until the runs before it, which it cancels, have ended.
	CancelRunningOverlap Overlap = "cancel_running"
)

// Alone reports whether a run starts only if every earlier run of the task has ended when it is accepted.
func (o Overlap) Alone() bool { return o == RejectOverlap || o == SkipOverlap }

// Supersedes reports whether a run takes the place of earlier ones.
func (o Overlap) Supersedes() bool { return o == LatestOverlap || o == CancelRunningOverlap }

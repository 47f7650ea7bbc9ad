package task

import "time"

// RejectedRows says what a run keeps of the rows that fail, and who may read them.
type RejectedRows struct {
	// AllColumns keeps the source's rows whole, and not only the columns that where and mapping name.
	AllColumns bool
	// Keep is how long they are kept, from the start of the run. Default 90 days.
	Keep time.Duration
	// Max is how many bytes of cells and reasons a run keeps. Rows beyond it are counted. Default 64 MiB.
	Max int64
	// Link: whoever starts a run gets a URL that serves them.
	Link bool
}

// keepDry is how long a dry run keeps its failed rows at most.
const keepDry = 24 * time.Hour

// KeepOf is how long a run, or a dry run, keeps them.
func (r RejectedRows) KeepOf(dry bool) time.Duration {
	if dry {
		return min(r.Keep, keepDry)
	}
	return r.Keep
}

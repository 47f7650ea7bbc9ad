package runner

import "time"

// SetStopLimit shortens how long a stop waits for work that does not stop, until restore.
func SetStopLimit(d time.Duration) (restore func()) {
	before := stopLimit
	stopLimit = d
	return func() { stopLimit = before }
}

package broker

import "time"

// SetStopLimit changes how long a stop may take, until restore.
func SetStopLimit(d time.Duration) (restore func()) {
	before := stopLimit
	stopLimit = d
	return func() { stopLimit = before }
}

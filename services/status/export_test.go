package status

import "time"

// Pace has the streams of events send at most one event in every, a comment after so much silence, and cut who does not
// read for slow.
func (o *Options) Pace(every, comment, slow time.Duration) { o.pace = pace{every, comment, slow} }

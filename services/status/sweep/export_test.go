package sweep

import "time"

// SetKeepLook sets how often it is looked which tasks have runs past their keep.
func SetKeepLook(every time.Duration) { keepLook = every }

// Ahead has the sweeper take it for so much later, where runs are past their keep.
func (s *Sweeper) Ahead(by time.Duration) { s.now = func() time.Time { return time.Now().Add(by) } }

package imis

import (
	"testing"
	"time"
)

// ShortenPauses makes the waits between tries short for a test.
func ShortenPauses(t *testing.T) {
	before := pause
	pause.least, pause.most = time.Millisecond, 4*time.Millisecond
	t.Cleanup(func() { pause = before })
}

//go:build !darwin && !dragonfly && !freebsd && !illumos && !linux && !netbsd && !openbsd && !windows

package csvfile

import "os"

// canLock: tryLock means nothing on this system.
const canLock = false

// tryLock always succeeds: here nothing keeps two runs from appending at the same time.
func tryLock(*os.File) (locked bool, err error) { return true, nil }

package csvfile

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// canLock: tryLock means something on this system.
const canLock = true

// tryLock takes the exclusive lock of an open file, and reports false while another open of it has
// the lock, in this process or in another. The lock ends when the file is closed. It covers a byte
// that no file reaches, because nobody could read what is locked.
func tryLock(file *os.File) (locked bool, err error) {
	at := &windows.Overlapped{Offset: 0xFFFFFFFE, OffsetHigh: 0x7FFFFFFF}
	err = windows.LockFileEx(windows.Handle(file.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return false, nil
	}
	return err == nil, err
}

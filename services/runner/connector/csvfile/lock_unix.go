//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package csvfile

import (
	"errors"
	"os"
	"syscall"
)

// canLock: tryLock means something on this system.
const canLock = true

// tryLock takes the exclusive lock of an open file, and reports false while another open of it has
// the lock, in this process or in another. The lock ends when the file is closed.
func tryLock(file *os.File) (locked bool, err error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return false, err
	}
	var lockErr error
	err = raw.Control(func(descriptor uintptr) {
		for {
			if lockErr = syscall.Flock(int(descriptor), syscall.LOCK_EX|syscall.LOCK_NB); !errors.Is(lockErr, syscall.EINTR) {
				return
			}
		}
	})
	if errors.Is(lockErr, syscall.EWOULDBLOCK) {
		return false, nil
	}
	err = errors.Join(err, lockErr)
	return err == nil, err
}

//go:build chaos

package chaos

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// canFill: a disk can be made full here.
const canFill = true

// canMount tries whether a file system can be mounted, and says why not.
func canMount(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	defer func() { _ = os.Remove(dir) }()
	if err := mount(dir, 1<<20); err != nil {
		return err
	}
	return unmount(dir)
}

func mount(dir string, size int64) error {
	return syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size))
}

func unmount(dir string) error { return syscall.Unmount(dir, syscall.MNT_DETACH) }

// limitFiles sets how long a process may make its files.
func limitFiles(pid int, length uint64) error {
	return unix.Prlimit(pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: length, Max: unix.RLIM_INFINITY}, nil)
}

//go:build linux || darwin || freebsd

package broker

import (
	"math"
	"syscall"
)

// available is how many bytes may still be written on the disk of a directory.
func available(dir string) uint64 {
	var disk syscall.Statfs_t
	if syscall.Statfs(dir, &disk) != nil {
		return math.MaxUint64
	}
	return uint64(max(0, int64(disk.Bavail))) * uint64(disk.Bsize) // their types differ by system
}

//go:build unix

package check

import "golang.org/x/sys/unix"

// Writable reports whether this user may make files in a folder.
func Writable(folder string) bool { return unix.Access(folder, unix.W_OK|unix.X_OK) == nil }

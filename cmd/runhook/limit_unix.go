//go:build unix

package main

import (
	"os/signal"
	"syscall"
)

// A limit on the size of files (ulimit -f, LimitFSIZE) shall fail a write, as a full disk does, and not
// end the program.
func init() { signal.Ignore(syscall.SIGXFSZ) }

//go:build unix

package main

import (
	"os/signal"
	"syscall"
)

// A limit on the size of files (ulimit -f, LimitFSIZE) shall fail a write, as a full disk does, and not
// end the program.
func init() { signal.Ignore(syscall.SIGXFSZ) }

// descriptorLimit is how many files and connections this process may have open (ulimit -n, LimitNOFILE); 0
// if that is not known. Go has raised it as far as the hard limit lets it, at the start of the program.
func descriptorLimit() uint64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return uint64(limit.Cur) // signed on some systems
}

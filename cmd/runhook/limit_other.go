//go:build !unix

package main

// descriptorLimit is 0, because there is no such limit.
func descriptorLimit() uint64 { return 0 }

package proctest

import (
	"net"
	"strconv"
	"testing"
)

// Addresses can be listened on, again and again, none is given twice in a row of many, and the block that they are from is
// kept from other processes.
func TestFreeAddress(t *testing.T) {
	t.Parallel()
	given := map[string]bool{}
	for range 100 {
		address := FreeAddress(t)
		if given[address] {
			t.Errorf("%s was given before", address)
		}
		given[address] = true
		for range 2 {
			Until(t, func() error { // a process that is being started has the socket for a moment
				listener, err := net.Listen("tcp", address)
				if err == nil {
					err = listener.Close()
				}
				return err
			})
		}
		_, port, _ := net.SplitHostPort(address)
		if n, err := strconv.Atoi(port); err != nil || n >= 32_768 {
			t.Errorf("the system gives %s to outgoing connections", address)
		}
	}
	if other, err := net.Listen("tcp", loopback(block.first)); err == nil {
		_ = other.Close()
		t.Error("another process could take the same block")
	}
}

package proctest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
)

// Ports of tests lie below those that the system gives to outgoing connections and to listeners on any port (from 32768
// on Linux), so that nobody else comes by one while its server is down. Each process has a block of them for itself,
// whose first port it listens on for as long as it lives.
const (
	firstPort = 15_000
	blockSize = 500
	blocks    = 30
)

// block is the one of this process.
var block struct {
	sync.Mutex
	held  net.Listener
	first int
	last  int // that was given
}

// FreeAddress is a loopback address that nobody listens on. It may be listened on again and again, as by a server that is
// started more than once: no other test gets it.
func FreeAddress(t testing.TB) string {
	t.Helper()
	address, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

func freeAddress() (address string, err error) {
	block.Lock()
	defer block.Unlock()
	for n := 0; block.held == nil; n++ {
		block.first = firstPort + (os.Getpid()+n)%blocks*blockSize
		block.last = block.first
		if block.held, err = net.Listen("tcp", loopback(block.first)); err != nil && n == blocks {
			return "", err
		}
	}
	for range blockSize {
		if block.last++; block.last == block.first+blockSize {
			block.last = block.first + 1
		}
		// To listen would take it for longer: a process that is being started has all sockets of this one for a moment.
		conn, err := net.Dial("tcp", loopback(block.last))
		if errors.Is(err, syscall.ECONNREFUSED) {
			return loopback(block.last), nil
		}
		if err == nil {
			_ = conn.Close()
		}
	}
	return "", fmt.Errorf("no free port from %d on", block.first)
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

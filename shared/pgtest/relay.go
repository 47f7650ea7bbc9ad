package pgtest

import (
	"net"
	"sync"
	"testing"
)

// Relay listens on a way to the server at an address: carry carries what a client and the server say, and ends with both
// connections closed. It ends with the test.
func Relay(t testing.TB, to string, carry func(client, server net.Conn)) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				_ = client.Close() // as if the server refused it
				continue
			}
			conns.Go(func() { carry(client, server) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close() // it is at its end
		conns.Wait()
	})
	return listener
}

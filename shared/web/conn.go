package web

import (
	"container/list"
	"context"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// A connection whose request was refused unread lingers: it is read and thrown away until the
// client ends it, within these bounds.
var (
	lingerIdle  = 2 * time.Second // longer in tests
	lingerTotal = 10 * time.Second
)

const lingerBytes = 64 << 20

// conn is a client's connection.
type conn struct {
	net.Conn
	server *Server
	// heard: the client has sent something.
	heard atomic.Bool
	// lingers: Close first reads what the client is still sending.
	lingers atomic.Bool
	// early is what whenLeft has read of the client's next request; only one goroutine at a time reads.
	early []byte

	// spare: there were too many connections already; requests get 503.
	spare bool
	// place is where it stands among the waiting, since when; nil while it has a request under way.
	place *list.Element
	since time.Time
}

func (c *conn) Read(b []byte) (int, error) {
	if len(c.early) > 0 {
		n := copy(b, c.early)
		c.early = c.early[n:]
		return n, nil
	}
	n, err := c.Conn.Read(b)
	if n > 0 && !c.heard.Load() {
		c.heard.Store(true)
	}
	return n, err
}

// maxEarly is how much of a client's next request is read while the present one waits. Whether a client
// that has sent more leaves is not noticed.
const maxEarly = 4 << 10

// whenLeft calls left once the client has closed the connection, or its own side of it, or at release. Only
// a read tells: what the client sends meanwhile is kept for the next Read. The caller must have read the
// present request, and release before anybody reads on.
func (c *conn) whenLeft(left func()) (release func()) {
	_ = c.SetReadDeadline(time.Time{}) // that of the request; fasthttp sets another one before it reads on
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		buffer := make([]byte, 64)
		for len(c.early) < maxEarly {
			n, err := c.Conn.Read(buffer)
			c.early = append(c.early, buffer[:n]...)
			if err != nil {
				left()
				return
			}
		}
	}()
	return func() {
		_ = c.SetReadDeadline(past) // where it fails, so does the read
		<-watched
	}
}

// past ends reads that are under way.
var past = time.Unix(1, 0)

// Close closes the connection, after a bounded linger where a refused request asks for one.
func (c *conn) Close() error {
	if c.lingers.Swap(false) {
		c.linger()
	}
	return c.Conn.Close()
}

func (c *conn) linger() {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	release := context.AfterFunc(c.server.cut, func() { _ = c.SetReadDeadline(past) })
	defer release()
	end := time.Now().Add(lingerTotal)
	buffer := make([]byte, 16<<10)
	for left := lingerBytes; left > 0; {
		until := min(lingerIdle, time.Until(end))
		if c.SetReadDeadline(time.Now().Add(until)) != nil || c.server.cut.Err() != nil {
			return
		}
		n, err := io.ReadAtLeast(c.Conn, buffer, 1)
		if err != nil {
			return
		}
		left -= n
	}
}

// connState keeps up with the open connections.
func (s *Server) connState(nc net.Conn, state fasthttp.ConnState) {
	c, ok := nc.(*conn)
	if !ok {
		return
	}
	s.crowd.change(c, state)
	switch state {
	case fasthttp.StateNew:
		s.open.Add(1)
	case fasthttp.StateClosed:
		s.open.Done()
	}
}

package web

import (
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

// listener wraps each connection it accepts in a conn.
type listener struct {
	net.Listener
	server *Server
}

func (l listener) Accept() (net.Conn, error) {
	inner, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: inner, server: l.server}, nil
}

// conn is a client's connection.
type conn struct {
	net.Conn
	server *Server
	// heard: the client has sent something.
	heard atomic.Bool
	// lingers: Close first reads what the client is still sending.
	lingers atomic.Bool
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && !c.heard.Load() {
		c.heard.Store(true)
	}
	return n, err
}

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
	past := time.Unix(1, 0)
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

// connState keeps the set of open connections.
func (s *Server) connState(nc net.Conn, state fasthttp.ConnState) {
	c, ok := nc.(*conn)
	if !ok {
		return
	}
	switch state {
	case fasthttp.StateNew:
		s.open.Add(1)
		s.mu.Lock()
		s.conns[c] = struct{}{}
		s.mu.Unlock()
	case fasthttp.StateClosed:
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
		s.open.Done()
	}
}

// closeConns closes the open connections that which picks, without lingering.
func (s *Server) closeConns(which func(*conn) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if which(c) {
			_ = c.Conn.Close() // its goroutine sees the error
		}
	}
}

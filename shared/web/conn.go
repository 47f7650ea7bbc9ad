package web

import (
	"container/list"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
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
	// tcp is the connection below TLS, or the same one. To close it waits for nobody.
	tcp    net.Conn
	server *Server
	// heard: the client has sent something.
	heard atomic.Bool
	// lingers: Close first reads what the client is still sending.
	lingers atomic.Bool
	// early is what whenLeft has read of the client's next request; only one goroutine at a time reads.
	early []byte

	// got counts the bytes of the request under way, held those of them that the server's bound counts, and
	// full says that the bound was met.
	got, held int
	full      bool
	// readBy is when the first request must be there, while the deadline is earlier because the client is silent.
	readBy time.Time

	// spare: there were too many connections already; requests get 503.
	spare bool
	// place is where it stands among the waiting, since when; nil while it has a request under way.
	place *list.Element
	since time.Time
	// from is its address, of which there may be so many connections.
	from netip.Prefix
}

func (c *conn) Read(b []byte) (int, error) {
	if len(c.early) > 0 {
		n := copy(b, c.early)
		c.early = c.early[n:]
		return n, nil
	}
	if !c.hold(len(b)) {
		return 0, errBodies
	}
	n, err := c.Conn.Read(b)
	c.got += n
	if err != nil && c.server.tls != nil {
		explainTLS(err)
	}
	if n > 0 && !c.heard.Swap(true) && !c.readBy.IsZero() {
		_ = c.Conn.SetReadDeadline(c.readBy) // if it fails, so does the next read
	}
	return n, err
}

// SetReadDeadline bounds the silence of a new connection too, by less if there are many. Many that came together
// do not all end together either: to answer thousands in one moment would hold up the others.
func (c *conn) SetReadDeadline(by time.Time) error {
	if left := time.Until(by); left > 0 && c.server.crowd.isMany() {
		by = by.Add(-rand.N(left/4 + 1))
	}
	if soon := time.Now().Add(c.server.silence); !c.heard.Load() && by.After(soon) && c.server.crowd.isCrowded() {
		c.readBy, by = by, soon
	}
	return c.Conn.SetReadDeadline(by)
}

// heldFrom is how many bytes of each request are not counted: so many are buffered for every connection.
const heldFrom = 16 << 10

// errBodies is the answer to a request whose body does not fit beside those that are under way.
var errBodies = &Problem{
	Kind: "too-many-bodies", Title: "Too many bodies", Status: fasthttp.StatusServiceUnavailable,
	Detail:     "The server is reading as many bytes of request bodies as it may, so nothing was done; send the request again.",
	RetryAfter: 5 * time.Second,
}

// hold counts what is about to be read into a buffer of so many bytes; false if the server holds too much.
func (c *conn) hold(next int) bool {
	if next <= c.server.maxHeader {
		next = 0 // the connection's own buffer
	}
	more := c.got + next - heldFrom - c.held
	if more <= 0 {
		return true
	}
	if c.server.bodies.Add(int64(more)) > c.server.maxBodies {
		c.server.seldom.Line(zerolog.WarnLevel, "bodies").Int64("bytes", c.server.maxBodies).
			Msg("as many bytes of request bodies are under way as may be: further requests with large bodies get 503")
		c.server.bodies.Add(int64(-more))
		c.full = true
		return false
	}
	c.held += more
	return true
}

// release is the end of the request under way.
func (c *conn) release() {
	c.server.bodies.Add(int64(-c.held))
	c.got, c.held, c.full = 0, 0, false
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
	buffer := make([]byte, 2<<10) // many may linger at once
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
	case fasthttp.StateIdle:
		c.release()
	case fasthttp.StateClosed:
		c.release()
		s.open.Done()
	}
}

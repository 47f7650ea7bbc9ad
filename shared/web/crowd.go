package web

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"

	"runhook/shared/seldom"
	"runhook/shared/wait"
)

// A server with as many connections as it may have closes the one that has waited longest for a request
// when another comes. Where all have a request under way, some more are taken to be told 503.
var (
	// spareConns is how many connections are taken to be told so at once.
	spareConns = 16 // fewer in tests
	// leastWait is how long a connection may wait for a request before it is closed for another.
	leastWait = time.Second // shorter in tests
)

// errCrowded is the answer to a request on one of the spare connections.
var errCrowded = &Problem{
	Kind: "too-many-connections", Title: "Too many connections", Status: fasthttp.StatusServiceUnavailable,
	Detail:     "The server has as many connections open as it may have, so nothing was done; send the request again.",
	RetryAfter: 5 * time.Second,
}

// crowd is the open connections of a server, of which there are at most so many.
type crowd struct {
	most int
	// mostOf is how many connections an address may have, but for those that proxies fits; nil fits none.
	mostOf  int
	proxies func(netip.Addr) bool
	log     *seldom.Log

	mu   sync.Mutex
	open map[*conn]struct{}
	// waiting has the connections without a request under way, those that wait longest first.
	waiting *list.List
	spare   int
	// of counts the connections by address.
	of map[netip.Prefix]int
	// peak is how many there were since memory was given back, and calm does so some time after they have gone.
	peak int
	calm *time.Timer
	// many and calmAfter are as in Options.
	many      int
	calmAfter time.Duration
	// least and spares are leastWait and spareConns.
	least  time.Duration
	spares int
	// left gets a value when a connection has gone.
	left chan struct{}
}

func newCrowd(o Options, log *seldom.Log) *crowd {
	return &crowd{
		most: o.MaxConns, mostOf: o.MaxConnsOf, proxies: o.Proxies, many: o.many, calmAfter: o.calmAfter, least: leastWait, spares: spareConns, log: log,
		open: map[*conn]struct{}{}, of: map[netip.Prefix]int{}, waiting: list.New(), left: make(chan struct{}, 1),
	}
}

// addressOf is what counts as one address: an IPv6 network of 64 bits may be one machine's.
func addressOf(peer net.Addr) netip.Prefix {
	tcp, ok := peer.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	addr := tcp.AddrPort().Addr().Unmap()
	network, _ := addr.Prefix(min(addr.BitLen(), 64)) // no address has fewer bits
	return network
}

// add takes a connection in, unless its address has as many as it may. If there are too many in all, the one
// that has waited longest goes; if none has waited long enough, the new one is a spare one.
func (w *crowd) add(c *conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	c.from = addressOf(c.RemoteAddr())
	if w.of[c.from] >= w.mostOf && (w.proxies == nil || !w.proxies(c.from.Addr())) {
		w.log.Line(zerolog.WarnLevel, "address").Stringer("address", c.from.Addr()).Int("connections", w.mostOf).
			Msg("an address has as many HTTP connections as one may have: further ones are closed; if it is a proxy, name it in --trusted-proxies")
		return false
	}
	if len(w.open)-w.spare >= w.most {
		w.log.Line(zerolog.WarnLevel, "connections").Int("connections", w.most).
			Msg("as many HTTP connections are open as may be: idle ones are closed for new ones, and without an idle one requests on new ones get 503")
		if !w.closeLongest() {
			c.spare = true
			w.spare++
		}
	}
	w.open[c] = struct{}{}
	w.of[c.from]++
	w.peak = max(w.peak, len(w.open))
	w.wait(c)
	return true
}

// isCrowded reports whether half of the connections are open that may be.
func (w *crowd) isCrowded() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.open) > w.most/2
}

// isMany reports whether so many connections are open that one moment is too short to end them all.
func (w *crowd) isMany() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.open) >= w.many
}

// relax gives memory back some time after a crowd has gone. The pools of HTTP would keep it for minutes.
func (w *crowd) relax() {
	if w.peak < w.many || len(w.open) > w.peak/4 || w.calm != nil {
		return
	}
	w.calm = time.AfterFunc(w.calmAfter, func() {
		w.mu.Lock()
		w.calm, w.peak = nil, len(w.open)
		w.mu.Unlock()
		runtime.GC()         // what the pools have is kept once more by the first collection
		debug.FreeOSMemory() // and this is the second
	})
}

// promote makes a spare connection one like the others, if there is room for it by now.
func (w *crowd) promote(c *conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.open)-w.spare >= w.most {
		return false
	}
	c.spare = false
	w.spare--
	return true
}

// wait notes that a connection has no request under way from now on.
func (w *crowd) wait(c *conn) {
	if c.place == nil {
		c.since, c.place = time.Now(), w.waiting.PushBack(c)
	}
}

// busy notes that a request has begun.
func (w *crowd) busy(c *conn) {
	if c.place != nil {
		w.waiting.Remove(c.place)
		c.place = nil
	}
}

// drop forgets a connection that is closed.
func (w *crowd) drop(c *conn) {
	if _, there := w.open[c]; !there {
		return
	}
	delete(w.open, c)
	if w.of[c.from]--; w.of[c.from] == 0 {
		delete(w.of, c.from)
	}
	w.relax()
	w.busy(c)
	if c.spare {
		w.spare--
	}
	select {
	case w.left <- struct{}{}:
	default:
	}
}

// closeLongest closes the connection that has waited longest for a request; false if none has long enough.
func (w *crowd) closeLongest() bool {
	first := w.waiting.Front()
	if first == nil || time.Since(first.Value.(*conn).since) < w.least {
		return false
	}
	c := first.Value.(*conn)
	w.drop(c)
	_ = c.tcp.Close() // its goroutine sees the error
	return true
}

// change keeps up with what fasthttp says of a connection.
func (w *crowd) change(c *conn, state fasthttp.ConnState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, there := w.open[c]; !there {
		return
	}
	switch state {
	case fasthttp.StateActive:
		w.busy(c)
	case fasthttp.StateIdle:
		w.wait(c)
	case fasthttp.StateClosed:
		w.drop(c)
	}
}

// closeAll closes the open connections that which picks, without lingering.
func (w *crowd) closeAll(which func(*conn) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.open {
		if which(c) {
			_ = c.tcp.Close() // its goroutine sees the error
		}
	}
}

// awaitSpare waits until another connection may be taken, at least to be told 503; false if ctx ended before.
func (w *crowd) awaitSpare(ctx context.Context) bool {
	for {
		w.mu.Lock()
		full := w.spare >= w.spares && !w.closeLongest()
		w.mu.Unlock()
		if !full {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-w.left:
		case <-time.After(w.least): // one may have waited long enough
		}
	}
}

// failed notes that the system gave no connection, and closes the one that has waited longest.
func (w *crowd) failed(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log.Line(zerolog.WarnLevel, "accept").Err(err).Int("connections", len(w.open)).
		Msg("cannot take more HTTP connections now, trying again; those that are open are answered")
	w.closeLongest()
}

// listener wraps each connection that it accepts in a conn, and goes on after every fault of the system.
type listener struct {
	net.Listener
	server *Server
}

// Accept returns the next connection. Only a listener that is closed is an error.
func (l listener) Accept() (net.Conn, error) {
	s := l.server
	pause := wait.Backoff{Least: 10 * time.Millisecond, Most: time.Second}
	for {
		if !s.crowd.awaitSpare(s.stopping) {
			return nil, net.ErrClosed
		}
		inner, err := l.Listener.Accept()
		if errors.Is(err, net.ErrClosed) || s.stopping.Err() != nil {
			if err == nil {
				_ = inner.Close()
			}
			return nil, net.ErrClosed
		}
		if err != nil { // too many open files, mostly
			s.crowd.failed(err)
			pause.Wait(s.stopping)
			continue
		}
		c := &conn{Conn: inner, tcp: inner, server: s}
		if s.tls != nil {
			c.Conn = tls.Server(inner, s.tls)
		}
		if !s.crowd.add(c) {
			_ = inner.Close()
			continue
		}
		return c, nil
	}
}

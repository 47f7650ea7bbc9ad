// Package web is the HTTP edge that the services share: one server policy (limits, time-outs,
// clean stop), one way to answer errors, cross-origin rules, the addresses that answers carry,
// run signatures, and the guard of the admin routes.
package web

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"

	"runhook/shared/seldom"
)

// DefaultMaxBody is the largest request body, in bytes, of a server whose options name none.
const DefaultMaxBody = 256 << 10

// DefaultMaxConns is how many connections a server may have open whose options do not say.
const DefaultMaxConns = 1 << 16

// Options are the settings of a Server.
type Options struct {
	// Listen is the address to listen on, "127.0.0.1:8080"; port 0 takes a free one.
	Listen string
	// MaxBody is the largest request body in bytes. Default DefaultMaxBody.
	MaxBody int
	// MaxHeader is the largest request line and headers together in bytes. Every connection keeps a
	// buffer of this size. Default 8 KiB.
	MaxHeader int
	// MaxConns is how many connections may be open. Default DefaultMaxConns.
	MaxConns int
	// MaxConnsOf is how many of them one address may have, but for those of Proxies. Default a quarter.
	MaxConnsOf int
	// Proxies are addresses from which many clients come. Nil for none.
	Proxies func(netip.Addr) bool
	// MaxBodies bounds the bytes of all request bodies that are under way, but for the first 16 KiB of each.
	// Default 64 MiB, or eight of the largest.
	MaxBodies int
	// Hosts are the names of the server. Default those of Listen and of this machine.
	Hosts *Hosts
	// TLS is the certificate of a server that speaks TLS. Nil for plain HTTP.
	TLS *Certificate
	// ReadTimeout bounds the arrival of one whole request, and the silence of a new connection.
	// Default 20 s.
	ReadTimeout time.Duration
	// IdleTimeout is how long a connection may wait for its next request. Default 75 s.
	IdleTimeout time.Duration
	// WriteTimeout bounds the writing of one answer. Default 30 s.
	WriteTimeout time.Duration
	// StopGrace is how long requests under way may take to end once the server stops; then their
	// connections are cut. Default 10 s.
	StopGrace time.Duration
	// Starting is for a server whose other routes Mount brings later: until then requests to them get 503
	// with what Starting says is under way, which everybody may read. Nil for none.
	Starting func() error
	// Log gets failures, and at debug level each request.
	Log zerolog.Logger

	// silence is how long a new connection may be silent while there are many. Tests have it shorter.
	silence time.Duration
	// many is how many connections take so much memory that it is given back when most of them have gone, calmAfter
	// later, as more may come. Tests have both smaller.
	many      int
	calmAfter time.Duration
}

func (o *Options) setDefaults() {
	o.MaxBody = cmp.Or(o.MaxBody, DefaultMaxBody)
	o.MaxHeader = cmp.Or(o.MaxHeader, 8<<10)
	o.MaxConns = cmp.Or(o.MaxConns, DefaultMaxConns)
	o.MaxConnsOf = cmp.Or(o.MaxConnsOf, max(o.MaxConns/4, 1))
	o.MaxBodies = cmp.Or(o.MaxBodies, max(64<<20, 8*o.MaxBody))
	o.silence = cmp.Or(o.silence, 2*time.Second)
	o.many = cmp.Or(o.many, 1000)
	o.calmAfter = cmp.Or(o.calmAfter, 10*time.Second)
	o.ReadTimeout = cmp.Or(o.ReadTimeout, 20*time.Second)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, 75*time.Second)
	o.WriteTimeout = cmp.Or(o.WriteTimeout, 30*time.Second)
	o.StopGrace = cmp.Or(o.StopGrace, 10*time.Second)
}

// Server is one listener with its routes.
type Server struct {
	log zerolog.Logger
	// seldom logs what a flood of requests can cause.
	seldom      *seldom.Log
	logsAccess  bool
	hosts       *Hosts
	tls         *tls.Config // nil for plain HTTP
	maxBody     int
	maxHeader   int
	readTimeout time.Duration
	silence     time.Duration
	// bodies are the bytes of request bodies under way, of which there are at most maxBodies.
	bodies    atomic.Int64
	maxBodies int64
	stopGrace time.Duration

	http     *fasthttp.Server
	listener net.Listener

	// early are the routes given to New, table those answered now.
	early []Route
	table atomic.Pointer[table]
	// why says what is under way until Mount.
	why func() error

	// stopping is the context of the handlers: it ends when the server begins to stop.
	stopping context.Context
	// cut ends when the grace of a stop is over: lingering connections end with it.
	cut context.Context

	crowd *crowd
	// open are the connections whose goroutines have not ended.
	open sync.WaitGroup
}

// New binds the address and mounts the routes; Run serves them. An address that cannot be bound is
// an error that says what to do.
func New(o Options, tables ...[]Route) (*Server, error) {
	o.setDefaults()
	s := &Server{
		log: o.Log, why: o.Starting, logsAccess: o.Log.GetLevel() <= zerolog.DebugLevel && zerolog.GlobalLevel() <= zerolog.DebugLevel,
		maxBody: o.MaxBody, maxHeader: o.MaxHeader, readTimeout: o.ReadTimeout, silence: o.silence, stopGrace: o.StopGrace,
		maxBodies: int64(o.MaxBodies), hosts: o.Hosts, seldom: seldom.New(o.Log),
	}
	if s.hosts == nil {
		s.hosts, _ = NewHosts(nil, o.Listen, "") // only names that are given can be wrong
	}
	if o.TLS != nil {
		s.tls = o.TLS.config()
	}
	s.crowd = newCrowd(o, s.seldom)
	s.early = slices.Concat(tables...)
	first, err := s.newTable(s.early)
	if err != nil {
		return nil, err
	}
	first.starting = o.Starting != nil
	s.table.Store(first)
	s.http = &fasthttp.Server{
		Handler:            s.handle,
		ErrorHandler:       s.refuseUnread,
		HeaderReceived:     s.headerReceived,
		ConnState:          s.connState,
		Name:               "runhook",
		ReadBufferSize:     o.MaxHeader,
		MaxRequestBodySize: o.MaxBody,
		ReadTimeout:        o.ReadTimeout,
		IdleTimeout:        o.IdleTimeout,
		WriteTimeout:       o.WriteTimeout,
		Logger:             fasthttpLog{o.Log},
		// The pool's cleaner sleeps this long before it sees that the server has stopped.
		MaxIdleWorkerDuration:        250 * time.Millisecond,
		DisablePreParseMultipartForm: true,
		NoDefaultContentType:         true,
		SecureErrorLogMessage:        true,
		CloseOnShutdown:              true,
	}
	listener, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, bindError(o.Listen, err)
	}
	s.listener = listener
	return s, nil
}

// Mount has the server answer these routes too, from now on. It is for routes that need what was not there
// when the server began to answer.
func (s *Server) Mount(tables ...[]Route) error {
	t, err := s.newTable(slices.Concat(append(tables, s.early)...))
	if err != nil {
		return err
	}
	s.table.Store(t)
	return nil
}

func bindError(address string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("cannot listen on %s: another program has this port; stop it, or choose another address with --listen", address)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("cannot listen on %s: this port needs more rights; choose one above 1023 with --listen", address)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("cannot listen on %s: this machine has no such address; choose another with --listen", address)
	}
	return fmt.Errorf("cannot listen on %q: %w; --listen takes host:port, as 127.0.0.1:8080", address, err)
}

// Addr is the address that the server listens on, with the port it was given.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// URL is the server's address for a client on this machine, without a trailing slash.
func (s *Server) URL() string {
	host, port, _ := net.SplitHostPort(s.Addr().String())
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip.To4() == nil {
			host = "::1"
		}
	}
	scheme := "http://"
	if s.tls != nil {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(host, port)
}

// Close gives the address back; only for a server whose Run is never called.
func (s *Server) Close() error { return s.listener.Close() }

// Run serves until ctx ends, then stops: it takes no more connections, ends the handlers' context,
// lets requests under way end within StopGrace, and cuts what is left. It returns when every
// connection is closed: nil, or an error if a handler did not end even then.
func (s *Server) Run(ctx context.Context) error {
	stopping, stop := context.WithCancel(ctx)
	defer stop()
	cut, cutAll := context.WithCancel(context.WithoutCancel(ctx))
	defer cutAll()
	s.stopping, s.cut = stopping, cut
	everyone := func(*conn) bool { return true }

	served := make(chan error, 1)
	go func() { served <- s.http.Serve(listener{s.listener, s}) }()
	select {
	case err := <-served:
		stop()
		cutAll()
		s.crowd.closeAll(everyone)
		return errors.Join(fmt.Errorf("serve on %s: %w", s.Addr(), cmp.Or(err, net.ErrClosed)), s.awaitClosed())
	case <-ctx.Done():
	}

	grace, cancel := context.WithTimeout(cut, s.stopGrace)
	defer cancel()
	_ = s.listener.Close() // also where Serve has not come to know it yet
	s.crowd.closeAll(func(c *conn) bool { return !c.heard.Load() })
	err := s.http.ShutdownWithContext(grace)
	cutAll()
	s.crowd.closeAll(everyone)
	if ended := <-served; ended != nil {
		s.log.Debug().Err(ended).Msg("the listener closed")
	}
	if errors.Is(err, context.DeadlineExceeded) {
		s.log.Warn().Dur("grace", s.stopGrace).Msg("requests were still under way when the server stopped; their connections were cut")
	}
	return s.awaitClosed()
}

// awaitClosed waits until every connection's goroutine has ended, at most another StopGrace.
func (s *Server) awaitClosed() error {
	closed := make(chan struct{})
	go func() {
		s.open.Wait()
		close(closed)
	}()
	select {
	case <-closed:
		return nil
	case <-time.After(s.stopGrace):
		return errors.New("stop the HTTP server: a request did not end")
	}
}

// fasthttpLog takes the library's few own lines: faults of single connections.
type fasthttpLog struct{ log zerolog.Logger }

func (l fasthttpLog) Printf(format string, args ...any) {
	l.log.Debug().Msg(strings.TrimSpace(fmt.Sprintf(format, args...)))
}

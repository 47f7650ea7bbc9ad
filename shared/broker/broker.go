// Package broker is the NATS server that runs inside `runhook serve` and in tests.
package broker

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"
)

// Options says how the embedded server runs.
type Options struct {
	// Dir holds the streams. It is made when missing.
	Dir string
	// Listen is the address for other programs ("127.0.0.1:4222"; port 0 takes a free one); empty
	// listens nowhere, and only this process can connect.
	Listen string
	// MaxConns is how many connections there may be; 0 is the server's own limit. A client beyond it is
	// refused, and the others are served.
	MaxConns int
	// Access is who may do what at Listen; nil lets everybody in, to everything.
	Access *Access
	// Durable syncs every write to disk before it is acknowledged. Without it the last moments
	// before a power cut may be lost; a killed process loses nothing either way.
	Durable bool
	// Recovering is told every second how far a server is that starts, by Start and later; nil tells nobody.
	Recovering func(Progress)
	Log        zerolog.Logger
}

// Broker is a running embedded server. When its store stops taking writes, because the disk is full
// or fails, it starts the server again: see supervise.
type Broker struct {
	// Own is the user of this process where Options has an Access; its password is random and lives as long as the
	// process.
	Own Login

	// CutOff is, by stream, how many bytes at the end of its files Start found unreadable, mostly
	// after a power cut.
	CutOff map[string]int64
	// Unsynced: a server without Durable worked here before and was not stopped by Stop. Its last moments
	// may be lost without a trace, until somebody calls Repaired.
	Unsynced bool

	options Options
	// letting guards who is let in: Access of the options, and the admission of the server that runs.
	letting   sync.Mutex
	admission *admission
	logger    *logger
	server    atomic.Pointer[server.Server]
	full      atomic.Bool
	// repaired is for Unsynced.
	repaired atomic.Bool

	// stop ends the supervisor, and supervised is closed when that has ended.
	stop       context.CancelFunc
	supervised chan struct{}
}

// stopLimit bounds a stop: a server with thousands of consumers writes each one's state, and what
// it has not written is rebuilt at the next start.
var stopLimit = 10 * time.Second // shorter in tests

// Start starts the server and waits until it has recovered its streams and takes connections, or until ctx
// ends; a server that has started goes on then. A taken port, an unwritable directory and a directory with
// somebody else's data are errors that say what to do.
func Start(ctx context.Context, o Options) (*Broker, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the data directory: %w: choose another with --data", err)
	}
	err := room(o.Dir, roomNeeded)
	if noRoom([]any{err}) {
		return nil, fmt.Errorf("the disk of the data directory is full: %w: make room, or move the directory and give it with --data", err)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot write in the data directory: %w: choose another with --data, or change its owner", err)
	}
	if o.Listen != "" {
		if err := free(o.Listen); err != nil {
			return nil, err
		}
	}
	broker := &Broker{
		options: o, logger: newLogger(o.Log), supervised: make(chan struct{}),
	}
	if o.Access != nil {
		broker.Own = Login{Name: "runhook-internal", Password: rand.Text()}
	}
	if err := broker.begin(); err != nil {
		return nil, err
	}
	found := newestBlocks(o.Dir)
	if err := broker.start(ctx); err != nil {
		broker.conclude()
		return nil, err
	}
	broker.CutOff = cutOff(found)
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	broker.stop = stop
	go broker.supervise(running)
	return broker, nil
}

// start starts a server on what the directory holds.
func (b *Broker) start(ctx context.Context) error {
	b.letting.Lock()
	defer b.letting.Unlock()
	o := b.options
	if err := forgetCopied(o.Dir); err != nil {
		return err
	}
	if err := distrust(o.Dir); err != nil {
		return err
	}
	err := completeMeta(o.Dir, func(stream string) {
		o.Log.Warn().Str("stream", stream).Msg("the program was killed while it wrote the settings of a stream: they are completed, and the stream is whole")
	})
	if err != nil {
		return err
	}
	config := &server.Options{
		ServerName: "runhook", JetStream: true, StoreDir: o.Dir, SyncAlways: o.Durable,
		NoSigs: true, DontListen: o.Listen == "", MaxPayload: 8 << 20, MaxConn: o.MaxConns,
		// The disk is the limit. The server's own would be what is free at its start, for good: a
		// server that starts on a full disk could never store anything again.
		JetStreamMaxStore: 1 << 60,
	}
	host, port, _ := net.SplitHostPort(o.Listen) // checked by free, where it listens
	if o.Listen != "" {
		config.Host = host
		if config.Port, _ = strconv.Atoi(port); port == "0" {
			config.Port = server.RANDOM_PORT
		}
	}
	admission := newAdmission()
	if o.Access != nil {
		config.CustomClientAuthentication = admission
	}
	b.logger.forget()
	next, err := server.NewServer(config)
	if err != nil {
		return fmt.Errorf("set up the embedded NATS server: %w", err)
	}
	next.SetLoggerV2(b.logger, false, false, false)
	if err := b.run(ctx, next); err != nil {
		return err
	}
	if o.Access != nil {
		if _, err := admission.admit(next, *o.Access, b.Own); err != nil {
			shutdown(next)
			return err
		}
		b.admission = admission
	}
	if port == "0" { // a server that is started again has the port that this one took
		b.options.Listen = net.JoinHostPort(host, strconv.Itoa(next.Addr().(*net.TCPAddr).Port))
	}
	b.server.Store(next)
	return nil
}

// forgetCopied removes what the server noted of how far a stream is a copy of another. The note can be
// ahead of the copies that are there, when the disk was full or the power was cut, and would have the
// server pass over those that are not (nats-server 2.15.2); without it, it looks at the last copy.
func forgetCopied(dir string) error {
	notes, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "*", "sources.db"))
	if err != nil {
		return fmt.Errorf("look into the data directory: %w", err)
	}
	for _, note := range notes {
		if err := os.Remove(note); err != nil {
			return fmt.Errorf("cannot write in the data directory: %w: change its owner, or choose another with --data", err)
		}
	}
	return nil
}

// Server is the running server. Another one takes its place when it has to be started again.
func (b *Broker) Server() *server.Server { return b.server.Load() }

// InProcessConn connects to the server without a socket; a connection that is lost with the server
// finds the next one here.
func (b *Broker) InProcessConn() (net.Conn, error) { return b.Server().InProcessConn() }

// Addr is where the server listens; nil when it listens nowhere.
func (b *Broker) Addr() net.Addr { return b.Server().Addr() }

// URL is where other programs connect; empty when the server listens nowhere.
func (b *Broker) URL() string {
	if b.options.Listen == "" {
		return ""
	}
	return "nats://" + b.options.Listen
}

// Stop stops the server in bounded time. Everything acknowledged is on disk before and after.
func (b *Broker) Stop() {
	b.stop()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-b.supervised
		shutdown(b.Server())
		b.conclude()
	}()
	select {
	case <-stopped:
	case <-time.After(stopLimit):
	}
}

// shutdown stops a server and waits until nothing of it touches its directory any more.
func shutdown(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

// free checks a listen address and sees whether it is free, because the server itself reports a taken port only in its
// log.
func free(listen string) error {
	_, port, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("--nats-listen %s: %w: write it as 127.0.0.1:4222", listen, err)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("--nats-listen %s: %q is not a port", listen, port)
	}
	probe, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("--nats-listen %s: %w: is another NATS server or another runhook running? choose another address", listen, err)
	}
	return probe.Close()
}

// Dir is where a data directory keeps the server's streams.
func Dir(data string) string { return filepath.Join(data, "nats") }

// Package broker is the NATS server that runs inside `runhook serve` and in tests.
package broker

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
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
	// User and Password are asked of everybody who connects to Listen; empty asks nothing.
	User, Password string
	// Durable syncs every write to disk before it is acknowledged. Without it the last moments
	// before a power cut may be lost; a killed process loses nothing either way.
	Durable bool
	Log     zerolog.Logger
}

// Broker is a running embedded server.
type Broker struct {
	*server.Server
	// InternalUser and InternalPassword let this process in when Options has a User; both are
	// random and live as long as the process.
	InternalUser, InternalPassword string
}

// stopLimit bounds a stop: a server with thousands of consumers writes each one's state, and what
// it has not written is rebuilt at the next start.
const stopLimit = 10 * time.Second

// Start starts the server and waits until it takes connections. A taken port, an unwritable
// directory and a directory with somebody else's data are errors that say what to do.
func Start(o Options) (*Broker, error) {
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("cannot make the data directory: %w: choose another with --data", err)
	}
	probe, err := os.CreateTemp(o.Dir, ".write-*")
	if err != nil {
		return nil, fmt.Errorf("cannot write in the data directory: %w: choose another with --data, or change its owner", err)
	}
	_, _ = probe.Close(), os.Remove(probe.Name())

	config := &server.Options{
		ServerName: "runhook", JetStream: true, StoreDir: o.Dir, SyncAlways: o.Durable,
		NoSigs: true, DontListen: o.Listen == "", MaxPayload: 8 << 20,
	}
	if o.Listen != "" {
		if config.Host, config.Port, err = address(o.Listen); err != nil {
			return nil, err
		}
	}
	broker := &Broker{}
	if o.User != "" {
		broker.InternalUser, broker.InternalPassword = "runhook-internal", rand.Text()
		config.Users = []*server.User{
			{Username: o.User, Password: o.Password},
			{Username: broker.InternalUser, Password: broker.InternalPassword},
		}
	}
	if broker.Server, err = server.NewServer(config); err != nil {
		return nil, fmt.Errorf("set up the embedded NATS server: %w", err)
	}
	logger := &logger{log: o.Log}
	broker.SetLoggerV2(logger, false, false, false)
	started := make(chan struct{})
	go func() { defer close(started); broker.Server.Start() }()
	if !broker.ReadyForConnections(20 * time.Second) {
		broker.Shutdown()
		<-started
		if fatal := logger.fatal(); fatal != "" {
			return nil, fmt.Errorf("the embedded NATS server did not start: %s", fatal)
		}
		return nil, errors.New("the embedded NATS server did not start within 20 s")
	}
	return broker, nil
}

// URL is where other programs connect; empty when the server listens nowhere.
func (b *Broker) URL() string {
	if addr := b.Addr(); addr != nil {
		return "nats://" + addr.String()
	}
	return ""
}

// Stop stops the server in bounded time. Everything acknowledged is on disk before and after.
func (b *Broker) Stop() {
	b.Shutdown()
	stopped := make(chan struct{})
	go func() { defer close(stopped); b.WaitForShutdown() }()
	select {
	case <-stopped:
	case <-time.After(stopLimit):
	}
}

// address splits a listen address and sees whether it is free, because the server itself reports a
// taken port only in its log.
func address(listen string) (host string, port int, err error) {
	host, portText, err := net.SplitHostPort(listen)
	if err != nil {
		return "", 0, fmt.Errorf("--nats-listen %s: %w: write it as 127.0.0.1:4222", listen, err)
	}
	if port, err = strconv.Atoi(portText); err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("--nats-listen %s: %q is not a port", listen, portText)
	}
	probe, err := net.Listen("tcp", listen)
	if err != nil {
		return "", 0, fmt.Errorf("--nats-listen %s: %w: is another NATS server or another runhook running? choose another address", listen, err)
	}
	defer func() { _ = probe.Close() }()
	return host, probe.Addr().(*net.TCPAddr).Port, nil
}

// Dir is where a data directory keeps the server's streams.
func Dir(data string) string { return filepath.Join(data, "nats") }

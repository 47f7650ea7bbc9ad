package web

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"

	"runhook/shared/plainfile"
	"runhook/shared/tokenfile"
)

// Certificate is what a server shows of itself in TLS. It is read again when its files change. It is safe for
// concurrent use.
type Certificate struct {
	certFile, keyFile string
	log               zerolog.Logger
	now               atomic.Pointer[tls.Certificate]

	mu sync.Mutex
	// read are the files as they were read last, and looked is when they were looked at.
	read   [2]stamp
	looked time.Time
	// lookAgain is how long it is used without a look at its files. Tests have it shorter.
	lookAgain time.Duration
}

// maxCertificate bounds a certificate with those behind it, in bytes.
const maxCertificate = 1 << 20

// stamp tells a file from what it was before.
type stamp struct {
	size  int64
	since time.Time
}

// LoadCertificate reads a certificate, with those that lead to its authority behind it, and its key.
func LoadCertificate(certFile, keyFile string, log zerolog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log, lookAgain: time.Second}
	c.read, c.looked = c.stamps(), time.Now()
	return c, c.load()
}

// Reload reads the files again. If they cannot be used, the log says so and the former certificate still holds.
func (c *Certificate) Reload() {
	if err := c.load(); err != nil {
		c.log.Error().Err(err).Msg("the certificate was not read again; that of before still holds")
		return
	}
	c.log.Info().Str("file", c.certFile).Time("until", c.now.Load().Leaf.NotAfter).Msg("the certificate was read again")
}

func (c *Certificate) load() error {
	cert, _, err := plainfile.Read(c.certFile, maxCertificate)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("--tls-cert: there is no file %s", c.certFile)
	}
	if err != nil {
		return fmt.Errorf("--tls-cert: %w", err)
	}
	key, err := tokenfile.ReadPrivate(c.keyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("--tls-key: there is no file %s", c.keyFile)
	}
	if err != nil {
		return fmt.Errorf("--tls-key: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("--tls-cert %s and --tls-key %s: %w; both are PEM, and the key is that of the first certificate", c.certFile, c.keyFile, err)
	}
	if pair.Leaf == nil {
		if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return fmt.Errorf("--tls-cert %s: %w", c.certFile, err)
		}
	}
	if pair.Leaf.NotAfter.Before(time.Now()) {
		c.log.Warn().Str("file", c.certFile).Time("until", pair.Leaf.NotAfter).Msg("the certificate has expired, so clients refuse it")
	}
	c.now.Store(&pair)
	return nil
}

func (c *Certificate) stamps() (now [2]stamp) {
	for i, file := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(file); err == nil {
			now[i] = stamp{info.Size(), info.ModTime()}
		}
	}
	return now
}

// get is the certificate for a new connection.
func (c *Certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) >= c.lookAgain {
		c.looked = time.Now()
		if now := c.stamps(); now != c.read {
			c.read = now
			c.Reload()
		}
	}
	return c.now.Load(), nil
}

func (c *Certificate) config() *tls.Config {
	return &tls.Config{GetCertificate: c.get, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
}

// isTLS reports whether a request came over TLS.
func isTLS(rc *fasthttp.RequestCtx) bool {
	c, ok := rc.Conn().(*conn)
	return ok && c.server.tls != nil
}

// notTLS answers who speaks HTTP where TLS is spoken.
const notTLS = "HTTP/1.0 400 Bad Request\r\nContent-Type: application/problem+json\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n" +
	`{"type":"urn:runhook:problem:not-tls","title":"This server speaks TLS","status":400,"detail":"This server speaks TLS here; use an address that begins with https://"}` + "\n"

// explainTLS tells a client that spoke HTTP what it should do. err is that of a read.
func explainTLS(err error) {
	fault, ok := errors.AsType[tls.RecordHeaderError](err)
	if !ok || fault.Conn == nil {
		return
	}
	switch string(fault.RecordHeader[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "DELET":
		_, _ = io.WriteString(fault.Conn, notTLS) // who does not read it learns nothing
	}
}

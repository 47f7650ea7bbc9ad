package web

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"

	"runhook/shared/proctest"
)

// based answers with the address that a request came under.
var based = Route{Method: "GET", Pattern: "/base", Handler: func(_ context.Context, rc *fasthttp.RequestCtx) error {
	base, err := new(Locator).Base(rc)
	rc.SetBodyString(base)
	return err
}}

// A server that speaks TLS speaks HTTP/1.1 over it, tells who does not, takes a new certificate when its files
// change, and keeps the one it has if they cannot be used.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := proctest.Certificate(t, dir)
	log := proctest.NewOutput()
	certificate, err := LoadCertificate(certFile, keyFile, zerolog.New(log))
	if err != nil {
		t.Fatal(err)
	}
	certificate.lookAgain = 0
	w := &waiting{begun: make(chan struct{}, 100), ended: make(chan struct{}, 100), happened: make(chan struct{}), Waits: NewWaits(10, nil)}
	s, _, _ := started(t, Options{TLS: certificate, ReadTimeout: time.Hour}, echo, based, Route{Method: "GET", Pattern: "/wait", Handler: w.answer})
	address := s.Addr().String()
	if s.URL() != "https://"+address {
		t.Errorf("it says that it is at %s", s.URL())
	}
	connect := func() *tls.Conn {
		t.Helper()
		roots := x509.NewCertPool()
		pem, err := os.ReadFile(certFile)
		if err != nil || !roots.AppendCertsFromPEM(pem) {
			t.Fatal(err)
		}
		conn := tls.Client(dial(t, address), &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{"h2", "http/1.1"}})
		if err := conn.Handshake(); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	serial := func(conn *tls.Conn) *big.Int { return conn.ConnectionState().PeerCertificates[0].SerialNumber }
	ask := func(conn net.Conn, request string) string {
		t.Helper()
		say(t, conn, request)
		_, body := hear(t, conn)
		return body
	}

	conn := connect()
	if conn.ConnectionState().NegotiatedProtocol != "http/1.1" {
		t.Errorf("it speaks %q", conn.ConnectionState().NegotiatedProtocol)
	}
	if got := ask(conn, "GET /base HTTP/1.1\r\nHost: localhost:1\r\n\r\n"); got != "https://localhost:1" {
		t.Errorf("its base is %s", got)
	}
	if got := ask(conn, "POST /task/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n"+strings.Repeat("x", 200_000)); got != "200000" {
		t.Errorf("a large body: %s", got)
	}
	// A wait reads on the connection, and leaves it as it was.
	say(t, conn, "GET /wait HTTP/1.1\r\nHost: a\r\nPrefer: wait=100\r\n\r\n")
	within(t, "the wait begins", w.begun)
	w.happened <- struct{}{}
	if _, body := hear(t, conn); body != "happened" {
		t.Errorf("the wait ended with %s", body)
	}
	if got := ask(conn, "GET /base HTTP/1.1\r\nHost: b\r\n\r\n"); got != "https://b" {
		t.Errorf("after the wait: %s", got)
	}

	for _, request := range []string{"GET /base HTTP/1.1\r\nHost: a\r\n\r\n", "POST /task/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"} {
		if response, body := talk(t, address, request); response.StatusCode != 400 || !strings.Contains(body, "https://") || response.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("without TLS: %s %s", response.Status, body)
		}
	}
	other := dial(t, address)
	say(t, other, "\x00\x00\x00\x00\x00\x00\x00\x00")
	if answer, _ := io.ReadAll(other); strings.Contains(string(answer), "https") {
		t.Errorf("what is no HTTP is told %q", answer)
	}

	first := serial(conn)
	proctest.Certificate(t, dir)
	next := connect()
	if serial(next).Cmp(first) == 0 {
		t.Error("the certificate is the old one")
	}
	if got := ask(conn, "GET /base HTTP/1.1\r\nHost: c\r\n\r\n"); got != "https://c" {
		t.Errorf("a connection of before: %s", got)
	}
	was := serial(next)
	key, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(keyFile, []byte("half of"), 0o600); err != nil {
		t.Fatal(err)
	}
	if serial(connect()).Cmp(was) != 0 {
		t.Error("the certificate is another one, without its key")
	}
	if !strings.Contains(log.String(), "that of before still holds") {
		t.Errorf("the log says %s", log)
	}
	if err := os.WriteFile(keyFile, key, 0o600); err != nil {
		t.Fatal(err)
	}
	certificate.Reload()
	if serial(connect()).Cmp(was) != 0 || !strings.Contains(log.String(), "the certificate was read again") {
		t.Errorf("the log says %s", log)
	}
}

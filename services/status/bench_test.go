package status_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"runhook/services/status"
	"runhook/shared/run"
)

// poller polls over one kept connection, with as little of a client as HTTP/1.1 needs.
type poller struct {
	conn    net.Conn
	reader  *bufio.Reader
	request []byte
}

func newPoller(b *testing.B, s *site, path string) *poller {
	b.Helper()
	address := s.url[len("http://"):]
	conn, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return &poller{conn, bufio.NewReader(conn), fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, address)}
}

func (p *poller) poll() (code int, err error) {
	if _, err := p.conn.Write(p.request); err != nil {
		return 0, err
	}
	response, err := http.ReadResponse(p.reader, nil)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, err
}

func benchmarkPoll(b *testing.B, s *site, path string, want int) {
	p := newPoller(b, s, path)
	b.ReportAllocs()
	for b.Loop() {
		if code, err := p.poll(); err != nil || code != want {
			b.Fatal(code, err)
		}
	}
}

// A finished run, which is answered from memory.
func BenchmarkPollFinal(b *testing.B) {
	s := open(b, nil)
	r := s.submit(s.apply("Refresh")).begin(0).end(run.Success, "done")
	benchmarkPoll(b, s, r.path(), http.StatusOK)
}

// A finished run that this process never remembers: one read of the store.
func BenchmarkPollFinalFromStore(b *testing.B) {
	s := open(b, func(o *status.Options) { o.TrustFinal = 1 })
	r := s.submit(s.apply("Refresh")).begin(0).end(run.Success, "done")
	benchmarkPoll(b, s, r.path(), http.StatusOK)
}

// A run in progress: final, progress, and the final once more.
func BenchmarkPollRunning(b *testing.B) {
	s := open(b, nil)
	r := s.submit(s.apply("Refresh")).begin(0).reach(42.5)
	benchmarkPoll(b, s, r.path(), http.StatusAccepted)
}

package outward

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"runhook/shared/proctest"
)

func TestMain(m *testing.M) { proctest.Main(m) }

func TestIsPrivate(t *testing.T) {
	for text, want := range map[string]bool{
		"8.8.8.8": false, "93.184.216.34": false, "172.32.0.1": false, "100.128.0.1": false, "169.253.1.1": false, "223.255.255.255": false,
		"127.0.0.1": true, "127.9.9.9": true, "0.0.0.0": true, "0.1.2.3": true, "10.1.2.3": true, "172.16.0.1": true, "172.31.255.255": true, "192.168.1.1": true,
		"169.254.169.254": true, "100.100.100.200": true, "192.0.0.192": true, "198.18.0.1": true, "224.0.0.1": true, "240.0.0.1": true, "255.255.255.255": true,
		"2606:4700::1111": false, "2a00:1450:4001::200e": false, "64:ff9b::8.8.8.8": false, "2002:808:808::1": false,
		"::1": true, "::": true, "fe80::1": true, "fe80::1%eth0": true, "fc00::1": true, "fd00:ec2::254": true, "fec0::1": true, "ff02::1": true, "100::1": true,
		"::ffff:127.0.0.1": true, "::ffff:10.0.0.1": true, "::ffff:169.254.169.254": true, "::ffff:8.8.8.8": false, "::127.0.0.1": true,
		"64:ff9b::10.0.0.1": true, "64:ff9b:1::1": true, "2002:a00:1::1": true, "2002:7f00:1::": true, "2001:0:1::1": true,
	} {
		if got := IsPrivate(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	for host, want := range map[string]bool{
		"10.0.0.1": true, "::1": true, "localhost": true, "LocalHost.": true, "2130706433": true, "127.1": true, "0x7f.0x1": true, "0177.1": true, "8.8.8.8": false, "example.com": false, "10.example.com": false, "": false,
	} {
		if got := isPrivate(host); got != want {
			t.Errorf("%s: %v", host, got)
		}
	}
}

// Headers of an answer are bounded, and a longer one is told from a connection that breaks.
func TestLongHeader(t *testing.T) {
	size, parts := 0, 1
	service := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if size < 0 {
			panic(http.ErrAbortHandler)
		}
		for range parts {
			w.Header().Add("X-Filler", strings.Repeat("x", size/parts))
		}
	}))
	service.EnableHTTP2 = true
	service.StartTLS()
	defer service.Close()
	to, err := url.Parse(service.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, http2 := range []bool{false, true} {
		transport := Transport(to, true)
		transport.TLSClientConfig = service.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
		transport.TLSClientConfig.NextProtos = nil
		transport.ForceAttemptHTTP2 = http2
		for _, c := range []struct {
			bytes, parts int
			want         bool
		}{{MaxHeader / 2, 1, false}, {MaxHeader - 1000, 1, false}, {MaxHeader + 1000, 1, true}, {2 * MaxHeader, 1, true}, {2 * MaxHeader, 20_000, true}, {MaxHeader / 2, 100, false}, {-1, 1, false}} {
			size, parts = c.bytes, c.parts
			answer, err := (&http.Client{Transport: transport}).Get(to.String() + "/?response%20headers%20exceeded")
			if err == nil {
				if answer.Body.Close(); http2 != (answer.ProtoMajor == 2) {
					t.Errorf("it is HTTP/%d", answer.ProtoMajor)
				}
			}
			said := LongHeader(err)
			if strings.HasPrefix(said, "more than 256 KiB of headers") != c.want || !c.want && said != "" || !http2 && strings.Contains(said, "HTTP/2") || (err != nil) != (c.want || c.bytes < 0) {
				t.Errorf("HTTP/2 %v, %d bytes in %d headers: %v", http2, c.bytes, c.parts, err)
			}
		}
		transport.CloseIdleConnections()
	}
}

// An address is looked at when it is dialed, whatever the name is that it comes from, and nothing is sent to it.
func TestTransport(t *testing.T) {
	asked := 0
	service := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer service.Close()
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]"} {
		to, err := url.Parse(strings.Replace(service.URL, "127.0.0.1", host, 1))
		if err != nil {
			t.Fatal(err)
		}
		for _, private := range []bool{true, false} {
			transport := Transport(to, private)
			answer, err := (&http.Client{Transport: transport}).Get(to.String())
			if err == nil {
				answer.Body.Close()
			}
			if transport.CloseIdleConnections(); private != (err == nil) || !private && !errors.Is(err, ErrPrivate) {
				t.Errorf("%s, private %v: %v", host, private, err)
			}
		}
	}
	if asked != 3 {
		t.Errorf("asked %d times", asked)
	}
}

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

// Package outward connects to services of other people, and to what only this machine and its network can reach where
// that is meant.
package outward

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrPrivate: a host has a private address, and is not to have one.
var ErrPrivate = errors.New("the host has a private address")

// MaxHeader bounds the headers of an answer, in bytes.
const MaxHeader = 256 << 10

// LongHeader says what is wrong with the headers of an answer, if a request failed for it: they have more than MaxHeader
// bytes; "" for any other error. The request has been sent then. Package net/http says so in words alone, and HTTP/2
// often takes them for an error of the connection.
func LongHeader(err error) string {
	if asked, ok := errors.AsType[*url.Error](err); ok {
		err = asked.Err // without the address, which another has chosen
	}
	bound := fmt.Sprintf("more than %d KiB of headers", MaxHeader>>10)
	switch said := func(words string) bool { return strings.Contains(err.Error(), words) }; {
	case err == nil:
	case said("response headers exceeded"), said("response header list larger"):
		return bound
	case said("connection error: COMPRESSION_ERROR"), said("connection error: PROTOCOL_ERROR"):
		return bound + ", or not as HTTP/2 has it"
	}
	return ""
}

// Transport returns a transport for one service, through the proxy that the environment names for it. Unless private,
// it connects to no address that is private: it looks at each address that a name has become, at each connection. What
// a name becomes behind a proxy the proxy decides, so that only addresses without a name are refused there. An answer's
// headers have at most MaxHeader bytes.
func Transport(to *url.URL, private bool) *http.Transport {
	dialer := &net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}
	t := &http.Transport{
		DialContext: dialer.DialContext, TLSHandshakeTimeout: 15 * time.Second, ForceAttemptHTTP2: true,
		ExpectContinueTimeout: time.Second, IdleConnTimeout: 90 * time.Second, MaxIdleConns: 100,
		MaxResponseHeaderBytes: MaxHeader,
	}
	switch proxy, err := http.ProxyFromEnvironment(&http.Request{URL: to}); {
	case proxy != nil || err != nil:
		t.Proxy = func(*http.Request) (*url.URL, error) {
			if !private && isPrivate(to.Hostname()) {
				return nil, ErrPrivate
			}
			return proxy, err
		}
	case !private:
		dialer.Control = refuse
	}
	return t
}

// refuse ends the dialing of a private address.
func refuse(_, address string, _ syscall.RawConn) error {
	if at, err := netip.ParseAddrPort(address); err != nil || IsPrivate(at.Addr()) {
		return ErrPrivate
	}
	return nil
}

// isPrivate reports whether a host is a private address, or a number that some programs take for one.
func isPrivate(host string) bool {
	if address, err := netip.ParseAddr(host); err == nil {
		return IsPrivate(address)
	}
	host = strings.TrimSuffix(host, ".")
	_, err := strconv.ParseUint(host[strings.LastIndexByte(host, '.')+1:], 0, 64)
	return err == nil || strings.EqualFold(host, "localhost")
}

// reserved are the addresses of IPv4 that are not the internet's, beside those that package netip knows.
var reserved = prefixes("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "240.0.0.0/4")

// The parts of the internet of IPv6, translated is that whose addresses end in one of IPv4, 6to4 has it behind the
// prefix, and teredo hides one.
var (
	global     = netip.MustParsePrefix("2000::/3")
	translated = netip.MustParsePrefix("64:ff9b::/96")
	sixToFour  = netip.MustParsePrefix("2002::/16")
	teredo     = netip.MustParsePrefix("2001::/32")
)

// IsPrivate reports whether an address is one that not everybody on the internet can reach: this machine's own, its
// network's, those of a cloud's metadata, and what is reserved.
func IsPrivate(address netip.Addr) bool {
	address = address.Unmap()
	if address.Is4() {
		for _, prefix := range reserved {
			if prefix.Contains(address) {
				return true
			}
		}
		return !address.IsGlobalUnicast() || address.IsPrivate()
	}
	bytes := address.As16()
	switch address = address.WithZone(""); {
	case translated.Contains(address):
		return IsPrivate(netip.AddrFrom4([4]byte(bytes[12:])))
	case sixToFour.Contains(address):
		return IsPrivate(netip.AddrFrom4([4]byte(bytes[2:6])))
	}
	return !global.Contains(address) || teredo.Contains(address)
}

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

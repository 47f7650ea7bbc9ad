package web

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"
)

// Locator tells under which address a request's caller reaches this server, for Location headers
// and the URLs in documents. It is safe for concurrent use. The zero Locator, and nil, take the
// request's own scheme and Host.
type Locator struct {
	public   string
	relative bool
	trusted  []netip.Prefix
	hosts    *Hosts
}

// Under has the addresses in answers be under one of these hosts, if webhooks are answered under them only. It is
// called before the Locator is used.
func (l *Locator) Under(hosts *Hosts) { l.hosts = hosts }

// NewLocator checks the settings --public-url (http or https, may have a path; empty: the request's
// own scheme and Host), --trusted-proxies (addresses or CIDR ranges whose forwarded headers are
// believed) and --location ("absolute", the default when empty, or "relative").
func NewLocator(publicURL string, trustedProxies []string, location string) (*Locator, error) {
	l := &Locator{}
	switch location {
	case "", "absolute":
	case "relative":
		l.relative = true
	default:
		return nil, fmt.Errorf("--location is absolute or relative, not %q", location)
	}
	if publicURL != "" {
		parsed, err := url.Parse(publicURL)
		if err != nil || (parsed.Scheme != "http" && parsed.Scheme != "https") || !isHost([]byte(parsed.Host)) ||
			parsed.User != nil || parsed.RawQuery != "" || parsed.Fragment != "" {
			return nil, fmt.Errorf("--public-url %q is not an address such as https://hooks.example.org", publicURL)
		}
		l.public = parsed.Scheme + "://" + parsed.Host + strings.TrimRight(parsed.EscapedPath(), "/")
	}
	for _, text := range trustedProxies {
		prefix, err := netip.ParsePrefix(text)
		if addr, addrErr := netip.ParseAddr(text); err != nil && addrErr == nil {
			prefix, err = addr.Prefix(addr.BitLen())
		}
		if err != nil {
			return nil, fmt.Errorf("--trusted-proxies: %q is neither an address nor a range such as 10.0.0.0/8", text)
		}
		l.trusted = append(l.trusted, prefix.Masked())
	}
	return l, nil
}

// PublicURL is --public-url without a trailing slash, empty when not set.
func (l *Locator) PublicURL() string {
	if l == nil {
		return ""
	}
	return l.public
}

// Base returns what a path of this server is to be appended to: scheme and host without a trailing
// slash, or empty for relative addresses. A Host that is not one is a 400 Problem, whatever the
// settings, so that nothing odd is reflected. A request without any Host (HTTP/1.0) gets a relative
// address.
func (l *Locator) Base(rc *fasthttp.RequestCtx) (string, error) {
	host := rc.Request.Header.Host()
	if len(host) > 0 && !isHost(host) {
		return "", &Problem{
			Kind: "bad-host", Status: fasthttp.StatusBadRequest,
			Detail: "The Host header is not a host name with an optional port.",
		}
	}
	if l == nil {
		l = new(Locator)
	}
	if l.relative {
		return "", nil
	}
	if l.public != "" {
		return l.public, nil
	}
	scheme, host, forwarded := l.seen(rc)
	if forwarded && l.hosts != nil && l.hosts.everywhere && !l.hosts.names[hostName(string(host))] {
		return "", errForeignHost
	}
	if len(host) == 0 {
		return "", nil
	}
	return scheme + "://" + string(host), nil
}

// seen is the scheme and the Host under which the client of a request sees this server; forwarded: by the word of a
// trusted proxy.
func (l *Locator) seen(rc *fasthttp.RequestCtx) (scheme string, host []byte, forwarded bool) {
	scheme, host = "http", rc.Request.Header.Host()
	if isTLS(rc) {
		scheme = "https"
	}
	if l == nil || len(l.trusted) == 0 || !l.Trusts(peerAddr(rc)) {
		return scheme, host, false
	}
	proto, forwardedHost := l.forwarded(&rc.Request.Header)
	if proto == "http" || proto == "https" {
		scheme = proto
	}
	if isHost([]byte(forwardedHost)) {
		host = []byte(forwardedHost)
	}
	return scheme, host, true
}

func peerAddr(rc *fasthttp.RequestCtx) netip.Addr {
	if tcp, ok := rc.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// Client is the address of the client of a request: the peer's, or what the outermost trusted proxy saw.
func (l *Locator) Client(rc *fasthttp.RequestCtx) netip.Addr {
	peer := peerAddr(rc)
	if l == nil || len(l.trusted) == 0 || !l.Trusts(peer) {
		return peer
	}
	header := &rc.Request.Header
	peers := headerList(header, "X-Forwarded-For")
	if len(peers) == 0 {
		for _, element := range headerList(header, "Forwarded") {
			peers = append(peers, forwardedParameter(element, "for"))
		}
	}
	if client, ok := peerOf(fromRight(peers, l.trustedHops(peers))); ok {
		return client
	}
	return peer
}

// Trusts reports whether an address is one of --trusted-proxies.
func (l *Locator) Trusts(addr netip.Addr) bool {
	return slices.ContainsFunc(l.trusted, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// forwarded reads what the outermost trusted proxy saw. Each proxy appends, so the lists are read
// from their right ends, one step further left for every hop that is itself trusted: what an
// untrusted client wrote stands left of that. X-Forwarded-* wins over Forwarded where both came,
// because a proxy that knows only the former passes the latter on as the client sent it.
func (l *Locator) forwarded(header *fasthttp.RequestHeader) (proto, host string) {
	protos, hosts := headerList(header, "X-Forwarded-Proto"), headerList(header, "X-Forwarded-Host")
	if len(protos) > 0 || len(hosts) > 0 {
		hops := l.trustedHops(headerList(header, "X-Forwarded-For"))
		return strings.ToLower(fromRight(protos, hops)), fromRight(hosts, hops)
	}
	elements := headerList(header, "Forwarded")
	peers := make([]string, len(elements))
	for i, element := range elements {
		peers[i] = forwardedParameter(element, "for")
	}
	element := fromRight(elements, l.trustedHops(peers))
	return strings.ToLower(forwardedParameter(element, "proto")), forwardedParameter(element, "host")
}

// trustedHops counts the trusted addresses at the right end of a list of peers.
func (l *Locator) trustedHops(peers []string) int {
	hops := 0
	for _, peer := range slices.Backward(peers) {
		if addr, ok := peerOf(peer); !ok || !l.Trusts(addr) {
			break
		}
		hops++
	}
	return hops
}

// peerOf reads an address as proxies write it, with a port or without.
func peerOf(text string) (addr netip.Addr, ok bool) {
	if addrPort, err := netip.ParseAddrPort(text); err == nil {
		return addrPort.Addr().Unmap(), true
	}
	addr, err := netip.ParseAddr(strings.Trim(text, "[]"))
	return addr.Unmap(), err == nil
}

// fromRight returns the element that stands steps left of the last, the first if there are fewer.
func fromRight(list []string, steps int) string {
	if len(list) == 0 {
		return ""
	}
	return list[max(0, len(list)-1-steps)]
}

// headerList returns the comma-separated elements of all headers of one name, in order.
func headerList(header *fasthttp.RequestHeader, name string) []string {
	var list []string
	for _, value := range header.PeekAll(name) {
		for element := range strings.SplitSeq(string(value), ",") {
			if element = strings.TrimSpace(element); element != "" {
				list = append(list, element)
			}
		}
	}
	return list
}

// forwardedParameter reads one parameter of an element of RFC 7239's Forwarded header.
func forwardedParameter(element, name string) string {
	for pair := range strings.SplitSeq(element, ";") {
		key, value, found := strings.Cut(strings.TrimSpace(pair), "=")
		if found && strings.EqualFold(key, name) {
			return strings.Trim(value, `"`)
		}
	}
	return ""
}

// isHost reports whether text is a host name, an IPv4 address or a bracketed IPv6 one, with an
// optional port, in characters that are harmless wherever a URL is shown.
func isHost(text []byte) bool {
	if len(text) == 0 || len(text) > 261 {
		return false
	}
	name, port := text, []byte(nil)
	if text[0] == '[' {
		end := bytes.IndexByte(text, ']')
		if end < 0 {
			return false
		}
		if _, err := netip.ParseAddr(string(text[1:end])); err != nil || bytes.IndexByte(text, '%') >= 0 {
			return false
		}
		name, port = []byte("v6"), text[end+1:]
	} else if colon := bytes.IndexByte(text, ':'); colon >= 0 {
		name, port = text[:colon], text[colon:]
	}
	if len(port) > 0 && (port[0] != ':' || len(port) == 1 || len(port) > 6 || !allBytes(port[1:], isDigit)) {
		return false
	}
	return len(name) > 0 && allBytes(name, isNameByte)
}

func allBytes(text []byte, is func(byte) bool) bool {
	for _, c := range text {
		if !is(c) {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isNameByte(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '-' || c == '.' || c == '_'
}

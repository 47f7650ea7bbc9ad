package web

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/valyala/fasthttp"
)

// Hosts are the names under which a server is asked for what is inside of it: the admin routes, the page and
// the metrics. A page of another site can make a name of its own point here, and then asks under that name.
type Hosts struct {
	names map[string]bool
	// everywhere: webhooks and polls too are answered under these names only.
	everywhere bool
	// own: the address that a connection came to is a name too.
	own bool
	// first is the first of --hosts, empty without.
	first string
}

// NewHosts takes the names of --hosts. Without any they are those of this machine alone, that of listen, and
// that of publicURL, which may be empty.
func NewHosts(given []string, listen, publicURL string) (*Hosts, error) {
	h := &Hosts{names: map[string]bool{}, everywhere: len(given) > 0}
	for _, name := range given {
		if !isHost([]byte(name)) {
			return nil, fmt.Errorf("--hosts: %q is not a host name such as hooks.example.org", name)
		}
		h.names[hostName(name)] = true
	}
	if h.everywhere {
		h.first = given[0]
		return h, nil
	}
	for _, name := range []string{"localhost", "127.0.0.1", "::1"} {
		h.names[name] = true
	}
	if parsed, err := url.Parse(publicURL); err == nil && parsed.Host != "" {
		h.names[hostName(parsed.Host)] = true
	}
	if host, _, err := net.SplitHostPort(listen); err == nil {
		addr, err := netip.ParseAddr(host)
		h.own = host == "" || err == nil && addr.IsUnspecified()
		h.names[hostName(host)] = !h.own
	}
	return h, nil
}

// hostName is a Host without its port, as names are compared.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().String()
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// lists reports whether a request names the server by one of its names.
func (h *Hosts) lists(rc *fasthttp.RequestCtx) bool {
	host := rc.Request.Header.Host()
	if len(host) == 0 || !isHost(host) {
		return false
	}
	name := hostName(string(host))
	if h.names[name] {
		return true
	}
	local, ok := rc.LocalAddr().(*net.TCPAddr)
	return h.own && ok && name == local.AddrPort().Addr().Unmap().String()
}

// InnerURL is the address under which a server at an address shows what is inside: that itself, if it is under one of
// the server's names, else publicURL, if there is one, else the address with the first name.
func (h *Hosts) InnerURL(address, publicURL string) string {
	parsed, err := url.Parse(address)
	if err != nil || h.names[hostName(parsed.Host)] || h.own {
		return address
	}
	if publicURL != "" {
		return publicURL
	}
	parsed.Host = hostName(h.first)
	if strings.Contains(parsed.Host, ":") {
		parsed.Host = "[" + parsed.Host + "]"
	}
	if _, port, err := net.SplitHostPort(strings.TrimPrefix(address, parsed.Scheme+"://")); err == nil {
		parsed.Host += ":" + port
	}
	return parsed.String()
}

// ByItsHost reports whether a request names its server by one of the server's names: what is inside may be told.
func ByItsHost(rc *fasthttp.RequestCtx) bool {
	c, ok := rc.Conn().(*conn)
	return ok && c.server.hosts.lists(rc)
}

// refuse refuses a request to a site that is not answered under the request's Host.
func (h *Hosts) refuse(at *site, rc *fasthttp.RequestCtx) error {
	if (at.inner || h.everywhere && !at.always) && !h.lists(rc) {
		return errForeignHost
	}
	return nil
}

var errForeignHost = &Problem{
	Kind: "unknown-host", Title: "The Host is not one of this server's", Status: fasthttp.StatusMisdirectedRequest,
	Detail: "This server does not show this under the Host of the request. Ask under one of its names, or add the name to --hosts.",
}

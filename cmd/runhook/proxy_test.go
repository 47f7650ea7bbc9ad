package main

import (
	"encoding/base64"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"runhook/services/runner/connector/imis/imissite"
	"runhook/shared/proctest"
)

// tunnel is a proxy that connects to one address, whatever it is asked for, if it is told the right
// password, and otherwise answers a status.
type tunnel struct {
	to, password string
	refuse       int
	mu           sync.Mutex
	asked        []string
}

func (p *tunnel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked = append(p.asked, r.Method+" "+r.Host)
	p.mu.Unlock()
	_, encoded, _ := strings.Cut(r.Header.Get("Proxy-Authorization"), " ")
	account, _ := base64.StdEncoding.DecodeString(encoded)
	switch {
	case p.refuse != 0:
		w.WriteHeader(p.refuse)
		return
	case string(account) != "u:"+p.password:
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	}
	far, err := net.Dial("tcp", p.to)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer far.Close()
	near, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer near.Close()
	_, _ = io.WriteString(near, "HTTP/1.1 200 OK\r\n\r\n")
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(far, near); _ = far.(*net.TCPConn).CloseWrite() })
	both.Go(func() { _, _ = io.Copy(near, far); near.Close() })
	both.Wait()
}

// A site behind TLS, whose certificate fits or does not, and behind a proxy, by the real program in an
// environment of its own.
func TestCheckThroughTLSAndProxies(t *testing.T) {
	t.Parallel()
	s := newIMISSite(t)
	const password = `p&=+%/ü #"$x;`
	site := imissite.New("runhook", password, imissite.Query{Path: "$/Members", Columns: []imissite.Column{{Name: "ID", Type: "Int32"}}, Count: 3, Row: func(i int) []any { return []any{i} }})
	secure := httptest.NewUnstartedServer(site)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	address := strings.TrimPrefix(secure.URL, "https://")
	_, port, _ := net.SplitHostPort(address)
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	s.write("authority.pem", string(authority))

	through := &tunnel{to: address, password: "q"}
	proxy := httptest.NewServer(through)
	defer proxy.Close()
	refusing := &tunnel{refuse: http.StatusForbidden}
	closedProxy := httptest.NewServer(refusing)
	defer closedProxy.Close()
	away := &tunnel{refuse: http.StatusBadGateway}
	awayProxy := httptest.NewServer(away)
	defer awayProxy.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	at := func(proxy *httptest.Server, account string) string {
		return "HTTPS_PROXY=" + strings.Replace(proxy.URL, "http://", "http://"+account+"@", 1)
	}

	s.exec("create table ids (id integer primary key)")
	s.write("checked.yaml", checkHead+"source: {imis: {connection: prod, query: $/Members}}\nmapping: {id: ID}\ndestination: {sql: {connection: db, table: ids, key: [id], action: upsert}}\n")
	for _, c := range []struct{ url, environment, says string }{
		{"https://10.0.0.1", at(proxy, "u:q"), "error: source.imis.connection: the site of connection prod cannot be reached: its host has a private address; write private: true"},
		{secure.URL, "", ""},
		{"https://localhost:" + port, "", "error: source.imis.connection: the site of connection prod has a certificate that is not for localhost (it is for example.com); correct the url"},
		{"https://example.com", at(proxy, "u:q"), ""},
		{"https://example.com", at(proxy, "u:SECRET"), "error: source.imis.connection: the site of connection prod is behind a proxy that asks to sign in (status 407); put user and password into HTTPS_PROXY"},
		{"https://example.com", at(closedProxy, "u:SECRET"), "error: source.imis.connection: the site of connection prod is behind a proxy that refuses to connect to it (status 403); correct HTTPS_PROXY, or name the host in NO_PROXY"},
		{"https://example.com", at(awayProxy, "u:SECRET"), "error: source.imis.connection: signing in to the site of connection prod cannot be asked: the proxy between does not reach it (status 502), 2 times in a row"},
		{"https://example.com", at(gone, "u:SECRET"), "error: source.imis.connection: signing in to the site of connection prod cannot be asked: the proxy that HTTPS_PROXY or HTTP_PROXY names is not there, 2 times in a row"},
	} {
		s.write("connections.yaml", siteConnections+"prod: {imis: {private: "+strconv.FormatBool(c.url == secure.URL || strings.Contains(c.url, "localhost"))+", url: '"+c.url+"', username: runhook, password: '${IMIS_PASSWORD}'}}\n")
		command := exec.CommandContext(t.Context(), proctest.Program(t), "task", "check", s.path("checked.yaml"), "--connections", s.path("connections.yaml"))
		command.Env = append(os.Environ(), "SSL_CERT_FILE="+s.path("authority.pem"), "IMIS_PASSWORD="+password, "NO_PROXY=", c.environment)
		out, err := command.CombinedOutput()
		if (err != nil) != (c.says != "") || !strings.Contains(string(out), c.says) || strings.Contains(string(out), "SECRET") || strings.Contains(string(out), password) {
			t.Errorf("%s, %s: %v\n%s", c.url, c.environment, err, out)
		}
	}
	if len(through.asked) == 0 || through.asked[0] != "CONNECT example.com:443" {
		t.Errorf("the proxy was asked for %q", through.asked)
	}
}

//go:build !bench

package main

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"runhook/shared/proctest"
)

// signIn signs in to a program's page with a code or a token, as its form does, and returns the session's cookie, and
// who then sees the page: its status at an address.
func signIn(t testing.TB, server, secret string) (sees func(server string) int, cookie string) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := new(http.Transport)
	t.Cleanup(transport.CloseIdleConnections)
	visitor := http.Client{Jar: jar, Transport: transport}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server+"/console/signin", strings.NewReader(url.Values{"code": {secret}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Origin", server)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := visitor.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	at, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	for _, kept := range jar.Cookies(at) {
		cookie = kept.Value
	}
	return func(server string) int {
		t.Helper()
		answer, err := visitor.Get(server + "/console/")
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		return answer.StatusCode
	}, cookie
}

// `runhook console` prints a link that signs in once, as whose token it sends. Where the output is kept, a start
// prints none. A session goes on after a restart, and ends when its token is taken out of the file.
func TestConsole(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const ann, viewer = "ann: 0123456789abcdef0123456789abcdef\n", "viewer(read): fedcba9876543210fedcba9876543210\n"
	s.writeFor(0o600, "tokens", ann+viewer)
	s.writeFor(0o600, "viewer", viewer)
	args := s.args("--listen", proctest.FreeAddress(t), "--admin-token-file", s.path("tokens"), "--log-level", "debug")
	i := begin(t, args...).listening()
	i.out.Await(t, `The page is on `+regexp.QuoteMeta(i.url)+`/console/: `+"`runhook console`", i.ended)
	if strings.Contains(i.out.String()+i.log.String(), "/console/#") {
		t.Errorf("the start prints a code where it is kept:\n%s%s", i.out, i.log)
	}
	code, out, messages := call(t, "console", "--server", i.url)
	link := regexp.MustCompile(`^` + regexp.QuoteMeta(i.url) + `/console/#([\w-]{43})\n$`).FindStringSubmatch(out)
	if code != exitSuccess || link == nil || !strings.Contains(messages, "It signs in as ann, once, until ") {
		t.Fatalf("exit code %d: %s%s", code, out, messages)
	}
	_, out, messages = call(t, "console", "--server", i.url, "--token-file", s.path("viewer"))
	if !strings.Contains(out, "/console/#") || !strings.Contains(messages, "as viewer, to read only, once") {
		t.Errorf("%s%s", out, messages)
	}
	s.writeFor(0o600, "wrong", "0123456789abcdef0123456789abcdeX")
	if code, out, messages := call(t, "console", "--server", i.url, "--token-file", s.path("wrong")); code != exitFailed || out != "" || !strings.Contains(messages, "need an admin token") {
		t.Errorf("exit code %d: %s%s", code, out, messages)
	}

	sees, cookie := signIn(t, i.url, link[1])
	if got := sees(i.url); got != http.StatusOK {
		t.Errorf("the link signs nobody in: %d", got)
	}
	if again, none := signIn(t, i.url, link[1]); again(i.url) != http.StatusUnauthorized || none != "" {
		t.Errorf("a second time: %q", none)
	}
	for _, secret := range []string{link[1], cookie, "0123456789abcdef0123456789abcdef"} {
		if secret == "" || strings.Contains(i.out.String()+i.log.String(), secret) {
			t.Errorf("the log has %q", secret)
		}
	}
	i.end()
	i = begin(t, args...).listening()
	if got := sees(i.url); got != http.StatusOK {
		t.Errorf("after a restart: %d", got)
	}
	if err := os.WriteFile(s.path("tokens"), []byte(viewer), 0o600); err != nil {
		t.Fatal(err)
	}
	i.hangups <- syscall.SIGHUP
	i.log.Await(t, "admin tokens were read again", i.ended)
	if got := sees(i.url); got != http.StatusUnauthorized {
		t.Errorf("without its token: %d", got)
	}
	i.end()
}

package imissite_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"runhook/services/runner/connector/imis/imissite"
	"runhook/services/runner/connector/imis/imissite/sitetest"
)

// A write that meets a fault is stored or not, as the fault says; what only reads meets none.
func TestFaultsOfWrites(t *testing.T) {
	for name, c := range map[string]struct {
		fault  imissite.Fault
		status int // 0 where there is no answer
		stored int
	}{
		"dropped before":       {sitetest.Drop, 0, 0},
		"dropped after":        {sitetest.AfterStoring(sitetest.Drop), 0, 1},
		"a 500 after":          {sitetest.AfterStoring(sitetest.Status(500)), 500, 1},
		"slow":                 {sitetest.Slow(time.Millisecond), 201, 1},
		"throttled":            {sitetest.Throttle("1"), 429, 0},
		"a page of HTML after": {sitetest.AfterStoring(sitetest.Answer("text/html", "<html>")), 200, 1},
		"none":                 {nil, 201, 1},
	} {
		t.Run(name, func(t *testing.T) {
			site, token := newEntities(t)
			server := httptest.NewServer(site)
			defer server.Close()
			send := func(method, path, sent string) (status int) {
				request, _ := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(sent))
				request.Header.Set("Authorization", "Bearer "+token)
				request.Header.Set("Content-Type", "application/json")
				answer, err := http.DefaultClient.Do(request)
				if err != nil {
					return 0
				}
				defer answer.Body.Close()
				_, _ = io.Copy(io.Discard, answer.Body)
				return answer.StatusCode
			}
			site.FailWrites(c.fault)
			sent := body("My_Visits", "101", nil, whole)
			if status := send("GET", "/api/My_Visits", ""); status != 200 {
				t.Errorf("a search: %d", status)
			}
			if status := send("POST", "/api/My_Visits/_validate", sent); status != 200 {
				t.Errorf("a validation: %d", status)
			}
			if status := send("POST", "/api/My_Visits", sent); status != c.status {
				t.Errorf("got %d, want %d", status, c.status)
			}
			if rows := site.Rows("My_Visits"); len(rows) != c.stored {
				t.Errorf("%d rows stored, want %d", len(rows), c.stored)
			}
			if status := send("POST", "/api/My_Visits", sent); status != 201 {
				t.Errorf("the next: %d", status)
			}
			if got := site.Requests()[2].Body; got != sent {
				t.Errorf("recorded %q", got)
			}
		})
	}
}

func TestExpire(t *testing.T) {
	site, token := newEntities(t)
	site.FailWrites(site.Expire)
	for range 2 {
		if status, text := ask(site, "POST", "/api/My_Visits", token, "application/json", body("My_Visits", "101", nil, whole)); status != 401 {
			t.Errorf("%d %s", status, text)
		}
	}
	if status, _ := ask(site, "POST", "/api/My_Visits", signIn(t, site), "application/json", body("My_Visits", "101", nil, whole)); status != 201 {
		t.Errorf("with a new token: %d", status)
	}
}

// A certificate for another name is refused because of that name.
func TestCertificate(t *testing.T) {
	certificate, err := sitetest.Certificate("imis.example.org")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(newSite())
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	server.StartTLS()
	defer server.Close()
	request, _ := http.NewRequestWithContext(t.Context(), "GET", server.URL, nil)
	_, err = http.DefaultClient.Do(request)
	if host, ok := errors.AsType[x509.HostnameError](err); !ok || host.Certificate.DNSNames[0] != "imis.example.org" {
		t.Errorf("got %v", err)
	}
}

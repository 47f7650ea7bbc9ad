package connection_test

import (
	"net/http"
	"reflect"
	"strings"
	"testing"

	"runhook/services/runner/connection"
)

func TestHTTP(t *testing.T) {
	t.Setenv("RUNHOOK_TEST_TOKEN", "hunter2")
	set, err := connection.Parse([]byte(`
partner: {http: {url: "https://api.example.org/v1", headers: {authorization: "Bearer ${RUNHOOK_TEST_TOKEN}", X-Tenant: 7}}}
plain: {http: {url: http://127.0.0.1:8080, private: true}}
drop: {files: .}
`), "c.yaml")
	if err != nil {
		t.Fatal(err)
	}
	partner, err := set.HTTP("partner")
	want := http.Header{"Authorization": {"Bearer hunter2"}, "X-Tenant": {"7"}}
	if err != nil || partner.Name != "partner" || partner.URL.String() != "https://api.example.org/v1" || partner.Private || !reflect.DeepEqual(partner.Headers, want) {
		t.Errorf("got %+v, %v", partner, err)
	}
	if plain, err := set.HTTP("plain"); err != nil || plain.URL.Host != "127.0.0.1:8080" || !plain.Private || len(plain.Headers) != 0 {
		t.Errorf("got %+v, %v", plain, err)
	}
	if _, err := set.HTTP("drop"); err == nil || !strings.Contains(err.Error(), "is of kind files; the task needs one of kind http") {
		t.Errorf("a folder: %v", err)
	}
	if _, err := (*connection.Set)(nil).HTTP("x"); err == nil || !strings.Contains(err.Error(), `as in x: {http: {url: "https://…"}}`) {
		t.Errorf("no connections: %v", err)
	}
}

func TestHTTPErrors(t *testing.T) {
	t.Setenv("RUNHOOK_TEST_LINES", "hunter2\nX: y")
	for text, want := range map[string]string{
		"{http: https://hunter2}":                                           "c.yaml:1: the connection a: http must have a url, as in",
		"{http: {}}":                                                        "url is missing, as in a: {http:",
		"{http: {headers: {A: hunter2}}}":                                   "url is missing",
		"{http: {ulr: hunter2}}":                                            `unknown field "ulr"; did you mean url?`,
		"{http: {url: 'https://x', timeout: 5}}":                            `unknown field "timeout"; an http connection has url, headers and private`,
		"{http: {url: 'https://x', url: 'https://y'}}":                      "url is given twice",
		"{http: {url: 'https://x', private: hunter2}}":                      "private must be true or false",
		"{http: {url: 'https://x', private: [true]}}":                       "private must be true or false",
		"{http: {url: [hunter2]}}":                                          "url must be text",
		"{http: {url: 'ftp://hunter2'}}":                                    "url must begin with https:// or http://",
		"{http: {url: '/hunter2'}}":                                         "url must begin with https:// or http://",
		"{http: {url: 'https://:80'}}":                                      "url must begin with https:// or http://",
		"{http: {url: 'https://u:hunter2@x'}}":                              "url cannot hold a user and password",
		"{http: {url: 'https://x/?key=hunter2'}}":                           "url cannot have a ? or a #",
		"{http: {url: 'https://x', headers: hunter2}}":                      "headers must be names with values",
		"{http: {url: 'https://x', headers: {A: [hunter2]}}}":               "the header A must be text",
		"{http: {url: 'https://x', headers: {'A b': hunter2}}}":             "a header whose name is not one",
		"{http: {url: 'https://x', headers: {A: '${RUNHOOK_TEST_LINES}'}}}": "the header A is empty or has a line end",
		"{http: {url: 'https://x', headers: {A: hunter2, a: hunter2}}}":     "the header a is given twice",
		"{http: {url: 'https://x', headers: {A: '${RUNHOOK_TEST_NONE}'}}}":  "the environment variable RUNHOOK_TEST_NONE is not set",
	} {
		_, err := connection.Parse([]byte("a: "+text), "c.yaml")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\ngot  %v\nwant %s", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error shows a secret: %v", text, err)
		}
	}
}

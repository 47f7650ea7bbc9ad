package connection_test

import (
	"strings"
	"testing"

	"runhook/services/runner/connection"
)

func TestIMIS(t *testing.T) {
	t.Setenv("RUNHOOK_TEST_PASSWORD", "a&b=ü %/\"'${x}")
	set, err := connection.Parse([]byte(`prod: {imis: {url: "https://example.imiscloud.com/Asi.Scheduler", username: runhook, password: "${RUNHOOK_TEST_PASSWORD}"}}`), "c.yaml")
	if err != nil {
		t.Fatal(err)
	}
	prod, err := set.IMIS("prod")
	if err != nil || prod.Name != "prod" || prod.URL.String() != "https://example.imiscloud.com/Asi.Scheduler" || prod.Username != "runhook" || prod.Password != "a&b=ü %/\"'${x}" {
		t.Errorf("got %+v, %v", prod, err)
	}
	if prod.Limit != 1 {
		t.Errorf("it gets %d requests at once", prod.Limit)
	}
	if prod.Private {
		t.Error("it may have a private address")
	}
	if set, err = connection.Parse([]byte(`prod: {imis: {url: "https://localhost", username: u, password: p, private: true, limit: 3}}`), "c.yaml"); err != nil {
		t.Fatal(err)
	}
	if prod, err := set.IMIS("prod"); err != nil || !prod.Private || prod.Limit != 3 {
		t.Errorf("got %+v, %v", prod, err)
	}
	if _, err := set.HTTP("prod"); err == nil || !strings.Contains(err.Error(), "is of kind imis; the task needs one of kind http") {
		t.Errorf("as another kind: %v", err)
	}
}

func TestIMISErrors(t *testing.T) {
	for text, want := range map[string]string{
		"{imis: https://hunter2}":                 "c.yaml:1: the connection a: imis must have url, username and password, as in a: {imis:",
		"{imis: {url: 'https://x', username: u}}": "password is missing, as in a: {imis:",
		"{imis: {}}": "url is missing",
		"{imis: {url: 'https://x', username: u, password: hunter2, limit: 0}}":    "limit must be a whole number from 1 to 100",
		"{imis: {url: 'https://x', username: u, password: hunter2, limit: '2'}}":  "limit must be a whole number from 1 to 100",
		"{imis: {url: 'https://x', username: u, passwort: hunter2}}":              `unknown field "passwort"; did you mean password?`,
		"{imis: {url: 'https://x', username: u, password: hunter2, token: x}}":    `unknown field "token"; an imis connection has`,
		"{imis: {url: 'https://x', username: u, password: ''}}":                   "password is empty",
		"{imis: {url: 'https://x', username: u, password: }}":                     "password must be text",
		"{imis: {url: 'https://x', username: [u], password: hunter2}}":            "username must be text",
		"{imis: {url: 'https://x/api', username: u, password: hunter2}}":          "url is the site's, without the /api at its end",
		"{imis: {url: 'https://x/token', username: u, password: hunter2}}":        "url is the site's, without the /token at its end",
		"{imis: {url: 'https://u:hunter2@x', username: u, password: hunter2}}":    "url cannot hold a user and password; give username and password instead",
		"{imis: {url: 'x.example.org', username: u, password: hunter2}}":          "url must begin with https:// or http://",
		"{imis: {url: 'https://x', username: u, username: u, password: hunter2}}": "username is given twice",
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

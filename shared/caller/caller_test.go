package caller

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/rs/zerolog"

	"runhook/shared/proctest"
	"runhook/shared/task"
)

func TestMain(m *testing.M) { proctest.Main(m) }

const (
	partner = "a key of the partner"
	newer   = "a newer key of the partner"
	hashOf  = "sha256:"
)

// write makes a --secrets file.
func write(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secrets.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func checker(t testing.TB, text string) *Checker {
	t.Helper()
	secrets, err := LoadSecrets(write(t, text), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	return NewChecker(secrets)
}

// request is one with headers, in pairs of name and value.
func request(body string, headers ...string) Request {
	sent := http.Header{}
	for i := 0; i < len(headers); i += 2 {
		sent.Set(headers[i], headers[i+1])
	}
	return Request{Header: func(name string) []byte { return []byte(sent.Get(name)) }, Body: []byte(body)}
}

// refusal is why a request was refused; unready whether the operator has to do something.
func refusal(t testing.TB, c *Checker, auth []task.Auth, r Request) (text string, unready bool) {
	t.Helper()
	known, err := c.Check(t.Context(), auth, r)
	refused, ok := errors.AsType[*Refused](err)
	if !ok {
		t.Fatalf("%+v was let in, or %v", known, err)
	}
	return refused.Error(), refused.Unready
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func TestKeys(t *testing.T) {
	hash := sha256.Sum256([]byte(partner))
	c := checker(t, "partner: ["+partner+", "+newer+"]\nhashed: "+hashOf+hex.EncodeToString(hash[:])+"\n")
	byKey, byHash := []task.Auth{{Key: "partner"}}, []task.Auth{{Key: "hashed"}}
	for name, r := range map[string]Request{
		"X-Api-Key":           request("", "X-Api-Key", partner),
		"the other one":       request("", "X-Api-Key", newer),
		"Bearer":              request("", "Authorization", "Bearer "+partner),
		"a scheme in letters": request("", "Authorization", "bEARER  "+partner),
		"Basic":               request("", "Authorization", basic("anybody", partner)),
		"Basic without user":  request("", "Authorization", basic("", partner)),
		"two, one of them":    request("", "Authorization", "Bearer x", "X-Api-Key", partner),
	} {
		if known, err := c.Check(t.Context(), byKey, r); err != nil || known != (Caller{Name: "key partner"}) {
			t.Errorf("%s: %+v, %v", name, known, err)
		}
	}
	if known, err := c.Check(t.Context(), byHash, request("", "X-Api-Key", partner)); err != nil || known.Name != "key hashed" {
		t.Errorf("a key that the file has as its hash: %+v, %v", known, err)
	}
	for name, r := range map[string]Request{
		"nothing":             request(""),
		"another key":         request("", "X-Api-Key", "a key of somebody else"),
		"a part of it":        request("", "X-Api-Key", partner[:len(partner)-1]),
		"more than it":        request("", "X-Api-Key", partner+"x"),
		"an empty one":        request("", "X-Api-Key", ""),
		"without a scheme":    request("", "Authorization", partner),
		"another scheme":      request("", "Authorization", "Digest "+partner),
		"as the user":         request("", "Authorization", basic(partner, "")),
		"Basic that is none":  request("", "Authorization", "Basic "+partner),
		"Basic without colon": request("", "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(partner))),
	} {
		text, unready := refusal(t, c, byKey, r)
		if unready || strings.Contains(text, "key of somebody") || strings.Contains(text, partner) {
			t.Errorf("%s: %s", name, text)
		}
	}
	if text, _ := refusal(t, c, byHash, request("", "X-Api-Key", hex.EncodeToString(hash[:]))); text != "hashed: the key is wrong" {
		t.Errorf("the hash itself: %s", text)
	}
}

// Nobody gets in by a secret that is not there, and the operator is told.
func TestNoSecrets(t *testing.T) {
	for want, c := range map[string]*Checker{
		"the task's auth names the secret partner, and there are no secrets; pass --secrets FILE": NewChecker(nil),
		"secrets.yaml does not have; add it, and send the process SIGHUP":                         checker(t, "other: "+partner),
	} {
		for _, auth := range [][]task.Auth{{{Key: "partner"}}, {{HMAC: &task.HMAC{Secret: "partner", Scheme: task.GitHub}}}} {
			if text, unready := refusal(t, c, auth, request("", "X-Api-Key", partner)); !unready || !strings.Contains(text, want) {
				t.Errorf("%s, unready %v; want %s", text, unready, want)
			}
		}
	}
	// One that is there still lets in.
	c := checker(t, "other: "+partner)
	if known, err := c.Check(t.Context(), []task.Auth{{Key: "partner"}, {Key: "other"}}, request("", "X-Api-Key", partner)); err != nil || known.Name != "key other" {
		t.Errorf("%+v, %v", known, err)
	}
}

func TestSecretsFile(t *testing.T) {
	t.Setenv("RUNHOOK_TEST_KEY", partner)
	c := checker(t, "a: ${RUNHOOK_TEST_KEY}\nb: 1234567890123456\n")
	for name, key := range map[string]string{"a": partner, "b": "1234567890123456"} {
		if _, err := c.Check(t.Context(), []task.Auth{{Key: name}}, request("", "X-Api-Key", key)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	const least = "a secret is one line of at least 16 characters; make one with `openssl rand -hex 32`"
	for text, want := range map[string]string{
		"a: topsecret":                      ":1: a: " + least,
		"a: ' topsecret topsecret'":         ":1: a: " + least,
		"\na: \"topsecret\\ntopsecret\"":    ":2: a: " + least,
		"a: [topsecret topsecret, tops]":    ":1: a: " + least,
		"a: []":                             ":1: a must have one secret, or two while it is rotated; it has 0",
		"a: [topsecret, topsecret, topsec]": ":1: a must have one secret, or two while it is rotated; it has 3",
		"a:":                                ":1: a must be text, or a list of two texts",
		"a: {b: topsecret}":                 ":1: a must be text, or a list of two texts",
		"a: ${RUNHOOK_TEST_UNSET}topsecret": ":1: a: the environment variable RUNHOOK_TEST_UNSET is not set",
		"a: sha256:topsecret":               ":1: a: sha256: must be followed by 64 hexadecimal digits",
		"a: topsecrettopsecret\na: x":       ":2: a is given twice",
		"'': topsecrettopsecret":            ":1: a secret's name must be text, and not empty",
		"[topsecret]":                       ":1: must have a name and a secret a line",
		"a: 'topsecret":                     ":1: is not valid YAML here",
		"# none":                            ": there is no secret in this file",
	} {
		path := write(t, text)
		_, err := LoadSecrets(path, zerolog.Nop())
		if err == nil || !strings.Contains(err.Error(), path+want) || strings.Contains(err.Error(), "topsecret") {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	if _, err := LoadSecrets("none.yaml", zerolog.Nop()); err == nil || !strings.HasPrefix(err.Error(), "--secrets: open none.yaml: ") {
		t.Error(err)
	}
}

func TestReload(t *testing.T) {
	path := write(t, "a: "+partner)
	var log strings.Builder
	secrets, err := LoadSecrets(path, zerolog.New(&log))
	if err != nil {
		t.Fatal(err)
	}
	c := NewChecker(secrets)
	lets := func(key string) bool {
		_, err := c.Check(t.Context(), []task.Auth{{Key: "a"}}, request("", "X-Api-Key", key))
		return err == nil
	}
	for _, step := range []struct {
		text     string
		old, new bool
	}{
		{"a: [" + partner + ", " + newer + "]", true, true},
		{"a: " + newer, false, true},
		{"a: x", false, true}, // refused: what held before still does
		{"b: " + partner, false, false},
	} {
		if err := os.WriteFile(path, []byte(step.text), 0o600); err != nil {
			t.Fatal(err)
		}
		secrets.Reload()
		if lets(partner) != step.old || lets(newer) != step.new {
			t.Errorf("after %s: %v, %v", step.text, lets(partner), lets(newer))
		}
	}
	if strings.Contains(log.String(), "of the partner") || strings.Count(log.String(), `"level":"error"`) != 1 || strings.Count(log.String(), "\n") != 4 {
		t.Error(log.String())
	}
	(*Secrets)(nil).Reload()
}

// Whoever has neither a key nor a token that fits, nor what may be a signature, is refused before the body is read.
func TestRefuses(t *testing.T) {
	p, c := newProvider(t), checker(t, "partner: "+partner+"\n")
	all := append(p.auth(), []task.Auth{
		{Key: "partner"},
		{Key: "absent"},
		{HMAC: &task.HMAC{Scheme: task.StandardWebhooks}},
		{HMAC: &task.HMAC{Scheme: task.GitHub}},
		{HMAC: &task.HMAC{Header: "X-Own", Encoding: task.Hex}},
	}...)
	now := strconv.FormatInt(time.Now().Unix(), 10)
	for name, one := range map[string]struct {
		auth    []task.Auth
		r       Request
		refused bool
	}{
		"nothing":                     {all, request("", "X-Other", "x", "Webhook-Id", "x"), true},
		"nothing to ask for":          {nil, request("", "X-Api-Key", "x"), false},
		"a key":                       {all, request("", "X-Api-Key", partner), false},
		"a wrong key":                 {all, request("", "X-Api-Key", newer), true},
		"a key as a password":         {all, request("", "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("x:"+partner))), false},
		"another password":            {all, request("", "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(partner+":x"))), true},
		"a key of another task":       {all[2:], request("", "X-Api-Key", partner), true},
		"a token":                     {all, bearer(token(t, jwt.SigningMethodRS256, p.rsa, said(), "kid", "rsa")), false},
		"a token that has expired":    {all, bearer(token(t, jwt.SigningMethodRS256, p.rsa, said("exp", 1), "kid", "rsa")), true},
		"a token for another task":    {all[1:], bearer(token(t, jwt.SigningMethodRS256, p.rsa, said(), "kid", "rsa")), true},
		"standard webhooks":           {all, request("", "Webhook-Id", "x", "Webhook-Timestamp", now, "Webhook-Signature", "v1,AAAA"), false},
		"standard webhooks, too late": {all, request("", "Webhook-Id", "x", "Webhook-Timestamp", "1614265330", "Webhook-Signature", "v1,AAAA"), true},
		"github":                      {all, request("", "X-Hub-Signature-256", "sha256=00"), false},
		"an own header":               {all, request("", "X-Own", "00"), false},
		"an own header, no signature": {all, request("", "X-Own", "x"), true},
		"a signature for none":        {all[:2], request("", "X-Own", "00"), true},
	} {
		if got := c.Refuses(t.Context(), one.auth, one.r.Header); got != one.refused {
			t.Errorf("%s: %v", name, got)
		}
		if _, err := c.Check(t.Context(), one.auth, one.r); one.refused && err == nil {
			t.Errorf("%s: it is let in", name)
		}
	}
}

package caller

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"runhook/shared/outward"
	"runhook/shared/task"
)

const (
	issuer   = "https://id.example.org/tenant"
	audience = "api://runhook"
)

// provider is an identity provider: a server with its public keys, and what it signs with.
type provider struct {
	*httptest.Server
	rsa     *rsa.PrivateKey
	ecdsa   *ecdsa.PrivateKey
	ed25519 ed25519.PrivateKey
	asked   atomic.Int64
	// answer, when set, is what it answers instead of its keys.
	answer atomic.Pointer[http.HandlerFunc]
}

// rsaKey is slow to make.
var rsaKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func newProvider(t testing.TB) *provider {
	t.Helper()
	p := &provider{}
	var errs [3]error
	p.rsa, errs[0] = rsaKey()
	p.ecdsa, errs[1] = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, p.ed25519, errs[2] = ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.asked.Add(1)
		if answer := p.answer.Load(); answer != nil {
			(*answer)(w, r)
			return
		}
		_, _ = w.Write(p.keys())
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *provider) answers(answer http.HandlerFunc) { p.answer.Store(&answer) }

// keys are its public keys, and some that no token may be checked with.
func (p *provider) keys() []byte {
	text := func(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }
	point, _ := p.ecdsa.PublicKey.Bytes()
	half := len(point) / 2
	key := map[string]string{"kty": "RSA", "e": "AQAB", "n": text(p.rsa.N.Bytes())}
	described := func(more ...string) map[string]string {
		all := map[string]string{}
		for name, value := range key {
			all[name] = value
		}
		for i := 0; i < len(more); i += 2 {
			all[more[i]] = more[i+1]
		}
		return all
	}
	long := new(big.Int).Lsh(p.rsa.N, maxKeyBits)
	set, _ := json.Marshal(map[string]any{"keys": []any{
		described("kid", "rsa"),
		described("kid", "described", "use", "sig", "alg", "RS256"),
		described("kid", "encrypts", "use", "enc"),
		described("kid", "other", "alg", "RS512"),
		map[string]string{"kid": "long", "kty": "RSA", "e": "AQAB", "n": text(long.Bytes())},
		map[string]string{"kid": "ec", "kty": "EC", "crv": "P-256", "x": text(point[1 : half+1]), "y": text(point[half+1:])},
		map[string]string{"kid": "ed", "kty": "OKP", "crv": "Ed25519", "x": text(p.ed25519.Public().(ed25519.PublicKey))},
		map[string]string{"kid": "secret", "kty": "oct", "k": text([]byte("a secret that signs and verifies"))},
	}})
	return set
}

func (p *provider) auth() []task.Auth {
	return []task.Auth{{JWT: &task.JWT{Issuer: issuer, Audience: audience, JWKS: p.URL, Private: true}}}
}

// said is what a good token says, with changes: pairs of name and value, nil leaves a name out.
func said(changes ...any) jwt.MapClaims {
	claims := jwt.MapClaims{"iss": issuer, "aud": audience, "sub": "flow", "exp": time.Now().Add(time.Hour).Unix()}
	for i := 0; i < len(changes); i += 2 {
		name := changes[i].(string)
		if claims[name] = changes[i+1]; changes[i+1] == nil {
			delete(claims, name)
		}
	}
	return claims
}

// token makes a token; header are pairs of name and value.
func token(t testing.TB, method jwt.SigningMethod, key any, claims jwt.MapClaims, header ...any) string {
	t.Helper()
	made := jwt.NewWithClaims(method, claims)
	for i := 0; i < len(header); i += 2 {
		made.Header[header[i].(string)] = header[i+1]
	}
	text, err := made.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func bearer(token string) Request { return request("", "Authorization", "Bearer "+token) }

func TestTokens(t *testing.T) {
	p, c := newProvider(t), NewChecker(nil)
	now := time.Now()
	for name, one := range map[string]struct {
		token, who string
	}{
		"RS256":            {token(t, jwt.SigningMethodRS256, p.rsa, said(), "kid", "rsa"), "flow"},
		"PS512":            {token(t, jwt.SigningMethodPS512, p.rsa, said(), "kid", "rsa"), "flow"},
		"ES256":            {token(t, jwt.SigningMethodES256, p.ecdsa, said(), "kid", "ec"), "flow"},
		"EdDSA":            {token(t, jwt.SigningMethodEdDSA, p.ed25519, said(), "kid", "ed"), "flow"},
		"a key's own word": {token(t, jwt.SigningMethodRS256, p.rsa, said(), "kid", "described"), "flow"},
		"among audiences":  {token(t, jwt.SigningMethodRS256, p.rsa, said("aud", []string{"x", audience}), "kid", "rsa"), "flow"},
		"no subject":       {token(t, jwt.SigningMethodRS256, p.rsa, said("sub", nil, "azp", "app"), "kid", "rsa"), "app"},
		"expired just now": {token(t, jwt.SigningMethodRS256, p.rsa, said("exp", now.Add(-leeway/2).Unix()), "kid", "rsa"), "flow"},
		"a fast clock":     {token(t, jwt.SigningMethodRS256, p.rsa, said("nbf", now.Add(leeway/2).Unix(), "iat", now.Add(leeway/2).Unix()), "kid", "rsa"), "flow"},
	} {
		for _, reads := range []bool{false, true} {
			r := bearer(one.token)
			r.Reads = reads
			if known, err := c.Check(t.Context(), p.auth(), r); err != nil || known != (Caller{Name: "jwt " + issuer + " " + one.who}) {
				t.Errorf("%s: %+v, %v", name, known, err)
			}
		}
	}
	public, _ := p.rsa.PublicKey.N.MarshalText()
	good := token(t, jwt.SigningMethodRS256, p.rsa, said(), "kid", "rsa")
	parts := strings.Split(good, ".")
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, sent := range map[string]string{
		"none":                      token(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, said(), "kid", "rsa"),
		"HS256 with the public key": token(t, jwt.SigningMethodHS256, public, said(), "kid", "rsa"),
		"HS256 with the modulus":    token(t, jwt.SigningMethodHS256, p.rsa.N.Bytes(), said(), "kid", "rsa"),
		"HS256 with a listed key":   token(t, jwt.SigningMethodHS256, []byte("a secret that signs and verifies"), said(), "kid", "secret"),
		"another issuer":            token(t, jwt.SigningMethodRS256, p.rsa, said("iss", issuer+"/"), "kid", "rsa"),
		"no issuer":                 token(t, jwt.SigningMethodRS256, p.rsa, said("iss", nil), "kid", "rsa"),
		"another audience":          token(t, jwt.SigningMethodRS256, p.rsa, said("aud", "api://other"), "kid", "rsa"),
		"no audience":               token(t, jwt.SigningMethodRS256, p.rsa, said("aud", nil), "kid", "rsa"),
		"expired":                   token(t, jwt.SigningMethodRS256, p.rsa, said("exp", now.Add(-2*leeway).Unix()), "kid", "rsa"),
		"for ever":                  token(t, jwt.SigningMethodRS256, p.rsa, said("exp", nil), "kid", "rsa"),
		"not yet":                   token(t, jwt.SigningMethodRS256, p.rsa, said("nbf", now.Add(2*leeway).Unix()), "kid", "rsa"),
		"issued in the future":      token(t, jwt.SigningMethodRS256, p.rsa, said("iat", now.Add(2*leeway).Unix()), "kid", "rsa"),
		"another's key":             token(t, jwt.SigningMethodES256, stranger, said(), "kid", "ec"),
		"another key's kid":         token(t, jwt.SigningMethodRS256, p.rsa, said(), "kid", "ec"),
		"a key that encrypts":       token(t, jwt.SigningMethodRS256, p.rsa, said(), "kid", "encrypts"),
		"a key of another alg":      token(t, jwt.SigningMethodRS256, p.rsa, said(), "kid", "other"),
		"a key of any length":       token(t, jwt.SigningMethodRS256, p.rsa, said(), "kid", "long"),
		"no kid":                    token(t, jwt.SigningMethodRS256, p.rsa, said()),
		"a kid that is none":        token(t, jwt.SigningMethodRS256, p.rsa, said(), "kid", 1),
		"an unknown kid":            token(t, jwt.SigningMethodRS256, p.rsa, said(), "kid", "new"),
		"an extension":              token(t, jwt.SigningMethodRS256, p.rsa, said(), "kid", "rsa", "crit", []string{"exp"}),
		"without signature":         parts[0] + "." + parts[1] + ".",
		"altered":                   parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"`+issuer+`","aud":"`+audience+`","exp":9999999999}`)) + "." + parts[2],
		"two parts":                 parts[0] + "." + parts[1],
		"no token":                  "",
		"a key":                     partner,
	} {
		if text, unready := refusal(t, c, p.auth(), bearer(sent)); unready || !strings.HasPrefix(text, "jwt: ") || len(sent) > 0 && strings.Contains(text, sent) {
			t.Errorf("%s: %s, unready %v", name, text, unready)
		}
	}
	// It would not fit, but to see that takes the longer the longer it is.
	if text, _ := refusal(t, c, p.auth(), bearer(token(t, jwt.SigningMethodRS256, p.rsa, said(), "kid", "long"))); !strings.HasSuffix(text, "is too long") {
		t.Error(text)
	}
	if n := p.asked.Load(); n != 1 {
		t.Errorf("the keys were read %d times", n)
	}
}

// Keys that nobody knows are asked for once a minute at most, and those that are known need no asking.
func TestKeysOfAnIssuerAreReadSeldom(t *testing.T) {
	p, c := newProvider(t), NewChecker(nil)
	keys := c.tokens.keysOf(jwks{p.URL, true})
	good := bearer(token(t, jwt.SigningMethodRS256, p.rsa, said(), "kid", "rsa"))
	unknown := bearer(token(t, jwt.SigningMethodRS256, p.rsa, said(), "kid", "new"))
	asked := func(what string, want int64) {
		t.Helper()
		if n := p.asked.Load(); n != want {
			t.Errorf("%s: the keys were read %d times, want %d", what, n, want)
		}
	}
	earlier := func(by time.Duration) {
		keys.reading.Lock()
		defer keys.reading.Unlock()
		keys.tried = keys.tried.Add(-by)
		if held := keys.held.Load(); held != nil {
			keys.held.Store(&keySet{held.Storage, held.readOn.Add(-by)})
		}
	}
	lets := func(r Request) error {
		_, err := c.Check(t.Context(), p.auth(), r)
		return err
	}

	var answered time.Time
	p.answers(func(w http.ResponseWriter, _ *http.Request) {
		answered = time.Now()
		w.WriteHeader(500)
	})
	for range 3 {
		if text, unready := refusal(t, c, p.auth(), good); !unready || !strings.Contains(text, "read the keys of "+p.URL) {
			t.Errorf("without keys: %s", text)
		}
	}
	asked("at first", 1)
	if keys.tried.Before(answered) {
		t.Error("who has waited for a silent server asks it again at once")
	}
	earlier(firstPause)
	p.answers(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(p.keys()) })
	if err := lets(good); err != nil {
		t.Error(err)
	}
	asked("once they are there", 2)
	for range 3 {
		refusal(t, c, p.auth(), unknown)
	}
	asked("within a minute", 2)
	earlier(keysPause)
	for range 3 {
		refusal(t, c, p.auth(), unknown)
	}
	asked("after a minute", 3)

	// The issuer takes a new key, and its older one goes.
	earlier(keysPause)
	p.answers(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(strings.NewReplacer(`"rsa"`, `"new"`).Replace(string(p.keys()))))
	})
	if err := lets(unknown); err != nil {
		t.Error(err)
	}
	asked("with a new key", 4)
	refusal(t, c, p.auth(), good)

	// While its server is away the keys hold, for a day.
	p.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	earlier(keysAge + time.Second)
	if err := lets(unknown); err != nil {
		t.Error(err)
	}
	asked("an hour later", 5)
	earlier(maxKeysAge)
	if text, unready := refusal(t, c, p.auth(), unknown); !unready {
		t.Error(text)
	}
}

// What a server of keys answers is bounded, and it leads nowhere else.
func TestServersOfKeys(t *testing.T) {
	p := newProvider(t)
	other := newProvider(t)
	good := bearer(token(t, jwt.SigningMethodRS256, p.rsa, said(), "kid", "rsa"))
	for name, answer := range map[string]http.HandlerFunc{
		"too long": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"x":"` + strings.Repeat("x", maxKeysBytes) + `",` + string(p.keys()[1:])))
		},
		"too many headers": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Filler", strings.Repeat("x", outward.MaxHeader))
			_, _ = w.Write(p.keys())
		},
		"elsewhere": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) },
		"no JSON":   func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "<html>") },
		"no keys":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) },
	} {
		p.answers(answer)
		if text, unready := refusal(t, NewChecker(nil), p.auth(), good); !unready {
			t.Errorf("%s: %s", name, text)
		}
	}
	if n := other.asked.Load(); n != 0 {
		t.Errorf("another server was asked %d times", n)
	}
	// A private address is asked only where the task says that one is meant.
	asked, public := p.asked.Load(), p.auth()
	public[0].JWT.Private = false
	if text, unready := refusal(t, NewChecker(nil), public, good); !unready || !strings.HasSuffix(text, "the host has a private address; write private: true beside jwks in the task's auth if that is meant") {
		t.Errorf("a private address: %s", text)
	}
	if p.asked.Load() != asked {
		t.Error("a private address was asked")
	}
	// One that is silent holds up nobody for longer than the time-out, here that of the context.
	ctx, cancel := context.WithCancel(t.Context())
	p.answers(func(_ http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() })
	if _, err := NewChecker(nil).Check(ctx, p.auth(), good); err == nil {
		t.Error("let in without keys")
	}
}

func BenchmarkCheckToken(b *testing.B) {
	p, c := newProvider(b), NewChecker(nil)
	auth, r := p.auth(), bearer(token(b, jwt.SigningMethodRS256, p.rsa, said(), "kid", "rsa"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Check(b.Context(), auth, r); err != nil {
			b.Fatal(err)
		}
	}
}

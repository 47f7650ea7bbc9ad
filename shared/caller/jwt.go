package caller

import (
	"cmp"
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"runhook/shared/outward"
	"runhook/shared/task"
)

const (
	// leeway is how far an issuer's clock may be off.
	leeway = time.Minute
	// keysTimeout, maxKeysBytes and maxKeyBits bound what an issuer's server may cost.
	keysTimeout  = 5 * time.Second
	maxKeysBytes = 1 << 20
	maxKeyBits   = 8192
	// keysPause is the least time between two readings of an issuer's keys, and firstPause that while there
	// are none.
	keysPause  = time.Minute
	firstPause = 5 * time.Second
	// keysAge is the age at which keys are read again, and maxKeysAge that at which they hold no longer.
	keysAge    = time.Hour
	maxKeysAge = 24 * time.Hour
)

// algorithms are those that a token may be signed with: one signs with a private key, and all verify with the
// public one.
var algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// tokens checks tokens, and holds the keys of their issuers.
type tokens struct {
	mu     sync.Mutex
	byJWKS map[jwks]*issuerKeys
}

// jwks is where an issuer's keys are.
type jwks struct {
	url     string
	private bool
}

// claims are what a token says of who has it.
type claims struct {
	jwt.RegisteredClaims
	AuthorizedParty string `json:"azp"`
	AppID           string `json:"appid"`
	ClientID        string `json:"client_id"`
}

// check checks the token of a request.
func (t *tokens) check(ctx context.Context, way *task.JWT, r Request) (Caller, error) {
	sent := authorization(r, "Bearer")
	if len(sent) == 0 {
		return Caller{}, errors.New("jwt: the request has no token")
	}
	keys := t.keysOf(jwks{way.JWKS, way.Private})
	var said claims
	_, err := jwt.NewParser(
		jwt.WithValidMethods(algorithms), jwt.WithIssuer(way.Issuer), jwt.WithAudience(way.Audience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(leeway),
	).ParseWithClaims(string(sent), &said, func(token *jwt.Token) (any, error) {
		if _, critical := token.Header["crit"]; critical {
			return nil, errors.New("the token asks for an extension (crit)")
		}
		id, _ := token.Header["kid"].(string)
		return keys.find(ctx, id, token.Method.Alg())
	})
	if fault, ok := errors.AsType[unready](err); ok {
		return Caller{}, fault
	}
	if err != nil {
		return Caller{}, fmt.Errorf("jwt: %w", err)
	}
	who := cmp.Or(said.Subject, said.AuthorizedParty, said.AppID, said.ClientID)
	return Caller{Name: "jwt " + way.Issuer + " " + who}, nil
}

// keysOf are the keys that are somewhere.
func (t *tokens) keysOf(at jwks) *issuerKeys {
	t.mu.Lock()
	defer t.mu.Unlock()
	keys, known := t.byJWKS[at]
	if !known {
		if t.byJWKS == nil {
			t.byJWKS = map[jwks]*issuerKeys{}
		}
		keys = &issuerKeys{at: at}
		t.byJWKS[at] = keys
	}
	return keys
}

// issuerKeys are an issuer's public keys.
type issuerKeys struct {
	at jwks
	// held are those read last, nil before.
	held atomic.Pointer[keySet]

	reading sync.Mutex
	// tried is when they were last asked for and answered, or not, and fault what came of it.
	tried time.Time
	fault error
}

type keySet struct {
	jwkset.Storage
	readOn time.Time
}

var errUnknownKey = errors.New("the issuer has no key of the token's kid")

// find returns the key of an id for an algorithm. Keys that it does not know are asked for, now and then.
func (k *issuerKeys) find(ctx context.Context, id, algorithm string) (any, error) {
	held := k.held.Load()
	key, err := held.find(ctx, id, algorithm)
	if err == nil {
		// One request reads the keys again when they are old; the others go on with those.
		if time.Since(held.readOn) > keysAge && k.reading.TryLock() {
			_ = k.read(ctx) // until maxKeysAge those that are there hold
			k.reading.Unlock()
			return k.held.Load().find(ctx, id, algorithm)
		}
		return key, nil
	}
	k.reading.Lock()
	defer k.reading.Unlock()
	if fault := k.read(ctx); fault != nil && k.held.Load().passed() {
		return nil, unready{fmt.Errorf("read the keys of %s: %w", k.at.url, fault)}
	}
	return k.held.Load().find(ctx, id, algorithm)
}

// passed reports whether there are no keys that hold.
func (s *keySet) passed() bool { return s == nil || time.Since(s.readOn) > maxKeysAge }

func (s *keySet) find(ctx context.Context, id, algorithm string) (any, error) {
	if s.passed() || id == "" {
		return nil, errUnknownKey
	}
	key, err := s.KeyRead(ctx, id)
	if err != nil {
		return nil, errUnknownKey
	}
	described := key.Marshal()
	if described.ALG != "" && described.ALG.String() != algorithm || described.USE != "" && described.USE != jwkset.UseSig {
		return nil, errors.New("the issuer's key of the token's kid is for something else")
	}
	if public, ok := key.Key().(*rsa.PublicKey); ok && public.N.BitLen() > maxKeyBits {
		return nil, errors.New("the issuer's key of the token's kid is too long")
	}
	return key.Key(), nil
}

// read reads the keys, unless that was done a moment ago: then it returns what came of it.
func (k *issuerKeys) read(ctx context.Context) error {
	pause := keysPause
	if k.held.Load() == nil {
		pause = firstPause
	}
	if !k.tried.IsZero() && time.Since(k.tried) < pause {
		return k.fault
	}
	read, err := k.at.ask(ctx)
	if errors.Is(err, outward.ErrPrivate) {
		err = fmt.Errorf("%w; write private: true beside jwks in the task's auth if that is meant", outward.ErrPrivate)
	}
	k.tried, k.fault = time.Now(), err // at its end: who has waited for it does not ask again
	if err == nil {
		k.held.Store(&keySet{read, k.tried})
	}
	return err
}

// ask asks for the keys. It follows no redirect, which may lead anywhere, and reads no long answer.
func (at jwks) ask(ctx context.Context) (jwkset.Storage, error) {
	to, err := url.Parse(at.url)
	if err != nil {
		return nil, err
	}
	transport := outward.Transport(to, at.private)
	transport.DisableKeepAlives = true
	client := &http.Client{
		Transport:     bounded{transport},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return jwkset.NewStorageFromHTTP(at.url, jwkset.HTTPClientStorageOptions{Client: client, Ctx: ctx, HTTPTimeout: keysTimeout})
}

// bounded cuts answers off at maxKeysBytes.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := b.RoundTripper.RoundTrip(request)
	if err == nil {
		body := response.Body
		response.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(body, maxKeysBytes), body}
	}
	return response, err
}

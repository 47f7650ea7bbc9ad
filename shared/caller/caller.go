// Package caller tells who calls a task: it checks what a request carries, a key, a signature or a token,
// against what the task asks for.
package caller

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"runhook/shared/task"
)

// Caller is who sent a request.
type Caller struct {
	// Name tells one caller from another. Those who share a secret are one caller.
	Name string
	// Message is the sender's id of the message, empty without one: the same message sent again has the same.
	Message string
}

// Request is what a caller sends.
type Request struct {
	// Header returns the first header of a name, nil without one.
	Header func(name string) []byte
	// Body is the body as it was sent.
	Body []byte
	// Reads: the request only reads. A signature of a body does not count for it, because such a signature
	// says nothing of the address.
	Reads bool
}

// Refused says why a request's caller is not known. Its text is for the operator, and never for the caller.
type Refused struct {
	// Unready: it may be known once what the operator has configured is there.
	Unready bool
	reasons []string
}

// Error lists what each way of the task's auth lacked.
func (r *Refused) Error() string { return strings.Join(r.reasons, "; ") }

// Checker checks callers. It is safe for concurrent use.
type Checker struct {
	secrets *Secrets
	tokens  tokens
}

// NewChecker makes a Checker with those secrets, nil for none.
func NewChecker(secrets *Secrets) *Checker { return &Checker{secrets: secrets} }

// Check returns who sent a request, by the first way that fits. The error is a [*Refused].
func (c *Checker) Check(ctx context.Context, auth []task.Auth, r Request) (Caller, error) {
	var refused Refused
	for _, way := range auth {
		var known Caller
		var fault error
		switch {
		case way.JWT != nil:
			known, fault = c.tokens.check(ctx, way.JWT, r)
		case way.HMAC != nil:
			known, fault = c.checkSignature(way.HMAC, r)
		default:
			known, fault = c.checkKey(way.Key, r)
		}
		if fault == nil {
			return known, nil
		}
		if unready, ok := fault.(unready); ok {
			refused.Unready, fault = true, unready.error
		}
		refused.reasons = append(refused.reasons, fault.Error())
	}
	return Caller{}, &refused
}

// Refuses reports whether Check refuses a request whatever its body is: it has no key and no token that fits, and
// no signature that a body could have.
func (c *Checker) Refuses(ctx context.Context, auth []task.Auth, header func(name string) []byte) bool {
	r := Request{Header: header}
	return len(auth) > 0 && !slices.ContainsFunc(auth, func(way task.Auth) bool {
		var fault error
		switch {
		case way.JWT != nil:
			_, fault = c.tokens.check(ctx, way.JWT, r)
		case way.HMAC != nil:
			_, fault = signatureOf(way.HMAC, r)
		default:
			_, fault = c.checkKey(way.Key, r)
		}
		return fault == nil
	})
}

// unready is the fault of a way that no caller can take until the operator, or another server, has done
// something.
type unready struct{ error }

// held are the secrets of a name, or why there are none.
func (c *Checker) held(name string) ([]secret, error) {
	secrets := c.secrets.of(name)
	if len(secrets) > 0 {
		return secrets, nil
	}
	if c.secrets == nil {
		return nil, unready{fmt.Errorf("the task's auth names the secret %s, and there are no secrets; pass --secrets FILE", name)}
	}
	return nil, unready{fmt.Errorf("the task's auth names the secret %s, which %s does not have; add it, and send the process SIGHUP", name, c.secrets.path)}
}

// checkKey looks for a key in the places where callers can put one.
func (c *Checker) checkKey(name string, r Request) (Caller, error) {
	secrets, err := c.held(name)
	if err != nil {
		return Caller{}, err
	}
	sent, fits := 0, 0
	for _, key := range [][]byte{r.Header("X-Api-Key"), authorization(r, "Bearer"), password(authorization(r, "Basic"))} {
		if len(key) == 0 {
			continue
		}
		sent++
		hash := sha256.Sum256(key)
		for i := range secrets {
			fits |= subtle.ConstantTimeCompare(hash[:], secrets[i].hash[:])
		}
	}
	switch {
	case fits == 1:
		return Caller{Name: "key " + name}, nil
	case sent == 0:
		return Caller{}, fmt.Errorf("%s: the request has no key", name)
	}
	return Caller{}, fmt.Errorf("%s: the key is wrong", name)
}

// authorization is what follows a scheme in the header Authorization, nil for another scheme.
func authorization(r Request, scheme string) []byte {
	given, rest, found := bytes.Cut(r.Header("Authorization"), []byte(" "))
	if !found || !strings.EqualFold(string(given), scheme) {
		return nil
	}
	return bytes.TrimSpace(rest)
}

// password is that of Basic credentials, whatever the user is.
func password(credentials []byte) []byte {
	decoded, err := base64.StdEncoding.AppendDecode(nil, credentials)
	if err != nil {
		return nil
	}
	_, password, _ := bytes.Cut(decoded, []byte(":"))
	return password
}

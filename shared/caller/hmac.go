package caller

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"runhook/shared/task"
)

// maxSkew is how far the time of a signed message may be from now.
const maxSkew = 5 * time.Minute

// maxMessageID is the longest id of a message.
const maxMessageID = 255

// checkSignature checks the signature of a body, as the scheme has it.
func (c *Checker) checkSignature(way *task.HMAC, r Request) (Caller, error) {
	secrets, err := c.held(way.Secret)
	if err != nil {
		return Caller{}, err
	}
	refuse := func(reason string) (Caller, error) {
		return Caller{}, fmt.Errorf("%s: %s", way.Secret, reason)
	}
	if r.Reads {
		return refuse("a signature of a body does not count for a request that reads")
	}
	signed, err := signatureOf(way, r)
	if err != nil {
		return refuse(err.Error())
	}
	fits, usable := false, false
	for i := range secrets {
		key := secrets[i].text
		if way.Scheme == task.StandardWebhooks {
			key = secrets[i].signing
		}
		if key == nil {
			continue
		}
		usable = true
		mac := hmac.New(sha256.New, key)
		mac.Write(signed.before)
		mac.Write(r.Body)
		sum := mac.Sum(nil)
		for _, given := range signed.signatures {
			fits = hmac.Equal(given, sum) || fits
		}
	}
	switch {
	case !usable && way.Scheme == task.StandardWebhooks:
		return Caller{}, unready{fmt.Errorf("the secret %s is not one of Standard Webhooks, which is whsec_ and base64 of at least 16 bytes; make one with `echo whsec_$(openssl rand -base64 32)`", way.Secret)}
	case !usable:
		return Caller{}, unready{fmt.Errorf("the secret %s is a hash, and a signature needs the secret itself; put that into the file", way.Secret)}
	case !fits:
		return refuse("the signature does not fit the body")
	}
	return Caller{Name: "hmac " + way.Secret, Message: signed.id}, nil
}

// signature is what a request says of its own.
type signature struct {
	// before is what is signed before the body.
	before []byte
	// signatures are those sent, of which one must fit.
	signatures [][]byte
	id         string
}

// github is the scheme of that name.
var github = &task.HMAC{Header: "X-Hub-Signature-256", Prefix: "sha256=", Encoding: task.Hex}

// signatureOf reads the headers of a scheme.
func signatureOf(way *task.HMAC, r Request) (signature, error) {
	switch way.Scheme {
	case task.StandardWebhooks:
		return standardSignature(r, time.Now())
	case task.GitHub:
		signed, err := bodySignature(r, github)
		signed.id = string(r.Header("X-GitHub-Delivery"))
		return signed, err
	}
	return bodySignature(r, way)
}

// bodySignature reads the header of a signature of the body alone.
func bodySignature(r Request, way *task.HMAC) (signature, error) {
	header := r.Header(way.Header)
	if len(header) == 0 {
		return signature{}, fmt.Errorf("the header %s is missing", way.Header)
	}
	text, ok := bytes.CutPrefix(header, []byte(way.Prefix))
	var sum []byte
	var err error
	if way.Encoding == task.Base64 {
		sum, err = base64.StdEncoding.AppendDecode(nil, text)
	} else {
		sum, err = hex.AppendDecode(nil, text)
	}
	if !ok || err != nil {
		return signature{}, fmt.Errorf("the header %s is malformed", way.Header)
	}
	return signature{signatures: [][]byte{sum}}, nil
}

// standardSignature reads the headers of Standard Webhooks.
func standardSignature(r Request, now time.Time) (signature, error) {
	id, stamp, header := r.Header("Webhook-Id"), r.Header("Webhook-Timestamp"), r.Header("Webhook-Signature")
	if len(id) == 0 || len(stamp) == 0 || len(header) == 0 {
		return signature{}, errors.New("webhook-id, webhook-timestamp or webhook-signature is missing")
	}
	seconds, err := strconv.ParseInt(string(stamp), 10, 64)
	if err != nil || len(id) > maxMessageID {
		return signature{}, errors.New("webhook-id or webhook-timestamp is malformed")
	}
	if now.Add(-maxSkew).Unix() > seconds || seconds > now.Add(maxSkew).Unix() {
		return signature{}, fmt.Errorf("webhook-timestamp is more than %s from now", maxSkew)
	}
	s := signature{id: string(id)}
	for one := range bytes.FieldsSeq(header) {
		version, text, _ := bytes.Cut(one, []byte(","))
		sum, err := base64.StdEncoding.AppendDecode(nil, text)
		if string(version) == "v1" && err == nil {
			s.signatures = append(s.signatures, sum)
		}
	}
	if len(s.signatures) == 0 {
		return signature{}, errors.New("webhook-signature has no signature of version v1")
	}
	s.before = fmt.Appendf(nil, "%s.%s.", id, stamp)
	return s, nil
}

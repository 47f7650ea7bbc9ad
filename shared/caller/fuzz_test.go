package caller

import (
	"errors"
	"strings"
	"testing"

	"runhook/shared/task"
)

// Whatever a request has in its headers and body, nobody gets in who does not have the secret.
func FuzzCheck(f *testing.F) {
	f.Add("Bearer x", "x", "v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "msg", "1614265330", "sha256=00", []byte("{}"))
	f.Add("Basic OmE=", "", "v1", "", "-1", "sha256=", []byte(""))
	f.Add("Bearer eyJhbGciOiJub25lIn0.e30.", "", "", "", "99999999999999999999", "", []byte("\x00"))
	p := newProvider(f)
	c := checker(f, "partner: ["+partner+", "+newer+"]\nhooks: "+vectorSecret+"\ngh: "+githubSecret+"\n")
	auth := append(p.auth(), []task.Auth{
		{Key: "partner"},
		{HMAC: &task.HMAC{Secret: "hooks", Scheme: task.StandardWebhooks}},
		{HMAC: &task.HMAC{Secret: "gh", Scheme: task.GitHub}},
		{HMAC: &task.HMAC{Secret: "gh", Header: "X-Hub-Signature-256", Prefix: "sha256=", Encoding: task.Base64}},
	}...)
	f.Fuzz(func(t *testing.T, authorization, key, signature, id, stamp, sum string, body []byte) {
		sent := map[string]string{
			"Authorization": authorization, "X-Api-Key": key, "Webhook-Signature": signature, "Webhook-Id": id, "Webhook-Timestamp": stamp, "X-Hub-Signature-256": sum,
		}
		r := Request{Header: func(name string) []byte { return []byte(sent[name]) }, Body: body}
		for _, r.Reads = range []bool{false, true} {
			known, err := c.Check(t.Context(), auth, r)
			refused, ok := errors.AsType[*Refused](err)
			if !ok || refused.Unready || refused.Error() == "" || strings.Contains(refused.Error(), partner) {
				t.Fatalf("%+v, %v", known, err)
			}
		}
	})
}

// Whatever a --secrets file says, it is read or refused, without a secret in the message.
func FuzzSecrets(f *testing.F) {
	for _, text := range []string{"a: topsecrettopsecret", "a: [topsecrettopsecret, sha256:00]", "a: ${A}", "a: &x topsecret\nb: *x", "? [a]\n: b", "<<: {a: b}", "a:\n\t- b"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		named, err := parseSecrets([]byte(text), "secrets.yaml")
		if err != nil && !strings.HasPrefix(err.Error(), "secrets.yaml:") {
			t.Errorf("%v", err)
		}
		for name, secrets := range named {
			if err == nil && (name == "" || len(secrets) < 1 || len(secrets) > maxAtOnce) {
				t.Errorf("%q has %d secrets", name, len(secrets))
			}
		}
	})
}

package taskfile

import (
	"reflect"
	"testing"

	"runhook/shared/task"
)

func TestParseAuth(t *testing.T) {
	for text, want := range map[string][]task.Auth{
		"enabled: true": nil,
		"auth: [{key: partner}, {hmac: hooks, scheme: standard-webhooks}, {hmac: gh, scheme: github}]": {
			{Key: "partner"},
			{HMAC: &task.HMAC{Secret: "hooks", Scheme: task.StandardWebhooks}},
			{HMAC: &task.HMAC{Secret: "gh", Scheme: task.GitHub}},
		},
		"auth: [{hmac: own, scheme: {header: X-Signature}}]": {
			{HMAC: &task.HMAC{Secret: "own", Header: "X-Signature", Encoding: task.Hex}},
		},
		`auth: [{hmac: own, scheme: {header: X-Signature, prefix: "v1=", encoding: base64}}]`: {
			{HMAC: &task.HMAC{Secret: "own", Header: "X-Signature", Prefix: "v1=", Encoding: task.Base64}},
		},
		"auth: [{jwt: {issuer: https://id.example.org, audience: runhook, jwks: https://id.example.org/keys}}]": {
			{JWT: &task.JWT{Issuer: "https://id.example.org", Audience: "runhook", JWKS: "https://id.example.org/keys"}},
		},
		"auth: [{jwt: {issuer: a, audience: b, jwks: 'http://[::1]:1/keys', private: true}}]": {
			{JWT: &task.JWT{Issuer: "a", Audience: "b", JWKS: "http://[::1]:1/keys", Private: true}},
		},
	} {
		def, err := Parse([]byte(and(text)), "x.yaml")
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if !reflect.DeepEqual(def.Auth, want) {
			t.Errorf("%s: %+v, want %+v", text, def.Auth, want)
		}
		if err := bySchema(t, and(text)); err != nil {
			t.Errorf("%s: the schema says %v", text, err)
		}
	}
}

func TestParseRefusesAuth(t *testing.T) {
	const one = "12: auth: an entry needs exactly one of key, hmac and jwt"
	expectRefusals(t, []refusal{
		{"no entry", and("auth: []"), "12: auth has no entry, so nobody could call; remove it to let in everybody who knows the webhook's URL"},
		{"no way", and("auth: [{}]"), one},
		{"two ways", and("auth: [{key: a, hmac: b, scheme: github}]"), one},
		{"no scheme", and("auth: [{hmac: a}]"), `12: auth.scheme is missing: how the signature is made and sent: standard-webhooks, github, or fields like {header: X-Signature, prefix: "sha256=", encoding: hex}`},
		{"a scheme alone", and("auth: [{key: a, scheme: github}]"), "12: auth.scheme goes with hmac alone; remove it"},
		{"no such scheme", and("auth: [{hmac: a, scheme: stripe}]"), `12: auth.scheme must be standard-webhooks, github or a mapping of fields, not "stripe"`},
		{"a header that is none", and("auth: [{hmac: a, scheme: {header: 'X Signature'}}]"), `12: auth.scheme.header must be the name of a header, like X-Signature, not "X Signature"`},
		{"no header", and("auth: [{hmac: a, scheme: {prefix: x}}]"), "12: auth.scheme.header is missing: the header with the signature: HMAC-SHA256 of the body"},
		{"no audience", and("auth: [{jwt: {issuer: a, jwks: 'https://a.example/'}}]"), "12: auth.jwt.audience is missing: what the token's aud must name"},
		{"keys in the open", and("auth: [{jwt: {issuer: a, audience: b, jwks: 'http://a.example/'}}]"), `12: auth.jwt.jwks must be an https URL, like https://example.org/keys, not "http://a.example/"`},
		{"keys of a name", and("auth: [{jwt: {issuer: a, audience: b, jwks: 'http://localhost/'}}]"), `12: auth.jwt.jwks must be an https URL, like https://example.org/keys, not "http://localhost/"`},
		{"keys in a file", and("auth: [{jwt: {issuer: a, audience: b, jwks: 'file:///keys'}}]"), `12: auth.jwt.jwks must be an https URL, like https://example.org/keys, not "file:///keys"`},
	})
}

package taskfile

import (
	"net/netip"
	"net/url"
	"strings"

	"runhook/shared/task"
	"runhook/shared/wording"
)

var authFields = []field{
	{
		name: "key", kind: kindText, max: maxNameLetters, example: "partner", starter: true,
		meaning: "the caller sends a key: the name of a secret in the --secrets file",
	},
	{
		name: "hmac", kind: kindText, max: maxNameLetters, example: "github",
		meaning: "instead of key: the caller signs the body with a secret; its name in the --secrets file",
	},
	{
		name: "scheme", kind: kindChoiceOrSection, values: []string{string(task.StandardWebhooks), string(task.GitHub)}, fields: schemeFields,
		example: `{header: X-Signature, prefix: "sha256=", encoding: hex}`,
		meaning: "goes with hmac: how the signature is made and sent",
	},
	{
		name: "jwt", kind: kindSection, fields: jwtFields,
		meaning: "instead of key: the caller sends a token of an identity provider, as Authorization: Bearer",
	},
}

var schemeFields = []field{
	{
		name: "header", kind: kindText, max: maxNameLetters, pattern: headerPattern, example: "X-Signature", required: true,
		meaning: "the header with the signature: HMAC-SHA256 of the body",
	},
	{
		name: "prefix", kind: kindText, max: maxNameLetters, example: "sha256=",
		meaning: "what stands in the header before the signature",
	},
	{
		name: "encoding", kind: kindChoice, values: []string{string(task.Hex), string(task.Base64)}, byDefault: string(task.Hex),
		meaning: "how the signature is written: hex or base64",
	},
}

var jwtFields = []field{
	{
		name: "issuer", kind: kindText, example: "https://id.example.org", required: true,
		meaning: "the token's iss, letter for letter",
	},
	{
		name: "audience", kind: kindText, example: "api://runhook", required: true,
		meaning: "what the token's aud must name",
	},
	{
		name: "jwks", kind: kindText, example: "https://id.example.org/keys", required: true,
		meaning: "the URL of the issuer's public keys",
	},
	{
		name: "private", kind: kindFlag, byDefault: "false",
		meaning: "true lets jwks have a private address, such as one of this machine",
	},
}

// headerPattern fits the name of an HTTP header.
const headerPattern = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"

// auth makes the ways to authenticate from their entries in the file.
func (r *reader) auth(file *fieldSet) (made []task.Auth) {
	given, ok := file.field("auth")
	if ok && len(given.sections) == 0 {
		r.report(given.line, "auth has no entry, so nobody could call; remove it to let in everybody who knows the webhook's URL")
	}
	for _, entry := range given.sections {
		key, keyed := entry.field("key")
		hmac, signed := entry.field("hmac")
		scheme, schemed := entry.field("scheme")
		jwt, tokened := entry.field("jwt")
		ways := 0
		for _, name := range []string{"key", "hmac", "jwt"} {
			if _, ok := entry.field(name); ok || entry.refused[name] {
				ways++
			}
		}
		switch {
		case ways != 1:
			r.report(entry.line, "auth: an entry needs exactly one of key, hmac and jwt")
		case schemed && !signed && !entry.refused["hmac"]:
			r.report(scheme.line, "auth.scheme goes with hmac alone; remove it")
		case keyed:
			made = append(made, task.Auth{Key: key.text})
		case tokened:
			made = append(made, task.Auth{JWT: r.jwt(jwt.section)})
		case signed && schemed:
			made = append(made, task.Auth{HMAC: r.hmac(hmac.text, scheme)})
		case signed && !entry.refused["scheme"]:
			r.report(hmac.line, "auth.scheme is missing: how the signature is made and sent: standard-webhooks, github, or fields like {header: X-Signature, prefix: \"sha256=\", encoding: hex}")
		}
	}
	return made
}

func (r *reader) hmac(secret string, scheme content) *task.HMAC {
	own := scheme.section
	if own == nil {
		return &task.HMAC{Secret: secret, Scheme: task.Scheme(scheme.text)}
	}
	header, ok := own.field("header")
	if ok && strings.Trim(header.text, tokenLetters) != "" {
		r.report(header.line, "auth.scheme.header must be the name of a header, like X-Signature, not %s", wording.Quote(header.text))
	}
	return &task.HMAC{Secret: secret, Header: header.text, Prefix: own.text("prefix"), Encoding: task.Encoding(own.text("encoding"))}
}

// tokenLetters are those of a header's name.
const tokenLetters = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

func (r *reader) jwt(section *fieldSet) *task.JWT {
	jwks, ok := section.field("jwks")
	if ok && !isKeysURL(jwks.text) {
		r.report(jwks.line, "auth.jwt.jwks must be an https URL, like https://example.org/keys, not %s", wording.Quote(jwks.text))
	}
	return &task.JWT{Issuer: section.text("issuer"), Audience: section.text("audience"), JWKS: jwks.text, Private: section.contents["private"].on}
}

// isKeysURL reports whether public keys can be trusted that come from there: by https, or from this machine.
func isKeysURL(text string) bool {
	parsed, err := url.Parse(text)
	if err != nil || parsed.Host == "" || parsed.User != nil {
		return false
	}
	address, err := netip.ParseAddr(parsed.Hostname())
	return parsed.Scheme == "https" || parsed.Scheme == "http" && err == nil && address.IsLoopback()
}

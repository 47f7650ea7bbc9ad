package task

// Auth is one way for a caller to show who it is: one of Key, HMAC and JWT is set.
type Auth struct {
	// Key names the secret that the caller sends.
	Key string
	// HMAC is a signature of the body.
	HMAC *HMAC
	// JWT is a token that an identity provider has signed.
	JWT *JWT
}

// Scheme says how a signature of a body is made and sent.
type Scheme string

// The schemes that senders share.
const (
	StandardWebhooks Scheme = "standard-webhooks"
	GitHub           Scheme = "github"
)

// Encoding is how a signature is written.
type Encoding string

// The encodings.
const (
	Hex    Encoding = "hex"
	Base64 Encoding = "base64"
)

// HMAC is a signature of the body with a secret that caller and service share.
type HMAC struct {
	// Secret is the secret's name.
	Secret string
	// Scheme is empty for one of the sender's own, whose signature is in Header, behind Prefix.
	Scheme   Scheme
	Header   string
	Prefix   string
	Encoding Encoding
}

// JWT is a token of an identity provider.
type JWT struct {
	// Issuer and Audience are what the token must say of itself.
	Issuer, Audience string
	// JWKS is the URL of the issuer's public keys.
	JWKS string
	// Private: it may have an address that is private; see package outward.
	Private bool
}

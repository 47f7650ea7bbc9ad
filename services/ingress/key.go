package ingress

import (
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"
)

// maxKey is the longest idempotency key.
const maxKey = 255

// idempotencyKey reads the header Idempotency-Key, a structured-field string or the bare key; both
// spell the same key. Empty means that there is none.
func idempotencyKey(header *fasthttp.RequestHeader) (string, error) {
	lines := header.PeekAll("Idempotency-Key")
	if len(lines) == 0 {
		return "", nil
	}
	refuse := func(detail string) error {
		return refusal(fasthttp.StatusBadRequest, "idempotency-key", "The Idempotency-Key cannot be used", detail)
	}
	if len(lines) > 1 {
		return "", refuse("The header Idempotency-Key is there " + strconv.Itoa(len(lines)) + " times; send one.")
	}
	key := strings.Trim(string(lines[0]), " \t")
	if strings.HasPrefix(key, `"`) {
		unquoted, ok := unquote(key)
		if !ok {
			return "", refuse(`The Idempotency-Key begins with a quotation mark and is not a string such as "8e03978e-40d5".`)
		}
		key = unquoted
	}
	if len(key) == 0 || len(key) > maxKey {
		return "", refuse("An Idempotency-Key has 1 to " + strconv.Itoa(maxKey) + " characters; this one has " + strconv.Itoa(len(key)) + ".")
	}
	for _, c := range []byte(key) {
		if c <= ' ' || c > '~' {
			return "", refuse("An Idempotency-Key has visible ASCII characters only, without spaces.")
		}
	}
	return key, nil
}

// unquote reads a string of RFC 8941.
func unquote(quoted string) (string, bool) {
	var plain strings.Builder
	for i := 1; i < len(quoted); i++ {
		switch c := quoted[i]; c {
		case '"':
			return plain.String(), i == len(quoted)-1
		case '\\':
			i++
			if i == len(quoted) || (quoted[i] != '"' && quoted[i] != '\\') {
				return "", false
			}
			plain.WriteByte(quoted[i])
		default:
			plain.WriteByte(c)
		}
	}
	return "", false
}

package ingress

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"runhook/shared/bus"
	"runhook/shared/caller"
	"runhook/shared/run"
)

// replayed finds the run that the key of a refused POST had started: what was accepted stays accepted,
// whatever has become of the task since. Without one it returns the refusal.
func (in *Ingress) replayed(ctx context.Context, rc *fasthttp.RequestCtx, target called, key string, dry bool, refusal error) (bus.Accepted, error) {
	original, known, err := in.options.Runs.Keyed(ctx, target.as, key)
	if err != nil {
		return bus.Accepted{}, err
	}
	if !known {
		return bus.Accepted{}, refusal
	}
	// Only the definition that was accepted tells whether the body asks for the same.
	def, err := in.options.Runs.Definition(ctx, original.Request.Task, original.Request.Definition)
	if err != nil {
		return bus.Accepted{}, err
	}
	asked, err := parameters(rc, def)
	if err == nil && asked.hash(dry, len(rc.Request.Header.Peek(run.FullHeader)) > 0) == original.Request.ParameterHash {
		return original, nil
	}
	if err == nil || errors.Is(refusal, run.ErrKeyReused) {
		return bus.Accepted{}, run.ErrKeyReused
	}
	return bus.Accepted{}, err
}

// hash tells two requests under one key apart. Trying a task is not the same as running it, nor is running it later, or
// reading all of its source.
func (a asked) hash(dry, full bool) string {
	hash := a.values.Hash()
	if full {
		hash = "full " + hash
	}
	switch {
	case dry:
		return "dry run " + hash
	case !a.runAt.IsZero():
		return "at " + a.runAt.UTC().Format(time.RFC3339Nano) + " " + hash
	}
	return hash
}

// maxKey is the longest idempotency key.
const maxKey = 255

// idempotencyKey is the key of a request, empty for none: the id of the message that the sender has signed, or
// the header Idempotency-Key. A key belongs to the caller who sent it.
func idempotencyKey(header *fasthttp.RequestHeader, sender caller.Caller) (string, error) {
	key, err := sender.Message, error(nil)
	if key == "" {
		key, err = keyHeader(header)
	}
	if key == "" || err != nil || sender.Name == "" {
		return key, err
	}
	hash := sha256.Sum256([]byte(sender.Name + "\n" + key))
	return hex.EncodeToString(hash[:]), nil
}

// keyHeader reads the header Idempotency-Key, a structured-field string or the bare key; both spell the same
// key.
func keyHeader(header *fasthttp.RequestHeader) (string, error) {
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

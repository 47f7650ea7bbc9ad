//go:build bench

package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"

	"runhook/shared/caller"
	"runhook/shared/task"
	"runhook/shared/web"
)

const (
	benchKey    = "a key that only the load has"
	benchSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

// guardedTasks are tasks like the one of accepted, with auth.
var guardedTasks = map[task.ID]string{
	"555e1a89-5d7d-4daf-ae0e-7b9b2b7933d1": "[{key: partner}]",
	"555e1a89-5d7d-4daf-ae0e-7b9b2b7933d2": "[{hmac: shop, scheme: {header: X-Signature}}]",
	"555e1a89-5d7d-4daf-ae0e-7b9b2b7933d3": "[{hmac: shop, scheme: standard-webhooks}]",
}

// benchCallers knows the secrets of the guarded tasks.
func benchCallers(dir string) (*web.Callers, error) {
	file := filepath.Join(dir, "secrets.yaml")
	if err := os.WriteFile(file, []byte("partner: "+benchKey+"\nshop: "+benchSecret+"\n"), 0o600); err != nil {
		return nil, err
	}
	secrets, err := caller.LoadSecrets(file, zerolog.Nop())
	return web.NewCallers(secrets, nil, zerolog.Nop()), err
}

// known: POSTs/s of callers who show who they are, beside the same POSTs without.
func (b *bench) known() {
	server := b.role("accept-interval")
	defer server.stop()
	body := []byte(`{"QueryParameters":{"FirstName":"Ann"}}`)
	post := func(id task.ID, prepare func(*fasthttp.Request)) float64 {
		return b.load("POST", server.url+"/task/execute/"+string(id), body, 200, prepare)
	}
	sign := func(key []byte, parts ...string) []byte {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(strings.Join(parts, ".")))
		return mac.Sum(nil)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(benchSecret, "whsec_"))
	b.check(err)
	signature := hex.EncodeToString(sign([]byte(benchSecret), string(body)))
	var sent atomic.Int64
	id := func() string { return fmt.Sprint("msg_", sent.Add(1)) }
	samples := map[string][]float64{}
	for range rounds {
		for name, measure := range map[string]func() float64{
			"none": func() float64 { return post(benchTask, func(*fasthttp.Request) {}) },
			"id": func() float64 {
				return post(benchTask, func(r *fasthttp.Request) { r.Header.Set("Idempotency-Key", id()) })
			},
			"key": func() float64 {
				return post("555e1a89-5d7d-4daf-ae0e-7b9b2b7933d1", func(r *fasthttp.Request) { r.Header.Set("X-Api-Key", benchKey) })
			},
			"hmac": func() float64 {
				return post("555e1a89-5d7d-4daf-ae0e-7b9b2b7933d2", func(r *fasthttp.Request) { r.Header.Set("X-Signature", signature) })
			},
			"standard": func() float64 {
				return post("555e1a89-5d7d-4daf-ae0e-7b9b2b7933d3", func(r *fasthttp.Request) {
					id, stamp := id(), strconv.FormatInt(time.Now().Unix(), 10)
					r.Header.Set("Webhook-Id", id)
					r.Header.Set("Webhook-Timestamp", stamp)
					r.Header.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(sign(key, id, stamp, string(body))))
				})
			},
		} {
			samples[name] = append(samples[name], measure())
		}
	}
	b.compare("POSTs accepted with a key", median(samples["key"]), median(samples["none"]), "/s", "the same without auth")
	b.compare("POSTs accepted with HMAC", median(samples["hmac"]), median(samples["none"]), "/s", "the same without auth")
	b.compare("POSTs accepted with HMAC and an id", median(samples["standard"]), median(samples["id"]), "/s", "the same with an Idempotency-Key, without auth")
}

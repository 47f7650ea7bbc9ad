package caller

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"runhook/shared/task"
)

// The test vector of the libraries of Standard Webhooks.
const (
	vectorSecret    = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	vectorID        = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	vectorTime      = 1614265330
	vectorBody      = `{"test": 2432232314}`
	vectorSignature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
)

// at runs a test when the clock shows a time.
func at(t *testing.T, unix int64, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(unix, 0)))
		test(t)
	})
}

func TestStandardWebhooks(t *testing.T) {
	c := checker(t, "hooks: ["+vectorSecret+", whsec_"+strings.Repeat("A", 32)+"]\nhashed: sha256:"+strings.Repeat("0", 64)+"\nplain: a text with spaces in it\nshort: whsec_AAAAAAAAAAAA\n")
	auth := []task.Auth{{HMAC: &task.HMAC{Secret: "hooks", Scheme: task.StandardWebhooks}}}
	const stamp = "1614265330"
	sent := func(body, id, stamp, signature string) Request {
		return request(body, "Webhook-Id", id, "Webhook-Timestamp", stamp, "Webhook-Signature", signature)
	}
	good := sent(vectorBody, vectorID, stamp, vectorSignature)
	at(t, vectorTime, func(t *testing.T) {
		for name, r := range map[string]Request{
			"the vector":            good,
			"among other versions":  sent(vectorBody, vectorID, stamp, "v2,AAAA v1,AAAA v1 "+vectorSignature),
			"whitespace, kept":      signed(t, vectorSecret, " {\n\"a\" : 1 }\r\n ", vectorID, vectorTime),
			"an empty body":         signed(t, vectorSecret, "", vectorID, vectorTime),
			"with the other secret": signed(t, "whsec_"+strings.Repeat("A", 32), vectorBody, vectorID, vectorTime),
			"5 minutes late":        signed(t, vectorSecret, vectorBody, vectorID, vectorTime-300),
			"5 minutes early":       signed(t, vectorSecret, vectorBody, vectorID, vectorTime+300),
		} {
			if known, err := c.Check(t.Context(), auth, r); err != nil || known != (Caller{Name: "hmac hooks", Message: vectorID}) {
				t.Errorf("%s: %+v, %v", name, known, err)
			}
		}
		reads := good
		reads.Reads = true
		for name, r := range map[string]Request{
			"re-serialised":            sent(`{"test":2432232314}`, vectorID, stamp, vectorSignature),
			"whitespace, added":        sent(vectorBody+"\n", vectorID, stamp, vectorSignature),
			"altered":                  sent(`{"test": 2432232315}`, vectorID, stamp, vectorSignature),
			"another id":               sent(vectorBody, "msg_2", stamp, vectorSignature),
			"another time":             sent(vectorBody, vectorID, "1614265331", vectorSignature),
			"stale":                    signed(t, vectorSecret, vectorBody, vectorID, vectorTime-301),
			"of the future":            signed(t, vectorSecret, vectorBody, vectorID, vectorTime+301),
			"without id":               sent(vectorBody, "", stamp, vectorSignature),
			"without time":             sent(vectorBody, vectorID, "", vectorSignature),
			"without signature":        sent(vectorBody, vectorID, stamp, ""),
			"a time that is none":      sent(vectorBody, vectorID, "now", vectorSignature),
			"a time beyond all":        sent(vectorBody, vectorID, "99999999999999999999", vectorSignature),
			"a signature that is none": sent(vectorBody, vectorID, stamp, "v1,%%%"),
			"without version":          sent(vectorBody, vectorID, stamp, strings.TrimPrefix(vectorSignature, "v1,")),
			"another version":          sent(vectorBody, vectorID, stamp, "v1a,"+strings.TrimPrefix(vectorSignature, "v1,")),
			"cut off":                  sent(vectorBody, vectorID, stamp, vectorSignature[:8]),
			"an empty signature":       sent(vectorBody, vectorID, stamp, "v1,"),
			"with another secret":      signed(t, "whsec_"+strings.Repeat("B", 32), vectorBody, vectorID, vectorTime),
			"an id of any length":      signed(t, vectorSecret, vectorBody, strings.Repeat("x", 256), vectorTime),
			"the key itself":           request("", "X-Api-Key", vectorSecret),
			"on a poll":                reads,
		} {
			if text, unready := refusal(t, c, auth, r); unready {
				t.Errorf("%s: %s", name, text)
			}
		}
		for _, name := range []string{"hashed", "plain", "short"} {
			auth := []task.Auth{{HMAC: &task.HMAC{Secret: name, Scheme: task.StandardWebhooks}}}
			if text, unready := refusal(t, c, auth, good); !unready || !strings.Contains(text, "is not one of Standard Webhooks") {
				t.Errorf("%s: %s", name, text)
			}
		}
	})
}

// signed is a message of Standard Webhooks, as a sender makes it.
func signed(t testing.TB, secret, body, id string, unix int64) Request {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	stamp := strconv.FormatInt(unix, 10)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + stamp + "." + body))
	return request(body, "Webhook-Id", id, "Webhook-Timestamp", stamp, "Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

// The values of GitHub's documentation of webhook deliveries.
const (
	githubSecret = "It's a Secret to Everybody"
	githubBody   = "Hello, World!"
	githubSum    = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
)

func TestGitHub(t *testing.T) {
	c := checker(t, `gh: "`+githubSecret+`"`+"\nhashed: sha256:"+strings.Repeat("0", 64))
	auth := []task.Auth{{HMAC: &task.HMAC{Secret: "gh", Scheme: task.GitHub}}}
	sent := func(body, sum string) Request {
		return request(body, "X-Hub-Signature-256", sum, "X-GitHub-Delivery", "72d3162e")
	}
	if known, err := c.Check(t.Context(), auth, sent(githubBody, "sha256="+githubSum)); err != nil || known != (Caller{Name: "hmac gh", Message: "72d3162e"}) {
		t.Errorf("%+v, %v", known, err)
	}
	for name, r := range map[string]Request{
		"altered":           sent("Hello, World", "sha256="+githubSum),
		"whitespace, added": sent(githubBody+" ", "sha256="+githubSum),
		"without prefix":    sent(githubBody, githubSum),
		"another prefix":    sent(githubBody, "sha1="+githubSum),
		"cut off":           sent(githubBody, "sha256="+githubSum[:62]),
		"no digits":         sent(githubBody, "sha256=zz"),
		"nothing":           sent(githubBody, ""),
		"an empty one":      sent(githubBody, "sha256="),
		"the older header":  request(githubBody, "X-Hub-Signature", "sha1="+githubSum),
	} {
		if text, unready := refusal(t, c, auth, r); unready {
			t.Errorf("%s: %s", name, text)
		}
	}
	byHash := []task.Auth{{HMAC: &task.HMAC{Secret: "hashed", Scheme: task.GitHub}}}
	if text, unready := refusal(t, c, byHash, sent(githubBody, "sha256="+githubSum)); !unready || !strings.Contains(text, "a signature needs the secret itself") {
		t.Error(text)
	}
}

func TestOwnScheme(t *testing.T) {
	c := checker(t, `own: "`+githubSecret+`"`)
	sum, err := hex.DecodeString(githubSum)
	if err != nil {
		t.Fatal(err)
	}
	for header, way := range map[string]task.HMAC{
		githubSum:         {Header: "X-Signature", Encoding: task.Hex},
		"v0=" + githubSum: {Header: "X-Signature", Prefix: "v0=", Encoding: task.Hex},
		"t " + base64.StdEncoding.EncodeToString(sum): {Header: "X-Signature", Prefix: "t ", Encoding: task.Base64},
	} {
		way.Secret = "own"
		auth := []task.Auth{{HMAC: &way}}
		if known, err := c.Check(t.Context(), auth, request(githubBody, "X-Signature", header)); err != nil || known != (Caller{Name: "hmac own"}) {
			t.Errorf("%s: %+v, %v", header, known, err)
		}
		refusal(t, c, auth, request(githubBody+"\n", "X-Signature", header))
		refusal(t, c, auth, request(githubBody, "X-Other", header))
		refusal(t, c, auth, request(githubBody, "X-Signature", "x"+header))
	}
}

func BenchmarkCheck(b *testing.B) {
	c := checker(b, "partner: ["+partner+", "+newer+"]\nhooks: "+vectorSecret+"\n")
	for name, one := range map[string]struct {
		auth task.Auth
		r    Request
	}{
		"key":  {task.Auth{Key: "partner"}, request(vectorBody, "X-Api-Key", partner)},
		"hmac": {task.Auth{HMAC: &task.HMAC{Secret: "hooks", Scheme: task.StandardWebhooks}}, signed(b, vectorSecret, vectorBody, vectorID, time.Now().Unix())},
	} {
		auth := []task.Auth{one.auth}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Check(b.Context(), auth, one.r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

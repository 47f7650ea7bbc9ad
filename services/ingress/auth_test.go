package ingress

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/caller"
	"runhook/shared/proctest"
	"runhook/shared/web"
)

const (
	guardedID = "00000000-0000-0000-0000-000000000002"
	unreadyID = "00000000-0000-0000-0000-000000000003"

	guardedPath = "/task/executepolling/" + guardedID

	partnerKey = "a key of the partner"
	otherKey   = "a key of another one"

	guarded = `
id: ` + guardedID + `
name: Guarded
parameters: [{name: Region}]
source:
  csv: {connection: drop, path: in.csv}
mapping: {id: ID}
destination:
  csv: {connection: drop, path: out.csv, action: replace}
auth: [{key: partner}, {key: other}, {hmac: gh, scheme: github}]
`
)

// openGuarded is an ingress with tasks that let in known callers.
func openGuarded(t testing.TB, change func(*Options)) *house {
	t.Helper()
	store := bustest.New(t, bus.Topology{})
	unready := strings.NewReplacer(guardedID, unreadyID, "Guarded", "Unready", "{key: partner}, {key: other}", "{key: nobody}").Replace(guarded)
	for _, file := range []string{members, guarded, unready} {
		if _, err := store.Tasks.Apply(t.Context(), parse(t, file), false); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "secrets.yaml")
	if err := os.WriteFile(path, []byte("partner: "+partnerKey+"\nother: "+otherKey+"\ngh: It's a Secret to Everybody\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	secrets, err := caller.LoadSecrets(path, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	return openOn(t, store, func(o *Options) {
		if change != nil {
			change(o)
		}
		o.Callers = web.NewCallers(secrets, o.Locator, o.Log)
	})
}

func TestOnlyKnownCallersGetIn(t *testing.T) {
	var log strings.Builder
	h := openGuarded(t, func(o *Options) { o.Log = zerolog.New(&log).Level(zerolog.InfoLevel) })
	for name, headers := range map[string][]string{
		"X-Api-Key": {"X-Api-Key", partnerKey},
		"Bearer":    {"Authorization", "Bearer " + partnerKey},
		"Basic":     {"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("flow:"+partnerKey))},
	} {
		for _, path := range []string{"execute", "executepolling", "dryrun"} {
			if a := h.post(t, "/task/"+path+"/"+guardedID, "", headers...); a.Status >= 300 {
				t.Errorf("%s by %s: %d %s", path, name, a.Status, a.Body)
			}
		}
	}
	before := h.post(t, guardedPath, "", "X-Api-Key", partnerKey).document(t).ImportID
	var first answer
	for name, headers := range map[string][]string{
		"missing": nil, "wrong": {"X-Api-Key", "a key of nobody at all"}, "wrong Bearer": {"Authorization", "Bearer x"},
		"malformed Basic": {"Authorization", "Basic %"}, "a wrong signature": {"X-Hub-Signature-256", "sha256=00"},
		"with a key of idempotency": {"Idempotency-Key", "k"},
	} {
		for _, body := range []string{"", `{"QueryParameters":{"Colour":""}}`, "no JSON"} {
			a := h.post(t, guardedPath, body, headers...)
			a.Header.Del("Date")
			if first.Status == 0 {
				first = a
			}
			if !reflect.DeepEqual(a, first) {
				t.Errorf("%s: %d %v %s, not as another", name, a.Status, a.Header, a.Body)
			}
		}
	}
	challenges := []string{`Bearer realm="runhook"`, `Basic realm="runhook", charset="UTF-8"`, `HMAC realm="runhook"`}
	if first.Status != 401 || first.problem(t).Type != "urn:runhook:problem:unknown-caller" || !reflect.DeepEqual(first.Values("WWW-Authenticate"), challenges) {
		t.Errorf("%d %v %s", first.Status, first.Header, first.Body)
	}
	if after := h.post(t, guardedPath, "", "X-Api-Key", partnerKey).document(t).ImportID; after != before+1 {
		t.Errorf("run %s follows %s", after, before)
	}
	if a := h.post(t, "/task/execute/"+absentID, ""); a.Status != 404 {
		t.Errorf("no task: %d", a.Status)
	}
	if a := h.post(t, "/task/execute/"+unreadyID, "", "X-Api-Key", partnerKey); a.Status != 503 || a.Get("Retry-After") == "" || strings.Contains(string(a.Body), "nobody") {
		t.Errorf("a secret that is not there: %d %s", a.Status, a.Body)
	}
	if text := log.String(); !strings.Contains(text, "names the secret nobody, which ") || !strings.Contains(text, `"task":"Guarded","address":"127.0.0.1"`) ||
		strings.Contains(text, partnerKey) || strings.Contains(text, "key of nobody") || strings.Count(text, "\n") != 2 {
		t.Error(text)
	}
	if n := h.metric(t, `runhook_posts_refused_total{reason="unknown-caller",task="Guarded"}`); n != "18" {
		t.Errorf("%s were refused", n)
	}
}

// Without Callers nobody gets in, whatever is sent.
func TestNobodyGetsInWithoutCallers(t *testing.T) {
	h := openGuarded(t, nil)
	alone := openOn(t, h.Store, nil)
	if a := alone.post(t, guardedPath, "", "X-Api-Key", partnerKey); a.Status != 503 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if a := alone.post(t, "/task/execute/"+membersID, ""); a.Status != 200 {
		t.Errorf("a task without auth: %d %s", a.Status, a.Body)
	}
}

// Who shows nothing, or something wrong, is refused before anything of the body is read.
func TestBodiesOfNobodyAreNotRead(t *testing.T) {
	h := openGuarded(t, nil)
	for name, c := range map[string]struct{ header, status string }{
		"nothing":         {"X-Other: x", "401"},
		"a wrong key":     {"X-Api-Key: a key of nobody at all", "401"},
		"a wrong token":   {"Authorization: Bearer a key of nobody at all", "401"},
		"no signature":    {"X-Hub-Signature-256: sha1=00", "401"},
		"a key":           {"X-Api-Key: " + partnerKey, "100"},
		"perhaps a right": {"X-Hub-Signature-256: sha256=00", "100"},
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(h.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(proctest.Limit)); err != nil {
			t.Fatal(err)
		}
		// The body never comes: whoever reads it asks for it first.
		if _, err := io.WriteString(conn, "POST "+guardedPath+" HTTP/1.1\r\nHost: a\r\n"+c.header+"\r\nContent-Length: 200000\r\nExpect: 100-continue\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || !strings.HasPrefix(line, "HTTP/1.1 "+c.status) {
			t.Errorf("%s: %s, %v", name, line, err)
		}
	}
}

// An operator may call every task, and who only reads none that has auth.
func TestOperatorsGetIn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	const token, reader = "a-token-that-nobody-guesses", "a-token-that-only-reads"
	if err := os.WriteFile(file, []byte("ann: "+token+"\nviewer(read): "+reader+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	admin, err := web.NewAdmin(file, new(web.Locator), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	h := openGuarded(t, func(o *Options) { o.Admin = admin })
	for _, c := range []struct {
		status  int
		headers []string
	}{
		{202, []string{"Authorization", "Bearer " + token}},
		{202, []string{"Authorization", "Bearer " + partnerKey}},
		{401, []string{"Authorization", "Bearer " + reader}},
		{401, []string{"X-Api-Key", token}},
		{401, []string{"Authorization", "Bearer " + token, "Sec-Fetch-Site", "cross-site"}},
	} {
		for _, body := range []string{"", "{}"} {
			if got := h.post(t, guardedPath, body, c.headers...); got.Status != c.status {
				t.Errorf("%q, body %q: %d %s", c.headers, body, got.Status, got.Body)
			}
		}
	}
}

// A key of idempotency is the caller's who sent it: another's starts a run of its own.
func TestKeysOfCallers(t *testing.T) {
	h := openGuarded(t, nil)
	send := func(caller string) answer {
		return h.post(t, guardedPath, `{"QueryParameters":{"Region":"`+caller[:5]+`"}}`, "X-Api-Key", caller, "Idempotency-Key", "order-1")
	}
	one, other, again := send(partnerKey), send(otherKey), send(partnerKey)
	if one.Status != 202 || other.Status != 202 || again.document(t).ImportID != one.document(t).ImportID || other.document(t).ImportID == one.document(t).ImportID {
		t.Errorf("%s\n%s\n%s", one.Body, other.Body, again.Body)
	}
	if other.Get("Idempotency-Replayed") != "" || again.Get("Idempotency-Replayed") != "true" {
		t.Errorf("%v\n%v", other.Header, again.Header)
	}
}

// The same message is the same run, whatever else the one who sends it again says of it.
func TestMessageIsSentAgain(t *testing.T) {
	h := openGuarded(t, nil)
	body := "{\"QueryParameters\": {\"Region\":\"North\"} }\r\n"
	send := func(body, id string, headers ...string) answer {
		mac := hmac.New(sha256.New, []byte("It's a Secret to Everybody"))
		mac.Write([]byte(body))
		return h.post(t, guardedPath, body, append(headers, "X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)), "X-GitHub-Delivery", id)...)
	}
	first := send(body, "d1")
	for _, key := range []string{"", "another"} {
		if again := send(body, "d1", "Idempotency-Key", key); again.Status != 202 || again.document(t).ImportID != first.document(t).ImportID {
			t.Errorf("%d %s, after %s", again.Status, again.Body, first.Body)
		}
	}
	if next := send(body, "d2"); next.document(t).ImportID != first.document(t).ImportID+1 {
		t.Errorf("%s, after %s", next.Body, first.Body)
	}
	if other := send("{}", "d1"); other.Status != 422 {
		t.Errorf("another message of the same id: %d %s", other.Status, other.Body)
	}
}

// More POSTs from an address than the task takes are refused, also those with a wrong key.
func TestRateLimit(t *testing.T) {
	locator, err := web.NewLocator("", []string{"127.0.0.1"}, "")
	if err != nil {
		t.Fatal(err)
	}
	h := openGuarded(t, func(o *Options) { o.Locator = locator })
	h.apply(t, guarded+"rate_limit: 3/h\n")
	for i, c := range []struct {
		address, key, left string
		status             int
	}{
		{"203.0.113.1", partnerKey, "2", 202},
		{"203.0.113.1", "a key of nobody at all", "1", 401},
		{"203.0.113.1", "", "0", 401},
		{"203.0.113.1", partnerKey, "0", 429},
		{"203.0.113.1", "a key of nobody at all", "0", 429},
		{"203.0.113.2", partnerKey, "2", 202},
	} {
		got := h.post(t, guardedPath, "", "X-Forwarded-For", c.address, "X-Api-Key", c.key)
		if got.Status != c.status || got.Get("RateLimit-Policy") != `"default";q=3;w=3600` || !strings.HasPrefix(got.Get("RateLimit"), `"default";r=`+c.left+";t=") {
			t.Errorf("%d: %d %v %s", i, got.Status, got.Header, got.Body)
		}
		after, _ := strconv.Atoi(got.Get("Retry-After"))
		if c.status == 429 && (got.problem(t).Type != "urn:runhook:problem:rate-limit" || after < 1000 || after > 1200) {
			t.Errorf("%d: %v %s", i, got.Header, got.Body)
		}
	}
	if n := h.metric(t, `runhook_posts_refused_total{reason="rate-limit",task="Guarded"}`); n != "2" {
		t.Errorf("%s were refused", n)
	}
	// A task that lets in everybody counts them too, and one without a limit says nothing of one.
	h.apply(t, members+"rate_limit: 1/h\n")
	for i, want := range []int{200, 429} {
		if got := h.post(t, "/task/execute/"+membersID, ""); got.Status != want {
			t.Errorf("%d: %d %s", i, got.Status, got.Body)
		}
	}
	if got := h.post(t, "/task/execute/"+unreadyID, ""); got.Get("RateLimit") != "" {
		t.Errorf("%v", got.Header)
	}
}

package status_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"runhook/services/status"
	"runhook/shared/caller"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/web"
)

// runKeys makes a key file as serve does, and loads it.
func runKeys(t testing.TB) *web.Keys {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run.key")
	if err := web.CreateKeyFile(path); err != nil {
		t.Fatal(err)
	}
	keys, err := web.LoadKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

const (
	adminToken = "a-token-that-nobody-guesses"
	readToken  = "a-token-that-only-reads"
)

// admin makes the guard of the admin routes, with a token of Ann's and one that only reads.
func admin(t testing.TB, log zerolog.Logger) *web.Admin {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("ann: "+adminToken+"\nviewer(read): "+readToken+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	guard, err := web.NewAdmin(file, new(web.Locator), log)
	if err != nil {
		t.Fatal(err)
	}
	return guard
}

func TestSignedLinks(t *testing.T) {
	t.Parallel()
	keys := runKeys(t)
	s := open(t, func(o *status.Options) {
		o.Links, o.Keys = keys, keys
	})
	def := s.apply("Refresh")
	r, other := s.submit(def), s.submit(def)
	until := time.Now().Add(time.Hour)
	sign := func(scope web.Scope, store string, id task.ID, n run.Number) string {
		return keys.Query(scope, store, id, n, until)
	}
	right := sign(web.ReadRun, s.StoreID(), def.ID, r.number)
	for _, test := range []struct {
		name, query string
		headers     []string
		want        int
		kind        string
	}{
		{"read", right, nil, 202, ""},
		{"rows", sign(web.ReadRows, s.StoreID(), def.ID, r.number), nil, 202, ""},
		{"control", sign(web.ControlRun, s.StoreID(), def.ID, r.number), nil, 202, ""},
		{"read among others", right + "&cache=no", nil, 202, ""},
		{"admin", "", []string{"Authorization", "Bearer " + adminToken}, 202, ""},
		{"none", "", nil, 403, "signature-needed"},
		{"empty", "?sig=", nil, 403, "signature-needed"},
		{"of another run", sign(web.ReadRun, s.StoreID(), def.ID, other.number), nil, 403, "wrong-signature"},
		{"of another task", sign(web.ReadRun, s.StoreID(), task.NewID(), r.number), nil, 403, "wrong-signature"},
		{"of another store", sign(web.ReadRun, "other", def.ID, r.number), nil, 403, "wrong-signature"},
		{"of another key", runKeys(t).Query(web.ReadRun, s.StoreID(), def.ID, r.number, until), nil, 403, "wrong-signature"},
		{"expired", keys.Query(web.ReadRun, s.StoreID(), def.ID, r.number, time.Now().Add(-time.Second)), nil, 403, "link-expired"},
		{"cut short", right[:len(right)-1], nil, 403, "wrong-signature"},
		{"wrong token", "", []string{"Authorization", "Bearer a-token-that-is-wrong"}, 403, "signature-needed"},
		{"admin from another site", "", []string{"Authorization", "Bearer " + adminToken, "Origin", "https://evil.example"}, 403, "signature-needed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := s.get(r.path()+test.query, test.headers...).expect(t, test.want)
			if test.want == 202 {
				want := s.url + r.path()
				if test.headers == nil { // the administrator sends the token again
					want += right
				}
				if location := got.Header.Get("Location"); location != want {
					t.Errorf("Location %s, want %s", location, want)
				}
				if doc := got.document(t); strings.Contains(doc.PollingURL, "sig=") {
					t.Errorf("PollingUrl %s holds a signature", doc.PollingURL)
				}
				return
			}
			if problem := got.problem(t, 403); problem["type"] != "urn:runhook:problem:"+test.kind {
				t.Errorf("type %v, want %s", problem["type"], test.kind)
			}
			if got.Header.Get("Www-Authenticate") != "" {
				t.Error("403 with WWW-Authenticate")
			}
		})
	}
	// Whether there is such a run is not told either.
	s.get(run.StatusPath(def.ID, 999)).problem(t, http.StatusForbidden)

	// The end, too, is for who has the signature.
	location := s.get(r.path() + right).Header.Get("Location")
	r.begin(0).end(run.Success, "done")
	path := strings.TrimPrefix(location, s.url)
	s.get(path).expect(t, http.StatusOK)
	s.get(r.path()).problem(t, http.StatusForbidden)
}

// A task with auth shows its runs by their signatures, or to its callers, whatever --run-links says.
func TestAuthSignsLinks(t *testing.T) {
	t.Parallel()
	keys := runKeys(t)
	secretsFile := filepath.Join(t.TempDir(), "secrets.yaml")
	if err := os.WriteFile(secretsFile, []byte("partner: a key of the partner\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	secrets, err := caller.LoadSecrets(secretsFile, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, func(o *status.Options) { o.Keys, o.Callers = keys, web.NewCallers(secrets, nil, zerolog.Nop()) })
	guarded, plain := s.submit(s.apply("Guarded", "auth: [{key: partner}]")), s.submit(s.apply("Plain"))
	s.get(plain.path()).expect(t, 202)
	s.get(guarded.path()).problem(t, 403)
	s.get(guarded.path(), "X-Api-Key", "another key of somebody").problem(t, 403)
	if location := s.get(guarded.path(), "X-Api-Key", "a key of the partner").expect(t, 202).Header.Get("Location"); location != s.url+guarded.path() {
		t.Errorf("Location %s", location)
	}
	query := keys.Query(web.ReadRun, s.StoreID(), guarded.doc.ExecuteID, guarded.number, time.Now().Add(time.Minute))
	if location := s.get(guarded.path()+query).expect(t, 202).Header.Get("Location"); location != s.url+guarded.path()+query {
		t.Errorf("Location %s, not %s", location, query)
	}
	guarded.begin(0).reject(1, run.RejectedChunk{Columns: []string{"ID"}, Rows: []run.RejectedRow{{Row: 1, Cells: []string{"1"}}}})
	rows := run.RejectedPath(guarded.doc.ExecuteID, guarded.number)
	s.get(rows).problem(t, 403)
	s.get(rows+query).problem(t, 403)
	s.get(rows, "X-Api-Key", "a key of the partner").expect(t, 200)
}

func TestPlainLinksCarryNoSignature(t *testing.T) {
	t.Parallel()
	s := open(t, func(o *status.Options) { o.Keys = runKeys(t) })
	r := s.submit(s.apply("Refresh"))
	if location := s.get(r.path()+"?sig=left-over").expect(t, 202).Header.Get("Location"); location != s.url+r.path() {
		t.Errorf("Location %s", location)
	}
}

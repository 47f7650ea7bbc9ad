package status_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"

	"runhook/services/status"
	"runhook/shared/caller"
	"runhook/shared/run"
	"runhook/shared/web"
)

// A task's credential opens its runs, and no other task's, wherever the caller puts it: Power Automate sends on
// the polls what its Authentication says, and no header that was typed by hand.
func TestPollsOfKnownCallers(t *testing.T) {
	t.Parallel()
	const partner, other = "a key of the partner", "a key of another one"
	file := filepath.Join(t.TempDir(), "secrets.yaml")
	if err := os.WriteFile(file, []byte("partner: "+partner+"\nother: "+other+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	secrets, err := caller.LoadSecrets(file, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, func(o *status.Options) {
		o.Keys = runKeys(t)
		o.Callers = web.NewCallers(secrets, new(web.Locator), zerolog.Nop())
	})
	r := s.submit(s.apply("Guarded", "auth: [{key: partner}, {hmac: other, scheme: github}]"))
	basic := func(password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte("flow:"+password))
	}
	right := [][]string{{"X-Api-Key", partner}, {"Authorization", "Bearer " + partner}, {"Authorization", basic(partner)}}
	for _, headers := range right {
		s.get(r.path(), headers...).expect(t, 202)
		s.get(run.RejectedPath(r.doc.ExecuteID, r.number), headers...).expect(t, 409) // the run has not ended
	}
	wrong := [][]string{
		nil,
		{"X-Api-Key", other},
		{"Authorization", "Bearer " + other},
		{"Authorization", basic(other)},
		{"Authorization", basic("")},
		// What GitHub would send with an empty body, signed with the other secret.
		{"X-Hub-Signature-256", "sha256=0838863597fd7fa533de9d4178ee04dd168266bf49507fbac959e4149d697910"},
	}
	for _, headers := range wrong {
		for _, path := range []string{r.path(), run.RejectedPath(r.doc.ExecuteID, r.number)} {
			if problem := s.get(path, headers...).problem(t, 403); problem["type"] != "urn:runhook:problem:signature-needed" {
				t.Errorf("%v", problem)
			}
		}
	}
	r.begin(0).end(run.Success, "done")
	for _, headers := range right {
		if cache := s.get(r.path(), headers...).expect(t, 200).Header.Get("Cache-Control"); cache != "private, no-cache" {
			t.Errorf("Cache-Control: %s", cache)
		}
	}

	// Guesses are bounded as POSTs are, and what fits costs none.
	limited := s.submit(s.apply("Limited", "auth: [{key: partner}]", "rate_limit: 2/h"))
	for _, want := range []int{202, 202, 202} {
		s.get(limited.path(), "X-Api-Key", partner).expect(t, want)
	}
	for _, want := range []int{403, 403, 429, 429} {
		if got := s.get(limited.path(), "X-Api-Key", other).expect(t, want); want == 429 && got.Header.Get("Retry-After") == "" {
			t.Errorf("%v", got.Header)
		}
	}
	s.get(limited.path(), "X-Api-Key", partner).expect(t, 429)
	s.get(limited.path()).expect(t, 403)
	s.get(r.path(), "X-Api-Key", partner).expect(t, 200)
}

package web

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"runhook/shared/run"
	"runhook/shared/task"
)

// A path that is taken means the same to a proxy, which may decode it and tidy it up, and to this server.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{"/task/execute/x", "/api/..%2fx", "/a//b/", "/.", "/%2e%2E", "/a%5cb", `/a\b`, "/...", "/.a/b.", "/%252f", "/%", "/a?b/../c", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if isCrooked([]byte(path)) {
			return
		}
		for segment := range strings.SplitSeq(path, "/") {
			plain, err := url.PathUnescape(segment)
			if err != nil {
				plain = segment
			}
			if plain == "." || plain == ".." || strings.ContainsAny(plain, `/\`) {
				t.Fatalf("%q is taken, and its segment %q is %q", path, segment, plain)
			}
		}
	})
}

// Nothing but the signature of a run opens it, before its time is over, and no other run.
func FuzzVerify(f *testing.F) {
	path := filepath.Join(f.TempDir(), "key")
	if err := CreateKeyFile(path); err != nil {
		f.Fatal(err)
	}
	keys, err := LoadKeys(path)
	if err != nil {
		f.Fatal(err)
	}
	const id, store = task.ID("555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd"), "s1"
	sign := func(scope Scope, n run.Number, until time.Time) string {
		return strings.TrimPrefix(keys.Query(scope, store, id, n, until), "?sig=")
	}
	later := time.Now().Add(24 * time.Hour)
	read, rows, over := sign(ReadRun, 7, later), sign(ReadRows, 7, later), sign(ReadRun, 7, time.Now().Add(-time.Hour))
	for _, sig := range []string{read, rows, over, "", "A", strings.Repeat("A", len(read)), read + "\n", read[:len(read)-1] + "_"} {
		f.Add(sig, uint64(7), false)
		f.Add(sig, uint64(8), true)
	}
	bytesOf := func(sig string) []byte { decoded, _ := base64.RawURLEncoding.DecodeString(sig); return decoded }
	f.Fuzz(func(t *testing.T, sig string, n uint64, toRows bool) {
		scope, opens := ReadRun, [][]byte{bytesOf(read), bytesOf(rows)}
		if toRows {
			scope, opens = ReadRows, opens[1:]
		}
		_, err := keys.Verify(sig, scope, store, id, run.Number(n))
		fits := false
		for _, one := range opens {
			fits = fits || bytes.Equal(bytesOf(sig), one)
		}
		if fits = fits && n == 7; fits != (err == nil) {
			t.Fatalf("%q over run %d gives %s: %v", sig, n, scope, err)
		}
	})
}

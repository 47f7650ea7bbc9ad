package web

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"strings"
	"sync"

	"runhook/shared/run"
	"runhook/shared/task"
)

// Scope is what a run's signature allows.
type Scope string

// The scopes.
const (
	// ReadRun allows reading the run's status where --run-links is signed.
	ReadRun Scope = "read"
	// ControlRun allows cancelling the run and reading its rejected rows, and what ReadRun allows.
	ControlRun Scope = "control"
)

const runKeyBytes = 32

// Keys sign runs: the first key signs, every key verifies, so that a new one can be put first
// while links signed with the old one still work. Keys are safe for concurrent use.
type Keys struct {
	keys []*signer
}

// signer is one key: HMACs that are ready for it, because most of the work is to get one ready.
type signer struct{ sync.Pool }

func newSigner(key []byte) *signer {
	return &signer{sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}}
}

// LoadKeys reads a --run-key-file: one key a line, 32 random bytes in base64. Empty lines and
// lines that begin with # are skipped. Errors name the file and the line, never a key.
func LoadKeys(path string) (*Keys, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("--run-key-file: there is no file %s; make one with `openssl rand -base64 32 > %s`", path, path)
	}
	if err != nil {
		return nil, fmt.Errorf("--run-key-file: %w", err)
	}
	keys := &Keys{}
	for i, line := range strings.Split(string(data), "\n") {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, err := base64.StdEncoding.DecodeString(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: this is not base64; a key is 32 random bytes in base64, as `openssl rand -base64 32` prints them", path, i+1)
		}
		if len(key) != runKeyBytes {
			return nil, fmt.Errorf("%s:%d: this key has %d bytes and must have %d, as `openssl rand -base64 32` prints them", path, i+1, len(key), runKeyBytes)
		}
		keys.keys = append(keys.keys, newSigner(key))
	}
	if len(keys.keys) == 0 {
		return nil, fmt.Errorf("%s: there is no key in this file; put one in with `openssl rand -base64 32 > %s`", path, path)
	}
	return keys, nil
}

// CreateKeyFile writes a new random key into a file that only its owner can read. A file that is
// already there is an error of fs.ErrExist and stays as it is.
func CreateKeyFile(path string) error {
	key := make([]byte, runKeyBytes)
	_, _ = rand.Read(key) // never fails
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("make the run key: %w", err)
	}
	_, err = file.WriteString(base64.StdEncoding.EncodeToString(key) + "\n")
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		_ = os.Remove(path) // half a key must not be read later
		return fmt.Errorf("make the run key: %w", err)
	}
	return nil
}

// Query is what an address ends in that gives scope over one run of one store: ?sig= and the signature. Nil
// keys leave the address plain.
func (k *Keys) Query(scope Scope, storeID string, id task.ID, n run.Number) string {
	if k == nil {
		return ""
	}
	return "?sig=" + base64.RawURLEncoding.EncodeToString(k.keys[0].sign(scope, storeID, id, n))
}

// Verify reports whether sig gives scope over the run, in a time that does not depend on how much
// of it is right.
func (k *Keys) Verify(sig string, scope Scope, storeID string, id task.ID, n run.Number) bool {
	given, err := base64.RawURLEncoding.DecodeString(sig)
	if err != nil {
		return false
	}
	valid := false
	for _, key := range k.keys {
		valid = hmac.Equal(given, key.sign(scope, storeID, id, n)) || valid
		if scope == ReadRun {
			valid = hmac.Equal(given, key.sign(ControlRun, storeID, id, n)) || valid
		}
	}
	return valid
}

func (s *signer) sign(scope Scope, storeID string, id task.ID, n run.Number) []byte {
	mac := s.Get().(hash.Hash)
	defer s.Put(mac)
	mac.Reset()
	// None of the parts can hold a line break, so no two inputs make the same text.
	mac.Write([]byte(string(scope) + "\n" + storeID + "\n" + string(id) + "\n" + n.String()))
	return mac.Sum(nil)
}

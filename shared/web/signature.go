package web

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"strconv"
	"strings"
	"sync"
	"time"

	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/tokenfile"
)

// Scope is what a run's signature allows.
type Scope string

// The scopes.
const (
	// ReadRun allows reading the run's status where links are signed.
	ReadRun Scope = "read"
	// ReadRows allows reading the run's rejected rows, and what ReadRun allows.
	ReadRows Scope = "rows"
	// ControlRun allows cancelling the run, and what ReadRun allows: no rows, for whoever starts a run may cancel it.
	ControlRun Scope = "control"
)

// givenBy are the scopes that allow what this one does.
func (s Scope) givenBy() []Scope {
	if s == ReadRun {
		return []Scope{ReadRun, ReadRows, ControlRun}
	}
	return []Scope{s}
}

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
	data, err := tokenfile.ReadPrivate(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("--run-key-file: there is no file %s; make one with `(umask 077; openssl rand -base64 32 > %s)`", path, path)
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

// Derive makes a key for another purpose of each key, in their order: none tells anything about the others.
func (k *Keys) Derive(purpose string) [][]byte {
	var derived [][]byte
	for _, key := range k.keys {
		mac := key.Get().(hash.Hash)
		mac.Reset()
		mac.Write([]byte("derive\n" + purpose)) // no scope is called so
		derived = append(derived, mac.Sum(nil))
		key.Put(mac)
	}
	return derived
}

// CreateKeyFile writes a new random key into a file that only its owner can read. A file that is
// already there is an error of fs.ErrExist and stays as it is.
func CreateKeyFile(path string) error {
	key := make([]byte, runKeyBytes)
	_, _ = rand.Read(key) // never fails
	if err := tokenfile.CreatePrivate(path, base64.StdEncoding.EncodeToString(key)); err != nil {
		return fmt.Errorf("make the run key: %w", err)
	}
	return nil
}

// The errors of Verify.
var (
	// ErrWrongSignature: the signature gives no such scope over the run.
	ErrWrongSignature = errors.New("the signature does not fit")
	// ErrLinkExpired: it did until its time was over.
	ErrLinkExpired = errors.New("the signature has expired")
)

// A signature is the second at which it expires, and the MAC of that and of what it opens.
const expiryBytes = 8

// Query is what an address ends in that gives scope over one run of one store, by the id that its caller used,
// until a moment: ?sig= and the signature. Nil keys leave the address plain.
func (k *Keys) Query(scope Scope, storeID string, called task.ID, n run.Number, until time.Time) string {
	if k == nil {
		return ""
	}
	expiry := uint64(max(0, until.Unix()))
	sig := binary.BigEndian.AppendUint64(make([]byte, 0, expiryBytes+sha256.Size), expiry)
	sig = k.keys[0].appendMAC(sig, scope, storeID, called, n, expiry)
	return "?sig=" + base64.RawURLEncoding.EncodeToString(sig)
}

// Verify returns until when sig gives scope over the run, or an error: in a time that does not depend on how
// much of it is right.
func (k *Keys) Verify(sig string, scope Scope, storeID string, called task.ID, n run.Number) (until time.Time, err error) {
	given, err := base64.RawURLEncoding.DecodeString(sig)
	if err != nil || len(given) != expiryBytes+sha256.Size {
		return time.Time{}, ErrWrongSignature
	}
	expiry, signed := binary.BigEndian.Uint64(given), given[expiryBytes:]
	valid := false
	for _, key := range k.keys {
		for _, given := range scope.givenBy() {
			valid = hmac.Equal(signed, key.appendMAC(nil, given, storeID, called, n, expiry)) || valid
		}
	}
	until = time.Unix(int64(expiry), 0)
	switch {
	case !valid:
		return time.Time{}, ErrWrongSignature
	case !time.Now().Before(until):
		return until, ErrLinkExpired
	}
	return until, nil
}

func (s *signer) appendMAC(to []byte, scope Scope, storeID string, called task.ID, n run.Number, expiry uint64) []byte {
	mac := s.Get().(hash.Hash)
	defer s.Put(mac)
	mac.Reset()
	// None of the parts can hold a line break, so no two inputs make the same text.
	mac.Write([]byte(string(scope) + "\n" + storeID + "\n" + string(called) + "\n" + n.String() + "\n" + strconv.FormatUint(expiry, 10)))
	return mac.Sum(to)
}

// Package tokenfile reads and makes the files of admin tokens, for the server that checks them and for the
// clients that send them. ReadPrivate and CreatePrivate are for every file that holds
// a secret.
package tokenfile

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	// leastBytes is the shortest token that is accepted: one that cannot be guessed.
	leastBytes = 16
	// madeBytes is how many random bytes a token has that Create makes.
	madeBytes = 32
	// mostBytes bounds a file of secrets.
	mostBytes = 1 << 20
)

// bareName is the name of a token on a line without one.
const bareName = "admin"

// Token is what opens the admin routes to who sends it.
type Token struct {
	// Name says whose it is, for the log.
	Name string
	// Secret is the token itself.
	Secret string
	// ReadOnly: it changes nothing.
	ReadOnly bool
}

// line is a token with its name, and what it is for.
var line = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._@-]{0,63})(\([^)]*\))?:\s*(.*)$`)

// Read reads a file of tokens, one a line: `name: token`, `name(read): token`, or the token alone. Empty
// lines and lines that begin with # are skipped. Errors name the file and the line, never a token.
func Read(path string) ([]Token, error) {
	data, err := ReadPrivate(path)
	if err != nil {
		return nil, err
	}
	var tokens []Token
	for i, text := range strings.Split(string(data), "\n") {
		if text = strings.TrimSpace(text); text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		token := Token{Name: bareName, Secret: text}
		if parts := line.FindStringSubmatch(text); parts != nil {
			token = Token{Name: parts[1], Secret: parts[3], ReadOnly: parts[2] == "(read)"}
			if parts[2] != "" && !token.ReadOnly {
				return nil, fmt.Errorf("%s:%d: a token is for everything, as in %s: TOKEN, or for reading, as in %[3]s(read): TOKEN", path, i+1, token.Name)
			}
		}
		if !fit(token.Secret) {
			return nil, fmt.Errorf("%s:%d: a token is at least %d visible characters on one line, alone or as in ann: TOKEN; make one with `openssl rand -hex 32`", path, i+1, leastBytes)
		}
		for _, other := range tokens {
			if other.Secret == token.Secret {
				return nil, fmt.Errorf("%s:%d: this token stands twice in the file; give each its own, made with `openssl rand -hex 32`", path, i+1)
			}
		}
		tokens = append(tokens, token)
	}
	if len(tokens) == 0 {
		return nil, fmt.Errorf("%s: there is no token in this file; put one in with `openssl rand -hex 32 > %[1]s`", path)
	}
	return tokens, nil
}

// fit reports whether a text can be a token.
func fit(secret string) bool {
	return len(secret) >= leastBytes && strings.IndexFunc(secret, func(c rune) bool { return c <= ' ' || c >= 0x7f }) < 0
}

// pipeLimit is how long the writer of a pipe may take.
const pipeLimit = 10 * time.Second

// ReadPrivate reads a file that only its owner, and those whom its group is for, may read, and that only its
// owner may change. Another file is an error that says what to do.
func ReadPrivate(path string) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it is only read
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	_ = file.SetReadDeadline(time.Now().Add(pipeLimit)) // a file has none
	// The rights of a pipe are those of whoever has made it, and Windows has others.
	if mode := info.Mode(); mode.IsRegular() && runtime.GOOS != "windows" {
		switch {
		case mode&0o022 != 0:
			return nil, fmt.Errorf("%s may be written by others (mode %04o), who could let themselves in; run `chmod 600 %[1]s`, and make its secrets anew", path, mode.Perm())
		case mode&0o004 != 0:
			return nil, fmt.Errorf("%s may be read by everybody on this machine (mode %04o); run `chmod 600 %[1]s`, and make its secrets anew", path, mode.Perm())
		}
	}
	data, err := io.ReadAll(io.LimitReader(file, mostBytes+1))
	if err == nil && len(data) > mostBytes {
		err = fmt.Errorf("%s has more than %d bytes, which no file of secrets has", path, mostBytes)
	}
	return data, err
}

// Create writes a new token into a file, as CreatePrivate does.
func Create(path string) error {
	secret := make([]byte, madeBytes)
	_, _ = rand.Read(secret) // never fails
	if err := CreatePrivate(path, hex.EncodeToString(secret)); err != nil {
		return fmt.Errorf("make the admin token: %w", err)
	}
	return nil
}

// CreatePrivate writes a secret, and a line break, into a file that only its owner can read. A file that is
// already there is an error of fs.ErrExist and stays as it is.
func CreatePrivate(path, secret string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(secret + "\n")
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		_ = os.Remove(path) // half a secret must not be read later
	}
	return err
}

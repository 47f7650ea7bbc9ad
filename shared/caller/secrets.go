package caller

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"unicode"

	"github.com/rs/zerolog"
	"go.yaml.in/yaml/v4"

	"runhook/shared/environ"
	"runhook/shared/tokenfile"
)

const (
	// minSecret is the shortest secret, in bytes: one that nobody guesses.
	minSecret = 16
	// maxAtOnce is how many secrets of one name hold at once: the present one and, while it is rotated, another.
	maxAtOnce = 2
	// hashed begins a key that stands in the file as its hash.
	hashed = "sha256:"
)

// Secrets are those of a --secrets file. They are safe for concurrent use; nil has none.
type Secrets struct {
	path  string
	log   zerolog.Logger
	named atomic.Pointer[map[string][]secret]
}

// secret is one of the secrets that hold under a name.
type secret struct {
	hash [sha256.Size]byte
	// text is nil where only the hash is known, and signing is nil where text is not a key of Standard Webhooks.
	text, signing []byte
}

// LoadSecrets reads a --secrets file: YAML, of which each line is a name and one secret, or two while it is
// rotated. ${NAME} in a secret is a variable of the environment. The error shows names and lines, never a
// secret.
func LoadSecrets(path string, log zerolog.Logger) (*Secrets, error) {
	s := &Secrets{path: path, log: log}
	return s, s.load()
}

// Reload reads the file again. If that fails, the log says so, and the secrets from before stay in force.
func (s *Secrets) Reload() {
	if s == nil {
		return
	}
	if err := s.load(); err != nil {
		s.log.Error().Err(err).Msg("the secrets were not read again; those from before stay in force")
		return
	}
	s.log.Info().Str("file", s.path).Int("names", len(*s.named.Load())).Msg("the secrets were read again")
}

func (s *Secrets) load() error {
	data, err := tokenfile.ReadPrivate(s.path)
	if err != nil {
		return fmt.Errorf("--secrets: %w", err)
	}
	named, err := parseSecrets(data, s.path)
	if err == nil {
		s.named.Store(&named)
	}
	return err
}

// of returns the secrets that hold under a name, none if there is no such name.
func (s *Secrets) of(name string) []secret {
	if s == nil {
		return nil
	}
	return (*s.named.Load())[name]
}

// parseSecrets reads the text of a --secrets file; file is how messages name it. The error has every problem.
func parseSecrets(data []byte, file string) (map[string][]secret, error) {
	var problems []error
	report := func(line int, format string, args ...any) {
		problems = append(problems, fmt.Errorf("%s:%d: %s", file, line, fmt.Sprintf(format, args...)))
	}
	named := map[string][]secret{}
	var document yaml.Node
	switch err := yaml.NewDecoder(bytes.NewReader(data)).Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%s: there is no secret in this file; put one in, as in partner: ${PARTNER_KEY}", file)
	case err != nil:
		line := 1
		if fault, ok := errors.AsType[*yaml.LoadError](err); ok {
			line = max(1, fault.Mark.Line)
		}
		// The parser's own words may quote the line, and a secret in it.
		report(line, "is not valid YAML here; check indentation, quotes and colons")
		return nil, problems[0]
	}
	root := document.Content[0]
	if root.Kind != yaml.MappingNode {
		report(root.Line, "must have a name and a secret a line, as in partner: ${PARTNER_KEY}")
		return nil, problems[0]
	}
	for i := 0; i < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		_, again := named[key.Value]
		values := []*yaml.Node{value}
		if value.Kind == yaml.SequenceNode {
			values = value.Content
		}
		switch {
		case key.Kind != yaml.ScalarNode || strings.TrimSpace(key.Value) == "" || key.ShortTag() == "!!merge":
			report(key.Line, "a secret's name must be text, and not empty")
			continue
		case again:
			report(key.Line, "%s is given twice", key.Value)
			continue
		case len(values) < 1 || len(values) > maxAtOnce:
			report(value.Line, "%s must have one secret, or two while it is rotated; it has %d", key.Value, len(values))
		}
		named[key.Value] = nil
		for _, node := range values {
			if node.Kind != yaml.ScalarNode || node.ShortTag() == "!!null" {
				report(node.Line, "%s must be text, or a list of two texts", key.Value)
				continue
			}
			text, faults := environ.Expand(node.Value)
			for _, fault := range faults {
				report(node.Line, "%s: %v", key.Value, fault)
			}
			read, err := readSecret(text)
			if err != nil && len(faults) == 0 {
				report(node.Line, "%s: %v", key.Value, err)
			}
			named[key.Value] = append(named[key.Value], read)
		}
	}
	return named, errors.Join(problems...)
}

// readSecret reads one secret, or the hash of one.
func readSecret(text string) (secret, error) {
	if digits, isHash := strings.CutPrefix(text, hashed); isHash {
		var read secret
		if n, err := hex.Decode(read.hash[:], []byte(digits[:min(len(digits), 2*sha256.Size)])); err != nil || n != sha256.Size || len(digits) != 2*sha256.Size {
			return read, errors.New("sha256: must be followed by 64 hexadecimal digits, as `printf %s \"$KEY\" | sha256sum` prints them")
		}
		return read, nil
	}
	if len(text) < minSecret || strings.ContainsFunc(text, unicode.IsControl) || strings.TrimSpace(text) != text {
		return secret{}, fmt.Errorf("a secret is one line of at least %d characters; make one with `openssl rand -hex 32`", minSecret)
	}
	read := secret{hash: sha256.Sum256([]byte(text)), text: []byte(text)}
	if signing, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "whsec_")); err == nil && len(signing) >= minSecret {
		read.signing = signing
	}
	return read, nil
}

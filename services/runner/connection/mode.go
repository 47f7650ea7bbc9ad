package connection

import (
	"fmt"
	"io/fs"
	"runtime"
	"strings"

	"go.yaml.in/yaml/v4"

	"runhook/shared/environ"
)

// checkMode refuses a file that everybody on this machine may change, and could so lead credentials elsewhere, and one
// with secrets of its own that everybody may read. path is how messages name it. The error is an [*Invalid].
func (s *Set) checkMode(mode fs.FileMode, path string) error {
	var problem Problem
	switch {
	case runtime.GOOS == "windows": // which has other rights
		return nil
	case mode&0o002 != 0:
		problem.Message = fmt.Sprintf("may be changed by everybody on this machine (mode %04o), who could lead its credentials elsewhere; run `chmod o-w %s`", mode.Perm(), s.file)
	case mode&0o004 != 0 && s.literal != nil:
		problem = *s.literal
		problem.Message += fmt.Sprintf(", and everybody on this machine may read the file (mode %04o); run `chmod 600 %s` and change that secret, or take it from the environment, as in ${NAME}", mode.Perm(), s.file)
	default:
		return nil
	}
	return &Invalid{File: path, Problems: []Problem{problem}}
}

// secret notes a secret that the file holds itself, if it does.
func (r *reader) secret(value *yaml.Node, format string, args ...any) {
	if r.set.literal == nil && value.Kind == yaml.ScalarNode && environ.IsLiteral(value.Value) {
		r.set.literal = &Problem{Line: value.Line, Message: fmt.Sprintf(format, args...)}
	}
}

// secretWords are what the names of headers have in them whose values are secrets.
var secretWords = []string{"auth", "cookie", "key", "pass", "secret", "sig", "token"}

// isSecret reports whether a header's value is a secret, as far as that can be told.
func isSecret(header, value string) bool {
	header = strings.ToLower(header)
	for _, word := range secretWords {
		if strings.Contains(header, word) {
			return true
		}
	}
	scheme, _, found := strings.Cut(strings.TrimSpace(value), " ")
	return found && (strings.EqualFold(scheme, "Bearer") || strings.EqualFold(scheme, "Basic"))
}

//go:build !unix

package proctest

import (
	"errors"
	"os/exec"
	"os/user"
)

// Unprivileged is who runs a server that refuses to be run by root.
func Unprivileged(...string) (*user.User, error) {
	return nil, errors.New("it is started on Unix only")
}

// Own gives a file or folder to somebody.
func Own(string, *user.User) error { return nil }

// As has a command run by somebody.
func As(*exec.Cmd, *user.User) error { return nil }

// KillBy kills the process whose number is on the first line of a file.
func KillBy(string) error { return errors.New("servers are killed on Unix only") }

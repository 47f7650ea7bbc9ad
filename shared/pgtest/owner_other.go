//go:build !unix

package pgtest

import (
	"errors"
	"os/exec"
	"os/user"
)

func owner() (*user.User, error) { return nil, errors.New("it is started on Unix only") }

func (*Server) own(string) error { return nil }

func as(*exec.Cmd, *user.User) error { return nil }

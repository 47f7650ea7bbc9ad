//go:build unix

package pgtest

import (
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// owner is who the server is run by: it refuses to be run by root.
func owner() (*user.User, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	if known, err := user.Lookup("postgres"); err == nil {
		return known, nil
	}
	return user.Lookup("nobody")
}

// own gives a file or folder of the server to who runs it.
func (s *Server) own(path string) error {
	if s.owner == nil {
		return nil
	}
	id, group := ids(s.owner)
	return os.Chown(path, id, group)
}

// as has a command run by somebody, in a group of its own, so that a key pressed at the tests does not end it.
func as(command *exec.Cmd, who *user.User) error {
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if who != nil {
		id, group := ids(who)
		command.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(id), Gid: uint32(group)}
	}
	return nil
}

func ids(who *user.User) (id, group int) {
	id, _ = strconv.Atoi(who.Uid)
	group, _ = strconv.Atoi(who.Gid)
	return id, group
}

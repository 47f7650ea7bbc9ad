//go:build unix

package proctest

import (
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// Unprivileged is who runs a server that refuses to be run by root: the first account of those names that there is, or
// nobody. It is nil if this process is not root's.
func Unprivileged(names ...string) (*user.User, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range names {
		if known, err := user.Lookup(name); err == nil {
			return known, nil
		}
	}
	return user.Lookup("nobody")
}

// Own gives a file or folder to somebody, unless that is nil.
func Own(path string, who *user.User) error {
	if who == nil {
		return nil
	}
	id, group := ids(who)
	return os.Chown(path, id, group)
}

// As has a command run by somebody, unless that is nil, in a group of its own, so that a key pressed at the tests does
// not end it.
func As(command *exec.Cmd, who *user.User) error {
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if who != nil {
		id, group := ids(who)
		command.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(id), Gid: uint32(group)}
	}
	return nil
}

// KillBy kills the process whose number is on the first line of a file.
func KillBy(file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(string(content), "\n")
	id, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil {
		return err
	}
	return syscall.Kill(id, syscall.SIGKILL)
}

func ids(who *user.User) (id, group int) {
	id, _ = strconv.Atoi(who.Uid)
	group, _ = strconv.Atoi(who.Gid)
	return id, group
}

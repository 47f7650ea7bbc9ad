package proctest

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Service is a server of another program that runs as long as this process, in a folder of its own and on a free port of
// the loopback address. It is started again whenever it ends.
type Service struct {
	// Folder is where it keeps everything, and goes with the process; Port is where it listens.
	Folder, Port string
	// Owner is the account that it runs under, since such servers refuse root's; nil for that of this process.
	Owner *user.User

	input io.Closer // what the shell reads, until this process is gone
}

// started are the services of this process: one that nobody knew any more would be collected, and its input closed.
var started struct {
	sync.Mutex
	services []*Service
}

// NewService makes the folder and finds the port, for a server whose account on Debian is named.
func NewService(account string) (*Service, error) {
	s := &Service{}
	var err error
	if s.Owner, err = Unprivileged(account); err != nil {
		return nil, err
	}
	if s.Folder, err = os.MkdirTemp("", "runhook-"+account+"-"); err != nil {
		return nil, err
	}
	if err := s.Own(s.Folder); err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	_, s.Port, err = net.SplitHostPort(address)
	return s, err
}

// Own gives the server a file or a folder.
func (s *Service) Own(path string) error { return Own(path, s.Owner) }

// Address is the server's host and port.
func (s *Service) Address() string { return "127.0.0.1:" + s.Port }

// Start runs the server by three parts of a shell script, in its folder: prepare what it needs, serve until it ends, and
// end it. In them $1 is the folder, $2 the port, and the arguments follow. It returns when ping finds the server up, or
// with what the server, or making it, has said.
func (s *Service) Start(prepare, serve, end string, ping func() error, arguments ...string) error {
	// The shell ends the server when this process is gone, which closes its input, and takes the folder away. Somebody may
	// have done that before, as whoever runs the tests with a place of their own for files: then it ends its group.
	script := `set -e
cd "$1"
trap '' INT TERM HUP
{ ` + prepare + `
} >make.log 2>&1 || { cat make.log; exit 1; }
serve() {
	` + serve + ` >>server.log 2>&1
}
while [ -d "$1" ] && [ ! -e "$1/stopped" ]; do serve "$@" || sleep 0.1; done & # it is there again after a crash
server=$!
echo started
cat >/dev/null
{ touch "$1/stopped" && ` + end + `; } || kill -KILL 0
wait $server || true
cd /
rm -rf "$1"
`
	command := exec.Command("/bin/sh", append([]string{"-c", script, "service", s.Folder, s.Port}, arguments...)...)
	command.Dir = s.Folder
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "HOME=" + s.Folder}
	if err := As(command, s.Owner); err != nil {
		return err
	}
	input, err := command.StdinPipe()
	if err != nil {
		return err
	}
	s.input = input
	started.Lock()
	started.services = append(started.services, s)
	started.Unlock()
	log := filepath.Join(s.Folder, "shell.log")
	output, err := os.Create(log)
	if err != nil {
		return err
	}
	defer output.Close()
	command.Stdout, command.Stderr = output, output
	if err := command.Start(); err != nil {
		return err
	}
	for limit := time.Now().Add(Limit); ; time.Sleep(20 * time.Millisecond) {
		unanswered := ping()
		if unanswered == nil {
			return nil
		}
		said, _ := os.ReadFile(log)
		if text := strings.TrimSpace(string(said)); text != "" && text != "started" {
			return fmt.Errorf("it cannot be made: %s", text)
		}
		if time.Now().After(limit) {
			said, _ := os.ReadFile(filepath.Join(s.Folder, "server.log"))
			return fmt.Errorf("it does not answer: %w\n%s", unanswered, said)
		}
	}
}

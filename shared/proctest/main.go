package proctest

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// Role is what a package's test binary does instead of running tests when Self has started it.
type Role struct {
	Name string
	Play func() error
}

const roleVariable = "RUNHOOK_TEST_ROLE"

// Self is a command that starts this test binary in a role, with more variables in its environment, each
// a NAME=value.
func Self(role string, environment ...string) *exec.Cmd {
	command := exec.Command(os.Args[0])
	command.Env = append(append(os.Environ(), roleVariable+"="+role), environment...)
	return command
}

// Main is a package's TestMain. It plays the role that Self has started this process for, or runs the
// package's tests and fails them when a goroutine is left behind. Settings of the program in the
// environment are not those of the tests. m is a [testing.M].
func Main(m interface{ Run() int }, roles ...Role) {
	for _, role := range roles {
		if role.Name == os.Getenv(roleVariable) {
			if err := role.Play(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "RUNHOOK_") && !strings.HasPrefix(name, "RUNHOOK_TEST_") {
			_ = os.Unsetenv(name)
		}
	}
	code := m.Run()
	_ = os.RemoveAll(programDir)
	for over := time.Now().Add(30 * time.Second); code == 0; time.Sleep(10 * time.Millisecond) {
		left := leftBehind()
		if left == "" {
			break
		}
		if time.Now().After(over) {
			fmt.Fprintln(os.Stderr, "a goroutine is left behind:\n\n"+left)
			code = 1
		}
	}
	os.Exit(code)
}

// lasting are parts of the stacks of goroutines that outlive what started them.
var lasting = []string{
	"nats-server/v2/server.",                       // the embedded server does not wait for all of its own after a stop
	"nats-server/v2/server/ats.",                   // its clock runs on where a stream was made while the server stopped
	"github.com/valyala/fasthttp.updateServerDate", // the clock of the Date header runs for the process's life
	"fasthttp.(*TCPDialer).tcpAddrsClean",          // and so does the dialer of its clients
	"os/signal.loop",
	// Putting an object may leave it behind where it starts late: its channel is nil by then (seen with nats.go 1.55.0).
	"jetstream.(*jetStream).resetPendingAcksOnReconnect",
}

// leftBehind returns the stack of a goroutine besides the one that asks and those that last.
func leftBehind() string {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
next:
	for i, stack := range strings.Split(string(stacks), "\n\n") {
		if i == 0 {
			continue
		}
		for _, part := range lasting {
			if strings.Contains(stack, part) {
				continue next
			}
		}
		return stack
	}
	return ""
}

package bustest

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// Main runs a package's tests and fails them when a goroutine of this module is left behind. The
// embedded server's own goroutines, some of which outlive its shutdown for a while, do not count.
// m is a [testing.M], or what wraps one.
func Main(m interface{ Run() int }) {
	code := m.Run()
	for limit := time.Now().Add(5 * time.Second); code == 0; time.Sleep(10 * time.Millisecond) {
		left := ours()
		if left == "" {
			break
		}
		if time.Now().After(limit) {
			fmt.Fprintln(os.Stderr, "a goroutine is left behind:\n\n"+left)
			code = 1
		}
	}
	os.Exit(code)
}

// ours returns the stack of one goroutine that runs code of this module, besides the one that asks.
func ours() string {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for i, stack := range strings.Split(string(stacks), "\n\n") {
		if i > 0 && strings.Contains(stack, "runhook/") && !strings.Contains(stack, "nats-server/v2/server.") {
			return stack
		}
	}
	return ""
}

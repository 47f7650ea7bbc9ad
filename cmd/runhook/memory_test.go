//go:build !bench

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"runhook/shared/proctest"
)

// The program keeps to its limit of memory, and its heap grows as it should, unless the environment says otherwise.
func TestServeKeepsToALimitOfMemory(t *testing.T) {
	t.Parallel()
	for _, of := range []struct {
		environment []string
		want        map[string]float64
	}{
		{nil, map[string]float64{"go_gc_gomemlimit_bytes": usualMemory, "go_gc_gogc_percent": heapGrowth}},
		{[]string{"GOMEMLIMIT=1GiB", "GOGC=70"}, map[string]float64{"go_gc_gomemlimit_bytes": 1 << 30, "go_gc_gogc_percent": 70}},
	} {
		command := exec.Command(proctest.Program(t), newSite(t).args()...)
		command.Env = append(os.Environ(), of.environment...)
		i := child(t, command).listening()
		for name, want := range of.want {
			eventually(t, i, name, func() bool { return strings.Contains(body(t, i.url+"/metrics"), fmt.Sprintf("\n%s %g\n", name, want)) })
		}
		i.end()
	}
}

const memoryRole = "memory"

// The limit goes up where more is in use, and down again when that has gone. It is of a process of its own.
func TestALimitOfMemoryFollowsWhatIsInUse(t *testing.T) {
	t.Parallel()
	p := proctest.Start(t, proctest.Self(memoryRole))
	select {
	case <-p.Ended():
	case <-time.After(limit):
		p.Signal(syscall.SIGKILL)
		t.Fatalf("the limit does not follow: %s%s", p.Out, p.Log)
	}
	if code := p.Wait(); code != 0 {
		t.Fatalf("exit code %d: %s%s", code, p.Out, p.Log)
	}
}

// useMemory ends when the limit has gone up and down.
func useMemory() error {
	const usual, used = 48 << 20, 128 << 20
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go (&memory{usual: usual, every: 50 * time.Millisecond}).balance(ctx)
	type link struct {
		next *link
		_    [56]byte
	}
	var all *link
	var garbage []byte
	for range used / 64 {
		all = &link{next: all}
	}
	fmt.Println("more is in use than the usual")
	for debug.SetMemoryLimit(-1) < 2*used {
		garbage = make([]byte, 1<<20)
	}
	runtime.KeepAlive(all)
	fmt.Println("the limit has gone up")
	all = nil
	for debug.SetMemoryLimit(-1) > usual {
		garbage = make([]byte, 1<<20)
		time.Sleep(time.Millisecond)
	}
	runtime.KeepAlive(garbage)
	return nil
}

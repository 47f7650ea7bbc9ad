// Package proctest is about the processes of tests: the one that runs them, and those that they start,
// await, signal and kill.
package proctest

import (
	"errors"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Limit bounds each wait of a test. It ends only what hangs, so it is long enough for a machine that
// has other things to do.
const Limit = 2 * time.Minute

// Process is a program that a test has started.
type Process struct {
	// Out is what it writes to its standard output, Log what it writes to its standard error.
	Out, Log *Output

	t       testing.TB
	command *exec.Cmd
	ended   chan struct{}
}

// Start starts a command as a process, which is killed at the end of the test at the latest. What the
// race detector reports of it fails the test, and what it wrote is logged when the test has failed.
func Start(t testing.TB, command *exec.Cmd) *Process {
	t.Helper()
	p := &Process{Out: NewOutput(), Log: NewOutput(), t: t, command: command, ended: make(chan struct{})}
	command.Stdout, command.Stderr = p.Out, p.Log
	command.WaitDelay = 15 * time.Second // a child of its own may have kept its outputs
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = command.Wait()
	}()
	t.Cleanup(func() {
		p.Kill()
		if log := p.Log.String(); strings.Contains(log, "DATA RACE") {
			t.Errorf("a data race in %s:\n%s", p, log)
		} else if t.Failed() {
			t.Logf("%s printed:\n%s%s", p, p.Out, log)
		}
	})
	return p
}

// String is the program's name and its arguments.
func (p *Process) String() string {
	return strings.Join(append([]string{filepath.Base(p.command.Path)}, p.command.Args[1:]...), " ")
}

// Pid is the process's number.
func (p *Process) Pid() int { return p.command.Process.Pid }

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Await waits until the standard output matches a pattern, and returns the submatches. It fails the
// test when the process ends before.
func (p *Process) Await(pattern string) []string {
	p.t.Helper()
	found := p.Out.Await(p.t, pattern, p.ended)
	if found == nil {
		p.t.Fatalf("%s ended before it printed %q: %s", p, pattern, p.command.ProcessState)
	}
	return found
}

// Signal sends a signal. A process that has ended does not get it.
func (p *Process) Signal(signal syscall.Signal) { _ = p.command.Process.Signal(signal) }

// Kill ends the process with SIGKILL and waits until it has ended.
func (p *Process) Kill() {
	p.t.Helper()
	_ = p.command.Process.Kill()
	p.Wait()
}

// Wait waits for the process's end and returns its exit code, -1 when a signal ended it.
func (p *Process) Wait() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(Limit):
		p.t.Fatalf("%s has not ended in %s\n%s", p, Limit, p.Log)
	}
	return p.command.ProcessState.ExitCode()
}

// Until asks again and again until try returns no error. It is for what no event tells. It looks less and
// less often, since a look may cost a server something that stays for a while, such as a consumer.
func Until(t testing.TB, try func() error) {
	t.Helper()
	over := time.Now().Add(Limit)
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, 250*time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(over) {
			t.Fatalf("not within %s: %v", Limit, err)
		}
		time.Sleep(pause)
	}
}

// Eventually is Until for a condition.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	Until(t, func() error {
		if !holds() {
			return errors.New(what)
		}
		return nil
	})
}

// Output collects what a program writes, and lets a test wait for it.
type Output struct {
	mu      sync.Mutex
	text    []byte
	changed chan struct{}
}

// NewOutput makes an empty output.
func NewOutput() *Output { return &Output{changed: make(chan struct{})} }

// Write adds to the output.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	o.text = append(o.text, p...)
	return len(p), nil
}

// String is everything that was written so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}

// Await waits until the output matches a pattern, and returns the submatches. It returns nil when
// ended, which may be nil, is closed before.
func (o *Output) Await(t testing.TB, pattern string, ended <-chan struct{}) []string {
	t.Helper()
	matcher, over := regexp.MustCompile(pattern), time.After(Limit)
	for {
		o.mu.Lock()
		changed, found := o.changed, matcher.FindStringSubmatch(string(o.text))
		o.mu.Unlock()
		if found != nil {
			return found
		}
		select {
		case <-changed:
		case <-ended:
			return matcher.FindStringSubmatch(o.String())
		case <-over:
			t.Fatalf("no %q in %s:\n%s", pattern, Limit, o)
		}
	}
}

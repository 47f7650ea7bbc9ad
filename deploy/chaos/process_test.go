//go:build chaos

package chaos

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startLimit bounds how long a process may take until it is ready, and stopLimit how long until it
// has ended after a signal. Both are for a machine that is busy with other things.
const (
	startLimit = 5 * time.Minute
	stopLimit  = 60 * time.Second
)

// process is one program of the house. It is started again by whoever killed it, and, like a service
// manager would, by itself when it ends before it was ready.
type process struct {
	name string
	path string
	args []string
	env  []string
	// ready is the address that answers 200 when it works; empty means that it is ready at once.
	ready string
	log   string

	mu      sync.Mutex
	command *exec.Cmd
	ended   chan struct{}
	// wanted: the process is to run, so that an end is one that nobody asked for.
	wanted bool
	paused bool
	// starts counts how often it was started, refused how often it ended before it was ready, and begun is when it was
	// started.
	starts, refused int
	begun           []time.Time
	// died says how it ended when nobody asked for it after it had been ready.
	died     string
	wasReady bool
}

// start starts the process and keeps it running until somebody ends it.
func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted = true
	return p.launch()
}

// launch starts the process once; p.mu is held.
func (p *process) launch() error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	fmt.Fprintf(log, "{\"time\":%q,\"chaos\":\"started\"}\n", time.Now().Format(time.RFC3339Nano))
	command := exec.Command(p.path, p.args...)
	command.Env = append(os.Environ(), p.env...)
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	p.command, p.ended, p.wasReady = command, ended, false
	p.starts++
	p.begun = append(p.begun, time.Now())
	go func() {
		_ = command.Wait()
		close(ended)
		p.revive(command)
	}()
	return nil
}

// revive starts a process again that ended by itself.
func (p *process) revive(ended *exec.Cmd) {
	p.mu.Lock()
	again := p.wanted && p.command == ended
	if again && p.wasReady {
		p.died = fmt.Sprintf("%s ended by itself: %s", p.name, ended.ProcessState)
	}
	if again && !p.wasReady {
		p.refused++
	}
	p.mu.Unlock()
	if !again {
		return
	}
	time.Sleep(500 * time.Millisecond)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wanted && p.command == ended {
		if err := p.launch(); err != nil {
			p.died = err.Error()
		}
	}
}

// end ends the process with a signal, and with a second one where after is positive. It returns the
// exit code and how long it took, or an error when it took too long.
func (p *process) end(signal syscall.Signal, after time.Duration) (code int, took time.Duration, err error) {
	p.mu.Lock()
	p.wanted = false
	command, ended := p.command, p.ended
	p.mu.Unlock()
	if command == nil {
		return -1, 0, fmt.Errorf("%s was never started", p.name)
	}
	asked := time.Now()
	_ = command.Process.Signal(signal)
	if p.isPaused() {
		p.resume()
	}
	if after > 0 {
		select {
		case <-ended:
		case <-time.After(after):
			_ = command.Process.Signal(signal)
		}
	}
	select {
	case <-ended:
		return command.ProcessState.ExitCode(), time.Since(asked), nil
	case <-time.After(stopLimit):
		_ = command.Process.Kill()
		<-ended
		return -1, stopLimit, fmt.Errorf("%s did not end within %s of %s", p.name, stopLimit, signal)
	}
}

func (p *process) kill() { _, _, _ = p.end(syscall.SIGKILL, 0) }

func (p *process) pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paused = true
	_ = p.command.Process.Signal(syscall.SIGSTOP)
}

func (p *process) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paused = false
	_ = p.command.Process.Signal(syscall.SIGCONT)
}

func (p *process) isPaused() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.paused
}

// isReady asks the process whether it works.
func (p *process) isReady() bool {
	if p.ready == "" {
		return true
	}
	answer, err := shortly.Get(p.ready)
	if err != nil {
		return false
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wasReady = true
	return true
}

// awaitReady waits until the process works.
func (p *process) awaitReady() error {
	for limit := time.Now().Add(startLimit); ; time.Sleep(50 * time.Millisecond) {
		if p.isReady() {
			return nil
		}
		if time.Now().After(limit) {
			return fmt.Errorf("%s is not ready after %s; the end of its log:\n%s", p.name, startLimit, tail(p.log, 4000))
		}
	}
}

// shortly is for questions whose answer is at hand.
var shortly = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// tail is the end of a file.
func tail(path string, bytes int) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-bytes):])
}

// grep returns the lines of a file that hold any of the texts.
func grep(path string, texts ...string) (lines []string) {
	data, err := os.ReadFile(path)
	if err != nil {
		return []string{err.Error()}
	}
	for line := range bytes.Lines(data) {
		for _, text := range texts {
			if bytes.Contains(line, []byte(text)) {
				lines = append(lines, strings.TrimSpace(string(line)))
				break
			}
		}
	}
	return lines
}

// A process that could not be started has nothing to end.
func TestEndOfWhatNeverStarted(t *testing.T) {
	p := &process{name: "none", path: "/none", log: t.TempDir() + "/log"}
	if err := p.start(); err == nil {
		t.Error("it starts")
	}
	if _, _, err := p.end(syscall.SIGTERM, 0); err == nil {
		t.Error("it has ended")
	}
}

//go:build unix

package proctest

import "syscall"

// Pause stops the process with SIGSTOP, and returns when none of its threads runs any more. SIGCONT has it go on.
func (p *Process) Pause() {
	p.t.Helper()
	p.Signal(syscall.SIGSTOP)
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(p.Pid(), &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		p.t.Fatalf("%s was not stopped: %v", p, err)
	}
}

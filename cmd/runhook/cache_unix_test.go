//go:build unix && !bench

package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"runhook/shared/client"
	"runhook/shared/proctest"
)

// A history that this user may not write is made again where the folder may be written. Otherwise the log says what to
// do, and everything but the history is as it should be. The program is not root.
func TestAHistoryThatMayNotBeWritten(t *testing.T) {
	t.Parallel()
	program := proctest.Program(t)
	for name, c := range map[string]struct {
		file, folder fs.FileMode
		says         string
	}{"the file": {0o444, 0o700, `"the history is damaged`}, "the folder": {0o444, 0o555, `pass --cache DIR`}} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			i := begin(t, s.args()...).listening()
			i.awaitEnd(i.start(s.copy, nil))
			if got := i.found("--outcome", "success"); got != "1" {
				t.Fatalf("listed: %s", got)
			}
			i.end()
			for dir := s.dir; dir != os.TempDir() && len(dir) > len(os.TempDir()); dir = filepath.Dir(dir) {
				if err := os.Chmod(dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Chmod(filepath.Dir(program), 0o755); err != nil {
				t.Fatal(err)
			}
			const nobody = 65534
			command := exec.Command(program, s.args()...)
			if os.Getuid() == 0 {
				command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
				err := filepath.WalkDir(s.dir, func(path string, _ fs.DirEntry, err error) error {
					if err != nil {
						return err
					}
					return os.Chown(path, nobody, nobody)
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			cache := s.path("data/cache")
			for path, mode := range map[string]fs.FileMode{filepath.Join(cache, "history.db"): c.file, cache: c.folder} {
				if err := os.Chmod(path, mode); err != nil {
					t.Fatal(err)
				}
			}
			t.Cleanup(func() { _ = os.Chmod(cache, 0o755) })
			p := proctest.Start(t, command)
			i = (&instance{t: t, out: p.Out, log: p.Log, ended: p.Ended(), process: p, description: p.String(), args: command.Args, stop: func() { p.Signal(syscall.SIGTERM) }}).listening()
			if doc := i.awaitEnd(i.start(s.copy, nil)); doc.RowsProcessed != 3 {
				t.Errorf("%+v", doc)
			}
			i.log.Await(t, c.says, i.ended)
			if got := i.found(); got != "2 1" {
				t.Errorf("listed: %s", got)
			}
			if c.folder == 0o700 {
				eventually(t, i, "the history is made again", func() bool {
					list, err := i.client.Runs(t.Context(), client.Filter{Outcome: "success", Since: time.Now().Add(-time.Hour)}, 0)
					return err == nil && list.History == nil && len(list.Runs) == 2
				})
				return
			}
			if code, _, messages := call(t, "runs", "list", "--failed", "--server", i.url); code != exitFailed || !strings.Contains(messages, "The index of runs cannot be used at the moment") {
				t.Errorf("exit code %d, %s", code, messages)
			}
		})
	}
}

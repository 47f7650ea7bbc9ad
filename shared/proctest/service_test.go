//go:build unix

package proctest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// A server is started again when it ends, and gone when this process is, also where somebody has removed its folder.
func TestServiceEnds(t *testing.T) {
	t.Parallel()
	for name, removed := range map[string]bool{"its folder is there": false, "its folder was removed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := NewService("nobody")
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(s.Folder, "pid")
			number := func() (n int, err error) {
				text, err := os.ReadFile(file)
				if err == nil {
					n, err = strconv.Atoi(strings.TrimSpace(string(text)))
				}
				return n, err
			}
			ping := func() error { _, err := number(); return err }
			if err := s.Start("true", `sh -c 'echo $$ >pid; exec sleep 3600'`, "kill -KILL $(cat pid)", ping); err != nil {
				t.Fatal(err)
			}
			first, err := number()
			if err != nil {
				t.Fatal(err)
			}
			if err := KillBy(file); err != nil {
				t.Fatal(err)
			}
			last := first
			Eventually(t, "it runs again", func() bool {
				last, err = number()
				return err == nil && last != first
			})
			if removed {
				if err := os.RemoveAll(s.Folder); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.input.Close(); err != nil { // as when this process ends
				t.Fatal(err)
			}
			Until(t, func() error {
				left, _ := os.ReadDir(s.Folder) // the folder itself may be in one that the server may not write
				if err := syscall.Kill(last, 0); !errors.Is(err, syscall.ESRCH) || len(left) > 0 {
					return fmt.Errorf("process %d: %v, in its folder: %v", last, err, left)
				}
				return nil
			})
		})
	}
}

// A server runs on when nobody knows its Service any more.
func TestServiceIsNotCollected(t *testing.T) {
	t.Parallel()
	collected := make(chan struct{})
	folder := func() string {
		s, err := NewService("nobody")
		if err != nil {
			t.Fatal(err)
		}
		pid := filepath.Join(s.Folder, "pid")
		if err := s.Start("true", `sh -c 'echo $$ >pid; exec sleep 3600'`, "kill -KILL $(cat pid)", func() error { _, err := os.Stat(pid); return err }); err != nil {
			t.Fatal(err)
		}
		runtime.AddCleanup(s, func(done chan struct{}) { close(done) }, collected)
		return s.Folder
	}()
	for range 3 {
		runtime.GC()
	}
	select {
	case <-collected:
		t.Error("the service of", folder, "was collected, which closes the input of its shell")
	default:
	}
}

//go:build unix

package csvfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"runhook/shared/task"
)

// A pipe that comes into a file's place, at whatever moment, keeps no run waiting.
func TestPipes(t *testing.T) {
	folder := t.TempDir()
	pipe := filepath.Join(folder, "out.csv")
	set := connections(t, folder)
	put := func() {
		t.Helper()
		if err := os.Remove(pipe); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(pipe, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put()
	if _, err := Open(t.Context(), set, &task.CSVSource{Connection: "drop", Path: "out.csv"}); err == nil || !strings.Contains(err.Error(), "is not a file") {
		t.Errorf("a source: %v", err)
	}
	for _, action := range []task.Action{task.Append, task.Replace} {
		if err := os.Remove(pipe); err != nil {
			t.Fatal(err)
		}
		d := create(t, folder, action)
		put()
		orphan := filepath.Join(folder, d.temporaryName(strings.Repeat("X", 26)))
		if err := syscall.Mkfifo(orphan, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Size(t.Context()); err == nil || !strings.Contains(err.Error(), "is not a file") {
			t.Errorf("the size of what is there: %v", err)
		}
		if err := d.keepOther(); err != nil {
			t.Errorf("%s: %v", action, err)
		}
		err := d.Write(t.Context(), rows("a", 0, 1), anyTime)
		if action == task.Append && (err == nil || !strings.Contains(err.Error(), "is not a file")) || action == task.Replace && err != nil {
			t.Errorf("%s: %v", action, err)
		}
		d.removeOrphan(filepath.Base(orphan))
		d.Close()
		if err := os.Remove(orphan); err != nil {
			t.Fatal(err)
		}
	}
}

// What is written is for its owner, unless somebody has made the file for others too.
func TestModes(t *testing.T) {
	for _, action := range []task.Action{task.Append, task.Replace} {
		folder := t.TempDir()
		out := filepath.Join(folder, "out.csv")
		for _, want := range []os.FileMode{0o600, 0o640} {
			d := create(t, folder, action)
			if err := errors.Join(d.Write(t.Context(), rows("a", 0, 1), anyTime), d.Finish(t.Context())); err != nil {
				t.Fatal(err)
			}
			d.Close()
			info, err := os.Stat(out)
			if err != nil || info.Mode().Perm() != want {
				t.Errorf("%s: %v, %v, want %v", action, info.Mode(), err, want)
			}
			if err := os.Chmod(out, 0o640); err != nil {
				t.Fatal(err)
			}
		}
	}
}

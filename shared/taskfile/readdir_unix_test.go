//go:build unix

package taskfile

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"runhook/shared/task"
)

// A pipe among the task files keeps none of the others from being read.
func TestReadDirWithAPipe(t *testing.T) {
	id := task.NewID()
	dir := folder(t, map[string]string{"b.yaml": string(NewFile(id, "B"))})
	if err := syscall.Mkfifo(filepath.Join(dir, "a.yaml"), 0o600); err != nil {
		t.Fatal(err)
	}
	defs, err := ReadDir(dir)
	if len(defs) != 1 || err == nil || !strings.Contains(err.Error(), "a.yaml:1: not a regular file") {
		t.Errorf("%q, %v", names(defs), err)
	}
	if _, def, err := FindFile(dir, id); def == nil || err != nil {
		t.Errorf("%v, %v", def, err)
	}
	if _, err := ReadFile(filepath.Join(dir, "a.yaml")); err == nil {
		t.Error("a pipe is a task")
	}
}

//go:build unix

package plainfile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"runhook/shared/proctest"
)

func TestMain(m *testing.M) { proctest.Main(m) }

// A pipe that nobody writes to, and what else is no file, are told from files without a wait.
func TestNoFile(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := errors.Join(syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600), os.Mkdir(filepath.Join(dir, "folder"), 0o700), os.Symlink("pipe", filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"pipe", "folder", "link"} {
		if _, _, err := Open(filepath.Join(dir, name)); !errors.Is(err, ErrNotFile) {
			t.Errorf("%s: %v", name, err)
		}
		if _, _, err := Read(filepath.Join(dir, name), 10); !errors.Is(err, ErrNotFile) {
			t.Errorf("%s is read: %v", name, err)
		}
		if _, _, err := OpenIn(root, name, os.O_RDONLY); !errors.Is(err, ErrNotFile) {
			t.Errorf("%s in a folder: %v", name, err)
		}
	}
	for _, flags := range []int{os.O_RDWR | os.O_CREATE, os.O_WRONLY} {
		if _, _, err := OpenIn(root, "pipe", flags); err == nil {
			t.Error("a pipe is opened to be written")
		}
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	made, info, err := OpenIn(root, "made", os.O_RDWR|os.O_CREATE)
	if err != nil || info.Mode().Perm() != Private {
		t.Fatal(info, err)
	}
	if _, err := made.WriteString("0123456789"); err != nil || made.Close() != nil {
		t.Fatal(err)
	}
	if data, info, err := Read(filepath.Join(dir, "made"), 10); string(data) != "0123456789" || err != nil || info.Size() != 10 {
		t.Errorf("%s, %v, %v", data, info, err)
	}
	if _, _, err := Read(filepath.Join(dir, "made"), 9); err == nil || !strings.Contains(err.Error(), "has more than 9 bytes") {
		t.Error(err)
	}
	outside := filepath.Join(t.TempDir(), "outside")
	if err := errors.Join(os.WriteFile(outside, nil, 0o600), os.Symlink(outside, filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenIn(root, "link", os.O_RDONLY); err == nil {
		t.Error("a link led out of the folder")
	}
}

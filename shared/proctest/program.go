package proctest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Program is the path of the real program, built once for all tests of a package: as they are, with the
// race detector or without.
func Program(t testing.TB) string {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// programDir is where the program was built; Main removes it.
var programDir string

var program = sync.OnceValues(func() (path string, err error) {
	if programDir, err = os.MkdirTemp("", "runhook-binary-*"); err != nil {
		return "", err
	}
	return Build(programDir, "runhook/cmd/runhook")
})

// Build builds a command's package into a folder and returns its path.
func Build(dir, name string) (path string, err error) {
	path = filepath.Join(dir, filepath.Base(name))
	arguments := []string{"build", "-ldflags=-s -w", "-o", path}
	if Raced {
		arguments = append(arguments, "-race")
	}
	said, err := exec.Command("go", append(arguments, name)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", name, err, said)
	}
	return path, nil
}
